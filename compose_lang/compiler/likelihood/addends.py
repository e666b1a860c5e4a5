"""A factor's energy taken apart into its addends, each of which reads few sites.

In: a factor group and the variables that matter. Out: groups whose energies add up to its own. `-h * sum(s)` reads all
of s at once, and is a term for each element; `-s @ W @ s` is one for each pair. What is not linear stays as it is.

Before: a factor graph. After: elimination, which is as dear as the most that one instance reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.build import along, cast_to, constant, gather, node, reindex
from compose_lang.compiler.ir.node import Axis, Node

MOST_INSTANCES = 2**22
"""Of an addend: a product of sums that would have more stays as it is."""

Addend = tuple[Node, tuple[Axis, ...]]
"""An energy, and the axes it is summed over."""


def addends(group: FactorGroup, names: frozenset[str]) -> list[FactorGroup]:
    """A group as groups of its addends, as far as these read some of the variables."""
    terms = list(terms_of(group.energy, group.axes, names))
    if len(terms) == 1 and terms[0][0] is group.energy:
        return [group]
    return [replace(group, energy=energy, axes=axes, violation=None) for energy, axes in terms]


def terms_of(x: Node, axes: tuple[Axis, ...], names: frozenset[str]) -> Iterator[Addend]:
    """What adds up to a number x, itself summed over axes."""
    parts = None if not x.variables & names else opened(x, axes, names)
    if parts is None or any(math.prod(a.size for a in over) > MOST_INSTANCES for _, over in parts):
        yield x, axes
        return
    for part, over in parts:
        yield from terms_of(part, over, names)


def opened(x: Node, axes: tuple[Axis, ...], names: frozenset[str]) -> list[Addend] | None:
    """The addends that x says it has, in one step; None where it is no sum."""
    match x.op:
        case "add":
            return [(a, axes) for a in x.args]
        case "sub":
            return [(x.args[0], axes), (node("neg", x.args[1]), axes)]
        case "neg" | "cast" if x.dtype != "bool":
            inner = opened(x.args[0], axes, names)
            return None if inner is None else [(negated(x, part), over) for part, over in inner]
        case "div" if not x.args[1].variables & names:
            inner = opened(x.args[0], axes, names)
            return None if inner is None else [(node("div", part, x.args[1]), over) for part, over in inner]
        case "mul":
            return opened_product(x, axes, names)
        case "sum" | "mean" if x.shape == ():
            size = x.args[0].shape[0]
            i = Axis(size, "addend")
            part = gather(x.args[0], [along(i)])
            return [(part if x.op == "sum" else node("div", part, constant(size)), (*axes, i))]
        case "reduce_axis" if x.attrs[0] == "sum":
            i = Axis(x.attrs[1].size, "addend")
            return [(reindex(x.args[0], {x.attrs[1]: along(i)}), (*axes, i))]
        case "matmul" if x.shape == ():
            left, right = x.args
            i = Axis(left.shape[0], "addend")
            return [(node("mul", gather(left, [along(i)]), gather(right, [along(i)])), (*axes, i))]
        case "gather" if x.shape == () and x.args[0].op == "matmul":
            return opened_element(x.args[0], x.args[1:], axes)
    return None


def negated(x: Node, part: Node) -> Node:
    return node("neg", part) if x.op == "neg" else cast_to(part, x.dtype)


def opened_product(x: Node, axes: tuple[Axis, ...], names: frozenset[str]) -> list[Addend] | None:
    """A product with a sum: of the first factor that is one, times the other."""
    for a, b in (x.args, x.args[::-1]):
        inner = opened(a, axes, names) if a.variables & names else None
        if inner is not None:
            return [(node("mul", part, b), over) for part, over in inner]
    return None


def opened_element(product: Node, at: Sequence[Node], axes: tuple[Axis, ...]) -> list[Addend] | None:
    """An element of a vector that is a matrix times a vector, or the other way round."""
    left, right = product.args
    if (len(left.shape), len(right.shape)) not in ((2, 1), (1, 2)):
        return None
    i = Axis(right.shape[0], "addend")
    a = gather(left, [*at, along(i)]) if len(left.shape) == 2 else gather(left, [along(i)])
    b = gather(right, [along(i), *at]) if len(right.shape) == 2 else gather(right, [along(i)])
    return [(node("mul", a, b), (*axes, i))]
