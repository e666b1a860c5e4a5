"""An order in which sites are summed out, and what each then hangs on.

In: the sites' sizes and which share a factor. Out: `Buckets`: the order, and for each site its *separator*, the later
sites that it is joined to when its turn comes. Leaves go first, inwards, which is all there is to do in a forest; what
is left is ordered in several ways, of which the cheapest is taken.

Before: `tables`. After: `elimination`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MOST_GREEDY = 1500  #: sites that are joined in loops, for the orders that look at every fill
MOST_CORE = 50_000  #: sites that are joined in loops, for any order


@dataclass(frozen=True, eq=False)
class Buckets:
    """position (sites,): each site's place in the order; separators (sites, width): later sites in order, then -1."""

    position: np.ndarray
    separators: np.ndarray
    entries: float  #: of all joint tables together

    @property
    def width(self) -> int:
        """The most sites that one hangs on: the treewidth of the order."""
        return int((self.separators >= 0).sum(axis=1).max(initial=0))


@dataclass(frozen=True)
class TooCostly:
    """No order was found whose tables have as few entries as allowed: the best had this width where it was given up."""

    width: int
    entries: float


@dataclass(frozen=True)
class Ordered:
    """Some sites in order, and the later sites that each hangs on."""

    sequence: list[int]
    separators: dict[int, set[int]]
    entries: float


def buckets(sizes: np.ndarray, scopes: Sequence[np.ndarray], most: float) -> Buckets | TooCostly:
    """The cheapest order found whose joint tables have at most `most` entries.

    scopes: for each group the sites (instances, arity) that its instances read, -1 for none.
    """
    count = len(sizes)
    pairs = joined(scopes, count)
    if min(count, len(pairs) - count) > MOST_CORE:  # more loops than sites that may be in any
        return TooCostly(count, np.inf)
    peeled, parent, core = peel(count, pairs)
    hangs_on = np.where(parent >= 0, sizes[parent], 1)
    outside = np.ones(count, dtype=bool)
    outside[core] = False
    known = float((sizes * hangs_on)[outside].sum())
    if known > most:
        return TooCostly(1, known)
    if len(core) > MOST_CORE:
        return TooCostly(len(core), np.inf)
    found: Ordered | TooCostly = Ordered([], {}, 0.0)
    if len(core):
        found = cheapest(core, pairs, sizes, most - known)
    if isinstance(found, TooCostly):
        return TooCostly(found.width, known + found.entries)
    position = np.empty(count, dtype=np.int64)
    position[[*peeled, *found.sequence]] = np.arange(count)
    width = max([int((parent >= 0).any()), *map(len, found.separators.values())])
    separators = np.full((count, width), -1, dtype=np.int64)
    if width:
        separators[:, 0] = parent
    for v, mine in found.separators.items():
        separators[v, : len(mine)] = sorted(mine, key=position.__getitem__)
    return Buckets(position, separators, known + found.entries)


