"""Two-way tables with fixed margins, whose solutions draws of 2 by 2 minors join.

In: a part of what constraints tie, and the sets of its sites that are drawn jointly. A table is any numbers that count
evenly, each in one sum of the rows and in one of the columns. All tables of the same margins are joined by the minors
where no upper bound of a number matters (Diaconis and Sturmfels, Algebraic algorithms for sampling from conditional
distributions, Annals of Statistics 26, 1998), and where there are two values (Ryser, Combinatorial properties of
matrices of zeros and ones, Canadian Journal of Mathematics 9, 1957).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from compose_lang.compiler.relations import Total
from compose_lang.compiler.solutions import Part


@dataclass(frozen=True, eq=False)
class Margin:
    """A sum that sites have: of the numbers of their values, which count from 0."""

    sites: frozenset[int]
    total: float
    values: int


def are_joined_by_minors(part: Part, drawn: Container[frozenset[int]]) -> bool:
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


def margins_of(part: Part) -> list[Margin] | None:
    """What a part's relations say where all are sums that must stay, of values that count alike; otherwise None."""
    found = []
    for r, rows in part.rows:
        if not isinstance(r, Total):
            return None
        for row in rows:
            weights = r.weights[0 if len(r.weights) == 1 else row]
            step = weights[0, 1] - weights[0, 0]
            is_even = step != 0 and (np.diff(weights, axis=1) == step).all()
            scope = frozenset(r.scope[row].tolist())
            if not is_even or r.low[row] != r.high[row] or len(scope) < r.scope.shape[1]:
                return None
            total = float((r.low[row] - weights[:, 0].sum()) / step)
            found.append(Margin(scope, total, weights.shape[1]))
    return found
