"""The objects of a continuous variable: what of it is moved at once, a row of an array or a number.

In: a variable of reals, and the groups that read it. Out: its objects, as sets of free sites. A row of a short last
axis is an object where some factor reads two of its numbers together (a point of the plane, a rectangle's corner and
sides); so is all of a short array of one axis that some factor reads as a whole. Else each number is one by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import free_numbers, scope, selections
from compose_lang.compiler.ir.build import along, broadcast_to, constant, gather, node
from compose_lang.compiler.ir.node import Axis

LONGEST_ROW = 8  #: numbers of an object
LONGEST_POINT = 3  #: numbers of an array of one axis that is one object


def objects_of(graph: FactorGraph, v: Variable, moving: Sequence[int] | None = None) -> np.ndarray | None:
    """The free sites of each object (objects, k), padded with their count; None for a variable that has no objects.

    moving: the free sites that move, if not all do.
    """
    if v.type.domain.kind not in ("real", "angle") or not v.free_sites:
        return None
    shape = v.type.shape
    rows = np.arange(v.type.sites).reshape((-1, shape[-1] if shape else 1))
    if not is_read_by_rows(graph, v):
        rows = rows.reshape((-1, 1))
    numbers = free_numbers(v.free)[rows]
    if moving is not None:
        numbers = np.where(np.isin(numbers, moving), numbers, -1)
    numbers = numbers[(numbers >= 0).any(axis=1)]
    longest = int((numbers >= 0).sum(axis=1).max())
    return np.sort(np.where(numbers < 0, v.free_sites, numbers), axis=1)[:, :longest]


def is_read_by_rows(graph: FactorGraph, v: Variable) -> bool:
    """Whether the rows of a variable's last axis are what its factors go by."""
    shape = v.type.shape
    if not shape or not 2 <= shape[-1] <= (LONGEST_POINT if len(shape) == 1 else LONGEST_ROW):
        return False
    reading = [g for g in graph.groups if v.name in g.variables]
    if len(shape) == 1:
        return any(reads_whole(g, v) for g in reading)
    return any(reads_two_of_a_row(g, v) for g in reading)


def reads_whole(group: FactorGroup, v: Variable) -> bool:
    """Whether one instance of a group reads all of a variable by one expression."""
    for ids in selections(group.energy, v, v.site_numbers):
        inner = [a.size for a in ids.axes if a not in group.axes]
        if math.prod((*inner, *ids.shape)) >= v.type.sites:
            return True
    return False


def reads_two_of_a_row(group: FactorGroup, v: Variable) -> bool:
    """Whether an instance of a group reads two numbers of one row."""
    sites = scope(group, v)
    if sites is None:
        return False
    full = np.append(np.flatnonzero(v.free.reshape(-1)), -1)[sites]
    row = np.sort(np.where(full < 0, -1 - np.arange(full.shape[1]), full // v.type.shape[-1]), axis=1)
    site = np.sort(full, axis=1)
    # one number that is read twice is no two
    twice = (site[:, 1:] == site[:, :-1]) & (site[:, 1:] >= 0)
    return bool(((row[:, 1:] == row[:, :-1]).sum(axis=1) > twice.sum(axis=1)).any())


def bounds_as_factors(graph: FactorGraph) -> tuple[FactorGroup, ...]:
    """For each variable whose bounds read others, a group that is infinite where a free site lies outside them.

    Samplers that move in unconstrained coordinates never leave them; who moves in values has to be told, where the
    variable moves and where what bounds it does.
    """
    return tuple(
        bounds_factor(v)
        for v in graph.variables
        if v.free_sites and not (v.lower is None and v.upper is None)
    )


def bounds_factor(v: Variable) -> FactorGroup:
    """The group of one variable."""
    shape = v.type.shape
    axes = tuple(Axis(size, "site") for size in shape)
    places = [along(a) for a in axes]
    fits = gather(constant(~v.free), places) if shape else constant(not v.free.all())
    inside = []
    for bound, number, below in ((v.lower, v.support.lower, "gt"), (v.upper, v.support.upper, "lt")):
        limit = constant(float(number)) if bound is None else gather(broadcast_to(bound, shape), places)
        inside.append(node(below, gather(v.node, places), limit))
    allowed = node("or", fits, node("and", *inside))
    return FactorGroup(
        node("where", allowed, constant(0.0), constant(math.inf)),
        axes,
        "require",
        f"bounds of {v.name}",
        v.span,
    )
