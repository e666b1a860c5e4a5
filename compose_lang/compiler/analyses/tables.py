"""Tables: the energies of a factor group for every joint value of the finite sites that an instance reads.

In: a factor group and the finite variables to list. Out: a `Table`, whose energy varies over the group's instances
and over one axis of candidate values for each site; it is a constant where the group reads nothing else, so that it
is computed at compile time, and an expression in what else it reads where it does.

What knows a program by its tables stands after: exact elimination, lattices, propagation, clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import once_each, scope
from compose_lang.compiler.ir.build import constant, node, slot, transform
from compose_lang.compiler.ir.node import Axis, Node, postorder

MOST_ENTRIES = 2**24
"""Of one table, unless another limit is given."""
MOST_NUMBERS = 2**26
"""Of what an expression computes on its way to a table's entries."""


@dataclass(frozen=True, eq=False)
class Sites:
    """The free sites of several finite variables, numbered through: those of a variable follow those before it."""

    variables: tuple[Variable, ...]

    def start(self, name: str) -> int:
        """The number of a variable's first free site."""
        before = 0
        for v in self.variables:
            if v.name == name:
                return before
            before += v.free_sites
        raise KeyError(name)

    @property
    def count(self) -> int:
        return sum(v.free_sites for v in self.variables)

    @property
    def sizes(self) -> np.ndarray:
        """How many values each site can take, (count,)."""
        return np.repeat(
            [len(v.type.domain.values) for v in self.variables], [v.free_sites for v in self.variables]
        ).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Table:
    """Energies of a group. `sites` (instances, arity) numbers what each instance reads as `Sites` does, -1 for nothing.

    energy varies over the group's axes and over `choices`, one for each column of `sites`, which count a site's
    values in their order; it does not vary over the choices of -1.
    """

    group: FactorGroup
    sites: np.ndarray
    choices: tuple[Axis, ...]
    energy: Node

    @property
    def is_known(self) -> bool:
        """Whether the energies are known at compile time."""
        return self.energy.is_const

    @property
    def values(self) -> np.ndarray:
        """The energies where they are known: (instances, *choices), or (1, *choices) where instances are alike."""
        assert self.energy.value is not None
        found: np.ndarray = self.arranged(np, self.energy.value[None])[0]
        return found

    def arranged(self, xp: Any, array: Any) -> Any:
        """The energy as it was evaluated, (chains, *axes), as (chains, instances or 1, *choices)."""
        axes = self.energy.axes
        mine = [a for a in self.group.axes if a in axes]
        listed = [a for a in self.choices if a in axes]
        array = xp.permute_dims(array, (0, *(1 + axes.index(a) for a in (*mine, *listed))))
        chains = array.shape[0]
        shape = [a.size if a in axes else 1 for a in (*self.group.axes, *self.choices)]
        array = array.reshape((chains, *shape))
        instances = [a.size if mine else 1 for a in self.group.axes]
        sizes = [a.size for a in self.choices]
        array = xp.broadcast_to(array, (chains, *instances, *sizes))
        return array.reshape((chains, math.prod(instances), *sizes))


def tabulate(group: FactorGroup, sites: Sites, most: int = MOST_ENTRIES, given: bool = False) -> Table | None:
    """The table of a group over the variables of `sites` that it reads.

    given: whether what is not free of these variables is as their leaves say, and not observed. None where an
    instance reads too many sites to list, the table has more than `most` entries, or what is computed on the way to
    them has too many.
    """
    read = [v for v in sites.variables if v.name in group.variables]
    columns: list[tuple[Variable, np.ndarray]] = []
    entries = float(max(group.instances, 1))
    for v in read:
        found = scope(group, v)
        if found is None:
            return None
        # of some of a variable's sites, an instance reads few at a time, but in any of its places
        found = once_each(found) if given else each_site_once(found)
        columns += [(v, found[:, k]) for k in range(found.shape[1])]
        entries *= float(len(v.type.domain.values)) ** found.shape[1]
        if entries > most:
            return None
    widest = max((math.prod(n.shape) for n in postorder([group.energy]) if n.args), default=1)
    if entries * widest > max(most, MOST_NUMBERS):
        return None
    choices = tuple(Axis(len(v.type.domain.values), f"choice {k}") for k, (v, _) in enumerate(columns))
    shape = [a.size for a in group.axes]
    places, known = [], {}
    for v, column in columns:
        place = slot("site", (), group.axes, "int")
        full = np.append(np.flatnonzero(v.free.reshape(-1)), -1)[column]
        known[id(place)] = constant(full.reshape(shape), group.axes, dtype="int")
        places.append(place)
    replaced = {
        id(v.node): with_choices(
            v.node if given else held(v),
            v,
            [(p, c) for (w, _), p, c in zip(columns, places, choices, strict=True) if w is v],
        )
        for v in read
    }
    # in two steps: an index of the group has to reach the numbers of a variable's sites before they are compared
    (energy,) = transform([group.energy], lambda n: replaced.get(id(n)))
    (energy,) = transform([energy], lambda n: known.get(id(n)))
    numbers = [np.where(x >= 0, x + sites.start(v.name), -1) for v, x in columns]
    table = np.stack(numbers, axis=1) if numbers else np.zeros((group.instances, 0), dtype=np.int64)
    return Table(group, table, choices, energy)


def each_site_once(read: np.ndarray) -> np.ndarray:
    """Columns of free sites (instances, k) in which no instance names a site twice; equal columns become one."""
    kept: list[np.ndarray] = []
    for k in range(read.shape[1]):
        column = read[:, k]
        if (column >= 0).any() and not any(np.array_equal(column, other) for other in kept):
            kept.append(column)
    if not kept:
        return read[:, :0]
    found = np.stack(kept, axis=1)
    ordered = np.sort(found, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    return once_each(found) if again.any() else found


def held(v: Variable) -> Node:
    """A variable as it is observed; what is free may have any value, for an instance reads it as a choice."""
    values = value_array(v)
    return constant(
        np.where(v.free, values[0], v.observed).astype(values.dtype), dtype=v.node.dtype, domain=v.node.domain
    )


def value_array(v: Variable) -> np.ndarray:
    """A variable's values in their order."""
    return np.array(v.type.domain.values, dtype=bool if v.node.dtype == "bool" else np.int64)


def with_choices(found: Node, v: Variable, columns: Sequence[tuple[Node, Axis]]) -> Node:
    """A variable as an instance reads it: candidate values at some sites, elsewhere what is found.

    columns: for each a site's number among all of the variable's, and the axis of its values.
    """
    numbers = constant(np.arange(v.type.sites).reshape(v.type.shape), dtype="int")
    for site, choice in columns:
        candidate = constant(value_array(v), (choice,), dtype=v.node.dtype, domain=v.node.domain)
        found = node("where", node("eq", numbers, site), candidate, found)
    return found
