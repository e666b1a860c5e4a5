"""Local energies of small sets of sites: what joint values of a set do, from the factors that read it and no others.

In: a variable of a graph and its `Subsets`. Out: `LocalSubsets`: each factor group restricted to the instances around
one set, with the set's sites replaced by candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.local import at_instances, instances_of, limit, without
from compose_lang.compiler.constraints.site_sets import Subsets
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import once_each, scope
from compose_lang.compiler.ir.build import constant, node, slot, transform
from compose_lang.compiler.ir.node import Axis, Node


@dataclass(frozen=True, eq=False)
class SubsetGroup:
    """One group around a set: its energy over the axes `touch` (an instance) and `choice` (joint values).

    It reads the slots `instance` (touch), and for each of the set's places the full number of its site, `sites`, -1 for
    none, and its candidates `values` (choice). instances (sets, degree): those that read a set, -1 for none.
    """

    energy: Node
    touch: Axis
    choice: Axis
    instance: Node
    sites: tuple[Node, ...]
    values: tuple[Node, ...]
    instances: np.ndarray


@dataclass(frozen=True, eq=False)
class LocalSubsets:
    """All groups around sets of sites, less those that hold whatever a set becomes."""

    subsets: Subsets
    full_sites: np.ndarray  #: (sites + 1,): a free site's number among all; the padding's is -1
    groups: tuple[SubsetGroup, ...]

    @property
    def variable(self) -> Variable:
        return self.subsets.variable

    @property
    def energies(self) -> list[Node]:
        return [g.energy for g in self.groups]

    @property
    def tables(self) -> dict[str, Any]:
        """The arrays of integers that a backend holds."""
        orbits = self.subsets.orbits
        return {
            "sets": self.subsets.sets,
            "form": self.subsets.form,
            "orbit": orbits.orbit,
            "first": orbits.first,
            "count": orbits.count,
            "order": orbits.order,
            "full": self.full_sites,
            "instances": [g.instances for g in self.groups],
        }


def local_subsets(graph: FactorGraph, found: Subsets) -> LocalSubsets:
    """The local energies of a variable's sets of sites."""
    v = found.variable
    touching = [g for g in graph.groups if v.name in g.variables and id(g) not in found.kept]
    groups = tuple(restrict(g, v, without(scope(g, v), ~v.fixed), found) for g in touching)
    full = np.append(np.flatnonzero(v.free.reshape(-1)), -1)
    return LocalSubsets(found, full, groups)


def restrict(group: FactorGroup, v: Variable, sites: np.ndarray | None, found: Subsets) -> SubsetGroup:
    """One group around each of the sets."""
    if sites is None:
        limit(len(found.sets) * group.instances, group)
        instances = np.broadcast_to(np.arange(group.instances), (len(found.sets), group.instances)).copy()
    else:
        of_site = instances_of(group, sites, v.free_sites)
        limit(found.sets.size * of_site.shape[1], group)
        instances = once_each(of_site[found.sets].reshape(len(found.sets), -1))
    touch, choice = Axis(instances.shape[1], "touch"), Axis(found.candidates, "candidate")
    instance = slot("instance", (), (touch,), "int")
    places = tuple(slot("site", (), (), "int") for _ in range(found.size))
    values = tuple(slot("value", (), (choice,), v.node.dtype) for _ in range(found.size))
    numbers = constant(np.arange(v.type.sites).reshape(v.type.shape), dtype="int")
    replaced = v.node
    for place, value in zip(places, values, strict=True):
        replaced = node("where", node("eq", numbers, place), value, replaced)
    (energy,) = transform([group.energy], lambda n: replaced if n is v.node else None)
    return SubsetGroup(
        at_instances(energy, group, instance), touch, choice, instance, places, values, instances
    )
