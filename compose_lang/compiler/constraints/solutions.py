"""The parts that hard constraints tie sites together to, and the solutions of a small one.

In: `HardConstraints`, relations over sites with the domains they leave. Out: `Component`s; and all joint values that
relations allow.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from compose_lang.compiler.analyses.colouring import components
from compose_lang.compiler.constraints.relations import (
    AllDifferent,
    HardConstraints,
    LinearConstraint,
    Relation,
    TableConstraint,
)

MOST_SITES = 400  #: of a part whose solutions are listed
MOST_STATES = 2**16  #: solutions of a part that are listed
MOST_PARTS = 1000  #: that are looked at; where there are more the others are taken to be like them


@dataclass(frozen=True, eq=False)
class Component:
    """Sites that constraints tie together, and the rows of each relation that do."""

    sites: np.ndarray
    rows: tuple[tuple[Relation, np.ndarray], ...]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(r.group.label for r, _ in self.rows))

    def names(self, hard: HardConstraints) -> list[str]:
        """The variables whose sites are tied, of very many sites those of the first."""
        return list(dict.fromkeys(hard.numbering.owner(int(s)).name for s in self.sites[:1000]))


def components_of(hard: HardConstraints) -> list[Component]:
    """Parts of two or more sites with more than one value left, the smallest first; of very many, some."""
    moves = hard.domains.sum(axis=1) > 1
    anchors = [np.where(moves[r.scope], r.scope, -1).max(axis=1, initial=-1) for r in hard.relations]
    edges = [np.zeros((0, 2), dtype=np.int64)]
    for r, anchor in zip(hard.relations, anchors, strict=True):
        for sites in r.scope.T:
            both = (anchor >= 0) & moves[sites] & (anchor != sites)
            edges.append(np.column_stack([anchor[both], sites[both]]))
    number = components(len(moves), np.concatenate(edges))
    number[~moves] = -1
    sizes = np.bincount(number[moves], minlength=1)
    several = np.flatnonzero(sizes > 1)
    chosen = (
        several[np.unique(np.linspace(0, len(several) - 1, MOST_PARTS).astype(np.int64))]
        if len(several)
        else several
    )
    listed = np.flatnonzero(np.isin(number, chosen))
    order = listed[np.argsort(number[listed], kind="stable")]
    ends = np.flatnonzero(np.diff(number[order])) + 1
    tied = {int(number[m[0]]): m for m in np.split(order, ends) if len(m)}
    by_component: dict[int, list[tuple[Relation, np.ndarray]]] = {n: [] for n in tied}
    for r, anchor in zip(hard.relations, anchors, strict=True):
        of_row = np.where(anchor >= 0, number[anchor], -1)
        rows = np.flatnonzero(np.isin(of_row, chosen))
        rows = rows[np.argsort(of_row[rows], kind="stable")]
        cuts = np.flatnonzero(np.diff(of_row[rows])) + 1
        for some in np.split(rows, cuts):
            if len(some):
                by_component[int(of_row[some[0]])].append((r, some))
    return sorted((Component(tied[n], tuple(by_component[n])) for n in tied), key=lambda c: len(c.sites))


def solutions(hard: HardConstraints, part: Component) -> np.ndarray | None:
    """All joint values (n, sites) of a part that its relations allow; None where they are too many to list.

    Sites get values one after another, and what breaks a relation whose sites all have theirs is left out at once.
    """
    if len(part.sites) > MOST_SITES:
        return None
    column = {int(s): k for k, s in enumerate(part.sites)}
    states = np.broadcast_to(hard.domains[part.sites].argmax(axis=1), (1, len(part.sites))).copy()
    asked: list[list[tuple[Relation, int]]] = [[] for _ in part.sites]
    for r, rows in part.rows:
        for row in rows:
            columns_of_row = [column[int(s)] for s in r.scope[row] if int(s) in column]
            asked[max(columns_of_row)].append((r, int(row)))
            if isinstance(r, AllDifferent):
                for k in set(columns_of_row) - {max(columns_of_row)}:
                    asked[k].append((r, int(row)))
    for k, site in enumerate(part.sites):
        values = np.flatnonzero(hard.domains[site])
        if len(states) * len(values) > MOST_STATES:
            return None
        states = np.repeat(states, len(values), axis=0)
        states[:, k] = np.tile(values, len(states) // len(values))
        for r, row in asked[k]:
            places = [p for p, s in enumerate(r.scope[row]) if column.get(int(s), -1) <= k]
            columns = [
                states[:, column[int(s)]]
                if int(s) in column
                else np.full(len(states), hard.domains[s].argmax())
                for s in r.scope[row][places]
            ]
            states = states[holds(r, row, np.array(places), np.stack(columns, axis=1))]
    return states


def holds(r: Relation, row: int, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which value numbers (n, k) an instance of a relation allows at some of its places, at all if not
    `AllDifferent`."""
    match r:
        case TableConstraint():
            allowed = r.allowed[0 if len(r.allowed) == 1 else row]
            return np.asarray(allowed[tuple(values.T)])
        case AllDifferent():
            codes = np.sort(r.codes[0 if len(r.codes) == 1 else row][places, values], axis=1)
            return np.asarray((codes[:, 1:] != codes[:, :-1]).all(axis=1))
        case LinearConstraint():
            total = r.weights[0 if len(r.weights) == 1 else row][places, values].sum(axis=1)
            return np.asarray((total >= r.low[row]) & (total <= r.high[row]))


@dataclass(frozen=True, eq=False)
class Margin:
    """A sum that sites have: of the numbers of their values, which count from 0."""

    sites: frozenset[int]
    total: float
    values: int


def are_joined_by_minors(part: Component, drawn: Container[frozenset[int]]) -> bool:
    """Whether a part is a table with fixed margins, all of whose minors are drawn jointly, and its solutions joined."""
    margins = margins_of(part)
    if not margins:
        return False
    first = margins[0]
    rows = [m for m in margins if m is first or not m.sites & first.sites]
    columns = [m for m in margins if m is not first and m.sites & first.sites]
    cells = [[row.sites & column.sites for column in columns] for row in rows]
    if not columns or any(len(cell) != 1 for row in cells for cell in row):
        return False
    grid = np.array([[min(cell) for cell in row] for row in cells])
    lines = (*grid.tolist(), *grid.T.tolist())
    is_whole = all(m.sites == set(line) for m, line in zip((*rows, *columns), lines, strict=True))
    if not is_whole or set(grid.ravel().tolist()) != set(part.sites.tolist()):
        return False
    is_bounded = any(min(r.total, c.total) > first.values - 1 for r in rows for c in columns)
    if is_bounded and first.values > 2:
        return False
    return all(
        frozenset(grid[np.ix_(two, others)].ravel().tolist()) in drawn
        for two in combinations(range(len(rows)), 2)
        for others in combinations(range(len(columns)), 2)
    )


def margins_of(part: Component) -> list[Margin] | None:
    """What a part's relations say where all are sums that must stay, of values that count alike; otherwise None."""
    margins = []
    for r, rows in part.rows:
        if not isinstance(r, LinearConstraint):
            return None
        for row in rows:
            weights = r.weights[0 if len(r.weights) == 1 else row]
            step = weights[0, 1] - weights[0, 0]
            is_even = step != 0 and (np.diff(weights, axis=1) == step).all()
            scope = frozenset(r.scope[row].tolist())
            if not is_even or r.low[row] != r.high[row] or len(scope) < r.scope.shape[1]:
                return None
            total = float((r.low[row] - weights[:, 0].sum()) / step)
            margins.append(Margin(scope, total, weights.shape[1]))
    return margins
