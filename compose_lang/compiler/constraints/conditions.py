"""What the groups of a factor graph require: their conditions, each over the axes that it is repeated over.

In: a `FactorGroup` whose energy may be infinite. Out: `Condition`s, of which all must hold.

Before: a factor graph. After: `relations`, which reads off each condition what it says of sites of finite variables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.graph.factor_scopes import flatten
from compose_lang.compiler.ir.build import along, gather, node
from compose_lang.compiler.ir.node import Axis, Node, postorder


@dataclass(frozen=True, eq=False)
class Condition:
    """One condition of a group over its instances: a truth value, or an energy that is infinite where it fails."""

    group: FactorGroup
    test: Node
    axes: tuple[Axis, ...]
    holds: np.ndarray | None = None  #: (n,) the instances it is asked of; None: all

    @property
    def kept(self) -> np.ndarray:
        """The numbers of the instances it is asked of."""
        n = math.prod(a.size for a in self.axes)
        return np.arange(n) if self.holds is None else np.flatnonzero(self.holds)


def conditions(g: FactorGroup) -> Iterator[Condition]:
    """What a group asks: a requirement's conjuncts, each with the axes it is repeated over."""
    parsed = requirement(g.energy)
    if parsed is None:
        yield Condition(g, g.energy, g.axes)
        return
    mask, test = parsed
    if mask is not None and not mask.is_const:
        yield Condition(g, node("or", node("not", mask), test), g.axes)
        return
    for part, axes in conjuncts(test, g.axes):
        asked = None if mask is None else flatten(mask, axes)
        if mask is not None and asked is None:  # too many to list: left whole
            yield Condition(g, g.energy, g.axes)
            return
        yield Condition(g, part, axes, None if asked is None else asked[:, 0])


def requirement(energy: Node) -> tuple[Node | None, Node] | None:
    """(mask, test) of an energy that is infinite where the mask holds and the test fails, else 0."""
    if energy.op != "where":
        return None
    condition, holds, fails = energy.args
    if is_number(holds, 0.0) and is_number(fails, np.inf):
        return None, condition
    inner = requirement(holds) if is_number(fails, 0.0) else None
    if inner is None or inner[0] is not None:
        return None
    return condition, inner[1]


def is_number(x: Node, value: float) -> bool:
    return x.is_static_scalar and bool(x.item() == value)


def conjuncts(test: Node, axes: tuple[Axis, ...]) -> Iterator[tuple[Node, tuple[Axis, ...]]]:
    """The parts of a conjunction; what must hold of all along an axis is an instance each."""
    if test.op == "and":
        for part in test.args:
            yield from conjuncts(part, axes)
    elif test.op == "reduce_axis" and test.attrs[0] == "all":
        yield from conjuncts(test.args[0], (*axes, test.attrs[1]))
    elif test.op == "all" and compared(test) is None:
        (inner,) = test.args
        axis = Axis(inner.shape[-1])
        places = [along(Axis(n)) for n in inner.shape[:-1]]
        if places or not axis.size:  # an array of more axes than one is reduced step by step
            yield test, axes
            return
        yield from conjuncts(gather(inner, [along(axis)]), (*axes, axis))
    else:
        yield test, axes


def compared(test: Node) -> Node | None:
    """The vector whose elements a test of `all_different` compares."""
    if test.op != "all" or test.args[0].op != "ne":
        return None
    low, high = test.args[0].args
    same = low.op == high.op == "slice" and low.args[0] is high.args[0] and low.args[0].op == "sort"
    if not same or low.attrs[0][0] is None or high.attrs[0][0] is None:
        return None
    n = low.args[0].shape[0] if len(low.args[0].shape) == 1 else 0
    is_neighbours = low.attrs[0] == ((0, n - 1, 1),) and high.attrs[0] == ((1, n, 1),)
    return low.args[0].args[0] if is_neighbours else None


def may_forbid(g: FactorGroup) -> bool:
    """Whether an infinite number stands in a group's energy, or may come of the log of a 0 that stands in it."""
    order = postorder([g.energy])
    known = [n.value for n in order if n.value is not None and n.dtype == "real"]
    if any(np.isinf(x).any() for x in known):
        return True
    return any(n.op == "log" for n in order) and any((x == 0).any() for x in known if x.size > 1)
