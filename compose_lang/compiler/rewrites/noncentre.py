"""Which variables are sampled by their offsets: theta = mu + tau * z, with z as the coordinate.

A hierarchy's funnel (theta close to mu where tau is small) defeats samplers that step in theta; in z it is gone,
as long as the data say little about each theta (Papaspiliopoulos, Roberts and Skold 2007). It is a change of
coordinates with its Jacobian, so the density sampled is the same.

In: a graph, and its `LocationScales`: what statements say of whole variables (`theta ~ Normal(mu, tau)`). Out: the same
density, with `offsets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import (
    FactorGraph,
    LocationScale,
    LocationScales,
    Offset,
    Variable,
)
from compose_lang.compiler.ir.build import broadcast_to, collect, depends_on_discrete
from compose_lang.compiler.ir.node import Axis, Node

FEW_FACTORS = 4
"""Up to so many other factors a site: more data than this hold theta, and its own coordinate mixes better."""


def noncentre(graph: FactorGraph) -> FactorGraph:
    """The graph with an `Offset` for each variable that is better sampled by it."""
    stated = graph.fact(LocationScales)
    return graph if stated is None else replace(graph, offsets=offsets(graph, stated.statements))


def offsets(graph: FactorGraph, stated: Sequence[LocationScale]) -> dict[str, Offset]:
    """The variables to sample by their offsets, by name."""
    chosen: dict[str, Offset] = {}
    order = {v.name: place for place, v in enumerate(graph.variables)}
    stating: dict[str, list[LocationScale]] = {}
    for s in stated:
        for name in s.subject.variables:
            stating.setdefault(name, []).append(s)
    for v in graph.variables:
        about = stating.get(v.name, [])
        if len(about) != 1 or not v.free.all() or v.type.domain.kind != "real" or is_enclosed(v):
            continue
        offset = of_whole(about[0], v)
        if offset is None:
            continue
        earlier = offset.location.variables | offset.scale.variables
        if not offset.scale.variables or any(order[name] >= order[v.name] for name in earlier):
            continue
        if depends_on_discrete(offset.location) or depends_on_discrete(offset.scale):
            continue  # a discrete site would then move theta, which its local energies do not see
        if factors_a_site(graph, v) <= FEW_FACTORS:
            chosen[v.name] = offset
    return chosen


def is_enclosed(v: Variable) -> bool:
    """Whether a variable lies between two bounds, or bounds that move: one number bounds offsets too (see `shift`)."""
    return (
        v.lower is not None
        or v.upper is not None
        or bool(np.isfinite([v.support.lower, v.support.upper]).all())
    )


def of_whole(s: LocationScale, v: Variable) -> Offset | None:
    """The statement's location and scale as arrays over all of a variable, if it is about all of it."""
    axes = plates_of(s.subject, v)
    if axes is None:
        return None
    inner = v.type.shape[len(axes) :]
    if any(x.shape not in ((), inner) or set(x.axes) - set(axes) for x in (s.location, s.scale)):
        return None
    return Offset(*(over(x, axes, inner) for x in (s.location, s.scale)))


def plates_of(subject: Node, v: Variable) -> tuple[Axis, ...] | None:
    """The plates that lead through all of a variable, one for each of its first axes; None where some is left out."""
    if subject is v.node:
        return ()
    if subject.op != "gather" or subject.args[0] is not v.node:
        return None
    axes: list[Axis] = []
    for n, index in zip(v.type.shape, subject.args[1:], strict=False):
        if index.value is None or len(index.axes) != 1 or not np.array_equal(index.value, np.arange(n)):
            return None
        axes += index.axes
    return tuple(axes) if len(set(axes)) == len(axes) else None


def over(x: Node, axes: Sequence[Axis], inner: tuple[int, ...]) -> Node:
    """What varies over plates as an array of them, or the number it is for all."""
    if not set(x.axes) & set(axes):
        return x
    x = broadcast_to(x, inner)
    for axis in reversed(axes):
        x = collect(x, axis)
    return x


def factors_a_site(graph: FactorGraph, v: Variable) -> float:
    """Factor instances that touch a site besides its own prior, on average."""
    touching = sum(g.instances for g in graph.groups if v.name in g.variables)
    return (touching - v.type.sites) / max(v.type.sites, 1)
