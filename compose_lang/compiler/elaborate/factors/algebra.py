"""The algebra of factors: `P * Q`, `w * P + v * Q`, `P / Q`, `P ^ b`, `contrast(P, Q)`.

A factor waits for its subjects; given them it yields `Term`s, each an energy summed over the plates around it.
A product lays its parts' terms side by side, so that every part keeps its own plates. A mixture or a contrast
must know each part's total, so it first makes a plate of the independent copies it is applied to, then sums
each part within a copy (language.md: the algebra of factors over T is a factor over T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.factors import lints
from compose_lang.compiler.elaborate.factors.values import (
    Applied,
    Contrast,
    Mixture,
    OverRange,
    Product,
    Scaled,
)
from compose_lang.compiler.elaborate.plates import Opened, one_copy
from compose_lang.compiler.elaborate.values import Factor, describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import (
    add_all,
    along,
    constant,
    gather_aligned,
    node,
    reduce_axis,
    sum_axes,
)
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import ShapeError, broadcast_shapes
from compose_lang.diagnostics import InternalError, Span, fail


@singledispatch
def terms(factor: Factor, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    """What a factor of some subjects adds to the energy."""
    raise InternalError(f"{factor.description} has no terms")


@terms.register(Applied)
def terms_of_applied(factor: Applied, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    return terms(factor.factor, ctx, factor.subjects, factor.span)


@terms.register(Product)
def terms_of_product(factor: Product, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    if factor.quotient is not None:
        lints.lint_quotient(ctx, factor.parts, subjects, factor.quotient)
    product_terms: list[Term] = []
    for part, exponent in factor.parts:
        is_plain = exponent.is_static_scalar and exponent.item() == 1
        is_weighed = not is_plain or id(part) in factor.divided
        inner = replace(ctx, weighed_by="a quotient or a power") if is_weighed else ctx
        for term in terms(part, inner, subjects, span):
            if is_plain:
                product_terms.append(term)
            elif term.kind == "require":
                if not (exponent.is_static_scalar and exponent.item() > 0):
                    text = "a factor with hard constraints cannot stand below `/` or under a power like this"
                    fail("CG0404", text, span, help="use contrast(P, Q)")
                product_terms.append(term)
            else:
                product_terms.append(replace(term, energy=node("mul", exponent, term.energy)))
    return product_terms


@terms.register(Scaled)
def terms_of_scaled(factor: Scaled, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    ranks = tuple(max(r, len(factor.weight.shape)) for r in factor.ranks)
    alone = Mixture(((factor.weight, factor.factor),), ranks, False, span, factor.description)
    return terms(alone, ctx, subjects, span)


@terms.register(Mixture)
def terms_of_mixture(factor: Mixture, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    ranks = factor.copy_ranks
    inner, copies, axes = each_copy(ctx, subjects, ranks, span, factor.description)
    lints.lint_choices(ctx, [f for _, f in factor.parts], ranks, axes, factor.written)
    lints.lint_weights(ctx, factor.parts, span)
    chosen = replace(inner, is_choice=inner.is_choice or len(factor.parts) > 1)
    logs, priors = [], []
    for weight, (_, part) in zip(copy_weights(factor, axes, span), factor.parts, strict=True):
        energy, beside = weigh(part, chosen, copies, span)
        priors += beside
        logs.append(node("sub", node("log", weight), energy))
    energy = node("neg", node("logsumexp", node("stack", *logs), attrs=(-1,)))
    return [Term(energy, inner.plates, "factor", factor.description, span), *priors]


def copy_weights(factor: Mixture, axes: Sequence[Axis | None], span: Span) -> list[Node]:
    """The weight of each part for one copy, the copies being along these axes."""
    columns = [along(a) if a else constant(0) for a in axes]
    sizes = [a.size if a else 1 for a in axes]
    weights = []
    for weight, _ in factor.parts:
        if weight.shape:
            beside = sizes[len(sizes) - len(weight.shape) :] if len(weight.shape) <= len(sizes) else []
            if not beside or any(n not in (1, m) for n, m in zip(weight.shape, beside, strict=True)):
                text = f"shapes do not match: weights are {describe(weight)}, the copies {sizes}"
                fail("CG0203", text, span)
            weight = gather_aligned(weight, columns, len(columns))
        weights.append(weight)
    return weights


@terms.register(Contrast)
def terms_of_contrast(factor: Contrast, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    inner, copies, _ = each_copy(ctx, subjects, factor.ranks, span, factor.description)
    inner = replace(inner, weighed_by="a contrast")
    p = node("neg", total(factor.likes, inner, copies, span))
    q = node("sub", node("log", factor.strength), total(factor.dislikes, inner, copies, span))
    both = node("logsumexp", node("stack", p, q), attrs=(-1,))
    # where p is 0 the contrast is 0, and 2p - log(P + sQ) would be inf - inf where both are
    possible = node("gt", p, constant(float("-inf")))
    safe = node("where", possible, p, constant(0.0))
    energy = node("sub", both, node("mul", constant(2.0), safe))
    energy = node("where", possible, energy, constant(float("inf")))
    return [Term(energy, inner.plates, "factor", factor.description, span)]


@terms.register(OverRange)
def terms_over_range(factor: OverRange, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    if factor.kind == "product":
        if not all(axis.size for axis in factor.axes):
            return []
        inner = replace(ctx, plates=(*ctx.plates, *factor.axes))
        inner = inner if factor.mask is None else inner.under(factor.mask)
        return terms(factor.body, inner, subjects, span)
    outside, copies, axes = each_copy(ctx, subjects, factor.ranks, span, factor.description)
    inner = replace(outside, plates=(*outside.plates, *factor.axes))
    weight, part = weight_and_part(factor.body)
    lints.lint_choices(ctx, [part], factor.ranks, axes, factor.written)
    sums = weight_over(weight, factor.axes, factor.mask)
    if part.normalised and sums.is_static_scalar:
        lints.lint_sum(ctx, float(sums.item()), factor.written)
    energy, priors = weigh(part, replace(inner, is_choice=True), copies, span)
    logs = node("sub", node("log", weight), energy)
    if factor.mask is not None:
        logs = node("where", factor.mask, logs, constant(float("-inf")))
    for axis in factor.axes:
        logs = reduce_axis("logsumexp", logs, axis)
    return [Term(node("neg", logs), outside.plates, "factor", factor.description, span), *priors]


def total(part: Factor, ctx: Context, subjects: Sequence[Node], span: Span) -> Node:
    """A factor's energy as one number for each instance of the context's plates."""
    return summed(terms(part, ctx, subjects, span), ctx)


def weigh(part: Factor, ctx: Context, subjects: Sequence[Node], span: Span) -> tuple[Node, list[Term]]:
    """A factor's energy as `total` gives it, and beside it the densities of its own variables that always count."""
    both = terms(part, ctx, subjects, span)
    return summed([t for t in both if not t.is_prior], ctx), [t for t in both if t.is_prior]


