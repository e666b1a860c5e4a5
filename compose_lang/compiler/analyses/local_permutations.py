"""Local energies of orderings: what exchanging two places does, from the factors that read either and no others.

In: a variable of type `permutation` of a graph. Out: `LocalPermutations`: classes of orderings that share no factor,
and each factor group restricted to some instances around the members of a class, with their orderings replaced by
candidates. Which instances those are stands in plain arrays: all that read an ordering, and where that saves much,
those that read each place of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.colouring import colour
from compose_lang.compiler.analyses.local import at_instances, instances_of, padded_classes
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import places_scope, scope
from compose_lang.compiler.ir.build import constant, node, slot, transform
from compose_lang.compiler.ir.node import Axis, Node

CANDIDATES = 2  #: an ordering as it is, and as it is proposed
COMPARISONS = 8  #: so many comparisons of two numbers cost about as much as one instance of a factor


@dataclass(frozen=True, eq=False)
class Around:
    """A group's energy over the axes `member` (of a class), `touch` (an instance) and `choice` (a candidate).

    It reads the slots `instance` (member, touch), `site` (member): the full number of the ordering, and `candidate`
    (member, choice), of shape (n,).
    """

    energy: Node
    member: Axis
    touch: Axis
    choice: Axis
    instance: Node
    site: Node
    candidate: Node


@dataclass(frozen=True, eq=False)
class LocalPermutationGroup:
    """One group. `of_site` (sites + 1, D) lists the instances that read an ordering, -1 for padding, the last row
    nothing but padding; `of_place` (sites + 1, n, d) those that read a place, for `pair`, which sees two of them."""

    whole: Around
    of_site: np.ndarray
    pair: Around | None = None
    of_place: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class LocalPermutations:
    """All groups around a variable. `classes` (classes, width) lists free sites, `sites` for padding."""

    variable: Variable
    classes: np.ndarray
    full_sites: np.ndarray  #: (sites + 1,): a free site's number among all; the padding's is 0
    groups: tuple[LocalPermutationGroup, ...]

    @property
    def energies(self) -> list[Node]:
        return [a.energy for g in self.groups for a in (g.whole, g.pair) if a is not None]

    @property
    def tables(self) -> dict[str, Any]:
        """The arrays of integers that a backend holds."""
        of_groups = [
            {"site": g.of_site} if g.of_place is None else {"site": g.of_site, "place": g.of_place}
            for g in self.groups
        ]
        return {"classes": self.classes, "full": self.full_sites, "groups": of_groups}


def local_permutations(graph: FactorGraph, variable: Variable) -> LocalPermutations:
    """The local energies of a variable of orderings."""
    touching = [g for g in graph.groups if variable.name in g.variables]
    scopes = [scope(g, variable) for g in touching]
    sites = variable.free_sites
    classes = padded_classes(colour(sites, scopes), sites)
    full = np.append(np.flatnonzero(variable.free.reshape(-1)), 0)
    groups = (restrict(g, variable, s, classes.shape[1]) for g, s in zip(touching, scopes, strict=True))
    return LocalPermutations(variable, classes, full, tuple(groups))


def restrict(
    group: FactorGroup, variable: Variable, sites: np.ndarray | None, width: int
) -> LocalPermutationGroup:
    """One group around the orderings of a class of up to `width` members."""
    count, n = variable.free_sites, variable.type.domain.size
    of_site = instances_of(group, sites, count)
    whole = around(group, variable, width, of_site.shape[1])
    places = places_scope(group, variable)
    if places is None:
        return LocalPermutationGroup(whole, of_site)
    of_place = instances_of(group, places, count * n)
    degree = of_place.shape[1]
    if 2 * degree + degree**2 // COMPARISONS >= of_site.shape[1]:
        return LocalPermutationGroup(whole, of_site)
    padding = np.full((1, n, degree), -1, dtype=np.int64)
    table = np.concatenate([of_place[:-1].reshape(count, n, degree), padding])
    return LocalPermutationGroup(whole, of_site, around(group, variable, width, 2 * degree), table)


def around(group: FactorGroup, variable: Variable, width: int, instances: int) -> Around:
    """The group's energy at a number of instances for each member, its ordering replaced by candidates."""
    member, touch, choice = Axis(width, "member"), Axis(instances, "touch"), Axis(CANDIDATES, "choice")
    instance = slot("instance", (), (member, touch), "int")
    site = slot("site", (), (member,), "int")
    leaf = variable.node
    candidate = slot("candidate", (variable.type.domain.size,), (member, choice), "int")
    replaced = candidate
    if variable.type.shape:
        numbers = constant(np.arange(variable.type.sites).reshape((*variable.type.shape, 1)), dtype="int")
        replaced = node("where", node("eq", numbers, site), candidate, leaf)
    (energy,) = transform([group.energy], lambda x: replaced if x is leaf else None)
    return Around(at_instances(energy, group, instance), member, touch, choice, instance, site, candidate)
