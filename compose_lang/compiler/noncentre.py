"""Which variables are sampled by their offsets: theta = mu + tau * z, with z as the coordinate.

A hierarchy's funnel (theta close to mu where tau is small) defeats samplers that step in theta; in z it is gone,
as long as the data say little about each theta (Papaspiliopoulos, Roberts and Skold 2007). It is a change of
coordinates with its Jacobian, so the density sampled is the same.

In: a graph, and what its statements said of whole variables (`theta ~ Normal(mu, tau)`). Out: `Offset`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph import FactorGraph, Offset, Variable
from compose_lang.compiler.ir import Node, collect, depends_on_discrete

LOCATION_SCALE = {
    "Normal": ("mu", "sigma"),
    "StudentT": ("mu", "sigma"),
    "Cauchy": ("mu", "sigma"),
    "Laplace": ("mu", "sigma"),
    "Logistic": ("mu", "sigma"),
}

FEW_FACTORS = 4
"""Up to so many other factors a site: more data than this hold theta, and its own coordinate mixes better."""


@dataclass(frozen=True)
class Statement:
    """`subject ~ F(location, scale)` with a location-scale density, as it was elaborated."""

    subject: Node
    location: Node
    scale: Node


def offsets(graph: FactorGraph, stated: Sequence[Statement]) -> dict[str, Offset]:
    """The variables to sample by their offsets, by name."""
    found: dict[str, Offset] = {}
    order = {v.name: place for place, v in enumerate(graph.variables)}
    for v in graph.variables:
        about = [s for s in stated if v.name in s.subject.variables]
        if len(about) != 1 or not v.free.all() or v.type.domain.kind != "real" or bounded(v):
            continue
        whole = of_whole(about[0], v)
        if whole is None:
            continue
        earlier = whole.location.variables | whole.scale.variables
        if not whole.scale.variables or any(order[name] >= order[v.name] for name in earlier):
            continue
        if depends_on_discrete(whole.location) or depends_on_discrete(whole.scale):
            continue  # a discrete site would then move theta, which its local energies do not see
        if factors_a_site(graph, v) <= FEW_FACTORS:
            found[v.name] = whole
    return found


def bounded(v: Variable) -> bool:
    domain = v.support
    return (
        v.lower is not None or v.upper is not None or np.isfinite(domain.lower) or np.isfinite(domain.upper)
    )


def of_whole(s: Statement, v: Variable) -> Offset | None:
    """The statement's location and scale as arrays over all of a variable, if it is about all of it."""
    subject = s.subject
    if subject is v.node:
        fits = all(x.shape in ((), v.type.shape) and not x.axes for x in (s.location, s.scale))
        return Offset(s.location, s.scale) if fits else None
    if (
        subject.op != "gather"
        or subject.args[0] is not v.node
        or len(subject.args) != 2
        or len(v.type.shape) != 1
    ):
        return None
    index = subject.args[1]
    if (
        index.value is None
        or len(index.axes) != 1
        or not np.array_equal(index.value, np.arange(v.type.shape[0]))
    ):
        return None
    axis = index.axes[0]
    if any(x.shape or set(x.axes) - {axis} for x in (s.location, s.scale)):
        return None
    location, scale = (collect(x, axis) if axis in x.axes else x for x in (s.location, s.scale))
    return Offset(location, scale)


def factors_a_site(graph: FactorGraph, v: Variable) -> float:
    """Factor instances that touch a site besides its own prior, on average."""
    touching = sum(g.instances for g in graph.groups if v.name in g.variables)
    return (touching - v.type.sites) / max(v.type.sites, 1)
