"""Small sets of a finite variable's sites that are drawn jointly: which sets, and among which joint values.

In: a variable of a graph and the most sites of a set. Out: `Subsets`, or why there are none. A set grows along factors:
where it holds a single site of a sum that must stay, it cannot move, and takes another site of that sum; the sets with
no such site are kept. So a 2 by 2 minor of a table comes of its fixed margins, and two sites of one sum.
All there are are found where they are few, otherwise some, chosen at random once and for all: the choice does not
depend on the state, and each set is drawn from its exact conditional (blocking Gibbs: Jensen, Kjærulff and Kong,
Blocking Gibbs sampling in very large probabilistic expert systems, 1995).

Before: `invariants`. After: `planning` and the views.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from compose_lang.compiler.analyses.colouring import LARGEST_CLIQUE
from compose_lang.compiler.constraints.invariants import Invariant, Orbits, invariants, orbits
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, once
from compose_lang.compiler.graph.factor_scopes import scope

LARGEST = 8  #: sites of a set
MOST_SITES = 5000  #: of a variable, which are looked at one by one
MOST_GROWN = 8000  #: sets that grow at a time
MOST_ADDED = 200_000  #: sites that are tried beside all sets that grow
MOST_SETS = 4000  #: that are kept
MOST_JOINT = 2**20  #: joint values of a set that are numbered
MOST_NUMBERED = 2**23  #: joint values of sets that constraints meet in different ways, over all such ways
MOST_CANDIDATES, MOST_UNASKED = 2**14, 1024  #: joint values that are weighed at once

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Subsets:
    """Sets of free sites (n, k), padded with the number of sites, and what each may become.

    form (n,): where in `orbits.orbit`, which is that of several `Orbits` one after another, a set's begins. kept: the
    ids of groups that hold in all of an orbit.
    """

    variable: Variable
    sets: np.ndarray
    form: np.ndarray
    orbits: Orbits
    kept: frozenset[int]

    @property
    def size(self) -> int:
        return int(self.sets.shape[1])

    @property
    def candidates(self) -> int:
        """The most joint values that a set is drawn from."""
        return int(self.orbits.count.max())

    @property
    def description(self) -> str:
        """What is drawn, in words."""
        sets = f"{len(self.sets):,} sets of" if len(self.sets) > 1 else "one set of"
        found = (
            f"{sets} up to {self.size} sites, each drawn jointly among up to {self.candidates:,} joint values"
        )
        moving = np.flatnonzero(~self.variable.fixed)
        left = len(moving) - int(np.isin(moving, self.sets).sum())
        return f"{found}; {left:,} sites are in none" if left else found


@once
def subsets(graph: FactorGraph, v: Variable, size: int) -> Subsets | str:
    """Sets of up to `size` sites of a variable; or why there are none."""
    values = len(v.support.values)
    if v.free_sites > MOST_SITES:
        return f"its {v.free_sites:,} sites are too many to look for sets of them"
    if values**size > MOST_JOINT:
        return f"{size} sites of {values} values each have more joint values than can be listed"
    kept, holding = invariants(graph, v)
    sites = v.free_sites
    moving = np.append(~v.fixed, False)
    touching = [g for g in graph.groups if v.name in g.variables]
    closed = grow(sites, moving, kept, touching, v, size)
    grown = chosen(maximal(closed), closed[0])
    if not grown:
        return f"none of up to {size} sites can change while all others are held"
    of_site = meetings(kept, sites)
    forms: dict[tuple[object, ...], list[tuple[int, ...]]] = {}
    for members in grown:
        forms.setdefault(form_of(members, kept, of_site), []).append(members)
    made: list[tuple[Orbits, list[tuple[int, ...]]]] = []
    numbered = 0
    for alike in sorted(forms.values(), key=len, reverse=True):
        numbered += values ** len(alike[0])
        if numbered > MOST_NUMBERED and made:
            break
        found = orbits(len(alike[0]), values, placed(alike[0], kept, of_site))
        if 1 < found.count.max() <= MOST_CANDIDATES:
            made.append((found, alike))
    if not made:
        return f"none of up to {size} sites can change to more than one and up to {MOST_CANDIDATES:,} joint values"
    return joined(v, made, holding)


def sizes(graph: FactorGraph, v: Variable) -> Iterator[tuple[int, Subsets]]:
    """Sets of more and more sites, as long as they are cheap to draw, and others than before."""
    before = np.zeros((0, 0))
    for size in range(1, LARGEST + 1):
        found = subsets(graph, v, size)
        if isinstance(found, str) or found.candidates > MOST_UNASKED or np.array_equal(found.sets, before):
            continue
        before = found.sets
        yield size, found


def size_of(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> int:
    """How many sites a set has at most, where that is asked for, and otherwise: as many as are cheap to draw."""
    if "size" in options:
        return int(options["size"])
    return max((size for size, _ in sizes(graph, v)), default=1)


def joined(
    v: Variable, made: Sequence[tuple[Orbits, list[tuple[int, ...]]]], holding: frozenset[int]
) -> Subsets:
    """All sets in one, their orbits one after another."""
    widest = max(len(alike[0]) for _, alike in made)
    sets, form = [], []
    orbit, first, count, order = [], [], [], []
    start = orbits_before = listed = 0
    for found, alike in made:
        sets += [(*members, *(v.free_sites,) * (widest - len(members))) for members in alike]
        form += [start] * len(alike)
        orbit.append(found.orbit + orbits_before)
        first.append(found.first + listed)
        count.append(found.count)
        order.append(found.order)
        start += len(found.orbit)
        orbits_before += len(found.count)
        listed += len(found.order)
    return Subsets(
        v,
        np.array(sets, dtype=np.int64),
        np.array(form, dtype=np.int64),
        Orbits(*(np.concatenate(x) for x in (orbit, first, count, order))),
        holding,
    )


def grow(
    sites: int,
    moving: np.ndarray,
    kept: Sequence[Invariant],
    touching: Sequence[FactorGroup],
    v: Variable,
    size: int,
) -> list[set[tuple[int, ...]]]:
    """By their size from 1 on, sets of sites that hang together and none of which an invariant holds by itself."""
    closing: list[dict[int, tuple[int, ...]]] = [{} for _ in range(sites)]  # invariants that hold a site
    for number, invariant in enumerate(kept):
        members = tuple(int(s) for s in invariant.sites if moving[s])
        for s, holds in zip(invariant.sites, invariant.holds, strict=True):
            if holds:
                closing[s][number] = members
    belongs: list[set[int]] = [set() for _ in range(sites)]
    for number, invariant in enumerate(kept):
        if invariant.weights is not None:
            for s in invariant.sites:
                belongs[s].add(number)
    met = [frozenset(b) for b in belongs]
    around = neighbours(sites, moving, touching, v)
    whole = tuple(int(s) for s in np.flatnonzero(moving[:sites]))
    rng = np.random.default_rng(0)
    sets: list[tuple[int, ...]] = [(s,) for s in whole]
    closed: list[set[tuple[int, ...]]] = []
    for number in range(1, size + 1):
        here: set[tuple[int, ...]] = set()
        further: list[tuple[tuple[int, ...], int]] = []
        for members in sets:
            lacking = opened(members, closing, met)
            if lacking:
                # what is added last has to close all that is open, before that any order leads to the same sets
                next_to = set(lacking[0]).intersection(*(lacking if number == size - 1 else ()))
            else:
                here.add(members)
                next_to = {t for s in members for t in (whole if around is None else around[s])}
            if number < size:
                added = sampled(sorted(next_to.difference(members)), max(1, MOST_ADDED // len(sets)), rng)
                further += [(members, t) for t in added]
        closed.append(here)
        sets = sampled(sorted({tuple(sorted((*members, t))) for members, t in further}), MOST_GROWN, rng)
    return closed


def opened(
    members: tuple[int, ...], closing: Sequence[dict[int, tuple[int, ...]]], met: Sequence[frozenset[int]]
) -> list[tuple[int, ...]]:
    """Of each invariant that holds one site of a set by itself its sites."""
    found = []
    for s in members:
        for number, others in closing[s].items():
            if not any(number in met[t] for t in members if t != s):
                found.append(others)
    return found


def neighbours(
    sites: int, moving: np.ndarray, touching: Iterable[FactorGroup], v: Variable
) -> list[set[int]] | None:
    """The sites that each shares a factor with; None where one factor reads too many to tell."""
    around: list[set[int]] = [set() for _ in range(sites)]
    for group in touching:
        read = scope(group, v)
        if read is None or read.shape[1] > LARGEST_CLIQUE:
            return None
        for row in np.unique(read, axis=0):
            members = [int(s) for s in row if s >= 0 and moving[s]]
            for s in members:
                around[s].update(members)
    return around


def maximal(closed: Sequence[set[tuple[int, ...]]]) -> list[tuple[int, ...]]:
    """The sets that are in no larger one, the largest first."""
    covered: set[tuple[int, ...]] = set()
    found = []
    for sets in reversed(closed):
        for members in sorted(sets):
            if members not in covered:
                found.append(members)
                for k in range(1, len(members)):
                    covered.update(combinations(members, k))
    return found


def chosen(sets: Sequence[tuple[int, ...]], single: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All sets; or of too many some, and another for each site in none of these, if only the site by itself."""
    found = sampled(sets, MOST_SETS, np.random.default_rng(0))
    if len(found) < len(sets):
        missing = {s for members in sets for s in members}.difference(*found)
        for members in sets:
            if not missing.isdisjoint(members):
                found.append(members)
                missing.difference_update(members)
    within = {s for members in found for s in members}
    return [*found, *(members for members in sorted(single) if members[0] not in within)]


