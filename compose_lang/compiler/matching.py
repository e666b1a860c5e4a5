"""Which values `all_different` still allows: the filter of Régin (A filtering algorithm for constraints of difference
in CSPs, AAAI 1994).

A value is possible for a site where some assignment of different values to all sites has it there. All such
assignments follow from one, a maximum matching: an edge outside it is in another just if it closes a cycle of edges
alternately in and out, through the values that are not taken as well.
"""

from __future__ import annotations

import numpy as np

MOST_DENSE = 300  #: nodes of a graph whose reachability is squared out rather than searched


def supported(edges: np.ndarray) -> np.ndarray | None:
    """Of edges (sites, values) those that lie in a matching of all sites; None where there is no such matching."""
    taken = matching(edges)
    if taken is None:
        return None
    sites, values = edges.shape
    # arcs of the residual network: site -> value where free to take, value -> site where taken, and a hub
    # that every untaken value reaches and that reaches every taken one
    hub, size = sites + values, sites + values + 1
    arcs = np.zeros((size, size), dtype=bool)
    arcs[:sites, sites:hub] = edges
    arcs[np.arange(sites), sites + taken] = False
    arcs[sites + taken, np.arange(sites)] = True
    is_taken = np.zeros(values, dtype=bool)
    is_taken[taken] = True
    arcs[sites:hub, hub] = ~is_taken
    arcs[hub, sites:hub] = is_taken
    component = components(arcs)
    kept = edges & (component[:sites, None] == component[None, sites:hub])
    kept[np.arange(sites), taken] = True
    return kept


def matching(edges: np.ndarray) -> np.ndarray | None:
    """A value of its own for each site, (sites,), along edges (sites, values); None where there is none (Kuhn 1955)."""
    sites, values = edges.shape
    open_to = [np.flatnonzero(row).tolist() for row in edges]
    holder = [-1] * values
    for first in range(sites):
        came: dict[int, int] = {}  # value -> the site it was reached from
        queue, end = [first], -1
        for site in queue:
            for value in open_to[site]:
                if value in came:
                    continue
                came[value] = site
                if holder[value] < 0:
                    end = value
                    break
                queue.append(holder[value])
            if end >= 0:
                break
        if end < 0:
            return None
        held = {holder[v]: v for v in came if holder[v] >= 0}
        while True:
            site = came[end]
            holder[end] = site
            if site == first:
                break
            end = held[site]
    taken = np.empty(sites, dtype=np.int64)
    for value, site in enumerate(holder):
        if site >= 0:
            taken[site] = value
    return taken


def components(arcs: np.ndarray) -> np.ndarray:
    """The number of each node's strongly connected component."""
    size = len(arcs)
    if size > MOST_DENSE:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        found: np.ndarray = connected_components(csr_array(arcs), directed=True, connection="strong")[1]
        return found
    reach = (arcs | np.eye(size, dtype=bool)).astype(np.float32)
    for _ in range(size.bit_length()):
        further = (reach @ reach > 0).astype(np.float32)
        if np.array_equal(further, reach):
            break
        reach = further
    both = (reach > 0) & (reach.T > 0)
    return both.argmax(axis=1)
