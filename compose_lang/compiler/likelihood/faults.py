"""Why the weight of what is tied to the params is no likelihood of theirs, as it stands.

In: the part of a graph by which params are fitted, and its statements. Out: `Fault`s. The weight is a likelihood where
every factor in it is a density of its subjects, stated once. What is none has a total that may vary with a param, which
`partition_functions` divides out. What reads params alone is a penalty and may be any factor.

Before: `likelihood`. After: `fitting`, which reports what is not divided out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.declarations.declared_types import declared_type
from compose_lang.compiler.elaborate.declarations.observations import observed_name, observes
from compose_lang.compiler.elaborate.factors.draws import selects
from compose_lang.compiler.elaborate.factors.values import Mixture, Scaled, WithInputs
from compose_lang.compiler.elaborate.values import Factor
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import constant, transform
from compose_lang.compiler.ir.node import postorder
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.likelihood.likelihood import FactorStatement, Likelihood
from compose_lang.compiler.names.symbols import names_in, walk
from compose_lang.diagnostics import Diagnostic, Label, Span
from compose_lang.grammar import ast

BOUND_BY_INPUTS = frozenset({"Uniform", "DiscreteUniform", "Binomial", "BetaBinomial"})
"""Densities whose support their inputs say, so that a narrower type cuts nothing."""

PLAIN = ("real", "positive", "unit", "int")
"""Types whose domains are intervals."""


@dataclass(frozen=True)
class Fault:
    """Why the weight of what is tied to the params is no likelihood of theirs, as it stands.

    is_total: whether it is one when it is divided by its total over all that is random in it.
    """

    text: str
    span: Span
    help: str
    is_total: bool = True

    def diagnostic(self, at: Span) -> Diagnostic:
        """CG0416. at: the statement that fits."""
        return Diagnostic("CG0416", self.text, self.span, labels=(Label(at, "fitted here"),), help=self.help)


def unread_params(graph: FactorGraph, reading: Likelihood) -> Iterator[Diagnostic]:
    """CG0607 for each param that nothing in the graph reads."""
    read = frozenset[str]().union(*(g.variables for g in graph.groups))
    read = read.union(*(b.variables for v in graph.variables for b in (v.lower, v.upper) if b is not None))
    for name, v in reading.params.items():
        if name not in read:
            text = f"nothing that the data follow reads the param `{name}`, so nothing fits it"
            yield Diagnostic("CG0607", text, v.span, help="state what the data follow: y ~ Normal(k, 1)")


def faults(graph: FactorGraph, reading: Likelihood, module: ast.Module) -> Iterator[Fault]:
    """Why the weight of what is tied to the params is no likelihood of theirs."""
    params = reading.names
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
            yield from repeated(graph, s, counted)
            yield from cut_off(graph, s)


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
    waiting = [n for s in walk(module) if s.span == span for n in names_in(s)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in data:
            return True
        if name in declared and name not in seen:
            seen.add(name)
            waiting += names_in(declared[name])
    return False


def repeated(graph: FactorGraph, s: FactorStatement, counted: dict[str, np.ndarray]) -> Iterator[Fault]:
    """Elements that an earlier density is over already: the product of two is none.

    counted: how many densities each site of a variable has, (sites,) by variable; the statement's own is added. Under a
    condition either branch states the elements, and only a subject that is computed from them is at fault.
    """
    known = {v.name: v for v in graph.variables}
    for subject in s.subjects:
        if subject.value is not None or not subject.variables:
            continue
        if not all(map(selects, postorder([subject]))):
            text = (
                "the subject is computed from variables: what this leaves of them is no density that is known"
            )
            yield Fault(text, s.span, "state the density of the variable itself")
            continue
        for name in subject.variables:
            v = known[name]
            of_leaf = {v.node: constant(v.site_numbers)}
            (numbers,) = transform([subject], of_leaf.get)
            if numbers.value is None or s.is_gated:
                continue
            sites = np.unique(numbers.value.astype(int))
            count = counted.setdefault(name, np.zeros(v.type.sites, dtype=int))
            count[sites] += 1
            if (count[sites] > 1).any():
                text = f"`{name}` is stated twice: the product of two densities is not normalised"
                yield Fault(text, s.span, "normalize(P * Q) divides its total out")


def cut_off(graph: FactorGraph, s: FactorStatement) -> Iterator[Fault]:
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
                    yield Fault(text, s.span, help)
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
            if not isinstance(written, ast.NamedType) or written.name not in PLAIN:
                return
            plain = all(isinstance(a.value, ast.Number) for a in written.arguments)
            if plain and decl.name not in BOUND_BY_INPUTS:
                ctx = Context(scope, Session(None, {}, {}), emit=lambda term: None)
                yield declared_type(ctx, replace(written, shape=())).type.domain
