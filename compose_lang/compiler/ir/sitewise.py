"""Expressions that see each site by itself: an array of which every element reads one site, and sums of such.

In: a node, and for each node that reads variables at known places (a *read*) the numbers of the sites it reads. Out:
which site each element of an array hangs on, and whether a number is a sum of functions of single sites.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import op_of

Reads = Mapping[int, Node]
"""Of each read, by its id, the numbers of the sites: a constant of its axes and shape."""


def site_of_each(x: Node, reads: Reads) -> Node | None:
    """The number of the one site that each element of x reads, -1 of constants; None where one reads several."""
    if id(x) in reads:
        return reads[id(x)]
    if x.value is not None:
        return constant(np.full(x.value.shape, -1), x.axes)
    rule = op_of(x)
    if not (rule.selects or rule.elementwise):
        return None
    if x.op == "gather" and not all(i.is_const for i in x.args[1:]):
        return None
    if rule.selects:
        moved = x.args if rule.joins else x.args[:1]
        inner = [site_of_each(a, reads) for a in moved]
        if any(a is None for a in inner):
            return None
        return node(x.op, *(a for a in inner if a is not None), *x.args[len(moved) :], attrs=x.attrs)
    sites: Node | None = None
    for a in x.args:
        own = site_of_each(a, reads)
        if own is None:
            return None
        if sites is not None:
            clash = node("and", node("ne", sites, own), node("and", at_least_0(sites), at_least_0(own)))
            if clash.value is None or clash.value.any():
                return None
            own = node("maximum", sites, own)
        sites = own
    return sites


def at_least_0(x: Node) -> Node:
    return node("ge", x, constant(0))


def is_separable(x: Node, reads: Reads) -> bool:
    """Whether x is a constant and functions of single sites, added."""
    if x.is_const or site_of_each(x, reads) is not None:
        return True
    rule = op_of(x)
    if rule.linear is None or not rule.linear(x, [not a.is_const for a in x.args]):
        return False
    return all(is_separable(a, reads) for a in x.args)
