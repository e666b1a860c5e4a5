"""Statements: what a body states becomes terms of the energy, handed to the context's `emit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compose_lang.compiler.elaborate import violations
from compose_lang.compiler.elaborate.bodies import run_body
from compose_lang.compiler.elaborate.context import Context, FactorStatement, rule
from compose_lang.compiler.elaborate.factors import algebra, arguments, draws, lints
from compose_lang.compiler.elaborate.factors.application import applied, with_inputs
from compose_lang.compiler.elaborate.factors.values import Applied, Product, WithInputs, as_factor
from compose_lang.compiler.elaborate.plates import open_clauses
from compose_lang.compiler.elaborate.values import Cell, DeclaredFactor, Factor, as_node, describe, truth
from compose_lang.compiler.graph.factor_graph import LocationScale, Term
from compose_lang.compiler.ir import intervals
from compose_lang.compiler.ir.build import broadcast_to, cast_to, constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import ComposeError, Diagnostic, Span, fail
from compose_lang.grammar import ast

LOCATION_SCALE = {
    "Normal": ("mu", "sigma"),
    "StudentT": ("mu", "sigma"),
    "Cauchy": ("mu", "sigma"),
    "Laplace": ("mu", "sigma"),
    "Logistic": ("mu", "sigma"),
}
"""Families of the standard library that are moved by a location and stretched by a scale, and the names of these."""

# --- terms ----------------------------------------------------------------------------------------------


def add_term(
    ctx: Context, energy: Node, kind: str, label: str, span: Span, violation: Node | None = None
) -> None:
    """State an energy; an array of energies is an instance each."""
    if kind != "require":
        ctx.session.interpretation.weigh(ctx, span)
    energy = cast_to(energy, "real")
    plates = ctx.plates
    if energy.shape:
        inner, (energy,), _ = algebra.each_copy(ctx, [energy], [0], span, "an energy")
        plates = inner.plates
    zero = constant(0.0)
    if ctx.mask is not None:
        energy = node("where", ctx.mask, energy, zero)
        violation = node("where", ctx.mask, violation, zero) if violation is not None else None
    ctx.emit(Term(energy, plates, kind, label, span, violation))


@rule(ast.Energy)
def energy(ctx: Context, s: ast.Energy) -> None:
    value = ctx.evaluate(s.value)
    if as_factor(value) is not None:
        fail(
            "CG0204",
            "`energy` takes a number, not a factor",
            s.value.span,
            help="apply it: x ~ F(…) or F(x | …)",
        )
    add_term(ctx, as_node(value, s.value.span), "energy", "energy", s.span)


def condition_of(ctx: Context, written: ast.Expr) -> Node:
    """A condition as a truth value, or an array of them."""
    return truth(ctx.number(written), written.span)


@rule(ast.Require)
def require(ctx: Context, s: ast.Require) -> None:
    label = s.label or s.condition.span.text
    test = condition_of(ctx, s.condition)
    if test.is_const:
        require_known(ctx, test, s, label)
        return
    hard = violations.equates_reals(ctx, s.condition)
    if hard is not None:
        help = "use `prefer … == …`, `observe` a variable, or put one side in place of the other with `let`"
        text = "a hard equality between continuous variables has no room: its measure is zero"
        fail("CG0501", text, hard.span, help=help)
    warn_of_certain(ctx, test, s.condition.span, "require")
    away = violations.elementwise(ctx, s.condition)
    if test.shape:  # an array of conditions is a plate of them
        both = [test, broadcast_to(away, test.shape)]
        ctx, (test, away), _ = algebra.each_copy(ctx, both, [0, 0], s.span, "a constraint")
    add_requirement(ctx, test, label, s.span, away)


def warn_of_certain(ctx: Context, test: Node, span: Span, word: str) -> None:
    """CG0505 where a condition holds, or fails, whatever its variables are."""
    sure = None if ctx.calls or test.is_const else intervals.truth(test)
    if sure is None:
        return
    if not sure and word == "require" and ctx.mask is None:
        text = "the constraint is false whatever the variables"
        raise ComposeError(Diagnostic("CG0503", text, span, help="look at the variables' types"), exit_code=4)
    ctx.session.warn("CG0505", f"this {'holds' if sure else 'fails'} whatever the variables are", span)


def add_requirement(ctx: Context, test: Node, label: str, span: Span, away: Node | None = None) -> None:
    """A hard constraint: weight 0 where it fails; `away` is how far it is from holding, by default 0 or 1."""
    away = cast_to(node("not", test), "real") if away is None else away
    add_term(ctx, node("where", test, constant(0.0), constant(np.inf)), "require", label, span, away)


def require_known(ctx: Context, test: Node, s: ast.Require, label: str) -> None:
    """A constraint without variables is checked once, at compile time."""
    assert test.value is not None
    if test.value.all() or equal_enough(ctx, s.condition):
        return
    if ctx.mask is not None and ctx.mask.is_const:
        relevant = node("or", node("not", ctx.mask), test)
        if relevant.value is not None and relevant.value.all():
            return
    gated = ctx.mask is not None and not ctx.mask.is_const
    if gated or ctx.calls:  # weight 0 under a gate, or outside a factor's support, is no error of the program
        if test.shape:
            ctx, (test,), _ = algebra.each_copy(ctx, [test], [0], s.span, "a constraint")
        add_requirement(ctx, test, label, s.span)
        return
    named = f' "{s.label}"' if s.label else ""
    text = f"the constraint{named} is false whatever the variables"
    falsehood = Diagnostic("CG0503", text, s.condition.span, label=sides_of(ctx, s.condition))
    raise ComposeError(falsehood, exit_code=4)


def sides_of(ctx: Context, condition: ast.Expr) -> str:
    """What a comparison of two known numbers compares: `0.9 against 1`."""
    if not isinstance(condition, ast.Compare) or len(condition.operands) != 2:
        return ""
    sides = [ctx.evaluate(operand) for operand in condition.operands]
    known = [f"{x.item():.10g}" for x in sides if isinstance(x, Node) and x.is_static_scalar]
    return " against ".join(known) if len(known) == 2 else ""


def equal_enough(ctx: Context, condition: ast.Expr) -> bool:
    """Whether reals that are required to be equal are so to 1e-9: a sum of weights that rounding put off 1."""
    if not isinstance(condition, ast.Compare) or condition.ops != ("==",):
        return False
    away = violations.violation(replace(ctx, mask=None), condition)
    return away.value is not None and bool((away.value <= 1e-9).all())


@rule(ast.Prefer)
def prefer(ctx: Context, s: ast.Prefer) -> None:
    warn_of_certain(ctx, condition_of(ctx, s.condition), s.condition.span, "prefer")
    away = violations.violation(ctx, s.condition)
    weight = ctx.number(s.weight) if s.weight is not None else constant(1.0)
    if s.weight is not None and weight.value is not None and (weight.value < 0).any():
        help = "a negative weight would reward the violation: prefer the opposite"
        fail("CG0204", "the weight of `prefer` must not be negative", s.weight.span, help=help)
    label = s.label or s.condition.span.text
    add_term(ctx, node("mul", weight, away), "prefer", label, s.span, away)


@rule(ast.Tilde)
def tilde(ctx: Context, s: ast.Tilde) -> None:
    subject = ctx.evaluate(s.subject)
    subjects = list(subject.items) if isinstance(subject, Cell) else [subject]
    spans = [i.span for i in s.subject.items] if isinstance(s.subject, ast.Tuple) else [s.subject.span]
    apply_to(
        ctx,
        [as_node(v, p) for v, p in zip(subjects, spans * (len(subjects) // len(spans)), strict=True)],
        s.factor,
        s.subject.span,
    )


def apply_to(ctx: Context, subjects: list[Node], written: ast.Expr, span: Span) -> None:
    """`subjects ~ factor`"""
    value = ctx.evaluate(written)
    factor = as_factor(value)
    if factor is None:
        help = ""
        if isinstance(written, ast.Call) and isinstance(written.function, ast.Name):
            help = (
                f"`{written.function.id}` computes a number; a factor is named with a capital: `Normal(0, 1)`"
            )
        fail(
            "CG0401",
            f"the right side of `~` must be a factor, not {describe(value)}",
            written.span,
            help=help,
        )
    if isinstance(factor, Applied):
        text = "the right side of `~` has its subjects already"
        fail(
            "CG0401",
            text,
            written.span,
            help="write it as a statement of its own, or leave out what is before `|`",
        )
    lints.lint_subjects(ctx, [(s, span) for s in subjects])
    note_location(ctx, subjects, factor)
    state(ctx, factor, subjects, span)


def statement_of(factor: Factor, subjects: Sequence[Node], span: Span) -> FactorStatement:
    what, is_density = factor.description, factor.normalised
    while isinstance(factor, Applied):
        subjects, factor = factor.subjects, factor.factor
        is_density = factor.normalised
    over = ", ".join(describe(s) for s in subjects)
    return FactorStatement(span, over or "what its parts are over", what, is_density)


def state(ctx: Context, factor: Factor, subjects: list[Node], span: Span) -> None:
    """Multiply the program by a factor of some subjects."""
    lints.lint_constant(ctx, factor, subjects, span)
    if not ctx.calls:
        ctx.session.statements.append(statement_of(factor, subjects, span))
    outer, ctx = ctx, ctx.session.interpretation.note(ctx, factor, subjects, span)
    for part in parts_of_product(factor):
        statement = draws.note_statement(outer, part, subjects, span)
        for term in algebra.terms(part, ctx, subjects, span):
            if statement is not None and not term.is_prior:
                term = replace(term, statement=statement)
            if not ctx.calls and ctx.session.interpretation.checks_support:
                arguments.require_possible(term, factor.description, subjects)
            ctx.emit(masked(ctx, term))


def parts_of_product(factor: Factor) -> list[Factor]:
    """The factors whose statements one after the other are the same as that of a plain product; else the factor."""
    if not isinstance(factor, Product) or factor.quotient is not None:
        return [factor]
    if not all(exponent.is_static_scalar and exponent.item() == 1 for _, exponent in factor.parts):
        return [factor]
    return [part for part, _ in factor.parts]


def note_location(ctx: Context, subjects: list[Node], factor: Factor) -> None:
    """Remember `x ~ F(location, scale)` of the standard library, for the choice of coordinates."""
    is_plain = ctx.mask is None and not ctx.is_choice and not ctx.weighed_by
    if len(subjects) != 1 or not is_plain or not isinstance(factor, WithInputs):
        return
    decl = factor.factor.decl
    names = LOCATION_SCALE.get(decl.name)
    if names is None or not decl.span.source.name.startswith("std."):
        return
    given = [factor.inputs[n][0] for n in names if n in factor.inputs]
    if len(given) == 2 and all(isinstance(x, Node) for x in given):
        ctx.session.location_scales.append(LocationScale(subjects[0], *given))


def masked(ctx: Context, term: Term) -> Term:
    """Composed terms take the caller's mask here; applications of declared factors have taken it already."""
    if (
        ctx.mask is None
        or term.is_prior
        or term.kind in ("require", "prefer")
        or (term.energy.op == "where" and term.energy.args[0] is ctx.mask)
    ):
        return term
    return replace(term, energy=node("where", ctx.mask, term.energy, constant(0.0)))


