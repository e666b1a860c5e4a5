"""A program read for the likelihood of its params: they are variables, and what is no density of the data is told.

In: a program with the params that `learn … by maximum_likelihood` names. Out: the part of its factor graph that hangs
on them, params first, and its faults. The likelihood of the data is the program's weight with its own variables summed
out, where every factor in this part is a density of its subjects, stated once; what is not has a total that may vary
with a param, which `totals` divides out. What reads params alone is a penalty and may be any factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Interpretation, Session
from compose_lang.compiler.elaborate.declarations.declared_types import declared_type
from compose_lang.compiler.elaborate.declarations.observations import observed_name, observes
from compose_lang.compiler.elaborate.factors.values import Applied, Mixture, Scaled, WithInputs
from compose_lang.compiler.elaborate.forward import selects
from compose_lang.compiler.elaborate.values import DeclaredType, Factor
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Offset, Term, Variable
from compose_lang.compiler.ir.build import constant, transform, variable
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.names.symbols import names_in, parts
from compose_lang.diagnostics import Diagnostic, Label, Span
from compose_lang.grammar import ast

BOUND_BY_INPUTS = frozenset({"Uniform", "DiscreteUniform", "Binomial", "BetaBinomial"})
"""Densities whose support their inputs say, so that a narrower type cuts nothing."""


@dataclass(frozen=True)
class Stated:
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
    stated: list[Stated] = field(default_factory=list)
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
        stated = Stated(factor, tuple(subjects), span, ctx.mask is not None)
        self.stated.append(stated)

        def emit(term: Term) -> None:
            stated.terms.append(term)
            ctx.emit(term)

        return replace(ctx, emit=emit)


def without_params(graph: FactorGraph) -> FactorGraph:
    """A program's graph as it is planned before its params are known: they are no variables of it."""
    params = frozenset(v.name for v in graph.variables if v.is_param)
    if not params:
        return graph
    kept = tuple(v for v in graph.variables if not v.is_param)
    return replace(graph, variables=kept, offsets=offsets_without(graph, params))


def offsets_without(graph: FactorGraph, params: frozenset[str]) -> dict[str, Offset]:
    """What moves by its offset from other variables."""
    return {n: o for n, o in graph.offsets.items() if not (o.location.variables | o.scale.variables) & params}


@dataclass(frozen=True)
class Fault:
    """Why the weight of what is tied to the params is no likelihood of theirs, as it stands.

    is_total: whether it is one when it is divided by its total over all that is random in it.
    """

    text: str
    span: Span
    help: str
    is_total: bool = True

    def told(self, at: Span) -> Diagnostic:
        """CG0416. at: the statement that fits."""
        return Diagnostic("CG0416", self.text, self.span, labels=(Label(at, "fitted here"),), help=self.help)


def graph_of_params(
    graph: FactorGraph, reading: Likelihood, names: frozenset[str], divided: frozenset[Span]
) -> FactorGraph:
    """The part of a program by which its params are fitted: these, and variables of which data tell something.

    divided: of terms that are divided by their total. These count also where they read data alone.
    """
    params = frozenset(reading.params)
    groups = tuple(g for g in graph.groups if (g.variables or g.span in divided) and g.variables <= names)
    requests = []
    for r in graph.requests:
        targets = tuple(t for t in r.targets if t in names - params)
        if targets or not r.targets:
            requests.append(replace(r, targets=targets))
    offsets = {n: o for n, o in offsets_without(graph, params).items() if n in names}
    variables = tuple(v for v in graph.variables if v.name in names)
    return FactorGraph(variables, groups, requests=tuple(requests), offsets=offsets)


def informed(graph: FactorGraph, reading: Likelihood) -> frozenset[str]:
    """The variables that a param may come to the data through: those tied to data, and tied to a param.

    Data say nothing of what they are not tied to. Variables that are only to be drawn, given what was fitted, are no
    part of the likelihood: as densities they sum out to 1, and as anything else their total is not the data's.
    """
    params = frozenset(reading.params)
    tied = [g.variables for g in graph.groups]
    for v in graph.variables:
        bounds = [b.variables for b in (v.lower, v.upper) if b is not None]
        tied += [frozenset({v.name}).union(*bounds)] if bounds else []
    outcomes = {v.name for v in graph.variables if not v.free.all()}
    for s in reading.stated:
        if any(not subject.variables for subject in s.subjects):
            outcomes |= s.variables | s.over
    found = frozenset[str]()
    for v in graph.variables:
        if v.name in params or v.name in found:
            continue
        component, before = frozenset({v.name}), frozenset[str]()
        while component != before:
            before = component
            component = component.union(*(t - params for t in tied if t & component))
        if component & outcomes and any(t & component and t & params for t in tied):
            found |= component
    return found


def unread(graph: FactorGraph, reading: Likelihood) -> Iterator[Diagnostic]:
    read = frozenset[str]().union(*(g.variables for g in graph.groups))
    read = read.union(*(b.variables for v in graph.variables for b in (v.lower, v.upper) if b is not None))
    for name, v in reading.params.items():
        if name not in read:
            text = f"nothing that the data follow reads the param `{name}`, so nothing fits it"
            yield Diagnostic("CG0607", text, v.span, help="state what the data follow: y ~ Normal(k, 1)")


