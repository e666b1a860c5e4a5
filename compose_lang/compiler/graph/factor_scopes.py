"""Which sites of a variable each instance of a factor group reads.

The index arrays of a group are constants, so this is read off the energy expression by folding it with the
variable replaced by its own site numbers; what is read through an index that is itself random counts as reading
every site.
"""

from __future__ import annotations

import math

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup, Variable
from compose_lang.compiler.ir.build import constant, transform
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.operation import op_of

MOST_READS = 5 * 10**7


def scope(group: FactorGroup, variable: Variable) -> np.ndarray | None:
    """Sites (instances, k) that each instance reads, -1 for observed ones; None where each reads too many to list.

    Sites count the free ones, in order.
    """
    read = numbers_read(group, variable, variable.site_numbers)
    if read is None:
        return None
    return free_numbers(variable.free)[once_each(read) if variable.type.domain.event_shape else read]


def places_scope(group: FactorGroup, variable: Variable) -> np.ndarray | None:
    """As `scope`, for the numbers inside the sites of a vector type: that at k of free site s counts as s n + k."""
    full = variable.type.full_shape
    read = numbers_read(group, variable, np.arange(math.prod(full)).reshape(full))
    event = variable.type.domain.event_shape
    free = np.broadcast_to(variable.free.reshape((*variable.free.shape, *(1,) * len(event))), full)
    return None if read is None else free_numbers(free)[read]


def free_numbers(free: np.ndarray) -> np.ndarray:
    """For each element of a mask its number among the free ones, -1 for the others and for the last place."""
    flat = free.reshape(-1)
    return np.append(np.where(flat, np.cumsum(flat) - 1, -1), -1)


def once_each(read: np.ndarray) -> np.ndarray:
    """Rows (instances, k) with what is repeated in one made -1, and columns that hold nothing else left out."""
    ordered = np.sort(read, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1
    ordered = np.sort(ordered, axis=1)
    return ordered[:, (ordered >= 0).any(axis=0)]


def numbers_read(group: FactorGroup, variable: Variable, numbers: np.ndarray) -> np.ndarray | None:
    """What each instance reads of a variable whose elements hold these numbers: (instances, k)."""
    scopes = [flatten(ids, group.axes) for ids in selections(group.energy, variable, numbers)]
    if any(f is None for f in scopes):
        return None
    return np.concatenate([f for f in scopes if f is not None], axis=1)


def selections(energy: Node, variable: Variable, numbers: np.ndarray) -> list[Node]:
    """The numbers of every place the variable is read at, as constants over the group's axes."""
    return [ids for _, ids in read_nodes(energy, variable, numbers)]


def read_nodes(energy: Node, variable: Variable, numbers: np.ndarray) -> list[tuple[Node, Node]]:
    """Every node that an energy reads the variable by, and the numbers of the places it selects."""
    leaf = variable.node
    order = postorder([energy])
    structural: set[int] = {id(leaf)}
    for n in order:
        picks = op_of(n).selects and not op_of(n).joins
        if picks and id(n.args[0]) in structural and all(a.is_const for a in n.args[1:]):
            structural.add(id(n))
    read: dict[int, Node] = {}
    for n in order:
        if id(n) in structural:
            continue
        for a in n.args:
            if id(a) in structural:
                read[id(a)] = a
    if id(energy) in structural:
        read[id(energy)] = energy
    sites = constant(numbers, dtype="int")
    numbers_at = transform(list(read.values()), lambda n: sites if n is leaf else None)
    return list(zip(read.values(), numbers_at, strict=True))


def flatten(ids: Node, axes: tuple[Axis, ...]) -> np.ndarray | None:
    """Site numbers as (instances, k): the group's axes are instances, all others what one of them reads."""
    assert ids.value is not None
    instances = math.prod(a.size for a in axes)
    inner = [k for k, a in enumerate(ids.axes) if a not in axes]
    events = range(len(ids.axes), ids.value.ndim)
    present = [ids.axes.index(a) for a in axes if a in ids.axes]
    value = np.transpose(ids.value, (*present, *inner, *events))
    k = math.prod(value.shape[len(present) :])
    if instances * k > MOST_READS:
        return None
    full = [a.size if a in ids.axes else 1 for a in axes]
    value = value.reshape((*full, k))
    return np.broadcast_to(value, (*(a.size for a in axes), k)).reshape(instances, k)
