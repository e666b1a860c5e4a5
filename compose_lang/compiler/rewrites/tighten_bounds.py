"""Bounds that constraints put on single variables: `require x >= 0.5`, the support of `x ~ HalfNormal(1)`.

A sampler that meets them as walls rejects there; a variable that is declared with them moves freely inside. The
density is the same: a bound on a variable cuts without renormalising, as the constraint does.

In: a graph. Out: the same graph, where what is required of every site of a continuous variable is its domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import op_of


def tighten_bounds(graph: FactorGraph) -> FactorGraph:
    """The graph with bounds moved from its constraints to its variables' domains; the constraints stay."""
    bounds: dict[str, tuple[float, float]] = {}
    for group in graph.groups:
        for name, low, high in required(graph, group):
            known = bounds.get(name, (-np.inf, np.inf))
            bounds[name] = max(known[0], low), min(known[1], high)
    return replace(
        graph, variables=tuple(tightened(v, *bounds.get(v.name, (-np.inf, np.inf))) for v in graph.variables)
    )


def tightened(v: Variable, low: float, high: float) -> Variable:
    domain = v.type.domain
    low, high = max(low, domain.lower), min(high, domain.upper)
    if (low, high) == (domain.lower, domain.upper) or low >= high:
        return v  # where no room is left, the search for a start says so
    return replace(v, tightened=replace(domain, lower=low, upper=high))


def required(graph: FactorGraph, group: FactorGroup) -> Iterator[tuple[str, float, float]]:
    """Variables whose every site a group bounds by numbers: (name, lower, upper)."""
    energy = group.energy
    if energy.op != "where" or not energy.args[2].is_static_scalar or energy.args[2].item() != np.inf:
        return
    for condition in conjuncts(energy.args[0]):
        comparison = op_of(condition).comparison
        if comparison is None or comparison.lower == comparison.upper:
            continue
        left, right = condition.args
        is_lower = comparison.lower
        if left.is_static_scalar:
            left, right, is_lower = right, left, not is_lower
        if not right.is_static_scalar or len(left.variables) != 1:
            continue
        v = graph.variable(next(iter(left.variables)))
        if v.type.domain.kind != "real" or v.lower is not None or v.upper is not None:
            continue
        bare, number, is_lower = unwrapped(left, float(right.item()), is_lower)
        if reads_every_site(bare, v, group):
            yield (v.name, number, np.inf) if is_lower else (v.name, -np.inf, number)


FAR = 2.0**60  #: where a straight function's slope is read off, which no addend of it shows in


def unwrapped(x: Node, number: float, is_lower: bool) -> tuple[Node, float, bool]:
    """The same bound of what an expression is a straight function of: 2 * x + 1 >= 0 is x >= -0.5."""
    while True:
        rule, moving = op_of(x), [not a.is_static_scalar for a in x.args]
        if not rule.elementwise or rule.linear is None or not rule.linear(x, moving) or sum(moving) != 1:
            return x, number, is_lower
        values = []
        for t in (0.0, FAR):
            args = (constant(t) if moves else a for a, moves in zip(x.args, moving, strict=True))
            values.append(float(node(x.op, *args, attrs=x.attrs).item()))
        at_0, at_far = values
        slope = (at_far - at_0) / FAR
        if slope == 0.0 or not np.isfinite(slope):
            return x, number, is_lower
        x, number, is_lower = x.args[moving.index(True)], (number - at_0) / slope, is_lower == (slope > 0.0)


def is_bound(graph: FactorGraph, group: FactorGroup) -> bool:
    """Whether a constraint only bounds whole variables by numbers, which their domains have taken over."""
    return bool(group.energy.op == "where") and len(list(required(graph, group))) == len(
        list(conjuncts(group.energy.args[0]))
    )


def conjuncts(condition: Node) -> Iterator[Node]:
    is_every = condition.op == "all" or (condition.op == "reduce_axis" and condition.attrs[0] == "all")
    if condition.op == "and" or is_every:
        for part in condition.args:
            yield from conjuncts(part)
    else:
        yield condition


def reads_every_site(x: Node, v: Variable, group: FactorGroup) -> bool:
    """Whether an expression is elements of the variable itself, and those of all instances are all its sites."""
    plain = x is v.node or (x.op == "gather" and x.args[0] is v.node and all(i.is_const for i in x.args[1:]))
    if not plain:
        return False
    sites = scope(replace(group, energy=x), v)
    if sites is None:
        return False
    free = sites[sites >= 0]
    return len(np.unique(free)) == v.free_sites
