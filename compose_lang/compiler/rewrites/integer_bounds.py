"""Bounds that depend on discrete variables, as constraints.

A continuous variable moves in coordinates that its bounds stretch: were a discrete variable to change them, the value
would move with it, which no local energy of the discrete variable sees. So such a bound is a wall in the density,
and the variable keeps its own coordinate.

In: a graph. Out: the same density, with a constraint for each bound that reads a discrete variable.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.ir.build import (
    along,
    broadcast_to,
    constant,
    depends_on_discrete,
    gather,
    node,
)
from compose_lang.compiler.ir.node import Axis, Node


def integer_bounds(graph: FactorGraph) -> FactorGraph:
    """The graph whose dependent bounds read continuous variables only."""
    variables, walls = [], []
    for v in graph.variables:
        if v.lower is not None and depends_on_discrete(v.lower):
            walls.append(wall(v, "ge", v.lower))
            v = replace(v, lower=None)
        if v.upper is not None and depends_on_discrete(v.upper):
            walls.append(wall(v, "le", v.upper))
            v = replace(v, upper=None)
        variables.append(v)
    return replace(graph, variables=tuple(variables), groups=(*graph.groups, *walls)) if walls else graph


def wall(v: Variable, op: str, bound: Node) -> FactorGroup:
    """Every site of a variable on its side of a bound."""
    axes = tuple(Axis(n) for n in v.type.shape)
    columns = [along(a) for a in axes]
    x, edge = gather(v.node, columns), gather(broadcast_to(bound, v.type.shape), columns)
    low, high = (edge, x) if op == "ge" else (x, edge)
    away = node("maximum", node("sub", low, high), constant(0.0))
    energy = node("where", node(op, x, edge), constant(0.0), constant(np.inf))
    return FactorGroup(energy, axes, "require", f"{v.name} within its bounds", v.span, away)
