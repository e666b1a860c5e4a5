"""Factors as values, and their algebra: `P * Q`, `w * P + v * Q`, `P / Q`, `P ^ b`, `contrast(P, Q)`.

A factor waits for its subjects; given them it yields `Term`s, each an energy summed over the plates around it.
A product lays its parts' terms side by side, so that every part keeps its own plates. A mixture or a contrast
must know each part's total, so it first makes a plate of the independent copies it is applied to, then sums
each part within a copy (language.md: the algebra of factors over T is a factor over T).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.factors import lints
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import (
    add_all,
    along,
    constant,
    gather,
    node,
    reduce_axis,
    sum_axes,
)
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import ShapeError, broadcast_shapes
from compose_lang.diagnostics import Span, fail


class Factor(Protocol):
    """A function into weights, given its inputs and waiting for its subjects."""

    @property
    def description(self) -> str: ...

    @property
    def ranks(self) -> tuple[int, ...]:
        """Axes of each subject that belong to one copy of the factor."""
        ...

    @property
    def normalised(self) -> bool:
        """Whether the weights sum to 1 over the subjects, whatever the inputs."""
        ...

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]: ...


@dataclass(frozen=True)
class Applied:
    """A factor with its subjects: it joins the algebra as a factor over nothing more."""

    factor: Factor
    subjects: tuple[Node, ...]
    span: Span
    normalised: bool = False
    ranks: tuple[int, ...] = ()

    @property
    def description(self) -> str:
        return self.factor.description

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        return self.factor.terms(ctx, self.subjects, self.span)


@dataclass(frozen=True)
class Product:
    """Factors with exponents: `P * Q`, `P / Q`, `P ^ b` and their compositions."""

    parts: tuple[tuple[Factor, Node], ...]
    ranks: tuple[int, ...]
    description: str = "a product of factors"
    normalised: bool = False
    quotient: Span | None = None  #: where a `/` is written in it
    divided: frozenset[int] = frozenset()  #: ids of the parts that stand in that quotient

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        if self.quotient is not None:
            lints.lint_quotient(ctx, self.parts, subjects, self.quotient)
        found: list[Term] = []
        for factor, exponent in self.parts:
            is_plain = exponent.is_static_scalar and exponent.item() == 1
            is_weighed = not is_plain or id(factor) in self.divided
            inner = replace(ctx, weighed_by="a quotient or a power") if is_weighed else ctx
            for term in factor.terms(inner, subjects, span):
                if is_plain:
                    found.append(term)
                elif term.kind == "require":
                    positive = exponent.is_static_scalar and exponent.item() > 0
                    if not positive:
                        text = (
                            "a factor with hard constraints cannot stand below `/` or under a power like this"
                        )
                        fail("CG0404", text, span, help="use contrast(P, Q)")
                    found.append(term)
                else:
                    energy = node("mul", aligned_exponent(exponent, term), term.energy)
                    found.append(replace(term, energy=energy))
        return found


def aligned_exponent(exponent: Node, term: Term) -> Node:
    if exponent.shape:
        raise ShapeError("an exponent must be one number", [exponent.shape])
    return exponent


@dataclass(frozen=True)
class Scaled:
    """`0.3 * P`: a weight before a factor, which matters in a mixture."""

    weight: Node
    factor: Factor
    normalised: bool = False

    @property
    def ranks(self) -> tuple[int, ...]:
        return self.factor.ranks

    @property
    def description(self) -> str:
        return self.factor.description

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        ranks = tuple(max(r, len(self.weight.shape)) for r in self.ranks)
        alone = Mixture(((self.weight, self.factor),), ranks, False, span, self.description)
        return alone.terms(ctx, subjects, span)


@dataclass(frozen=True)
class Mixture:
    """`w * P + v * Q`: energies −log Σ w e^−E, one choice for each copy."""

    parts: tuple[tuple[Node, Factor], ...]
    ranks: tuple[int, ...]
    normalised: bool
    written: Span  #: where it stands in the program
    description: str = "a mixture"

    @property
    def copy_ranks(self) -> tuple[int, ...]:
        """Axes of each subject that belong to one choice: array weights mean a choice for each element."""
        wide = broadcast_shapes(*(w.shape for w, _ in self.parts))
        return tuple(max(0, r - len(wide)) for r in self.ranks) if wide else self.ranks

    def weights(self, shape: Sequence[Axis | None], span: Span) -> list[Node]:
        """The weight of each part for one copy, the copies being along these axes."""
        columns = [along(a) if a else constant(0) for a in shape]
        sizes = [a.size if a else 1 for a in shape]
        found = []
        for weight, _ in self.parts:
            if weight.shape:
                beside = sizes[len(sizes) - len(weight.shape) :] if len(weight.shape) <= len(sizes) else []
                if not beside or any(n not in (1, m) for n, m in zip(weight.shape, beside, strict=True)):
                    text = f"shapes do not match: weights are {describe(weight)}, the copies {sizes}"
                    fail("CG0203", text, span)
                mine = columns[len(columns) - len(weight.shape) :]
                zero = constant(0)
                weight = gather(
                    weight, [zero if n == 1 else c for n, c in zip(weight.shape, mine, strict=True)]
                )
            found.append(weight)
        return found

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        ranks = self.copy_ranks
        inner, copies, shape = each_copy(ctx, subjects, ranks, span, self.description)
        lints.lint_choices(ctx, [f for _, f in self.parts], ranks, shape, self.written)
        lints.lint_weights(ctx, self.parts, span)
        chosen = replace(inner, is_choice=inner.is_choice or len(self.parts) > 1)
        logs, priors = [], []
        for weight, (_, part) in zip(self.weights(shape, span), self.parts, strict=True):
            energy, beside = weigh(part, chosen, copies, span)
            priors += beside
            logs.append(node("sub", node("log", weight), energy))
        energy = node("neg", node("logsumexp", node("stack", *logs), attrs=(-1,)))
        return [Term(energy, inner.plates, "factor", self.description, span), *priors]


@dataclass(frozen=True)
class Contrast:
    """`contrast(P, Q, strength)`: the factor P · P / (P + strength · Q), P but not Q, bounded by P."""

    likes: Factor
    dislikes: Factor
    strength: Node
    ranks: tuple[int, ...]
    description: str = "a contrast"
    normalised: bool = False

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        inner, copies, _ = each_copy(ctx, subjects, self.ranks, span, self.description)
        inner = replace(inner, weighed_by="a contrast")
        p = node("neg", total(self.likes, inner, copies, span))
        q = node("sub", node("log", self.strength), total(self.dislikes, inner, copies, span))
        both = node("logsumexp", node("stack", p, q), attrs=(-1,))
        # where P is 0 the contrast is 0, and 2p - log(P + sQ) would be inf - inf where both are
        possible = node("gt", p, constant(float("-inf")))
        safe = node("where", possible, p, constant(0.0))
        energy = node(
            "where", possible, node("sub", both, node("mul", constant(2.0), safe)), constant(float("inf"))
        )
        return [Term(energy, inner.plates, "factor", self.description, span)]


def total(part: Factor, ctx: Context, subjects: Sequence[Node], span: Span) -> Node:
    """A factor's energy as one number for each instance of the context's plates."""
    return summed(part.terms(ctx, subjects, span), ctx)


def weigh(part: Factor, ctx: Context, subjects: Sequence[Node], span: Span) -> tuple[Node, list[Term]]:
    """A factor's energy as `total` gives it, and beside it the densities of its own variables that always count."""
    terms = part.terms(ctx, subjects, span)
    return summed([t for t in terms if not t.is_prior], ctx), [t for t in terms if t.is_prior]


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
    copies = []
    for s, lead in zip(subjects, leading, strict=True):
        mine = columns[len(columns) - len(lead) :] if lead else []
        zero = constant(0)
        copies.append(gather(s, [zero if n == 1 else c for n, c in zip(lead, mine, strict=True)]))
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


