"""Contrasts as two factors: P · P / (P + s Q) is P, which may be drawn, and P / (P + s Q), which is 1 at most.

In: a graph. Out: the same density with each contrast in two groups, and what each was. Nothing else is taken apart:
addends of an energy need not be densities by themselves, P is what the contrast likes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node


@dataclass(frozen=True, eq=False)
class TakenApart:
    """A graph whose contrasts are two groups each: `liked`, and the rest, in place of the contrast."""

    graph: FactorGraph
    pairs: tuple[tuple[FactorGroup, FactorGroup, FactorGroup], ...]  #: (contrast, liked, rest)

    def keeping(self, absorbed: Collection[FactorGroup]) -> FactorGraph:
        """The graph, but with those contrasts whole of which nothing is absorbed."""
        ids = {id(g) for g in absorbed}
        whole = {id(liked): contrast for contrast, liked, _ in self.pairs if id(liked) not in ids}
        dropped = {id(rest) for _, liked, rest in self.pairs if id(liked) in whole}
        if not whole:
            return self.graph
        groups = tuple(whole.get(id(g), g) for g in self.graph.groups if id(g) not in dropped)
        return replace(self.graph, groups=groups)


def contrasts_apart(graph: FactorGraph) -> TakenApart:
    """The graph with its contrasts as two groups each."""
    groups: list[FactorGroup] = []
    pairs = []
    for g in graph.groups:
        logs = likes_of(g.energy)
        if logs is None:
            groups.append(g)
            continue
        likes, disliked = logs
        liked = replace(g, energy=node("neg", likes))
        possible = node("gt", likes, constant(float("-inf")))
        safe = node("where", possible, likes, constant(0.0))
        # log (P + s Q) - log P, in the form that is surely not negative
        ratio = node("softplus", node("sub", disliked, safe))
        rest = replace(g, energy=node("where", possible, ratio, constant(0.0)))
        groups += [liked, rest]
        pairs.append((g, liked, rest))
    return TakenApart(replace(graph, groups=tuple(groups)) if pairs else graph, tuple(pairs))


def likes_of(energy: Node) -> tuple[Node, Node] | None:
    """log P and log s Q of the energy log (P + s Q) - 2 log P; None where it is no contrast."""
    if energy.op != "where" or energy.args[1].op != "sub":
        return None
    both, twice = energy.args[1].args
    if (
        both.op != "logsumexp"
        or both.args[0].op != "stack"
        or len(both.args[0].args) != 2
        or twice.op != "mul"
    ):
        return None
    two, safe = twice.args
    likes, disliked = both.args[0].args
    is_contrast = two.is_static_scalar and two.item() == 2 and safe.op == "where" and safe.args[1] is likes
    return (likes, disliked) if is_contrast and safe.args[0] is energy.args[0] else None
