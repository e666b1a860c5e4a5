"""Logs of sums of exponentials that are written out: log(a exp(x) + b exp(y)) is logsumexp(x + log a, y + log b).

It is finite where the exponentials are not, and what looks for mixtures knows it: each addend is a part.

In: a graph. Out: the same density, its energies in that form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.ir.build import constant, node, transform
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of


def log_sums(graph: FactorGraph) -> FactorGraph:
    """The graph with such logs as logsumexp."""
    if not any(n.op == "exp" for n in postorder([g.energy for g in graph.groups])):
        return graph
    energies = transform([g.energy for g in graph.groups], log_sum)
    groups = [
        g if e is g.energy else replace(g, energy=e) for g, e in zip(graph.groups, energies, strict=True)
    ]
    return replace(graph, groups=tuple(groups))


def log_sum(n: Node) -> Node | None:
    """A log of a sum of exponentials of variables as logsumexp; None for any other expression."""
    if n.op != "log" or n.shape:
        return None
    logs = [log_of(part) for part in addends(n.args[0])]
    if any(x is None for x in logs) or sum(bool(x.variables) for x in logs if x is not None) < 2:
        return None
    return node("logsumexp", node("stack", *(x for x in logs if x is not None)), attrs=(-1,))


def addends(x: Node) -> Iterator[Node]:
    """What is added up, one after another."""
    if op_of(x).symbol == "+":
        for part in x.args:
            yield from addends(part)
    else:
        yield x


def log_of(x: Node) -> Node | None:
    """The log of a product of exponentials and positive numbers; None where it is no such product."""
    if x.op == "exp":
        return x.args[0]
    if x.is_const and x.value is not None:
        return constant(np.log(x.value)) if x.is_static_scalar and x.item() > 0 else None
    if op_of(x).symbol not in ("*", "/"):
        return None
    first, second = (log_of(a) for a in x.args)
    if first is None or second is None:
        return None
    return node("add", first, second if op_of(x).symbol == "*" else node("neg", second))
