"""`mh(proposal=Normal(w, 0.1))`: a density that proposes new values, as nodes over the present state.

The names in a proposal are the program's: they read the state that a chain is in. What is proposed stands in slots of
its own, so that the density of a proposal is one expression for both ways: forth, the slots hold what was drawn and
the variables the present state; back, the other way round (Hastings 1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.factors.algebra import total
from compose_lang.compiler.elaborate.factors.draws import draw_and_noise
from compose_lang.compiler.elaborate.factors.values import Applied, as_factor
from compose_lang.compiler.elaborate.plates import collect_over
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.graph.factor_graph import Proposal, Variable
from compose_lang.compiler.ir.build import (
    along,
    broadcast_to,
    cast_to,
    gather,
    slot,
    sum_axes,
)
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import fail
from compose_lang.grammar import ast


def proposal(ctx: Context, targets: Sequence[Variable], written: ast.Expr) -> Proposal:
    """The proposal that an expression means for some variables; CG0606 where it cannot propose for them."""
    factor = as_factor(value := ctx.evaluate(written))
    if factor is None:
        help = "names in it read the present state: proposal=Normal(w, 0.1)"
        fail("CG0606", f"a proposal is a density, not {describe(value)}", written.span, help=help)
    if isinstance(factor, Applied):
        help = "leave out what is before `|`"
        fail("CG0606", "a proposal waits for what it proposes", written.span, help=help)
    if len(factor.ranks) != len(targets):
        names, count = ", ".join(f"`{v.name}`" for v in targets), len(factor.ranks)
        over = f"{count} subject{'s' if count != 1 else ''}"
        text = f"{factor.description} is over {over}, but is to propose {names}"
        help = "one `infer` for each variable, or a density over all of them" if count == 1 else ""
        fail("CG0606", text, written.span, help=help)
    for v in targets:
        if not v.free.all():
            text = f"part of `{v.name}` is observed, and a proposal draws all of it"
            fail(
                "CG0606",
                text,
                written.span,
                help="declare what is observed as a variable of its own, or as data",
            )
    slots = tuple(slot(v.name, v.type.full_shape, dtype=v.node.dtype) for v in targets)
    columns = [along(a) for a in ctx.plates]
    subjects = [gather(s, columns) for s in slots]
    inner = replace(ctx, weighed_by="a proposal", is_drawn=True)
    drawn, noise = draw_and_noise(inner, factor, subjects, written.span)
    energy = sum_axes(total(factor, inner, subjects, written.span), ctx.plates)
    values = tuple(whole(ctx, one, v, written) for one, v in zip(drawn, targets, strict=True))
    return Proposal(tuple(v.name for v in targets), values, noise, slots, energy, written.span.text)


def whole(ctx: Context, drawn: Node, v: Variable, written: ast.Expr) -> Node:
    """A draw as a value of a variable, over the plates around the program."""
    if v.is_discrete and drawn.dtype == "real":
        fail("CG0606", f"reals are proposed, but `{v.name}` is {v.type.domain}", written.span)
    return cast_to(broadcast_to(collect_over(drawn, ctx.plates), v.type.full_shape), v.node.dtype)
