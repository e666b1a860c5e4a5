"""Expressions: from syntax to IR nodes, factors, index sets and the other things a name can stand for.

Everything known at compile time folds while it is built, so that `x[2 * n - 1]` or `if debug then …` need no
machinery of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, rule, usable
from compose_lang.compiler.elaborate.declarations import named_values
from compose_lang.compiler.elaborate.expressions import texts
from compose_lang.compiler.elaborate.factors import algebra
from compose_lang.compiler.elaborate.factors.values import as_factor
from compose_lang.compiler.elaborate.plates import array_over, open_clauses
from compose_lang.compiler.elaborate.values import (
    Cell,
    Factor,
    IndexSet,
    NamedType,
    Namespace,
    Texts,
    as_node,
    describe,
    truth,
)
from compose_lang.compiler.ir.build import cast_to, constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import ShapeError
from compose_lang.compiler.ir.ops import OPS
from compose_lang.compiler.ir.types import value_range
from compose_lang.compiler.names.suggestions import foreign_method
from compose_lang.diagnostics import Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

OPERATORS = {op.symbol: name for name, op in OPS.items() if op.symbol}


def build(op: str, args: Sequence[Node], spans: Sequence[Span], attrs: tuple[Any, ...] = ()) -> Node:
    """An operation on checked arguments; operands that do not fit are reported with both shapes."""
    try:
        return node(op, *args, attrs=attrs)
    except ShapeError as wrong:
        shown = " against ".join(describe(a) for a in args)
        labels = tuple(Label(s, describe(a)) for a, s in zip(args[1:], spans[1:], strict=False))
        help = matmul_hint(args) if op == "mul" else ""
        fail("CG0203", f"{wrong}: {shown}", spans[0], labels=labels, label=describe(args[0]), help=help)


def matmul_hint(args: Sequence[Node]) -> str:
    """Advice where `*` is written between what `@` would join."""
    left, right = (a.shape for a in args)
    joins = left and right and left[-1] == right[max(0, len(right) - 2)]
    return "`*` works element by element; a matrix product is `@`" if joins else ""


def guarded(ctx: Context, x: Node) -> Node:
    """x where the branch it stands in is taken, elsewhere a harmless number.

    Both branches of a conditional are computed; a logarithm of a negative number in the one that is not taken
    would turn the gradient into NaN.
    """
    if x.is_const:
        return x
    for guard in ctx.guards:
        if not guard.is_const and (set(guard.axes) <= set(ctx.plates)):
            x = node("where", guard, x, constant(0.5))
    return x


# --- leaves -----------------------------------------------------------------------------------------------


@rule(ast.Number)
def number(ctx: Context, e: ast.Number) -> Node:
    if isinstance(e.value, int) and not -(2**63) <= e.value < 2**63:
        return constant(float(e.value))
    return constant(e.value)


@rule(ast.String)
def string(ctx: Context, e: ast.String) -> str:
    return e.value


@rule(ast.Name)
def name(ctx: Context, e: ast.Name) -> Any:
    value = ctx.lookup(e.id, e.span)
    return value.value(e.span) if isinstance(value, named_values.ValueName) else value


@rule(ast.Array)
def array(ctx: Context, e: ast.Array) -> Node | Texts:
    if not e.items:
        return constant(np.zeros(0))
    if all(isinstance(item, ast.String) for item in e.items):
        return Texts(np.array([item.value for item in e.items if isinstance(item, ast.String)]))
    items = [ctx.number(item) for item in e.items]
    shapes = {i.shape for i in items}
    if len(shapes) > 1:
        odd = next(k for k, i in enumerate(items) if i.shape != items[0].shape)
        text = f"the parts of an array differ in shape: {describe(items[0])} and {describe(items[odd])}"
        labels = (Label(e.items[0].span, describe(items[0])),)
        fail("CG0203", text, e.items[odd].span, labels=labels, label=describe(items[odd]))
    return build("stack", items, [i.span for i in e.items])


@rule(ast.Tuple)
def tuple_of(ctx: Context, e: ast.Tuple) -> Cell:
    return Cell(tuple(ctx.evaluate(item) for item in e.items))


# --- operators --------------------------------------------------------------------------------------------


@rule(ast.Unary)
def unary(ctx: Context, e: ast.Unary) -> Node:
    value = ctx.evaluate(e.operand)
    if e.op == "-" and as_factor(value) is not None:
        help = "P ^ -1 inverts a factor; contrast(P, Q) is P but not Q"
        fail("CG0401", f"`-` does not apply to {describe(value)}", e.span, help=help)
    x = as_node(value, e.operand.span)
    if e.op == "not":
        return node("not", truth(x, e.operand.span))
    return node("neg", x) if e.op == "-" else x


@rule(ast.Binary)
def binary(ctx: Context, e: ast.Binary) -> Any:
    left, right = ctx.evaluate(e.left), ctx.evaluate(e.right)
    one, two = as_factor(left), as_factor(right)
    if one is not None or two is not None:
        return compose(ctx, e, one or left, two or right)
    x, y = as_node(left, e.left.span), as_node(right, e.right.span)
    if e.op in ("/", "//", "%"):
        if y.value is not None and y.dtype != "real" and (y.value == 0).any() and e.op != "/":
            fail("CG0204", "division by zero", e.right.span)
        y = guarded(ctx, y)
    if e.op == "^":
        return power(ctx, x, y, e)
    return build(OPERATORS[e.op], (x, y), (e.left.span, e.right.span))


def power(ctx: Context, x: Node, y: Node, e: ast.Binary) -> Node:
    """`x ^ y`; small whole exponents are products, which keep signs and gradients exact."""
    if y.is_static_scalar and float(y.item()) in (2.0, 3.0, 4.0):
        times = int(y.item())
        square = node("mul", x, x)
        product = {
            2: lambda: square,
            3: lambda: node("mul", square, x),
            4: lambda: node("mul", square, square),
        }[times]()
        return product if y.dtype != "real" else cast_to(product, "real")
    if y.is_static_scalar and float(y.item()) == 0.5:
        return node("sqrt", guarded(ctx, x))
    are_integers = x.is_static_scalar and y.is_static_scalar and x.dtype == y.dtype == "int"
    if are_integers and y.item() * int(x.item()).bit_length() >= 63:  # 10^30 is no integer of 64 bits
        x = cast_to(x, "real")
    if x.dtype != "real" and y.dtype != "real" and not (y.value is not None and (y.value >= 0).all()):
        x = cast_to(x, "real")
    return build("pow", (guarded(ctx, x), y), (e.left.span, e.right.span))


def compose(ctx: Context, e: ast.Binary, left: Any, right: Any) -> Factor:
    """Operators where a factor stands on at least one side."""
    one, two = as_factor(left), as_factor(right)
    unit, minus = constant(1.0), constant(-1.0)
    if e.op == "+" and one is not None and two is not None:
        return algebra.mixture(ctx, [one, two], e.span)
    if e.op == "*":
        if one is not None and two is not None:
            return algebra.product([(one, unit), (two, unit)], e.span)
        factor, weight, place = (one, right, e.right) if one is not None else (two, left, e.left)
        assert factor is not None
        share = as_node(weight, place.span)
        if share.domain is not None and share.variables and value_range(share.domain)[0] < 0:
            text = f"the weight of a factor is not negative, but `{place.span.text}` is {share.domain}"
            ctx.session.warn("CG0405", text, place.span, help="declare it as unit or positive")
        return algebra.scaled(share, factor, e.span)
    if e.op == "/" and one is not None:
        if two is None:
            weight = node("div", unit, as_node(right, e.right.span))
            return algebra.scaled(weight, one, e.span)
        return algebra.product([(one, unit), (two, minus)], e.span, quotient=e.span)
    if e.op == "^" and one is not None and two is None:
        exponent = as_node(right, e.right.span)
        if exponent.shape:
            fail(
                "CG0203", f"the power of a factor must be one number, not {describe(exponent)}", e.right.span
            )
        return algebra.product([(one, exponent)], e.span)
    lhs, rhs = describe(left), describe(right)
    help = "factors compose by P * Q, w * P + v * Q, P / Q, P ^ b and contrast(P, Q)"
    if one is None or two is None:
        help += "; a factor's weight as a number is exp(log_weight(F(x | …)))"
    fail("CG0401", f"`{e.op}` does not join {lhs} and {rhs}", e.span, help=help)


@rule(ast.Compare)
def compare(ctx: Context, e: ast.Compare) -> Node:
    values = named_values.evaluate_beside(ctx, e.operands)
    tests = []
    for place, op in enumerate(e.ops):
        left, right = values[place], values[place + 1]
        spans = (e.operands[place].span, e.operands[place + 1].span)
        if texts.is_textual(left) or texts.is_textual(right):
            tests.append(texts.compare(left, op, right, spans[0].to(spans[1])))
        elif op in ("in", "not in"):
            inside = membership(left, right, spans)
            tests.append(node("not", inside) if op == "not in" else inside)
        else:
            tests.append(build(OPERATORS[op], (as_node(left, spans[0]), as_node(right, spans[1])), spans))
    return functools.reduce(lambda a, b: node("and", a, b), tests)


def membership(item: Any, group: Any, spans: tuple[Span, Span]) -> Node:
    """`x in [1, 2]` and `i in range(n)`: whether any element is equal."""
    x = as_node(item, spans[0])
    if isinstance(group, IndexSet) and isinstance(group.columns, np.ndarray):
        group = constant(group.columns)
    values = as_node(group, spans[1])
    if len(values.shape) != 1:
        fail("CG0204", f"`in` needs a list of values, not {describe(values)}", spans[1])
    spread = node("reshape", x, attrs=((*x.shape, 1),))
    return node("any", node("eq", spread, values), attrs=(-1,))


@rule(ast.Logical)
def logical(ctx: Context, e: ast.Logical) -> Node:
    tests = [truth(ctx.number(o), o.span) for o in e.operands]
    joined = tests[0]
    for test, operand in zip(tests[1:], e.operands[1:], strict=True):
        joined = build(e.op, (joined, test), (e.operands[0].span, operand.span))
    return joined


@rule(ast.Conditional)
def conditional(ctx: Context, e: ast.Conditional) -> Any:
    test = truth(ctx.number(e.test), e.test.span)
    if test.is_static_scalar:
        return ctx.evaluate(e.then if test.item() else e.otherwise)
    taken = ctx.under(test)
    refused = ctx.under(node("not", test))
    then, otherwise = taken.evaluate(e.then), refused.evaluate(e.otherwise)
    if as_factor(then) is not None or as_factor(otherwise) is not None:
        help = f"state each under its condition: `if {e.test.span.text} {{ x ~ … }} else {{ x ~ … }}`"
        text = "a factor cannot be chosen by a condition that is not known at compile time"
        fail("CG0208", text, e.span, help=help)
    spans = (e.test.span, e.then.span, e.otherwise.span)
    args = (test, as_node(then, spans[1]), as_node(otherwise, spans[2]))
    return build("where", args, spans)


@rule(ast.Attribute)
def attribute(ctx: Context, e: ast.Attribute) -> Any:
    base = ctx.evaluate(e.base)
    if isinstance(base, Namespace):
        if e.name in base.scope.own_names():
            return usable(base.scope.find(e.name), e.span)
        own = base.scope.own_names()
        help = did_you_mean(e.name, own) or f"it declares {', '.join(sorted(own))}"
        fail("CG0201", f"`{base.name}` has no `{e.name}`", e.span, help=help)
    if isinstance(base, NamedType) and e.name in base.type.domain.names:
        return named_values.value_of(e.name, base.type.domain)
    if isinstance(base, NamedType) and base.type.domain.names:
        known = base.type.domain.names
        help = did_you_mean(e.name, known) or f"it has {', '.join(known)}"
        fail("CG0201", f"`{e.base.span.text}` has no value `{e.name}`", e.span, help=help)
    names = set(ctx.scope.all_names())
    help = foreign_method(e.name, e.base.span.text, names) if isinstance(base, Node) else ""
    fail("CG0201", f"{describe(base)} has no `{e.name}`", e.span, help=help)


# --- comprehensions and calls -----------------------------------------------------------------------------


@rule(ast.ArrayComprehension)
def array_comprehension(ctx: Context, e: ast.ArrayComprehension) -> Node:
    opened = open_clauses(ctx, e.clauses, e.condition, e.span)
    if opened.mask is not None:
        fail(
            "CG0208",
            "an array's length must be known: this filter or range depends on what is outside it",
            e.span,
        )
    return array_over(opened.context.number(e.body), opened.axes)


@rule(ast.Generator)
def generator(ctx: Context, e: ast.Generator) -> Any:
    fail("CG0101", "a `for` here needs a function around it, as in sum(… for …), or brackets", e.span)


@rule(ast.LearnValue)
def learn(ctx: Context, e: ast.LearnValue) -> Any:
    text = "`learn` stands only on the right of a declaration: `density F(x: real) = learn …`"
    fail("CG0209", text, e.span)