def summed(terms: Sequence[Term], ctx: Context) -> Node:
    outer = set(ctx.plates)
    return add_all([sum_axes(t.energy, [a for a in t.axes if a not in outer]) for t in terms])


def each_copy(
    ctx: Context, subjects: Sequence[Node], ranks: Sequence[int], span: Span, what: str
) -> tuple[Context, list[Node], list[Axis | None]]:
    """Make a plate of the independent copies that the subjects' leading axes mean.

    Returns the context inside it, the subjects of one copy, and the new axes (None where of length 1).
    """
    leading = []
    for s, r in zip(subjects, ranks, strict=True):
        if len(s.shape) < r:
            text = f"{what} is over arrays of {r} axes, the subject is {describe(s)}"
            fail("CG0203", f"shapes do not match: {text}", span)
        leading.append(s.shape[: len(s.shape) - r])
    try:
        batch = broadcast_shapes(*leading)
    except ShapeError:
        shown = " against ".join(describe(s) for s in subjects)
        fail("CG0203", f"shapes do not match: {shown}", span)
    axes: list[Axis | None] = [Axis(n) if n != 1 else None for n in batch]
    columns = [along(a) if a else constant(0) for a in axes]
    copies = [one_copy(s, len(lead), columns) for s, lead in zip(subjects, leading, strict=True)]
    inner = replace(ctx, plates=(*ctx.plates, *(a for a in axes if a)))
    return inner, copies, axes


