"""Plates are never unrolled: a million instances elaborate in as many steps, and nodes, as a hundred."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.ir.node import postorder
from tests.compiler.points import graph_of
from tests.work import calls

PLATES = {
    "a vector": """
        data y: real[_]
        var mu: real ~ Normal(0, 1); var s: positive ~ Exponential(1)
        y ~ Normal(mu, s)
    """,
    "a loop": """
        data y: real[_]
        var x: real[len(y)]; var z: category(3)[len(y)]; var m: real[3] ~ Normal(0, 1)
        for i in range(len(y)) { x[i] ~ Normal(0, 1); y[i] ~ Normal(x[i] + m[z[i]], 1) }
    """,
    "a chain with a filter": """
        data y: real[_]
        var s: spin[len(y)]
        for i in range(1, len(y)) if i % 3 != 0 { energy -s[i - 1] * s[i] * y[i] }
    """,
    "a mixture": """
        data y: real[_]
        var a: real ~ Normal(0, 1)
        y ~ 0.4 * Normal(a, 1) + 0.6 * Normal(-a, 2)
    """,
    "a recurrence": """
        data y: real[_]
        var a: unit ~ Beta(2, 2)
        let s[0] = 1.0
        let s[t] = a * s[t-1] + y[t] for t in range(1, len(y))
        y ~ Normal(s, 1)
    """,
}
LARGE = 10**6


def elaborated(text: str, size: int) -> tuple[FactorGraph, int]:
    """The graph over so many data, and the functions that were called on the way."""
    data = {"y": np.random.default_rng(0).normal(size=size)}
    made: list[FactorGraph] = []
    work = calls(lambda: made.append(graph_of(text, data)))
    return made[0], work


def nodes(graph: FactorGraph) -> int:
    return len(postorder([g.energy for g in graph.groups]))


@pytest.mark.parametrize("name", PLATES)
def test_a_million_instances_take_no_more_steps_and_no_more_nodes(name: str) -> None:
    elaborated(PLATES[name], 10)  # reads the standard library
    small, least = elaborated(PLATES[name], 100)
    large, most = elaborated(PLATES[name], LARGE)
    assert most < 1.01 * least
    assert nodes(large) == nodes(small) and len(large.groups) == len(small.groups)
    assert max(g.instances for g in large.groups) > LARGE // 2 or name == "a recurrence"