def scaled(weight: Node, factor: Factor, span: Span) -> Factor:
    if weight.is_const and weight.value is not None and (weight.value < 0).any():
        fail("CG0401", "the weight of a factor must not be negative", span)
    if isinstance(factor, Scaled):
        return Scaled(node("mul", weight, factor.weight), factor.factor)
    return Scaled(weight, factor)


def mixture(parts: Sequence[Factor], span: Span, warn: Callable[[str, str, str], None]) -> Factor:
    """The sum of weighted factors; nested sums are flattened."""
    flat: list[tuple[Node, Factor]] = []
    one = constant(1.0)
    for part in parts:
        if isinstance(part, Mixture):
            flat.extend(part.parts)
        elif isinstance(part, Scaled):
            if isinstance(part.factor, Mixture):
                flat.extend((node("mul", part.weight, w), f) for w, f in part.factor.parts)
            else:
                flat.append((part.weight, part.factor))
        else:
            flat.append((one, part))
    members = [f for _, f in flat]
    sums = add_all([w for w, _ in flat])
    surely_one = sums.value is not None and bool((abs(sums.value - 1) < 1e-9).all())
    every = all(f.normalised for f in members)
    ranks = common_ranks(members, span, "a mixture")
    lints.lint_constants(members, warn)
    wide = len(broadcast_shapes(*(w.shape for w, _ in flat)))
    ranks = tuple(max(r, wide) for r in ranks)
    return Mixture(tuple(flat), ranks, every and (surely_one or sums.value is None), span)


