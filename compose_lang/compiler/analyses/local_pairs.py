"""Local energies of pairs: what drawing two sites of a set anew does, from the factors that read either and no others.

In: a variable of a graph with sets of its sites whose sums must stay. Out: `LocalPairs`: classes of sets that share no
site and no factor, and each factor group restricted to the instances around two sites of each set of a class, with
the two replaced by candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.colouring import colour
from compose_lang.compiler.analyses.local import (
    at_instances,
    instances_of,
    padded_classes,
    without,
)
from compose_lang.compiler.constraints.moves import ConservedSums
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import once_each, scope
from compose_lang.compiler.ir.build import constant, node, slot, transform
from compose_lang.compiler.ir.node import Axis, Node


@dataclass(frozen=True, eq=False)
class PairGroup:
    """One group around two sites of each set: its energy over the axes `touch` (an instance) and `choice`.

    It reads the slots `instance`, `first` and `second` (touch): the full numbers of the two sites, and the candidates
    `one` and `other` (touch, choice). `of_site` (sites + 1, degree) lists the instances that read a site, -1 for none.
    """

    energy: Node
    touch: Axis
    choice: Axis
    instance: Node
    first: Node
    second: Node
    one: Node
    other: Node
    of_site: np.ndarray
    is_whole: bool  #: whether every site is read by all instances


@dataclass(frozen=True, eq=False)
class LocalPairs:
    """All groups around pairs. `members` (classes, width, k) lists the sites of a class's sets, `sites` for none."""

    variable: Variable
    members: np.ndarray
    full_sites: np.ndarray  #: (sites + 1,): a free site's number among all; the padding's is 0
    is_even: bool  #: as in `ConservedSums`
    groups: tuple[PairGroup, ...]

    @property
    def candidates(self) -> int:
        """Joint values that are weighed."""
        values = len(self.variable.support.values)
        return values if self.is_even else values**2

    @property
    def energies(self) -> list[Node]:
        return [g.energy for g in self.groups]

    @property
    def tables(self) -> dict[str, Any]:
        return {"members": self.members, "full": self.full_sites, "groups": [g.of_site for g in self.groups]}


def local_pairs(graph: FactorGraph, found: ConservedSums) -> LocalPairs:
    """The local energies of pairs of a variable's sites."""
    v, sets = found.variable, found.sets
    sites = v.free_sites
    moving = ~v.fixed
    touching = [g for g in graph.groups if v.name in g.variables]
    scopes = [without(scope(g, v), moving) for g in touching]
    belongs = sets_of(sets, sites)
    shared = [
        belongs[:-1],
        *(None if s is None else once_each(belongs[s].reshape(len(s), -1)) for s in scopes),
    ]
    classes = padded_classes(colour(len(sets), shared), len(sets))
    padded = np.concatenate([np.where(sets < 0, sites, sets), np.full((1, sets.shape[1]), sites)])
    members = padded[classes]
    values = len(v.support.values)
    count = values if found.is_even else values**2
    full = np.append(np.flatnonzero(v.free.reshape(-1)), 0)
    groups = tuple(restrict(g, v, s, classes.shape[1], count) for g, s in zip(touching, scopes, strict=True))
    return LocalPairs(v, members, full, found.is_even, groups)


def sets_of(sets: np.ndarray, sites: int) -> np.ndarray:
    """The sets that each site is in, (sites + 1, m), padded with -1; the last row is padding."""
    number = np.broadcast_to(np.arange(len(sets))[:, None], sets.shape)[sets >= 0]
    site = sets[sets >= 0]
    order = np.argsort(site, kind="stable")
    site, number = site[order], number[order]
    counts = np.bincount(site, minlength=sites)
    table = np.full((sites + 1, max(1, int(counts.max(initial=0)))), -1, dtype=np.int64)
    table[site, np.arange(len(site)) - np.repeat(np.cumsum(counts) - counts, counts)] = number
    return table


def restrict(
    group: FactorGroup, variable: Variable, sites: np.ndarray | None, width: int, candidates: int
) -> PairGroup:
    """One group around two sites of each of `width` sets."""
    of_site = instances_of(group, sites, variable.free_sites)
    is_whole = sites is None
    touch = Axis(width * of_site.shape[1] * (1 if is_whole else 2), "touch")
    choice = Axis(candidates, "candidate")
    instance, first, second = (slot(name, (), (touch,), "int") for name in ("instance", "first", "second"))
    leaf = variable.node
    one, other = (slot(name, (), (touch, choice), leaf.dtype) for name in ("one", "other"))
    numbers = constant(np.arange(variable.type.sites).reshape(variable.type.shape), dtype="int")
    replaced = node("where", node("eq", numbers, second), other, leaf)
    replaced = node("where", node("eq", numbers, first), one, replaced)
    (energy,) = transform([group.energy], lambda n: replaced if n is leaf else None)
    energy = at_instances(energy, group, instance)
    return PairGroup(energy, touch, choice, instance, first, second, one, other, of_site, is_whole)
