"""What hard constraints say of continuous sites by straight inequalities: `A x <= limit` within the sites' bounds.

Which conditions are straight is read off the operations (`Op.linear`); their coefficients are what the two sides of the
comparison differ by at 0 and at each site's 1. What is not straight, what two bounds that move leave, and strictness
are left out: if nothing satisfies the rest, nothing satisfies all.

Before: `conditions`. After: the proof that nothing satisfies them, and kernels that move between linear walls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.constraints.conditions import Condition, conditions
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import Host, op_of

MOST_NUMBERS = 10**7
"""Coefficients of one condition, zeros among them, that are worth computing."""


@dataclass(frozen=True, eq=False)
class LinearRows:
    """The straight inequalities of a group: coefficients (rows, sites) and limit (rows,)."""

    group: FactorGroup
    coefficients: np.ndarray
    limit: np.ndarray


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """Straight inequalities, and the bounds (sites,) of the free sites of some real variables, one after another."""

    variables: tuple[Variable, ...]
    lower: np.ndarray
    upper: np.ndarray
    rows: tuple[LinearRows, ...]


def polyhedron(graph: FactorGraph) -> Polyhedron:
    """All that the hard constraints of a graph say of its real variables by straight inequalities."""
    variables = tuple(v for v in graph.variables if v.free_sites and v.type.domain.kind == "real")
    required = [g for g in graph.groups if g.kind == "require"]
    rows = [r for g in required for c in conditions(g) for r in rows_of(c, variables)]
    bounds = [
        np.repeat(np.array([[v.support.lower], [v.support.upper]], dtype=float), v.free_sites, axis=1)
        for v in variables
    ]
    lower, upper = np.concatenate(bounds, axis=1) if bounds else np.zeros((2, 0))
    return Polyhedron(variables, lower, upper, tuple(rows))


def rows_of(condition: Condition, variables: Sequence[Variable]) -> list[LinearRows]:
    """A condition's inequalities; none where it is not straight, or too large."""
    comparison = op_of(condition.test).comparison
    if comparison is None or comparison.lower == comparison.upper:
        return []
    low, high = condition.test.args[::-1] if comparison.lower else condition.test.args
    read = [v for v in variables if v.name in condition.test.variables]
    known = {v.node for v in read}
    if not read or not (is_straight(low, known) and is_straight(high, known)):
        return []
    excess = node("sub", low, high)
    size = int(np.prod([a.size for a in excess.axes] + list(excess.shape)))
    sites = sum(v.free_sites for v in read)
    if size * (sites + 1) > MOST_NUMBERS:
        return []
    if condition.holds is not None and excess.axes != condition.axes:
        return []
    (values,) = interpret(Host(), [excess], probes(read))
    values = np.broadcast_to(values, (sites + 1, *values.shape[1:])).reshape((sites + 1, -1))
    if condition.holds is not None:
        each = values.reshape((sites + 1, len(condition.holds), -1))
        values = each[:, condition.kept].reshape((sites + 1, -1))
    coefficients = np.zeros((values.shape[1], sum(v.free_sites for v in variables)))
    places = np.concatenate([np.full(v.free_sites, v in read) for v in variables])
    coefficients[:, places] = (values[1:] - values[0]).T
    return [LinearRows(condition.group, coefficients, -values[0])]


def probes(variables: Sequence[Variable]) -> dict[int, np.ndarray]:
    """Values (1 + sites, *shape) of variables: all free sites at 0, then each of them at 1."""
    count = 1 + sum(v.free_sites for v in variables)
    bindings, start = {}, 1
    for v in variables:
        values = np.tile(np.where(v.free, 0.0, v.observed).reshape(-1), (count, 1))
        free = np.flatnonzero(v.free.reshape(-1))
        values[np.arange(start, start + len(free)), free] = 1.0
        bindings[id(v.node)] = values.reshape((count, *v.type.shape))
        start += len(free)
    return bindings


def is_straight(x: Node, variables: set[Node]) -> bool:
    """Whether an expression is an affine function of some variables, and reads nothing else that varies."""
    straight: set[Node] = set()
    for n in postorder([x]):
        rule, moving = op_of(n), [not a.is_const for a in n.args]
        follows = bool(n.args) and rule.linear is not None and rule.linear(n, moving)
        if n.is_const or n in variables or (follows and all(a in straight for a in n.args)):
            straight.add(n)
    return x in straight
