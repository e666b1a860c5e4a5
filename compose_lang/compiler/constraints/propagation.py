"""Propagation: what hard constraints leave of the values of each site, before anything is drawn.

In: `HardConstraints`, relations over sites. Out: the same with smaller domains, or the instance that leaves a site
no value. Tables are made arc consistent (every value left is in some combination of values left), sums consistent in
their bounds, `all_different` by matchings. Only values that no solution has are removed; where a program is so large
that a fixed point would take long, fewer are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.constraints.relations import (
    AllDifferent,
    HardConstraints,
    LinearConstraint,
    Relation,
    TableConstraint,
)

MOST_WORK = 3 * 10**7  #: instances looked at, over all rounds
MANY = 100  #: instances of one table that are worth looking for what they have in common
CHUNK = 2**24  #: combinations weighed at a time
MOST_MATCHED = 20_000  #: sites of instances of `all_different` whose matchings are searched


@dataclass(frozen=True, eq=False)
class Emptied:
    """An instance of a relation that leaves no value to a site, and the labels of those that took values away."""

    relation: Relation
    site: int
    others: tuple[str, ...]


def propagate(hard: HardConstraints) -> HardConstraints | Emptied:
    """The relations with the domains they leave."""
    domains = hard.domains.copy()
    stamp = np.zeros(len(domains), dtype=np.int64)  # when each site's domain last shrank
    seen = [-1] * len(hard.relations)
    taking: dict[str, None] = {}
    now = work = 0
    while work < MOST_WORK:
        started = now
        for place, relation in enumerate(hard.relations):
            work += len(relation.scope)
            rows = np.arange(len(relation.scope))
            if seen[place] >= 0:
                rows = np.flatnonzero((stamp[relation.scope] > seen[place]).any(axis=1))
            seen[place] = now
            if not len(rows):
                continue
            site, value = removed(relation, rows, domains)
            if not len(site):
                continue
            now += 1
            domains[site, value] = False
            stamp[site] = now
            empty = ~domains[site].any(axis=1)
            if empty.any():
                label = relation.group.label
                return Emptied(relation, int(site[empty][0]), tuple(t for t in taking if t != label))
            taking[relation.group.label] = None
        if now == started:
            break
    return replace(hard, domains=domains)


def removed(relation: Relation, rows: np.ndarray, domains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites and value numbers that some instances of a relation rule out."""
    parts = []
    entries = relation.scope.shape[1] * domains.shape[1]
    if isinstance(relation, TableConstraint) and len(relation.allowed) > 1:
        entries = relation.combinations
    step = max(1, CHUNK // max(entries, 1))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        match relation:
            case TableConstraint():
                parts.append(removed_by_table(relation, some, domains))
            case LinearConstraint():
                parts.append(removed_by_total(relation, some, domains))
            case AllDifferent():
                parts.append(removed_by_difference(relation, some, domains))
    return np.concatenate([f[0] for f in parts]), np.concatenate([f[1] for f in parts])


def where_lost(scope: np.ndarray, held: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites and values that are held (n, k, K) and not kept."""
    row, place, value = np.nonzero(held & ~kept)
    return scope[row, place], value


def rows_of(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of what every instance has its own of, or the one row that is the same for all."""
    return array if len(array) == 1 else array[rows]


def removed_by_table(
    r: TableConstraint, rows: np.ndarray, domains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    scope = r.scope[rows]
    most, k = domains.shape[1], scope.shape[1]
    if len(r.allowed) > 1 or most * k > 62 or len(rows) < MANY:
        held = domains[scope]
        return where_lost(scope, held, kept_by_table(r, rows_of(r.allowed, rows), held))
    # one table for many instances: few different domains among them
    of_site = domains.astype(np.int64) @ (np.int64(1) << np.arange(most))
    code = np.zeros(len(rows), dtype=np.int64)
    for place in range(k):
        code |= of_site[scope[:, place]] << (most * place)
    if (code == code[0]).all():
        first, alike = np.zeros(1, dtype=np.int64), np.zeros(len(code), dtype=np.int64)
    else:
        _, first, alike = np.unique(code, return_index=True, return_inverse=True)
    held = domains[scope[first]]
    kept = kept_by_table(r, r.allowed, held)
    loses = (held & ~kept).any(axis=(1, 2))[alike]
    return where_lost(scope[loses], held[alike[loses]], kept[alike[loses]])


def kept_by_table(r: TableConstraint, allowed: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Of values held (n, k, K) those in a combination that the table allows and whose other values are held."""
    sizes = r.allowed.shape[1:]
    valid = np.broadcast_to(allowed, (len(held), *sizes)).copy()
    for place, size in enumerate(sizes):
        shape = [len(held), *(size if p == place else 1 for p in range(len(sizes)))]
        valid &= held[:, place, :size].reshape(shape)
    kept = np.zeros_like(held)
    for place, size in enumerate(sizes):
        others = tuple(1 + p for p in range(len(sizes)) if p != place)
        kept[:, place, :size] = valid.any(axis=others)
    return kept


def removed_by_total(
    r: LinearConstraint, rows: np.ndarray, domains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    scope, weights = r.scope[rows], rows_of(r.weights, rows)
    held = domains[scope][:, :, : weights.shape[2]]
    least = np.where(held, weights, np.inf).min(axis=2, keepdims=True)
    most = np.where(held, weights, -np.inf).max(axis=2, keepdims=True)
    below, above = least.sum(axis=1, keepdims=True) - least, most.sum(axis=1, keepdims=True) - most
    kept = (below + weights <= r.high[rows, None, None]) & (above + weights >= r.low[rows, None, None])
    return where_lost(scope, held, kept)


def removed_by_difference(
    r: AllDifferent, rows: np.ndarray, domains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    k = r.scope.shape[1]
    if k > 2 and len(rows) * k <= MOST_MATCHED:
        return removed_by_matchings(r, rows, domains)
    scope = r.scope[rows]
    fixed = domains[scope].sum(axis=2) == 1
    some = fixed.any(axis=1)  # only what is fixed takes values from others
    rows, scope, fixed = rows[some], scope[some], fixed[some]
    held = domains[scope]
    codes = np.broadcast_to(rows_of(r.codes, rows), held.shape)
    own = np.take_along_axis(codes, held.argmax(axis=2)[..., None], axis=2)[..., 0]
    kept = np.ones_like(held)
    for place in range(k):
        taken = fixed[:, place, None, None] & (codes == own[:, place, None, None])
        taken[:, place] = False
        kept &= ~taken
    return where_lost(scope, held, kept)


def removed_by_matchings(
    r: AllDifferent, rows: np.ndarray, domains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By a matching an instance; where there is none everything its first site has is ruled out."""
    held = domains[r.scope[rows]]
    kept = np.zeros_like(held)
    for one, row in enumerate(rows):
        codes = r.codes[0 if len(r.codes) == 1 else row]
        numbers, column = np.unique(codes, return_inverse=True)
        column = column.reshape(codes.shape)
        edges = np.zeros((len(codes), len(numbers)), dtype=bool)
        place, value = np.nonzero(held[one])
        edges[place, column[place, value]] = True
        still = supported(edges)
        if still is None:
            kept[one, 1:] = True
        else:
            kept[one] = np.take_along_axis(still, column, axis=1)
    return where_lost(r.scope[rows], held, kept)


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
    component = strong_components(arcs)
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


def strong_components(arcs: np.ndarray) -> np.ndarray:
    """The number of each node's strongly connected component."""
    size = len(arcs)
    if size > MOST_DENSE:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        component: np.ndarray = connected_components(csr_array(arcs), directed=True, connection="strong")[1]
        return component
    reach = (arcs | np.eye(size, dtype=bool)).astype(np.float32)
    for _ in range(size.bit_length()):
        further = (reach @ reach > 0).astype(np.float32)
        if np.array_equal(further, reach):
            break
        reach = further
    both = (reach > 0) & (reach.T > 0)
    return both.argmax(axis=1)
