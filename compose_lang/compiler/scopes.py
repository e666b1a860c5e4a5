"""Which sites of a variable each instance of a factor group reads.

The index arrays of a group are constants, so this is read off the energy expression by folding it with the
variable replaced by its own site numbers; what is read through an index that is itself random counts as reading
every site.
"""

from __future__ import annotations

import math

import numpy as np

from compose_lang.compiler.graph import FactorGroup, Variable
from compose_lang.compiler.ir import Axis, Node, constant, postorder, transform

STRUCTURAL = frozenset({"gather", "slice", "reshape", "transpose", "broadcast", "collect"})
MOST_READS = 5 * 10**7


def scope(group: FactorGroup, variable: Variable) -> np.ndarray | None:
    """Sites (instances, k) that each instance reads, -1 for observed ones; None where each reads too many to list.

    Sites count the free ones, in order.
    """
    found = [flatten(ids, group.axes) for ids in selections(group.energy, variable)]
    if any(f is None for f in found):
        return None
    sites = np.concatenate([f for f in found if f is not None], axis=1)
    free = np.where(variable.free.reshape(-1), np.cumsum(variable.free.reshape(-1)) - 1, -1)
    return free[sites]


def selections(energy: Node, variable: Variable) -> list[Node]:
    """The site numbers of every place the variable is read at, as constants over the group's axes."""
    leaf = variable.node
    order = postorder([energy])
    structural: set[int] = {id(leaf)}
    for n in order:
        if n.op in STRUCTURAL and id(n.args[0]) in structural and all(a.is_const for a in n.args[1:]):
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
    event = variable.type.domain.event_shape
    numbers = np.arange(variable.type.sites).reshape(variable.type.shape + (1,) * len(event))
    sites = constant(np.broadcast_to(numbers, variable.type.full_shape), dtype="int")
    return transform(list(read.values()), lambda n: sites if n is leaf else None)


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
