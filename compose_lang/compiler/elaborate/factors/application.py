"""Applying a declared factor: its arguments are bound, checked against its signature, and its body inlined.

Declared shapes are the last axes of an argument; leading axes broadcast and become plates of independent copies,
so a body always sees exactly what its signature says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

from compose_lang.compiler.elaborate.bodies import run_body
from compose_lang.compiler.elaborate.context import Context, count_inlined
from compose_lang.compiler.elaborate.declarations.declared_types import (
    Sizes,
    bind_shape,
    declared_type,
    named_domain,
    rank_of,
)
from compose_lang.compiler.elaborate.declarations.named_values import evaluate_as
from compose_lang.compiler.elaborate.declarations.observations import observes
from compose_lang.compiler.elaborate.factors import arguments as admission
from compose_lang.compiler.elaborate.factors.algebra import terms
from compose_lang.compiler.elaborate.factors.values import Applied, WithInputs, as_factor
from compose_lang.compiler.elaborate.learned import declarations
from compose_lang.compiler.elaborate.plates import one_copy
from compose_lang.compiler.elaborate.values import DeclaredFactor, SymbolTable, as_node, describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import along, constant, node
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import ShapeError, broadcast_shapes
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.names.suggestions import foreign_argument
from compose_lang.compiler.names.symbols import names_in
from compose_lang.diagnostics import ComposeError, Diagnostic, Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

MAX_DEPTH = 60


@terms.register(WithInputs)
def terms_of_application(
    factor: WithInputs, ctx: Context, subjects: Sequence[Node], span: Span
) -> list[Term]:
    decl = factor.factor.decl
    count_inlined(ctx, factor.description, span)
    if len(ctx.calls) >= MAX_DEPTH:
        repeats = [c for c in dict.fromkeys(ctx.calls) if ctx.calls.count(c) > 1]
        help = f"`{decl.name}` applies itself: stop it with an `if` on a constant input" if repeats else ""
        fail("CG0801", f"factors apply each other more than {MAX_DEPTH} deep", span, help=help)
    if len(subjects) != len(decl.subjects):
        names = ", ".join(s.name for s in decl.subjects)
        count = "1 is" if len(subjects) == 1 else f"{len(subjects)} are"
        text = f"{factor.description} is over {len(decl.subjects)} subjects ({names}), {count} given"
        fail("CG0206", text, span, help=factor.factor.hint or f"write `({names}) ~ {decl.name}(…)`")
    return call_of(factor.factor, factor, ctx, list(subjects), span).terms()


@singledispatch
def call_of(
    factor: DeclaredFactor, waiting: WithInputs, ctx: Context, subjects: list[Node], span: Span
) -> Call:
    """An application of a declared factor to some subjects."""
    return Call(waiting, ctx, subjects, span)


def assign(
    ctx: Context,
    parameters: Sequence[ast.Parameter],
    arguments: Sequence[ast.Argument],
    what: str,
    span: Span,
    scope: SymbolTable,
    advice: str = "",
) -> dict[str, tuple[Any, Span]]:
    """Arguments by parameter name, each with the place it is written at; scope: where the parameters stand.

    advice: what to do where there are too many.
    """
    names = [p.name for p in parameters]
    given: dict[str, tuple[Any, Span]] = {}
    for place, argument in enumerate(arguments):
        if argument.name is None:
            if place >= len(names):
                takes = f"{len(names)} ({', '.join(names)})" if names else "none"
                text = f"{what} is given {len(arguments)} arguments, it takes {takes}"
                fail("CG0206", text, argument.span, help=advice)
            name = names[place]
        else:
            name = argument.name
            if name not in names:
                known = f"it takes {', '.join(names)}" if names else "it takes none"
                hint = foreign_argument(name, names) or did_you_mean(name, names) or known
                fail("CG0206", f"{what} has no argument `{name}`", argument.span, help=hint)
        if name in given:
            fail("CG0206", f"{what} is given `{name}` twice", argument.span)
        parameter = parameters[names.index(name)]
        value = evaluate_as(ctx, argument.value, named_domain(parameter, scope))
        given[name] = (value, argument.value.span)
    return given


def with_inputs(
    ctx: Context, factor: DeclaredFactor, arguments: Sequence[ast.Argument], span: Span
) -> WithInputs:
    """`F(inputs)`: the factor that waits for its subjects."""
    given = assign(ctx, factor.decl.inputs, arguments, factor.description, span, factor.scope)
    return WithInputs(factor, given, span)


def applied(
    ctx: Context, waiting: WithInputs, arguments: Sequence[ast.Argument], span: Span, advice: str = ""
) -> Applied:
    """A factor given its subjects, by place or by name; advice: what to do where there are too many."""
    factor = waiting.factor
    given = assign(ctx, factor.decl.subjects, arguments, factor.description, span, factor.scope, advice)
    factor = factor.over(given, span)
    nodes = tuple(as_node(*given[s.name]) for s in factor.decl.subjects)
    return Applied(WithInputs(factor, waiting.inputs, waiting.span), nodes, span)


class Call:
    """One application: arguments with their leading axes made into plates, and the body's terms."""

    def __init__(self, waiting: WithInputs, ctx: Context, subjects: list[Node], span: Span) -> None:
        self.factor = waiting.factor
        self.decl = waiting.factor.decl
        self.name = self.decl.name
        self.span = span
        self.outer = ctx
        self.scope = SymbolTable(waiting.factor.scope)
        self.arguments: dict[str, tuple[Any, Span]] = {
            p.name: (s, span) for p, s in zip(self.decl.subjects, subjects, strict=True)
        }
        for parameter in self.decl.inputs:
            if parameter.name in waiting.inputs:
                self.arguments[parameter.name] = waiting.inputs[parameter.name]
            elif parameter.default is not None:
                value = replace(ctx, scope=waiting.factor.scope).evaluate(parameter.default)
                self.arguments[parameter.name] = (value, parameter.default.span)
            else:
                takes = ", ".join(p.name for p in self.decl.inputs)
                text = f"`{self.name}` needs a value for `{parameter.name}`"
                fail("CG0206", text, waiting.span, help=f"it takes {takes}")
        self.axes: list[Axis | None] = []
        self.supported: Node | None = None  #: where the subjects lie in their declared domains; None: always
        self.parameters = [*self.decl.subjects, *self.decl.inputs]

    def terms(self) -> list[Term]:
        self.split()
        ctx = self.checked()
        if self.supported is not None:
            ctx = ctx.under(self.supported)
        body_terms: list[Term] = []
        path = instance_path(ctx, self.name)
        ctx = replace(ctx, emit=body_terms.append, mask=None, calls=(*ctx.calls, self.span), path=path)
        try:
            self.run_body(ctx)
        except ShapeError as wrong:
            shapes = " against ".join(str(list(s)) for s in wrong.shapes)
            fail("CG0203", f"{wrong} inside `{self.name}`: {shapes}", self.span)
        except ComposeError as wrong:
            raise inside(wrong, self.name, self.span) from None
        if all(term.is_prior for term in body_terms):  # so that the support has a term to stand in
            body_terms.append(Term(constant(0.0), ctx.plates, "factor", self.name, self.span))
        return self.settled(body_terms)

    def run_body(self, ctx: Context) -> None:
        if self.factor.is_learned:
            declarations.state(ctx, self.factor, self.arguments, self.span)
        elif self.decl.body is not None:
            for o in observes(self.decl.body):
                fail("CG0209", "`observe` stands in a program, not in the body of a factor", o.span)
            run_body(ctx, weighing(self.decl.body))
        else:
            assert self.decl.value is not None
            self.alias(ctx, self.decl.value)

    def settled(self, found: list[Term]) -> list[Term]:
        """The body's terms as this application's: gated by the caller's mask, infinite outside the support."""
        mask = self.outer.mask
        out = []
        for term in found:
            if term.is_prior:
                out.append(term)
                continue
            energy = term.energy
            if self.supported is not None:
                energy = node("where", self.supported, energy, constant(float("inf")))
            if mask is not None:
                energy = node("where", mask, energy, constant(0.0))
            kind = term.kind if term.kind in ("require", "prefer") else "factor"
            label = self.name if kind == "factor" else term.label
            violation = term.violation
            if violation is not None and mask is not None:
                violation = node("where", mask, violation, constant(0.0))
            statement = term.statement if mask is None else None
            out.append(Term(energy, term.axes, kind, label, self.span, violation, statement=statement))
        return out

    def alias(self, ctx: Context, value: ast.Expr) -> None:
        """`factor F(x | …) = expression`"""
        factor = as_factor(ctx.evaluate(value))
        if factor is None:
            fail("CG0401", f"the right side of `{self.name}` is not a factor", value.span)
        if self.decl.is_density and not factor.normalised:
            text = f"`{self.name}` is declared a density, but {factor.description} is not normalised"
            help = f"declare it a `factor`, or divide its total out: normalize({value.span.text})"
            ctx.session.warn("CG0413", text, value.span, help=help)
        subjects = [as_node(ctx.scope.find(s.name), self.span) for s in self.decl.subjects]
        for term in terms(factor, ctx, subjects, self.span):
            ctx.emit(term)

    # --- leading axes ---

    def split(self) -> None:
        """Leading axes of the arguments become plates; every argument keeps its declared axes."""
        leading: dict[str, tuple[int, ...]] = {}
        for parameter in self.parameters:
            value, span = self.arguments[parameter.name]
            if not isinstance(value, Node):
                continue
            rank = rank_of(parameter, self.scope)
            if len(value.shape) < rank:
                assert parameter.type is not None
                text = f"`{parameter.name}` of `{self.name}` is {parameter.type.span.text}, given {describe(value)}"
                is_one = not value.shape and parameter in self.decl.inputs
                help = f"equal values for all are `{span.text} * ones(n)`" if is_one else ""
                fail("CG0203", f"shapes do not match: {text}", span, help=help)
            leading[parameter.name] = value.shape[: len(value.shape) - rank]
        try:
            batch = broadcast_shapes(*leading.values())
            over = broadcast_shapes(*(leading[s.name] for s in self.decl.subjects if s.name in leading))
        except ShapeError:
            self.mismatch(leading)
        if batch != over:
            self.mismatch(leading)
        self.axes = [Axis(n) if n != 1 else None for n in batch]
        columns = [along(a) if a else constant(0) for a in self.axes]
        for name, shape in leading.items():
            value, span = self.arguments[name]
            self.arguments[name] = (one_copy(value, len(shape), columns), span)

    def mismatch(self, leading: Mapping[str, tuple[int, ...]]) -> None:
        """Report arguments whose leading axes do not broadcast, naming the two that differ."""
        subjects = {s.name for s in self.decl.subjects}
        named = [(n, s) for n, s in leading.items() if s]
        named.sort(
            key=lambda each: each[0] in subjects
        )  # two inputs that differ say more than subject and input
        for place, (first, shape) in enumerate(named):
            for second, other in named[place + 1 :]:
                try:
                    joint = broadcast_shapes(shape, other)
                except ShapeError:
                    joint = None
                wider = first not in subjects and second in subjects and joint is not None and joint != other
                if joint is None or wider:
                    self.report_pair(first, second)
        shown = ", ".join(f"{n} is {describe(self.arguments[n][0])}" for n, _ in named)
        fail(
            "CG0203",
            f"shapes do not match: the subject of `{self.name}` is a single value, but {shown}",
            self.span,
            labels=tuple(Label(self.arguments[n][1], describe(self.arguments[n][0])) for n, _ in named),
        )

    def report_pair(self, first: str, second: str) -> None:
        first, second = sorted((first, second), key=lambda name: self.arguments[name][1].start)
        (one, here), (two, there) = self.arguments[first], self.arguments[second]

        def shown(name: str, place: Span) -> str:
            text = admission.span_name(place).strip("`")
            return text if text.isidentifier() else f"`{name}` of {self.name}"

        left, right = f"{shown(first, here)} is {describe(one)}", f"{shown(second, there)} is {describe(two)}"
        marked = f"{describe(one)} against {describe(two)}"
        labels = () if here is there else (Label(there, marked),)
        origins = self.outer.session.origins
        read = [f"{p.text} was read from {origins[p.text]}" for p in (here, there) if p.text in origins]
        text = f"shapes do not match: {left}, but {right}"
        help = "\n".join(read[-1:])
        is_product = any("*" in p.text and "@" not in p.text for p in (here, there))
        if not help and is_product and len(one.shape) != len(two.shape):
            help = "`*` works element by element; a matrix product is `@`"
        fail("CG0203", text, here, help=help, labels=labels, label="" if labels else marked)

    # --- types ---

    def context(self) -> Context:
        """Where the body stands: inside the plates of the arguments' leading axes."""
        plates = (*self.outer.plates, *(a for a in self.axes if a))
        return replace(self.outer, scope=self.scope, plates=plates)

    def checked(self) -> Context:
        """The body's context, the arguments held to their declared types."""
        ctx, sizes = self.context(), Sizes()
        for parameter in self.parameters:
            value, span = self.arguments[parameter.name]
            if parameter.type is not None and isinstance(value, Node):
                what = f"`{parameter.name}` of `{self.name}`"
                bind_shape(ctx, parameter.type, value, what, span, sizes)
        for parameter in self.parameters:
            value, span = self.arguments[parameter.name]
            if isinstance(value, str) and parameter.type is not None and parameter.type.span.text != "text":
                as_node(value, span)
            self.scope.names[parameter.name] = value
        subjects = {s.name for s in self.decl.subjects}
        for parameter in self.parameters:
            value, span = self.arguments[parameter.name]
            if parameter.type is None or not isinstance(value, Node):
                continue
            declared = declared_type(ctx, parameter.type)
            condition = self.admits(
                value, declared.type.domain, parameter.name, span, parameter.name in subjects
            )
            if condition is not None:
                self.supported = (
                    condition if self.supported is None else node("and", self.supported, condition)
                )
        return ctx

    def admits(self, value: Node, domain: Domain, name: str, span: Span, is_subject: bool) -> Node | None:
        """The condition that an argument lies in its declared domain (see `admission`)."""
        what = f"the subject `{name}` of `{self.name}`" if is_subject else f"`{name}` of `{self.name}`"
        return admission.admits(self.outer, value, domain, what, span, is_subject)