@rule(ast.Apply)
def apply(ctx: Context, s: ast.Apply) -> None:
    e = s.factor
    if isinstance(e, ast.Call) and e.inputs is None:
        callee = ctx.evaluate(e.function)
        if isinstance(callee, DeclaredFactor):
            subjects, inputs = (
                ", ".join(p.name for p in of) for of in (callee.decl.subjects, callee.decl.inputs)
            )
            name = callee.decl.name
            advice = f"as a statement, `{name}({subjects} | {inputs})` or `{subjects} ~ {name}({inputs})`"
            applied_factor = applied(ctx, with_inputs(ctx, callee, (), e.span), e.arguments, e.span, advice)
            lints.lint_subjects(ctx, lints.applied_in(applied_factor))
            state(ctx, applied_factor, [], s.span)
            return
    value = ctx.evaluate(e)
    factor = as_factor(value)
    if isinstance(factor, WithInputs) and factor.factor.is_program:
        factor = applied(ctx, factor, (), e.span)  # all its variables are its own
    if factor is None or factor.ranks:
        what = "names a factor but does not apply it" if factor is not None else f"is {describe(value)}"
        help = (
            "apply it: x ~ F(…), or F(x | …)"
            if factor is not None
            else "energy, require, let and ~ are statements"
        )
        fail("CG0406", f"this statement has no effect: it {what}", s.span, help=help)
    lints.lint_subjects(ctx, lints.applied_in(factor))
    state(ctx, factor, [], s.span)


