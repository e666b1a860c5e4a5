"""What constraints keep of a set of sites when all others are held, and so which joint values the set can move among.

In: a variable of a graph with `HardConstraints`. Out: `Invariant`s. A sum that must stay fixes
what a set's sites contribute to it; an `all_different` whose sites take all values there are fixes which of them a
set's sites share out; where sites must only differ, those of a set differ. `orbits` lists the joint values of a set
by what is kept: the set moves among those that agree with the values it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from compose_lang.compiler.analyses.colouring import adjacency
from compose_lang.compiler.constraints.moves import differing
from compose_lang.compiler.constraints.relations import AllDifferent, HardConstraints, LinearConstraint
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable

MOST_INVARIANTS = 20_000
MOST_SITES = 5000  #: from which sets that all differ are looked for
MOST_CODES = 62  #: different values of which each has a bit of its own in a sum


@dataclass(frozen=True, eq=False)
class Invariant:
    """Free sites (k,) of a variable, in whose values something stays.

    weights (k, K): of each value, their sum over the sites stays, and over any of them where the others are held.
    codes (k, K): of each value, no two sites' are the same. Both are integers; None where it is not so.
    """

    sites: np.ndarray
    weights: np.ndarray | None
    codes: np.ndarray | None

    @property
    def holds(self) -> np.ndarray:
        """Which sites (k,) cannot change by themselves: each of their values counts differently in the sum."""
        if self.weights is None:
            return np.zeros(len(self.sites), dtype=bool)
        ordered = np.sort(self.weights, axis=1)
        return np.asarray((ordered[:, 1:] != ordered[:, :-1]).all(axis=1))


@dataclass(frozen=True, eq=False)
class Orbits:
    """The joint values of a set of sites, numbered by Σ_p value_p K^p, by what constraints keep of them.

    That with number c is in the orbit o = `orbit[c]` and may become any of `order[first[o] : first[o] + count[o]]`, of
    none where the constraints on the set alone exclude it.
    """

    orbit: np.ndarray
    first: np.ndarray
    count: np.ndarray
    order: np.ndarray


def invariants(graph: FactorGraph, v: Variable) -> tuple[list[Invariant], frozenset[int]]:
    """What stays of a variable's sites, and the ids of the groups that say no more than that it stays."""
    hard = graph.fact(HardConstraints)
    if hard is None or all(v.name != w.name for w in hard.numbering.variables):
        return [], frozenset()
    kept: list[Invariant] = []
    said: dict[int, bool] = {id(g): False for g in hard.missed}
    for r in hard.relations:
        of_instances = (
            list(of_relation(r, hard, v)) if isinstance(r, LinearConstraint | AllDifferent) else [None]
        )
        kept += [i for i in of_instances if i is not None]
        says_all = all(i is not None and i.weights is not None for i in of_instances)
        said[id(r.group)] = said.get(id(r.group), True) and says_all
        if len(kept) > MOST_INVARIANTS:
            return [], frozenset()
    listed = {tuple(np.sort(i.sites)) for i in kept if i.weights is not None and i.codes is not None}
    kept += [i for i in cliques(graph, v) if tuple(np.sort(i.sites)) not in listed]
    return kept, frozenset(group for group, is_all in said.items() if is_all)


