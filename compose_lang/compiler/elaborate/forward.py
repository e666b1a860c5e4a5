"""A program read forwards: the densities that draw its variables and its data, and many copies of it beside each other.

Simulation-based calibration (Talts et al. 2018) draws parameters and data from the program and infers the first from
the second again. For that a program is elaborated in two more ways: `ForwardSimulation` makes its data variables,
and takes down for each `~` how its density is drawn outright; `Replicated` makes it a plate of copies, each with
data of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Interpretation
from compose_lang.compiler.elaborate.factors.draws import drawn, selects
from compose_lang.compiler.elaborate.factors.values import Applied, WithInputs
from compose_lang.compiler.elaborate.learned.declarations import part_of
from compose_lang.compiler.elaborate.values import Factor
from compose_lang.compiler.graph.factor_graph import Drawn, Variable
from compose_lang.compiler.ir.build import along, constant, gather, variable
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.types import Domain, Type
from compose_lang.compiler.names.symbols import names_in, walk
from compose_lang.diagnostics import Span
from compose_lang.grammar import ast


@dataclass
class ForwardSimulation(Interpretation):
    """A program read forwards: its outcomes, the data that it draws, are variables."""

    outcomes: frozenset[str]
    drawn: list[Drawn] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)  #: statements that weigh, and say nothing of how to draw
    checks_support: ClassVar[bool] = False

    def datum(self, ctx: Context, name: str, value: Node, domain: Domain, span: Span) -> Node:
        return outcome(ctx, name, value, domain, span) if name in self.outcomes else value

    def note(self, ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> Context:
        if ctx.is_drawn:
            return ctx
        while isinstance(factor, Applied):
            subjects, factor = factor.subjects, factor.factor
        if isinstance(factor, WithInputs) and ctx.mask is None and not ctx.is_choice and not ctx.weighed_by:
            body = factor.factor.decl.body
            has_draw = any(isinstance(s, ast.Draw) for s in body or ()) or can_draw(factor, ctx)
            if has_draw and all(map(selects, postorder(subjects))):
                self.drawn += drawn(ctx, factor, subjects, span)
                return replace(ctx, is_drawn=True)
            if body is not None and not has_draw:
                return ctx  # its own statements say how
        self.weigh(ctx, span)
        return replace(ctx, is_drawn=True)

    def weigh(self, ctx: Context, span: Span) -> None:
        if not ctx.is_drawn:
            self.others.append(span)


def outcome(ctx: Context, name: str, value: Node, domain: Domain, span: Span) -> Node:
    """A datum as the variable that it is a value of."""
    event = len(domain.event_shape)
    shape = value.shape[: len(value.shape) - event] if event else value.shape
    leaf = variable(name, value.shape, value.dtype, domain)
    free, held = np.ones(shape, dtype=bool), np.zeros(value.shape)
    ctx.session.variables[name] = Variable(name, Type(domain, shape), leaf, free, held, span)
    return leaf


def can_draw(factor: WithInputs, ctx: Context) -> bool:
    """Whether a factor is learned by what draws outright."""
    if not factor.factor.is_learned:
        return False
    learner = part_of(factor.factor, ctx).learner
    return learner is not None and bool(learner.draws_from)


def outcomes_of(module: ast.Module) -> frozenset[str]:
    """The data that stand left of a `~`, or are subjects of a factor applied as a statement."""
    data = {s.name for s in module.statements if isinstance(s, ast.Data)}
    subjects: set[str] = set()
    for node in walk(module):
        if isinstance(node, ast.Tilde):
            subjects |= bases(node.subject)
        elif isinstance(node, ast.Apply) and isinstance(node.factor, ast.Call):
            subjects = subjects.union(*(bases(a.value) for a in node.factor.arguments))
    return frozenset(subjects & data)


def bases(subject: ast.Expr) -> set[str]:
    """The names that a subject takes its elements from."""
    if isinstance(subject, ast.Tuple):
        return set().union(*(bases(item) for item in subject.items))
    if isinstance(subject, ast.Index):
        return bases(subject.base)
    return {subject.id} if isinstance(subject, ast.Name) else set(names_in(subject))


@dataclass(frozen=True)
class Replicated(Interpretation):
    """Copies of a program beside each other, each with outcomes of its own: arrays (copies, *shape) by name."""

    outcomes: Mapping[str, np.ndarray]
    axis: Axis
    checks_support: ClassVar[bool] = False

    @property
    def plates(self) -> tuple[Axis, ...]:
        return (self.axis,)

    def datum(self, ctx: Context, name: str, value: Node, domain: Domain, span: Span) -> Node:
        if name not in self.outcomes:
            return value
        return gather(constant(self.outcomes[name], dtype=value.dtype, domain=domain), [along(self.axis)])
