"""How far a constraint is from holding, as a number ≥ 0: what `prefer` weighs and what a search descends.

language.md: max(0, a − b) for `a <= b`, |a − b| for `a == b` between reals, the sum for `and` and for an array,
the minimum for `or`; `not` is pushed inwards; 0 or 1 for what compares only discrete values, and for `!=`. A function
that gives a truth value has the violation of its body, as if it stood in its place.
"""

from __future__ import annotations

import functools

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations import named_values
from compose_lang.compiler.elaborate.expressions import operators, texts
from compose_lang.compiler.elaborate.values import as_node, truth
from compose_lang.compiler.ir.build import cast_to, constant, node, reduce_axis
from compose_lang.compiler.ir.node import Node, leaves
from compose_lang.compiler.ir.operation import op_of
from compose_lang.grammar import ast

OPPOSITE = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
}


def violation(ctx: Context, condition: ast.Expr) -> Node:
    """The violation of a condition as one number: that of an array is the sum."""
    away = elementwise(ctx, condition)
    for _ in away.shape:
        away = node("sum", away, attrs=(-1,))
    return away


def elementwise(ctx: Context, condition: ast.Expr, holds: bool = True) -> Node:
    """The violation of each element of a condition (of its negation where `holds` is false)."""
    if isinstance(condition, ast.Unary) and condition.op == "not":
        return elementwise(ctx, condition.operand, not holds)
    if isinstance(condition, ast.Logical):
        parts = [elementwise(ctx, o, holds) for o in condition.operands]
        every = (condition.op == "and") == holds
        return functools.reduce(lambda a, b: node("add" if every else "minimum", a, b), parts)
    if isinstance(condition, ast.Compare):
        pairs = zip(condition.operands, condition.operands[1:], condition.ops, strict=False)
        parts = [compare(ctx, left, right, op if holds else OPPOSITE[op]) for left, right, op in pairs]
        return functools.reduce(lambda a, b: node("add" if holds else "minimum", a, b), parts)
    return of_test(truth(ctx.number(condition), condition.span), holds)


def of_test(test: Node, holds: bool) -> Node:
    """The violation of what a condition has come to, of a function's body for example: of each of its elements."""
    if not (test.dtype == "bool" and depends_on_continuous(test)):
        return broken(test, holds)
    kind, args = test.attrs[0] if test.op == "reduce_axis" else test.op, test.args
    match kind:
        case "not":
            return of_test(args[0], not holds)
        case "and" | "or":
            adds = (kind == "and") == holds
            return node("add" if adds else "minimum", *(of_test(a, holds) for a in args))
        case "all" | "any" if not is_empty(test):
            adds = (kind == "all") == holds
            inner = of_test(args[0], holds)
            if test.op == "reduce_axis":
                return reduce_axis("sum" if adds else "min", inner, test.attrs[1])
            return node("sum" if adds else "min", inner, attrs=test.attrs)
        case "collect" | "stack" | "broadcast":
            return node(kind, *(of_test(a, holds) for a in args), attrs=test.attrs)
        case "where":
            return node("where", args[0], *(of_test(a, holds) for a in args[1:]))
    comparison = op_of(test).comparison
    if comparison is None or (comparison.lower == comparison.upper != holds):
        return broken(test, holds)
    if comparison.lower == comparison.upper:
        return node("abs", node("sub", *args))
    low, high = args if comparison.upper == holds else args[::-1]
    return cast_to(node("maximum", node("sub", low, high), constant(0.0)), "real")


def is_empty(reduction: Node) -> bool:
    inner = reduction.args[0]
    return (
        reduction.attrs[1].size if reduction.op == "reduce_axis" else inner.shape[reduction.attrs[0]]
    ) == 0


def broken(test: Node, holds: bool) -> Node:
    """1 where a condition fails, else 0."""
    return cast_to(node("not", test) if holds else test, "real")


def compare(ctx: Context, left: ast.Expr, right: ast.Expr, op: str) -> Node:
    span = left.span.to(right.span)
    comparison = ast.Compare((left, right), (op,), span=span)
    if op in ("in", "not in", "!="):
        return cast_to(node("not", ctx.number(comparison)), "real")
    sides = named_values.evaluate_beside(ctx, (left, right))
    if any(texts.is_textual(side) for side in sides):
        return cast_to(node("not", ctx.number(comparison)), "real")
    a, b = (as_node(v, s.span) for v, s in zip(sides, (left, right), strict=True))
    if a.dtype != "real" and b.dtype != "real":
        return cast_to(node("not", ctx.number(comparison)), "real")
    if op == "==":
        return node("abs", operators.build("sub", (a, b), (left.span, right.span)))
    low, high = (a, b) if op in ("<", "<=") else (b, a)
    gap = operators.build("sub", (low, high), (left.span, right.span))
    return cast_to(node("maximum", gap, constant(0.0)), "real")


def equates_reals(ctx: Context, condition: ast.Expr) -> ast.Expr | None:
    """The part of a condition that is a hard equality between continuous values, if any must hold."""
    if isinstance(condition, ast.Logical) and condition.op == "and":
        return next((f for o in condition.operands if (f := equates_reals(ctx, o)) is not None), None)
    if isinstance(condition, ast.Compare) and "==" in condition.ops:
        for left, right, op in zip(condition.operands, condition.operands[1:], condition.ops, strict=False):
            if op != "==":
                continue
            sides = named_values.evaluate_beside(ctx, (left, right))
            nodes = [s for s in sides if isinstance(s, Node)]
            if any(n.dtype == "real" and depends_on_continuous(n) for n in nodes):
                return condition
    return None


def depends_on_continuous(x: Node) -> bool:
    return any(leaf.op == "var" and leaf.dtype == "real" for leaf in leaves(x))