def faults(graph: FactorGraph, reading: Likelihood, module: ast.Module) -> Iterator[Fault]:
    """Why the weight of what is tied to the params is no likelihood of theirs."""
    params = frozenset(reading.params)
    names = frozenset(v.name for v in graph.variables)
    for v in graph.variables:
        for bound in (v.lower, v.upper):
            if v.name not in params and bound is not None and bound.variables & params:
                text = f"a bound of `{v.name}` is a param: how much room it leaves is not divided out"
                yield Fault(text, v.span, "give it a density of that support: x ~ Uniform(0, k)", False)
    spans = {t.span for s in reading.stated for t in s.terms}
    for g in graph.groups:
        if g.span not in spans and not (g.variables <= params and not reads_data(module, g.span)):
            yield unnormalised(g)
    counted: dict[str, np.ndarray] = {}
    for s in reading.stated:
        is_penalty = bool(s.over) and s.variables <= params and not reads_data(module, s.span)
        if not s.variables or not s.variables <= names or is_penalty:
            continue
        if s.over & params:
            names_of = ", ".join(f"`{n}`" for n in sorted(s.over & params))
            text = f"the subject reads the param {names_of}: what is left of `~` is data or a variable"
            yield Fault(text, s.span, "move it to the right side: y ~ Normal(k, 1)", False)
        elif not s.factor.normalised:
            text = f"{s.factor.description} is not normalised: its total may vary with what is fitted"
            yield Fault(
                text, s.span, "normalize(P) divides it out; what is normalised is declared a `density`"
            )
        else:
            yield from (Fault(*f) for f in twice(graph, s, counted))
            yield from (Fault(*f) for f in cut(graph, s))


def unnormalised(g: FactorGroup) -> Fault:
    """A bare term as a fault."""
    text = f"`{g.kind}` is no density: its total, which varies with what is fitted, is not known"
    help = "say what of it is random: a factor over it, y ~ F(k), or a variable whose values are observed"
    return Fault(text, g.span, help)


def reads_data(module: ast.Module, span: Span) -> bool:
    """Whether the statement at a place reads data or what is observed, also through `let`s and functions."""
    declared = {s.name: s for s in module.statements if isinstance(s, ast.Let | ast.Fn)}
    data = {s.name for s in module.statements if isinstance(s, ast.Data)}
    data |= {observed_name(o) for o in observes(module.statements)}
    waiting = [n for s in every(module) if s.span == span for n in names_in(s)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in data:
            return True
        if name in declared and name not in seen:
            seen.add(name)
            waiting += names_in(declared[name])
    return False


def every(node: ast.Node) -> Iterator[ast.Node]:
    yield node
    for part in parts(node):
        yield from every(part)


def twice(graph: FactorGraph, s: Stated, counted: dict[str, np.ndarray]) -> Iterator[tuple[str, Span, str]]:
    """Elements that an earlier density is over already: the product of two is none. Adds the statement's to `counted`.

    Under a condition either branch states them, and only what is no function of elements is told.
    """
    known = {v.name: v for v in graph.variables}
    for subject in s.subjects:
        if subject.value is not None or not subject.variables:
            continue
        below = postorder([subject])
        if not all(map(selects, below)):
            text = (
                "the subject is computed from variables: what this leaves of them is no density that is known"
            )
            yield text, s.span, "state the density of the variable itself"
            continue
        for name in subject.variables:
            v = known[name]
            sites = np.arange(v.type.sites).reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape)))
            numbers = constant(np.broadcast_to(sites, v.type.full_shape).copy())
            (chosen,) = transform([subject], partial(swapped, v.node, numbers))
            if chosen.value is None or s.is_gated:
                continue
            at = np.unique(chosen.value.astype(int))
            count = counted.setdefault(name, np.zeros(v.type.sites, dtype=int))
            count[at] += 1
            if (count[at] > 1).any():
                text = f"`{name}` is stated twice: the product of two densities is not normalised"
                yield text, s.span, "normalize(P * Q) divides its total out"


def swapped(old: Node, new: Node, n: Node) -> Node | None:
    return new if n is old else None


def cut(graph: FactorGraph, s: Stated) -> Iterator[tuple[str, Span, str]]:
    """Variables whose type cuts a density that has other inputs: what is left varies with them."""
    known = {v.node: v for v in graph.variables}
    if not s.variables - s.over:
        return
    for place, subject in enumerate(s.subjects):
        leaves = [n for n in postorder([subject]) if n in known]
        domains = list(supports(s.factor, place))
        for v in (known[leaf] for leaf in leaves):
            own = v.type.domain if v.is_discrete else v.support
            for domain in domains:
                if domain.kind == own.kind and (own.lower > domain.lower or own.upper < domain.upper):
                    text = f"`{v.name}` is {own}, which cuts {s.factor.description} over {domain}"
                    help = "what is cut off is not divided out: truncate(P, lo, hi), or a type of the whole support"
                    yield text, s.span, help
                    return


def supports(factor: Factor, place: int) -> Iterator[Domain]:
    """The domains that a factor's parts declare for a subject, where they are plain."""
    match factor:
        case Mixture():
            for _, part in factor.parts:
                yield from supports(part, place)
        case Scaled():
            yield from supports(factor.factor, place)
        case WithInputs():
            decl, scope = factor.factor.decl, factor.factor.scope
            written = decl.subjects[place].type if place < len(decl.subjects) else None
            if not isinstance(written, ast.NamedType) or written.name not in (
                "real",
                "positive",
                "unit",
                "int",
            ):
                return
            plain = all(isinstance(a.value, ast.Number) for a in written.arguments)
            if plain and decl.name not in BOUND_BY_INPUTS:
                ctx = Context(scope, Session(None, {}, {}), emit=lambda term: None)
                yield declared_type(ctx, replace(written, shape=())).type.domain