@rule(ast.For)
def for_rule(ctx: Context, s: ast.For) -> None:
    opened = open_clauses(ctx, s.clauses, s.condition, s.span)
    for inner in s.body:
        if isinstance(inner, ast.Var):
            n = ", ".join(str(a.size) for a in opened.axes)
            help = f"declare an array before the loop: var {inner.name}: {inner.type.span.text}[{n}]"
            fail("CG0209", "a `var` inside a `for`", inner.span, help=help)
    if all(a.size for a in opened.axes):
        run_body(opened.context, s.body)


@rule(ast.If)
def if_rule(ctx: Context, s: ast.If) -> None:
    test = condition_of(ctx, s.test)
    if test.shape:
        fail("CG0204", f"`if` needs one truth value, not {describe(test)}", s.test.span)
    if test.is_static_scalar:
        chosen = s.then if test.item() else s.otherwise
        run_body(ctx, chosen)  # in the statement's place
        return
    for inner in (*s.then, *s.otherwise):
        if isinstance(inner, ast.Var):
            help = "declare it before: what stands under a condition on variables weighs, and declares none"
            fail(
                "CG0209", "a `var` under a condition that is not known at compile time", inner.span, help=help
            )
    run_body(ctx.under(test).child(), s.then)
    if s.otherwise:
        run_body(ctx.under(node("not", test)).child(), s.otherwise)


@rule(ast.Draw, ast.Observe)
def elsewhere(ctx: Context, s: ast.Statement) -> None:
    """`draw` is read where its density is drawn, `observe` in a loop where its variable is declared."""