def as_factor(value: Any) -> Factor | None:
    """The value as a factor if it is one; a declared name without parentheses takes its defaults."""
    if hasattr(value, "terms"):
        factor: Factor = value
        return factor
    if hasattr(value, "without_inputs"):
        made: Factor = value.without_inputs()
        return made
    return None


# --- over a range ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OverRange:
    """`product(F(i) for i in …)` and `mixture(w[k] * F(k) for k in …)`: one factor along the axes of the range."""

    kind: str
    body: Factor
    axes: tuple[Axis, ...]
    mask: Node | None
    ranks: tuple[int, ...]
    normalised: bool
    written: Span  #: where it stands in the program

    @property
    def description(self) -> str:
        return f"a {self.kind} over a range"

    def terms(self, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
        if self.kind == "product":
            if not all(axis.size for axis in self.axes):
                return []
            inner = replace(ctx, plates=(*ctx.plates, *self.axes))
            inner = inner if self.mask is None else inner.under(self.mask)
            return self.body.terms(inner, subjects, span)
        copies_ctx, copies, shape = each_copy(ctx, subjects, self.ranks, span, self.description)
        inner = replace(copies_ctx, plates=(*copies_ctx.plates, *self.axes))
        weight, factor = (
            (self.body.weight, self.body.factor)
            if isinstance(self.body, Scaled)
            else (constant(1.0), self.body)
        )
        lints.lint_choices(ctx, [factor], self.ranks, shape, self.written)
        sums = weight_over(weight, self.axes, self.mask)
        if factor.normalised and sums.is_static_scalar:
            lints.lint_sum(ctx, float(sums.item()), self.written)
        energy, priors = weigh(factor, replace(inner, is_choice=True), copies, span)
        logs = node("sub", node("log", weight), energy)
        if self.mask is not None:
            logs = node("where", self.mask, logs, constant(float("-inf")))
        for axis in self.axes:
            logs = reduce_axis("logsumexp", logs, axis)
        return [Term(node("neg", logs), copies_ctx.plates, "factor", self.description, span), *priors]


def weight_over(weight: Node, axes: Sequence[Axis], mask: Node | None) -> Node:
    """The sum of a mixture's weights over its range, those that a filter leaves out not counted."""
    return sum_axes(weight if mask is None else node("where", mask, weight, constant(0.0)), axes)


def over_range(
    kind: str, body: Factor, opened: Any, span: Span, warn: Callable[[str, str, str], None]
) -> Factor:
    """A factor over the range that some clauses opened."""
    if kind == "mixture" and not all(axis.size for axis in opened.axes):
        fail("CG0204", "this mixture has nothing to choose from: its range is empty", span)
    inner = body.factor if isinstance(body, Scaled) else body
    normalised = False
    if kind == "mixture":
        lints.lint_constants([inner], warn, opened.axes)
        sums = weight_over(
            body.weight if isinstance(body, Scaled) else constant(1.0), opened.axes, opened.mask
        )
        normalised = inner.normalised and (sums.value is None or bool((abs(sums.value - 1) < 1e-9).all()))
    return OverRange(kind, body, opened.axes, opened.mask, inner.ranks, normalised, span)