# --- building compositions ------------------------------------------------------------------------------


def common_ranks(parts: Sequence[Factor], span: Span, what: str) -> tuple[int, ...]:
    """The subjects of a composition: those of its parts, the widest of each."""
    counts = {len(p.ranks) for p in parts}
    if len(counts) != 1:
        shown = ", ".join(f"{p.description} over {len(p.ranks)}" for p in parts)
        fail("CG0408", f"the parts of {what} are over different numbers of subjects: {shown}", span)
    return tuple(max(r) for r in zip(*(p.ranks for p in parts), strict=True))


def powers(factor: Factor, exponent: Node) -> list[tuple[Factor, Node]]:
    """A factor to a power as parts of a product; nested products are flattened."""
    if isinstance(factor, Product):
        return [(f, node("mul", e, exponent)) for f, e in factor.parts]
    return [(factor, exponent)]


def product(parts: Sequence[tuple[Factor, Node]], span: Span, quotient: Span | None = None) -> Factor:
    """The product of powers; quotient: where a `/` is written, if there is one."""
    flat = [p for f, e in parts for p in powers(f, e)]
    nested = [f for f, _ in parts if isinstance(f, Product)]
    inner = [f.quotient for f in nested if f.quotient is not None]
    divided = (
        frozenset(id(f) for f, _ in flat) if quotient else frozenset().union(*(f.divided for f in nested))
    )
    ranks = common_ranks([f for f, _ in flat], span, "a product")
    return Product(tuple(flat), ranks, quotient=quotient or next(iter(inner), None), divided=divided)


def scaled(weight: Node, factor: Factor, span: Span) -> Scaled:
    if weight.is_const and weight.value is not None and (weight.value < 0).any():
        fail("CG0401", "the weight of a factor must not be negative", span)
    if isinstance(factor, Scaled):
        return Scaled(node("mul", weight, factor.weight), factor.factor)
    return Scaled(weight, factor)


def weight_and_part(factor: Factor) -> tuple[Node, Factor]:
    """A part of a mixture as a weight and what is weighed."""
    return (factor.weight, factor.factor) if isinstance(factor, Scaled) else (constant(1.0), factor)


def mixture(ctx: Context, parts: Sequence[Factor], span: Span) -> Mixture:
    """The sum of weighted factors; nested sums are flattened."""
    flat: list[tuple[Node, Factor]] = []
    for part in parts:
        weight, inner = weight_and_part(part)
        if isinstance(part, Mixture):
            flat.extend(part.parts)
        elif isinstance(inner, Mixture):
            flat.extend((node("mul", weight, w), f) for w, f in inner.parts)
        else:
            flat.append((weight, inner))
    members = [f for _, f in flat]
    sums = add_all([w for w, _ in flat])
    ranks = common_ranks(members, span, "a mixture")
    lints.lint_constants(ctx, members, span)
    wide = len(broadcast_shapes(*(w.shape for w, _ in flat)))
    ranks = tuple(max(r, wide) for r in ranks)
    return Mixture(tuple(flat), ranks, all(f.normalised for f in members) and may_be_one(sums), span)


def may_be_one(sums: Node) -> bool:
    """Whether weights sum to 1, as far as it is known at compile time."""
    return sums.value is None or bool((abs(sums.value - 1) < 1e-9).all())


# --- over a range ---------------------------------------------------------------------------------------


def weight_over(weight: Node, axes: Sequence[Axis], mask: Node | None) -> Node:
    """The sum of a mixture's weights over its range, those that a filter leaves out not counted."""
    return sum_axes(weight if mask is None else node("where", mask, weight, constant(0.0)), axes)


def over_range(ctx: Context, kind: str, body: Factor, opened: Opened, span: Span) -> OverRange:
    """A factor over the range that some clauses opened."""
    if kind == "mixture" and not all(axis.size for axis in opened.axes):
        fail("CG0204", "this mixture has nothing to choose from: its range is empty", span)
    weight, part = weight_and_part(body)
    normalised = False
    if kind == "mixture":
        lints.lint_constants(ctx, [part], span, opened.axes)
        normalised = part.normalised and may_be_one(weight_over(weight, opened.axes, opened.mask))
    return OverRange(kind, body, opened.axes, opened.mask, part.ranks, normalised, span)
