"""Colour the sites of a variable so that no factor reads two sites of one colour.

Sites of a colour are independent given the rest, so a sampler may update them together. Graphs that are
two-colourable (lattices, trees, chains) get two colours, found by breadth-first search; others are coloured
greedily, most constrained sites first (Welsh and Powell 1967).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LARGEST_CLIQUE = 32  #: an instance that reads more sites than this is treated as reading all of them
MOST_EDGES = 10**8


def colour(sites: int, scopes: Sequence[np.ndarray | None]) -> np.ndarray:
    """A colour (sites,) for each site, from 0; scopes as `scopes.scope` gives them, None where all are read."""
    if sites == 0:
        return np.zeros(0, dtype=np.int64)
    if any(s is None or (s.shape[1] > LARGEST_CLIQUE and len(s)) for s in scopes):
        return np.arange(sites)
    edges = conflicts(sites, [s for s in scopes if s is not None])
    if edges is None:
        return np.arange(sites)
    if not len(edges):
        return np.zeros(sites, dtype=np.int64)
    two = bipartite(sites, edges)
    return greedy(sites, edges) if two is None else two


def distinct(keys: np.ndarray) -> np.ndarray:
    """The different values of an integer array, sorted: a sort, which is several times faster than np.unique."""
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if ordered.size else ordered


def conflicts(sites: int, scopes: Sequence[np.ndarray]) -> np.ndarray | None:
    """Pairs (n, 2) of sites that an instance reads together, each once; None where there are too many."""
    found: list[np.ndarray] = []
    total = 0
    for s in scopes:
        k = s.shape[1]
        total += len(s) * k * (k - 1) // 2
        if total > MOST_EDGES:
            return None
        for i in range(k):
            for j in range(i + 1, k):
                a, b = s[:, i], s[:, j]
                both = (a >= 0) & (b >= 0) & (a != b)
                if both.any():
                    low, high = np.minimum(a[both], b[both]), np.maximum(a[both], b[both])
                    found.append(distinct(low * np.int64(sites) + high))
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    keys = distinct(np.concatenate(found))
    return np.stack([keys // sites, keys % sites], axis=1)


def adjacency(sites: int, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbour lists in compressed rows: (starts, neighbours)."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    starts = np.zeros(sites + 1, dtype=np.int64)
    np.add.at(starts, ends[:, 0] + 1, 1)
    return np.cumsum(starts), ends[:, 1]


def components(sites: int, edges: np.ndarray) -> np.ndarray:
    """The number of each site's connected component, (sites,), along edges (n, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), dtype=np.int8), tuple(edges.T)), shape=(sites, sites))
    component: np.ndarray = connected_components(graph, directed=False)[1]
    return component


def bipartite(sites: int, edges: np.ndarray) -> np.ndarray | None:
    """Two colours if they suffice: the parity of the distance from each component's first site."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    _, first = np.unique(components(sites, edges), return_index=True)
    rows = np.concatenate([edges[:, 0], np.full(len(first), sites)])
    columns = np.concatenate([edges[:, 1], first])
    rooted = coo_array(
        (np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(sites + 1, sites + 1)
    ).tocsr()
    _, parent = breadth_first_order(rooted, sites, directed=False)
    parent[sites] = sites
    parity = np.ones(sites + 1, dtype=bool)
    parity[sites] = False
    while (parent != sites).any():  # each round doubles the distance that is summed
        parity = parity ^ parity[parent]
        parent = parent[parent]
    colours = parity[:sites].astype(np.int64)
    return None if (colours[edges[:, 0]] == colours[edges[:, 1]]).any() else colours


def greedy(sites: int, edges: np.ndarray) -> np.ndarray:
    """The least colour no neighbour has, most constrained sites first.

    In rounds: a site is coloured when it comes before all its neighbours that are still to be coloured, so the
    result is that of the sequential order.
    """
    starts, neighbours = adjacency(sites, edges)
    degree = np.diff(starts)
    rank = np.empty(sites, dtype=np.int64)
    shuffled = np.random.default_rng(0).permutation(sites)  # ties in a lattice's order would make rounds many
    rank[shuffled[np.argsort(-degree[shuffled], kind="stable")]] = np.arange(sites)
    owners = np.repeat(np.arange(sites), degree)
    colours = np.full(sites, -1, dtype=np.int64)
    while (colours < 0).any():
        waiting = colours < 0
        blocked = np.zeros(sites, dtype=bool)
        later = waiting[owners] & waiting[neighbours] & (rank[neighbours] < rank[owners])
        blocked[owners[later]] = True
        ready = np.flatnonzero(waiting & ~blocked)
        colours[ready] = least_free(ready, starts, neighbours, colours)
    return colours


def least_free(
    ready: np.ndarray, starts: np.ndarray, neighbours: np.ndarray, colours: np.ndarray
) -> np.ndarray:
    """For each ready site the least colour that none of its neighbours has."""
    degree = starts[ready + 1] - starts[ready]
    owner = np.repeat(np.arange(len(ready)), degree)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(degree) - degree, degree)
    taken = colours[neighbours[starts[ready][owner] + offset]]
    used = taken >= 0
    keys = distinct(owner[used] * np.int64(colours.max(initial=0) + 2) + taken[used])
    pairs = np.stack([keys // (colours.max(initial=0) + 2), keys % (colours.max(initial=0) + 2)], axis=1)
    # within a site's sorted colours, the first that differs from its place is the gap
    first = np.searchsorted(pairs[:, 0], np.arange(len(ready)))
    place = np.arange(len(pairs)) - first[pairs[:, 0]]
    gaps = pairs[:, 1] != place
    answer = np.bincount(pairs[:, 0], minlength=len(ready)).astype(np.int64)
    np.minimum.at(answer, pairs[gaps, 0], place[gaps])
    return answer
