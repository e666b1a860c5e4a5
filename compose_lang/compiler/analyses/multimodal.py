"""Choices between parts that a few continuous numbers make: mixtures and contrasts, whose parts may lie far apart."""

from __future__ import annotations

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, once
from compose_lang.compiler.ir.node import postorder

MOST_CHOICES = 32
"""Instances of a mixture at most: one that chooses for each row of data is a likelihood, whose modes are few."""


@once
def choices(graph: FactorGraph) -> list[FactorGroup]:
    """The groups that add up weights of several parts over free continuous variables, a few times at most."""
    continuous = {v.name for v in graph.variables if v.free_sites and not v.is_discrete}
    return [
        g
        for g in graph.groups
        if g.variables & continuous
        and g.instances <= MOST_CHOICES
        and any(is_sum_of_weights(n.op, n.attrs) and n.variables & continuous for n in postorder([g.energy]))
    ]


def is_sum_of_weights(op: str, attrs: tuple[object, ...]) -> bool:
    return op == "logsumexp" or (op == "reduce_axis" and attrs[0] == "logsumexp")
