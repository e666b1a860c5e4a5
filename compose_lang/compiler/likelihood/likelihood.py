"""A program read for the likelihood of its params: they are variables, and its statements of factors are kept.

In: a program with the params that `learn … by maximum_likelihood` names. Out: the interpretation in which it is
elaborated, and the part of its factor graph by which the params are fitted: params first, then the variables of which
data tell something. The likelihood of the data is the weight of this part with its variables summed out.

Before: `elaborate`. After: `faults`, which finds what is no density in this part, and `fitting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Interpretation
from compose_lang.compiler.elaborate.factors.values import Applied
from compose_lang.compiler.elaborate.values import DeclaredType, Factor
from compose_lang.compiler.graph.factor_graph import FactorGraph, Offset, Request, Term, Variable, connected
from compose_lang.compiler.ir.build import variable
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import Span


@dataclass(frozen=True)
class FactorStatement:
    """A statement that multiplies the program by a factor: the factor, what it is over, and the terms it adds."""

    factor: Factor
    subjects: tuple[Node, ...]
    span: Span
    is_gated: bool
    terms: list[Term] = field(default_factory=list)

    @property
    def variables(self) -> frozenset[str]:
        return frozenset().union(*(t.energy.variables for t in self.terms))

    @property
    def over(self) -> frozenset[str]:
        return frozenset().union(*(s.variables for s in self.subjects))


@dataclass
class Likelihood(Interpretation):
    """The interpretation in which params that are fitted are variables, and the statements of factors are kept."""

    params: dict[str, Variable] = field(default_factory=dict)
    starts: dict[str, np.ndarray | None] = field(default_factory=dict)  #: values in the program; None: none
    stated: list[FactorStatement] = field(default_factory=list)
    checks_support: ClassVar[bool] = False

    def param(
        self, ctx: Context, name: str, declared: DeclaredType, start: np.ndarray | None, span: Span
    ) -> Node:
        """The variable that a param is while it is fitted."""
        type = declared.type
        self.starts[name] = start
        leaf = variable(name, type.full_shape, "real", type.domain)
        free, held = np.ones(type.shape, dtype=bool), np.zeros(type.full_shape)
        bounds = declared.lower, declared.upper
        self.params[name] = Variable(name, type, leaf, free, held, span, *bounds, is_param=True)
        ctx.session.variables[name] = self.params[name]
        return leaf

    def note(self, ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> Context:
        if ctx.calls:
            return ctx
        while isinstance(factor, Applied):
            subjects, factor = factor.subjects, factor.factor
        stated = FactorStatement(factor, tuple(subjects), span, ctx.mask is not None)
        self.stated.append(stated)

        def emit(term: Term) -> None:
            stated.terms.append(term)
            ctx.emit(term)

        return replace(ctx, emit=emit)

    @property
    def names(self) -> frozenset[str]:
        """The names of the params."""
        return frozenset(self.params)


def without_params(graph: FactorGraph) -> FactorGraph:
    """A program's graph as it is planned before its params are known: they are no variables of it."""
    params = frozenset(v.name for v in graph.variables if v.is_param)
    if not params:
        return graph
    kept = tuple(v for v in graph.variables if not v.is_param)
    return replace(graph, variables=kept, offsets=offsets_without(graph, params))


def offsets_without(graph: FactorGraph, params: frozenset[str]) -> dict[str, Offset]:
    """The offsets of a graph that read no params."""
    return {n: o for n, o in graph.offsets.items() if not (o.location.variables | o.scale.variables) & params}


def graph_of_params(
    graph: FactorGraph, reading: Likelihood, names: frozenset[str], divided: frozenset[Span]
) -> FactorGraph:
    """The part of a program by which its params are fitted: these, and variables of which data tell something.

    divided: of terms that are divided by their total. These count also where they read data alone.
    """
    groups = tuple(g for g in graph.groups if (g.variables or g.span in divided) and g.variables <= names)
    requests = requests_for(graph, names - reading.names)
    offsets = {n: o for n, o in offsets_without(graph, reading.names).items() if n in names}
    variables = tuple(v for v in graph.variables if v.name in names)
    return FactorGraph(variables, groups, requests=requests, offsets=offsets)


def requests_for(graph: FactorGraph, names: frozenset[str]) -> tuple[Request, ...]:
    """What a program asks of the planner for some of its variables; copies of them move as a whole."""
    targets = [(r, tuple(t for t in r.targets if t in names)) for r in graph.requests if not r.parts]
    return tuple(replace(r, targets=some) for r, some in targets if some or not r.targets)


def informed(graph: FactorGraph, reading: Likelihood) -> frozenset[str]:
    """The variables that a param may come to the data through: those tied to data, and tied to a param.

    Data say nothing of what they are not tied to. Variables that are only to be drawn, given what was fitted, are no
    part of the likelihood: as densities they sum out to 1, and as anything else their total is not the data's.
    """
    scopes = [g.variables for g in graph.groups]
    for v in graph.variables:
        bounds = [b.variables for b in (v.lower, v.upper) if b is not None]
        scopes += [frozenset({v.name}).union(*bounds)] if bounds else []
    outcomes = {v.name for v in graph.variables if not v.free.all()}
    for s in reading.stated:
        if any(not subject.variables for subject in s.subjects):
            outcomes |= s.variables | s.over
    reached = frozenset[str]().union(*(scope for scope in scopes if scope & reading.names))
    components = connected(scope - reading.names for scope in scopes)
    return frozenset[str]().union(*(c for c in components if c & outcomes and c & reached))
