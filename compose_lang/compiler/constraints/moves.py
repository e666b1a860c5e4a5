"""Which moves keep hard constraints that stop single sites: where values must differ, and where sums must stay.

In: a variable of a graph with `HardConstraints`. Out: `DisequalityGraph`, the graph of a
variable's sites that must differ, on which chains of two values can be turned round (kernel `kempe`), and
`ConservedSums`, sets of sites whose sum must stay, among which pairs can be drawn anew (kernel `exchange`); None
where nothing asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.analyses.colouring import adjacency, distinct
from compose_lang.compiler.constraints.relations import AllDifferent, HardConstraints, LinearConstraint
from compose_lang.compiler.graph.factor_graph import (
    FactorGraph,
    FactorGroup,
    Variable,
    once,
)

MOST_EDGES = 10**7
MOST_PAIRS = 64  #: joint values of two sites that are all weighed


@dataclass(frozen=True, eq=False)
class DisequalityGraph:
    """Sites of a variable, observed ones too, that must differ: `edges` (n, 2); and the groups that say only this.

    frozen (sites,): those that no move may change.
    """

    variable: Variable
    edges: np.ndarray
    frozen: np.ndarray
    kept: tuple[FactorGroup, ...]

    @property
    def tables(self) -> dict[str, np.ndarray]:
        """The arrays of integers that a backend holds."""
        moving = np.flatnonzero(~self.frozen)
        return {"neighbours": self.neighbours, "moving": moving, "frozen": self.frozen.astype(np.int64)}

    @property
    def neighbours(self) -> np.ndarray:
        """(sites, degree), padded with `sites`."""
        sites = len(self.frozen)
        starts, ends = adjacency(sites, self.edges)
        degree = np.diff(starts)
        table = np.full((sites, max(1, int(degree.max(initial=0)))), sites, dtype=np.int64)
        rank = np.arange(len(ends)) - np.repeat(starts[:-1], degree)
        table[np.repeat(np.arange(sites), degree), rank] = ends
        return table


@dataclass(frozen=True, eq=False)
class ConservedSums:
    """Sets of free sites of a variable whose sums must stay: `sets` (n, k), padded with -1.

    is_even: whether what a value counts rises evenly, so that a pair keeps its sum just if it keeps that of its values.
    """

    variable: Variable
    sets: np.ndarray
    is_even: bool


@once
def differing(graph: FactorGraph, v: Variable) -> DisequalityGraph | None:
    """The graph of a variable's sites that must differ; None where no two that move do."""
    hard = graph.fact(HardConstraints)
    if hard is None or not v.is_discrete or all(v.name != w.name for w in hard.numbering.variables):
        return None
    found = [r for r in hard.relations if isinstance(r, AllDifferent) and is_on(r, hard, v)]
    if not found or sum(r.scope.shape[0] * r.scope.shape[1] ** 2 for r in found) > MOST_EDGES:
        return None
    sites = v.type.sites
    frozen = np.ones(sites, dtype=bool)
    frozen[np.flatnonzero(v.free.reshape(-1))[~v.fixed]] = False
    keys = []
    for r in found:
        first, second = np.triu_indices(r.scope.shape[1], 1)
        a, b = (r.scope[:, p].reshape(-1) - hard.numbering.starts[v.name] for p in (first, second))
        moves = ~(frozen[a] & frozen[b])
        keys.append((np.minimum(a, b) * np.int64(sites) + np.maximum(a, b))[moves])
    key = distinct(np.concatenate(keys))
    if not len(key):
        return None
    others = {id(r.group) for r in hard.relations if r not in found} | {id(g) for g in hard.missed}
    kept = {id(r.group): r.group for r in found if id(r.group) not in others}
    edges = np.stack([key // sites, key % sites], axis=1)
    return DisequalityGraph(v, edges, frozen, tuple(kept.values()))


def is_on(r: AllDifferent, hard: HardConstraints, v: Variable) -> bool:
    """Whether a relation says of sites of one variable, and no others, that their values differ."""
    here = hard.numbering.of(v)
    within = bool(((r.scope >= here.start) & (r.scope < here.stop)).all())
    values = next(len(w.support.values) for w in hard.numbering.variables if w.name == v.name)
    return within and r.is_plain and len(np.unique(r.codes[0, 0, :values])) == values


@once
def sums(graph: FactorGraph, v: Variable) -> ConservedSums | None:
    """The sets of a variable's sites whose sum a constraint fixes; None where there is none of two that move."""
    hard = graph.fact(HardConstraints)
    if hard is None or not v.is_discrete or all(v.name != w.name for w in hard.numbering.variables):
        return None
    here = hard.numbering.of(v)
    place = np.full(hard.numbering.sites, -1)
    free = np.flatnonzero(v.free.reshape(-1))
    place[here.start + free] = np.where(v.fixed, -1, np.arange(len(free)))
    rows: list[np.ndarray] = []
    is_even = True
    for r in hard.relations:
        if not isinstance(r, LinearConstraint) or not np.isfinite(r.low + r.high).all():
            continue
        mine = place[r.scope]
        enough = (mine >= 0).sum(axis=1) > 1
        if not enough.any() or len(np.unique(r.scope[0])) < r.scope.shape[1]:
            continue
        steps = np.diff(r.weights, axis=2)
        is_even &= bool(np.allclose(steps, steps[:, :1, :1]))
        mine = mine[enough]
        rows.append(np.take_along_axis(mine, np.argsort(mine < 0, axis=1, kind="stable"), axis=1))
    values = len(v.support.values)
    if not rows or (not is_even and values**2 > MOST_PAIRS):
        return None
    width = max(found.shape[1] for found in rows)
    sets = [np.pad(found, ((0, 0), (0, width - found.shape[1])), constant_values=-1) for found in rows]
    return ConservedSums(v, np.unique(np.concatenate(sets), axis=0), is_even)


def leaves_room(d: DisequalityGraph) -> bool:
    """Whether single sites reach every colouring: each, taken in some order, has two values more than neighbours left.

    With lists of values and an order that takes such sites away one after another; Dyer, Flaxman, Frieze and Vigoda,
    Randomly coloring sparse random graphs with fewer colors than the maximum degree, 2006.
    """
    return peels(d, room=2)


def peels(d: DisequalityGraph, room: int) -> bool:
    """Whether sites can be taken away, each with at least `room` values more than neighbours that are still there."""
    sites = len(d.frozen)
    values = np.full(sites, len(d.variable.support.values))
    if d.variable.allowed is not None:
        values[np.flatnonzero(d.variable.free.reshape(-1))] = d.variable.allowed.sum(axis=1)
    starts, ends = adjacency(sites, d.edges)
    owner = np.repeat(np.arange(sites), np.diff(starts))
    there = np.ones(sites, dtype=bool)
    while True:
        degree = np.bincount(owner[there[ends]], minlength=sites)
        going = there & ~d.frozen & (degree + room <= values)
        if not going.any():
            return not (there & ~d.frozen).any()
        there &= ~going
