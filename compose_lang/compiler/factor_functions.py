"""Built-in functions of factors: contrast, product and mixture over a range, log_weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compose_lang.compiler import clauses, expressions, factors
from compose_lang.compiler.context import Context, fail
from compose_lang.compiler.functions import operands
from compose_lang.compiler.ir import Node, cast_to, constant, node
from compose_lang.compiler.values import describe
from compose_lang.grammar import ast


def factor_argument(ctx: Context, argument: ast.Argument) -> factors.Factor:
    value = expressions.evaluate(ctx, argument.value)
    made = factors.as_factor(value)
    if made is None:
        fail("CG0401", f"a factor is needed here, not {describe(value)}", argument.span)
    return made


def contrast(ctx: Context, e: ast.Call) -> factors.Factor:
    by_name = {a.name: a for a in e.arguments if a.name}
    by_place = [a for a in e.arguments if not a.name]
    if not 2 <= len(by_place) <= 3 or set(by_name) - {"strength"}:
        fail("CG0206", "contrast takes two factors, and optionally strength=", e.span)
    likes, dislikes = factor_argument(ctx, by_place[0]), factor_argument(ctx, by_place[1])
    given = by_name.get("strength") or (by_place[2] if len(by_place) == 3 else None)
    strength = cast_to(expressions.number(ctx, given.value), "real") if given else constant(1.0)
    if strength.value is not None and (strength.value < 0).any():
        assert given is not None
        fail("CG0204", "the strength of a contrast must not be negative", given.value.span)
    for f in (likes, dislikes):
        if not f.normalised:
            text = f"what this contrast weighs hangs on unknown constants: {f.description} is not normalised"
            ctx.session.warn("CG0403", text, e.span)
    return factors.Contrast(
        likes, dislikes, strength, factors.common_ranks([likes, dislikes], e.span, "a contrast")
    )


def gathered(kind: str) -> Callable[[Context, ast.Call], factors.Factor]:
    """`product(F(i) for i in …)` and `mixture(w[k] * F(k) for k in …)`"""

    def run(ctx: Context, e: ast.Call) -> factors.Factor:
        if len(e.arguments) != 1 or not isinstance(e.arguments[0].value, ast.Generator):
            fail("CG0206", f"{kind} takes a generator: {kind}(F(i) for i in range(n))", e.span)
        generator = e.arguments[0].value
        opened = clauses.open_clauses(ctx, generator.clauses, generator.condition, generator.span)
        body = factors.as_factor(expressions.evaluate(opened.context, generator.body))
        if body is None:
            fail("CG0401", f"{kind} takes factors", generator.body.span)
        return factors.over_range(kind, body, opened, e.span)

    return run


def log_weight(ctx: Context, e: ast.Call) -> Node:
    if len(e.arguments) != 1:
        operands(ctx, e, 1)
    made = factor_argument(ctx, e.arguments[0])
    if made.ranks:
        fail("CG0206", "log_weight takes a factor with its subjects: log_weight(F(x | …))", e.span)
    return node("neg", factors.total(made, replace(ctx, mask=None, weighed_by="log_weight"), [], e.span))