def sampled(items: Sequence[Item], most: int, rng: np.random.Generator) -> list[Item]:
    """All items where they are at most so many, otherwise some of them, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in sorted(rng.choice(len(items), most, replace=False).tolist())]


def meetings(kept: Sequence[Invariant], sites: int) -> list[list[int]]:
    """The invariants that each site is in."""
    found: list[list[int]] = [[] for _ in range(sites)]
    for number, invariant in enumerate(kept):
        for s in invariant.sites:
            found[s].append(number)
    return found


def placed(
    members: tuple[int, ...], kept: Sequence[Invariant], of_site: Sequence[Sequence[int]]
) -> list[tuple[np.ndarray, Invariant]]:
    """The invariants that meet a set, each with the set's place of each of its sites, or -1."""
    place = {s: p for p, s in enumerate(members)}
    met = sorted({number for s in members for number in of_site[s]})
    return [(np.array([place.get(int(s), -1) for s in kept[n].sites]), kept[n]) for n in met]


def form_of(
    members: tuple[int, ...], kept: Sequence[Invariant], of_site: Sequence[Sequence[int]]
) -> tuple[object, ...]:
    """What is the same of two sets just if they move among the same joint values."""
    met = set()
    for places, invariant in placed(members, kept, of_site):
        mine = np.flatnonzero(places >= 0)
        mine = mine[np.argsort(places[mine])]
        parts = [None if x is None else x[mine].tobytes() for x in (invariant.weights, invariant.codes)]
        met.add((tuple(places[mine].tolist()), *parts))
    return (len(members), frozenset(met))