def joined(scopes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Pairs (m, 2) of sites that an instance of some group reads together, each once."""
    found = [np.zeros(0, dtype=np.int64)]
    for scope in scopes:
        for i in range(scope.shape[1]):
            for j in range(i):
                # what reads a site in two ways joins it to no other
                real = (scope[:, i] >= 0) & (scope[:, j] >= 0) & (scope[:, i] != scope[:, j])
                a, b = scope[real, i], scope[real, j]
                found.append(each_once(np.minimum(a, b) * count + np.maximum(a, b)))
    codes = each_once(np.concatenate(found))
    return np.stack([codes // max(count, 1), codes % max(count, 1)], axis=1)


def each_once(codes: np.ndarray) -> np.ndarray:
    """Numbers in order, each once; on millions np.unique, which hashes them, took ten times as long."""
    codes = np.sort(codes)
    return codes[np.append(True, codes[1:] != codes[:-1])] if len(codes) else codes


def peel(count: int, pairs: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Leaves from the rim inwards, then roots: their order, the one neighbour left of each (or -1); the sites in loops.

    A site's neighbours are kept as their exclusive or, which is the last one's number when one is left.
    """
    degree = np.bincount(pairs.reshape(-1), minlength=count)
    others = np.zeros(count, dtype=np.int64)
    np.bitwise_xor.at(others, pairs[:, 0], pairs[:, 1])
    np.bitwise_xor.at(others, pairs[:, 1], pairs[:, 0])
    parent = np.full(count, -1, dtype=np.int64)
    left, rest, order = degree.tolist(), others.tolist(), []
    queue = deque(np.flatnonzero(degree == 1).tolist())
    while queue:
        v = queue.popleft()
        if left[v] == 0:  # its last neighbour went before it: the root of its tree
            continue
        p = rest[v]
        parent[v] = p
        order.append(v)
        rest[p] ^= v
        left[v] = 0
        left[p] -= 1
        if left[p] == 1:
            queue.append(p)
    remaining = np.array(left, dtype=np.int64)
    is_root = remaining == 0
    is_root[order] = False
    return order + np.flatnonzero(is_root).tolist(), parent, np.flatnonzero(remaining > 0)


def cheapest(core: np.ndarray, pairs: np.ndarray, sizes: np.ndarray, most: float) -> Ordered | TooCostly:
    """The best of several orders of sites that are joined in loops: as they stand, by breadth, by fill, by table."""
    inside = np.zeros(len(sizes), dtype=bool)
    inside[core] = True
    kept = pairs[inside[pairs].all(axis=1)]
    around: dict[int, set[int]] = {v: set() for v in core.tolist()}
    for a, b in kept.tolist():
        around[a].add(b)
        around[b].add(a)
    size_of = sizes.tolist()
    ways: list[Callable[[float], Ordered | TooCostly]] = [
        lambda limit: along(core.tolist(), around, size_of, limit),
        lambda limit: along(by_breadth(core, kept), around, size_of, limit),
    ]
    if len(core) <= MOST_GREEDY:
        ways += [
            lambda limit: greedily(around, size_of, limit, by_fill=True),
            lambda limit: greedily(around, size_of, limit, by_fill=False),
        ]
    best: Ordered | TooCostly | None = None
    for way in ways:
        found = way(best.entries if isinstance(best, Ordered) else most)
        if (
            best is None
            or isinstance(found, Ordered)
            or (isinstance(best, TooCostly) and found.width < best.width)
        ):
            best = found
    assert best is not None
    return best


def by_breadth(core: np.ndarray, pairs: np.ndarray) -> list[int]:
    """Sites in the order of Cuthill and McKee, in which neighbours are near each other."""
    from scipy.sparse import csr_array  # a light verb imports this module, and needs no order
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ends = np.searchsorted(core, pairs)
    matrix = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(core), len(core)))
    found: list[int] = core[reverse_cuthill_mckee((matrix + matrix.T).tocsr(), symmetric_mode=True)].tolist()
    return found


def along(
    order: list[int], around: dict[int, set[int]], sizes: list[int], most: float
) -> Ordered | TooCostly:
    """Sum out in a given order, without numbers."""
    position = {v: k for k, v in enumerate(order)}
    inherited: dict[int, set[int]] = {}
    separators: dict[int, set[int]] = {}
    total = 0.0
    for k, v in enumerate(order):
        mine = {u for u in around[v] if position[u] > k} | inherited.pop(v, set())
        total += entries_of(v, mine, sizes)
        if total > most:
            return TooCostly(len(mine), total)
        separators[v] = mine
        if mine:
            first = min(mine, key=position.__getitem__)
            inherited.setdefault(first, set()).update(mine - {first})
    return Ordered(order, separators, total)


def greedily(
    around: dict[int, set[int]], sizes: list[int], most: float, by_fill: bool
) -> Ordered | TooCostly:
    """Sum out the site whose table (by_fill: whose missing edges, then table) is least, again and again."""
    left = {v: set(near) for v, near in around.items()}

    def cost(v: int) -> tuple[float, ...]:
        mine = left[v]
        table = entries_of(v, mine, sizes)
        if not by_fill:
            return (table,)
        present = sum(len(left[u] & mine) for u in mine)
        return (len(mine) * (len(mine) - 1) - present, table)

    costs = {v: cost(v) for v in left}
    heap = [(c, v) for v, c in costs.items()]
    heapq.heapify(heap)
    sequence, separators, total = [], {}, 0.0
    while heap:
        c, v = heapq.heappop(heap)
        if costs.get(v) != c:
            continue
        mine = left.pop(v)
        del costs[v]
        total += entries_of(v, mine, sizes)
        if total > most:
            return TooCostly(len(mine), total)
        sequence.append(v)
        separators[v] = mine
        for u in mine:
            left[u] |= mine
            left[u] -= {u, v}
        for u in mine.union(*(left[u] for u in mine)) if by_fill else mine:
            now = cost(u)
            if now != costs[u]:
                costs[u] = now
                heapq.heappush(heap, (now, u))
    return Ordered(sequence, separators, total)


def entries_of(v: int, separator: set[int], sizes: list[int]) -> float:
    """Entries of a site's joint table with its separator."""
    entries = float(sizes[v])
    for u in separator:
        entries *= sizes[u]
    return entries