def of_relation(
    r: LinearConstraint | AllDifferent, hard: HardConstraints, v: Variable
) -> Iterator[Invariant | None]:
    """What each instance of a relation that reads free sites of a variable keeps of them; None where nothing."""
    here = hard.numbering.of(v)
    place = np.full(hard.numbering.sites, -1)
    free = np.flatnonzero(v.free.reshape(-1))
    place[here.start + free] = np.arange(len(free))
    listed = numbers_of_values(hard, v)
    for row in np.flatnonzero((place[r.scope] >= 0).any(axis=1)):
        scope = r.scope[row]
        places = np.flatnonzero(place[scope] >= 0)
        sites = place[scope[places]]
        if len(np.unique(scope)) < len(scope):
            yield None
        elif isinstance(r, LinearConstraint):
            weights = r.weights[0 if len(r.weights) == 1 else row]
            stays = r.low[row] == r.high[row] and np.array_equal(weights, np.round(weights))
            yield Invariant(sites, weights[places][:, listed].astype(np.int64), None) if stays else None
        else:
            codes = r.codes[0 if len(r.codes) == 1 else row]
            used = np.unique(codes[hard.domains[scope]])
            own = codes[places][:, listed]
            if len(used) == len(scope) <= MOST_CODES:
                # all are used, each once: which of them a set has is told by the sum of a bit for each
                bits = np.int64(1) << np.searchsorted(used, own).clip(0, len(used) - 1)
                yield Invariant(sites, np.where(np.isin(own, used), bits, 0), own)
            else:
                yield Invariant(sites, None, own) if r.is_plain else None


def numbers_of_values(hard: HardConstraints, v: Variable) -> np.ndarray:
    """Which values of those that relations number a variable still has."""
    values = next(w.support.values for w in hard.numbering.variables if w.name == v.name)
    return np.array([values.index(x) for x in v.support.values])


def cliques(graph: FactorGraph, v: Variable) -> list[Invariant]:
    """Sites of which all pairs must differ, as many as there are values: found greedily from each site."""
    apart, values = differing(graph, v), len(v.support.values)
    if apart is None or values > MOST_CODES or len(apart.frozen) > MOST_SITES:
        return []
    sites = len(apart.frozen)
    starts, ends = adjacency(sites, apart.edges)
    around = [set(ends[a:b].tolist()) for a, b in pairwise(starts)]
    largest: dict[tuple[int, ...], None] = {}
    for site in range(sites):
        clique, candidates = [site], set(around[site])
        while candidates and len(clique) < values:
            clique.append(min(candidates))
            candidates &= around[clique[-1]]
        if len(clique) == values:
            largest[tuple(sorted(clique))] = None
    free = np.append(v.free.reshape(-1), False)
    number = np.cumsum(free) - 1
    bits = np.int64(1) << np.arange(values)
    kept = []
    for members in largest:
        numbers = number[[m for m in members if free[m]]]
        if not len(numbers):
            continue
        shape = (len(numbers), values)
        kept.append(
            Invariant(numbers, np.broadcast_to(bits, shape), np.broadcast_to(np.arange(values), shape))
        )
    return kept


def orbits(size: int, values: int, kept: Sequence[tuple[np.ndarray, Invariant]]) -> Orbits:
    """Of a set of `size` sites; kept: for each invariant that meets it, the set's place of each of its sites, or -1."""
    joint = np.zeros((1, 0), dtype=np.int64)
    for place in range(size):
        joint = np.column_stack([np.repeat(joint, values, axis=0), np.tile(np.arange(values), len(joint))])
        for places, k in kept:
            if k.codes is None or place not in places:
                continue
            own = k.codes[np.flatnonzero(places == place)[0]]
            for other in np.flatnonzero((places >= 0) & (places < place)):
                joint = joint[own[joint[:, place]] != k.codes[other][joint[:, places[other]]]]
    key = np.zeros(len(joint), dtype=np.int64)
    for places, k in kept:
        if k.weights is None:
            continue
        sums = np.zeros(len(joint), dtype=np.int64)
        for i in np.flatnonzero(places >= 0):
            sums += k.weights[i][joint[:, places[i]]]
        # ranks of what is there, so that a product of two numbers stays small
        rank = np.unique(sums, return_inverse=True)[1]
        key = np.unique(key * (rank.max(initial=0) + 1) + rank, return_inverse=True)[1]
    number = joint @ values ** np.arange(size)
    count = np.append(np.bincount(key), 0)  # the last is of what is excluded
    orbit = np.full(values**size, len(count) - 1)
    orbit[number] = key
    return Orbits(orbit, np.cumsum(count) - count, count, number[np.argsort(key, kind="stable")])
