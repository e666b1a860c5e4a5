"""Built-in functions of factors: contrast, product and mixture over a range, log_weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from compose_lang.compiler.elaborate import plates
from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.expressions.functions import operands
from compose_lang.compiler.elaborate.factors import algebra
from compose_lang.compiler.elaborate.factors.normalise import normalised, truncated
from compose_lang.compiler.elaborate.factors.values import Contrast, as_factor
from compose_lang.compiler.elaborate.values import Factor, describe
from compose_lang.compiler.ir.build import cast_to, constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import fail
from compose_lang.grammar import ast


def factor_argument(ctx: Context, argument: ast.Argument) -> Factor:
    value = ctx.evaluate(argument.value)
    factor = as_factor(value)
    if factor is None:
        fail("CG0401", f"a factor is needed here, not {describe(value)}", argument.span)
    return factor


def contrast(ctx: Context, e: ast.Call) -> Factor:
    by_name = {a.name: a for a in e.arguments if a.name}
    by_place = [a for a in e.arguments if not a.name]
    if not 2 <= len(by_place) <= 3 or set(by_name) - {"strength"}:
        fail("CG0206", "contrast takes two factors, and optionally strength=", e.span)
    likes, dislikes = factor_argument(ctx, by_place[0]), factor_argument(ctx, by_place[1])
    given = by_name.get("strength") or (by_place[2] if len(by_place) == 3 else None)
    strength = cast_to(ctx.number(given.value), "real") if given else constant(1.0)
    if strength.value is not None and (strength.value < 0).any():
        assert given is not None
        fail("CG0204", "the strength of a contrast must not be negative", given.value.span)
    for f in (likes, dislikes):
        if not f.normalised:
            text = f"what this contrast weighs hangs on unknown constants: {f.description} is not normalised"
            ctx.session.warn("CG0403", text, e.span, help="divide its constant out: normalize(P)")
    return Contrast(likes, dislikes, strength, algebra.common_ranks([likes, dislikes], e.span, "a contrast"))


def gathered(kind: str) -> Callable[[Context, ast.Call], Factor]:
    """`product(F(i) for i in …)` and `mixture(w[k] * F(k) for k in …)`"""

    def run(ctx: Context, e: ast.Call) -> Factor:
        if len(e.arguments) != 1 or not isinstance(e.arguments[0].value, ast.Generator):
            fail("CG0206", f"{kind} takes a generator: {kind}(F(i) for i in range(n))", e.span)
        generator = e.arguments[0].value
        opened = plates.open_clauses(ctx, generator.clauses, generator.condition, generator.span)
        body = as_factor(opened.context.evaluate(generator.body))
        if body is None:
            fail("CG0401", f"{kind} takes factors", generator.body.span)
        return algebra.over_range(ctx, kind, body, opened, e.span)

    return run


def normalize(ctx: Context, e: ast.Call) -> Factor:
    if len(e.arguments) != 1 or e.arguments[0].name:
        fail("CG0206", "normalize takes one factor: normalize(P)", e.span)
    return normalised(ctx, factor_argument(ctx, e.arguments[0]), e.span)


def truncate(ctx: Context, e: ast.Call) -> Factor:
    names = ("P", "lo", "hi")
    given: dict[str, ast.Argument] = {}
    for place, argument in enumerate(e.arguments):
        name = argument.name or (names[place] if place < 3 else "")
        if name not in names or name in given:
            fail("CG0206", "truncate takes a factor and two bounds: truncate(P, lo, hi)", argument.span)
        given[name] = argument
    if "P" not in given or len(given) == 1:
        fail("CG0206", "truncate takes a factor and two bounds: truncate(P, lo, hi)", e.span)
    bounds = [
        cast_to(ctx.number(given[name].value), "real") if name in given else constant(edge)
        for name, edge in (("lo", -math.inf), ("hi", math.inf))
    ]
    for name, bound in zip(("lo", "hi"), bounds, strict=True):
        if bound.shape:
            text = f"a bound of truncate is one number, not {describe(bound)}"
            fail("CG0203", text, given[name].span, help="for a bound each, truncate inside a `for`")
    lower, upper = bounds
    return truncated(ctx, factor_argument(ctx, given["P"]), lower, upper, e.span)


def log_weight(ctx: Context, e: ast.Call) -> Node:
    if len(e.arguments) != 1:
        operands(ctx, e, 1)
    factor = factor_argument(ctx, e.arguments[0])
    if factor.ranks:
        fail("CG0206", "log_weight takes a factor with its subjects: log_weight(F(x | …))", e.span)
    return node("neg", algebra.total(factor, replace(ctx, mask=None, weighed_by="log_weight"), [], e.span))