def weighing(body: Sequence[ast.Statement]) -> Sequence[ast.Statement]:
    """A body without the `let`s that only its `draw` reads: they may be random, which an energy is not."""
    lets = {s.name: s for s in body if isinstance(s, ast.Let) and not s.indices}
    if not lets or not any(isinstance(s, ast.Draw) for s in body):
        return body

    def read(roots: Iterable[ast.Node]) -> set[str]:
        names: set[str] = set()
        waiting = [name for root in roots for name in names_in(root)]
        while waiting:
            name = waiting.pop()
            if name in lets and name not in names:
                names.add(name)
                waiting += names_in(lets[name].value)
        return names

    weighed = read(s for s in body if not isinstance(s, ast.Draw) and s not in lets.values())
    drawn = read(s for s in body if isinstance(s, ast.Draw)) - weighed
    return [s for s in body if not (isinstance(s, ast.Let) and s.name in drawn)]


def instance_path(ctx: Context, name: str) -> tuple[str, ...]:
    """Where the own variables of one more application are recorded: `Outer.Noisy`, then `Outer.Noisy.2`."""
    path = (*ctx.path, name)
    count = ctx.session.applications[path] = ctx.session.applications.get(path, 0) + 1
    return path if count == 1 else (*path, str(count))


def inside(error: ComposeError, name: str, call: Span) -> ComposeError:
    """An error in a factor's body, reported with the application that led there."""
    labels = Label(call, f"while applying `{name}` here")
    diagnostics = []
    for d in error.diagnostics:
        if d.span is not None and d.span.source.name.startswith("std."):
            diagnostics.append(
                Diagnostic(d.code, f"{d.message} (inside `{name}`)", call, d.severity, help=d.help)
            )
        elif call == d.span or any(label.span == call for label in d.labels):
            diagnostics.append(d)  # a factor that applies itself comes by here many times
        else:
            diagnostics.append(replace(d, labels=(*d.labels, labels)))
    return ComposeError(diagnostics, error.exit_code)
