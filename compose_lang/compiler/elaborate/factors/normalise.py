"""`normalize(P)` and `truncate(P, lo, hi)`: a factor divided by its total, for each value of its inputs.

The total is part of the program's graph, so it follows inputs that are variables, and has a gradient. Over finite
subjects it is a sum. Over one or two reals it is a trapezoidal sum after a double-exponential change of variable
(Takahasi and Mori 1974), with nodes centred where the factor is large: a few coarse passes find the place and the
width of what they see, each finer than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.declared_types import declared_type
from compose_lang.compiler.elaborate.factors.algebra import each_copy, terms, total
from compose_lang.compiler.elaborate.factors.application import Call
from compose_lang.compiler.elaborate.factors.values import (
    Contrast,
    Mixture,
    Normalised,
    OverRange,
    Product,
    Scaled,
    WithInputs,
)
from compose_lang.compiler.elaborate.values import Factor, describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import constant, node, reduce_axis
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.types import REAL, Domain, value_range
from compose_lang.diagnostics import ComposeError, Span, fail
from compose_lang.grammar import ast

MOST_STATES = 10**6
MOST_REALS = 2
PASSES = 9
COARSE = 61  #: nodes of a coarse pass, in each coordinate
FINE = {1: 401, 2: 121}  #: nodes of the sum itself, by the number of coordinates
TOLERANCE = 1e-6  #: nats; a larger difference between the sum and one of half its nodes is told


@terms.register(Normalised)
def terms_of_normalised(factor: Normalised, ctx: Context, subjects: Sequence[Node], span: Span) -> list[Term]:
    one, inner, copies = copy_of(factor, ctx, subjects, span)
    inner = replace(inner, weighed_by="normalize" if factor.lower is None else "truncate")
    domains = tuple(d or c.domain or REAL for d, c in zip(factor.domains, copies, strict=True))
    log_z = Normaliser(replace(factor, inner=one), inner, domains, [c.shape for c in copies]).log()
    energy = node("add", total(one, inner, copies, span), log_z)
    inside = within(copies[0], factor.lower, factor.upper) if factor.lower is not None else None
    if inside is not None:
        energy = node("where", inside, energy, constant(math.inf))
    return [Term(energy, inner.plates, "factor", factor.description, span)]


def copy_of(
    factor: Normalised, ctx: Context, subjects: Sequence[Node], span: Span
) -> tuple[Factor, Context, list[Node]]:
    """The factor, context and subjects of one independent copy; array inputs mean a copy for each element."""
    if not isinstance(factor.inner, WithInputs):
        inner, copies, _ = each_copy(ctx, subjects, factor.ranks, span, factor.description)
        return factor.inner, inner, copies
    call = Call(factor.inner, ctx, list(subjects), span)
    call.split()
    names = [s.name for s in call.decl.subjects]
    inputs = {name: value for name, value in call.arguments.items() if name not in names}
    one = WithInputs(factor.inner.factor, inputs, factor.inner.span)
    return one, call.context(), [call.arguments[name][0] for name in names]


def within(x: Node, lower: Node | None, upper: Node | None) -> Node | None:
    """The condition that a number lies between two bounds; None where neither is finite."""
    tests = [
        node(op, x, bound)
        for op, bound in (("ge", lower), ("le", upper))
        if bound is not None and not (bound.is_static_scalar and math.isinf(bound.item()))
    ]
    return None if not tests else tests[0] if len(tests) == 1 else node("and", *tests)


class Normaliser:
    """The log of a factor's total over one copy of its subjects, given everything else."""

    def __init__(
        self, factor: Normalised, ctx: Context, domains: Sequence[Domain], shapes: Sequence[tuple[int, ...]]
    ) -> None:
        self.factor = factor
        self.ctx = ctx
        self.shapes = shapes
        self.coordinates = [d for d, s in zip(domains, shapes, strict=True) for _ in range(math.prod(s))]

    def log(self) -> Node:
        if all(d.is_discrete for d in self.coordinates):
            return self.of_states()
        if any(d.kind not in ("real", "angle") for d in self.coordinates):
            odd = next(d for d in self.coordinates if d.kind not in ("real", "angle"))
            self.refuse(f"an integral over {odd}" + (" together with reals" if odd.is_discrete else ""))
        if len(self.coordinates) > MOST_REALS:
            self.refuse(f"an integral over {len(self.coordinates)} reals")
        return self.of_reals()

    def refuse(self, what: str) -> None:
        text = f"the total of {self.factor.inner.description} is {what}, which cannot be computed here"
        help = f"subjects of up to {MOST_STATES:,} states can be summed over, and up to {MOST_REALS} reals"
        if self.factor.lower is None:
            help += "; truncate(P, lo, hi) bounds one"
        fail("CG0411", text, self.factor.span, help=help)

    def weight(self, values: Sequence[Node], axes: Sequence[Axis]) -> Node:
        """Minus the energy at values of the coordinates that vary along axes."""
        subjects, rest = [], list(values)
        for shape in self.shapes:
            count = math.prod(shape)
            elements, rest = rest[:count], rest[count:]
            subject = elements[0] if not shape else node("stack", *elements)
            subjects.append(subject if len(shape) <= 1 else node("reshape", subject, attrs=(shape,)))
        # under a mask, so that a node on the edge of the support has weight 0 and is no mistake of the user's
        inner = replace(self.ctx, plates=(*self.ctx.plates, *axes)).under(constant(True))
        energy = total(self.factor.inner, inner, subjects, self.factor.span)
        inside = within(values[0], self.factor.lower, self.factor.upper)
        if inside is not None:
            energy = node("where", inside, energy, constant(math.inf))
        return node("neg", energy)

    # --- finite subjects ---

    def of_states(self) -> Node:
        values = [self.values_of(d) for d in self.coordinates]
        if math.prod(len(v) for v in values) > MOST_STATES:
            self.refuse(f"a sum over {math.prod(float(len(v)) for v in values):.3g} states")
        axes = [Axis(len(v), "state") for v in values]
        dtypes = ["bool" if d.kind == "bool" else "int" for d in self.coordinates]
        nodes = [
            constant(v, (a,), t, d)  # type: ignore[arg-type]
            for v, a, t, d in zip(values, axes, dtypes, self.coordinates, strict=True)
        ]
        log_z = self.weight(nodes, axes)
        for axis in axes:
            log_z = reduce_axis("logsumexp", log_z, axis)
        return log_z

    def values_of(self, domain: Domain) -> np.ndarray:
        """The values of a finite domain; of unbounded counts those that truncation leaves."""
        low, high = value_range(domain)
        for bound, is_low in ((self.factor.lower, True), (self.factor.upper, False)):
            if bound is not None and bound.is_static_scalar:
                low, high = (max(low, bound.item()), high) if is_low else (low, min(high, bound.item()))
        if domain.is_finite:
            return np.array(domain.values, dtype=bool if domain.kind == "bool" else np.int64)
        if domain.kind != "int" or not (math.isfinite(low) and math.isfinite(high)):
            self.refuse(f"a sum without end over {domain}")
        if high - low > MOST_STATES:
            self.refuse(f"a sum over {high - low:.3g} states")
        return np.arange(math.ceil(low), math.floor(high) + 1)

    # --- reals ---

    def of_reals(self) -> Node:
        maps = [self.map_of(d) for d in self.coordinates]
        places = [(constant(0.0), constant(4.0)) for _ in maps]
        for _ in range(PASSES):
            places = self.look(maps, places)
        count = FINE[len(maps)]
        log_z, half = self.summed(maps, places, count, 1), self.summed(maps, places, count, 2)
        self.check(log_z, half)
        return log_z

    def map_of(self, domain: Domain) -> Callable[[Node], tuple[Node, Node]]:
        """From an unconstrained u to the value, and the log of the map's slope."""
        low, high = (-math.pi, math.pi) if domain.kind == "angle" else (domain.lower, domain.upper)
        lower, upper = constant(low), constant(high)
        if self.factor.lower is not None and self.factor.upper is not None:
            lower = self.factor.lower if math.isinf(low) else node("maximum", self.factor.lower, lower)
            upper = self.factor.upper if math.isinf(high) else node("minimum", self.factor.upper, upper)
        below, above = (b.is_static_scalar and math.isinf(b.item()) for b in (lower, upper))
        if below and above:
            return lambda u: (u, constant(0.0))
        if above:
            return lambda u: (node("add", lower, node("exp", u)), u)
        if below:
            return lambda u: (node("sub", upper, node("exp", u)), u)
        width = node("sub", upper, lower)

        def between(u: Node) -> tuple[Node, Node]:
            away = node("abs", u)
            slope = node(
                "sub",
                node("neg", away),
                node("mul", constant(2.0), node("log1p", node("exp", node("neg", away)))),
            )
            return node("add", lower, node("mul", width, node("logistic", u))), node(
                "add", node("log", width), slope
            )

        return between

    def grid(
        self,
        maps: Sequence[Callable[[Node], tuple[Node, Node]]],
        places: Sequence[tuple[Node, Node]],
        t: np.ndarray,
    ) -> tuple[list[Node], list[Axis], Node]:
        """Nodes u = centre + scale sinh(π/2 sinh t) in each coordinate, and the log weight at each."""
        axes = [Axis(len(t), "node") for _ in maps]
        stretched = np.sinh(0.5 * np.pi * np.sinh(t))
        slope = np.log(0.5 * np.pi * np.cosh(t) * np.cosh(0.5 * np.pi * np.sinh(t)))
        us, values = [], []
        logs = constant(math.log(t[1] - t[0]) * len(maps))
        for axis, to_value, (centre, scale) in zip(axes, maps, places, strict=True):
            u = node("add", centre, node("mul", scale, constant(stretched, (axis,))))
            value, log_slope = to_value(u)
            us.append(u)
            values.append(value)
            for each in (constant(slope, (axis,)), node("log", scale), log_slope):
                logs = node("add", logs, each)
        weight = self.weight(values, axes)
        return (
            us,
            axes,
            node(
                "where",
                node("gt", weight, constant(-math.inf)),
                node("add", weight, logs),
                constant(-math.inf),
            ),
        )

    def look(
        self, maps: Sequence[Callable[[Node], tuple[Node, Node]]], places: Sequence[tuple[Node, Node]]
    ) -> list[tuple[Node, Node]]:
        """Mean and spread of each coordinate as a coarse grid sees them; the spread no less than its spacing there."""
        t = np.linspace(-2.6, 2.6, COARSE)
        us, axes, logs = self.grid(maps, places, t)
        log_z = logs
        for axis in axes:
            log_z = reduce_axis("logsumexp", log_z, axis)
        share = node("exp", node("sub", logs, log_z))

        def mean(x: Node) -> Node:
            found = node("mul", share, node("where", node("gt", share, constant(0.0)), x, constant(0.0)))
            for axis in axes:
                found = reduce_axis("sum", found, axis)
            return found

        spacing = (t[1] - t[0]) * 0.5 * np.pi * np.cosh(t) * np.cosh(0.5 * np.pi * np.sinh(t))
        out = []
        for u, axis, (_, scale) in zip(us, axes, places, strict=True):
            centre = mean(u)
            away = node("sub", u, centre)
            variance = mean(node("mul", away, away))
            gap = node("mul", scale, mean(constant(spacing, (axis,))))
            out.append((centre, node("sqrt", node("add", variance, node("mul", gap, gap)))))
        return out

    def summed(
        self,
        maps: Sequence[Callable[[Node], tuple[Node, Node]]],
        places: Sequence[tuple[Node, Node]],
        count: int,
        step: int,
    ) -> Node:
        t = np.linspace(-3.2, 3.2, count)[::step]
        _, axes, logs = self.grid(maps, places, t)
        for axis in axes:
            logs = reduce_axis("logsumexp", logs, axis)
        return logs

    def check(self, log_z: Node, half: Node) -> None:
        """Where the inputs are known: whether the sum has settled, and is finite."""
        if log_z.value is None or half.value is None:
            return
        if not np.isfinite(log_z.value).all():
            text = f"{self.factor.inner.description} has no finite total here" + (
                ": nothing lies between the bounds" if self.factor.lower is not None else ""
            )
            fail("CG0411", text, self.factor.span)
        error = float(np.abs(log_z.value - half.value).max())
        if error > 0.05:
            text = f"the total of {self.factor.inner.description} does not settle: infinite, or in several far peaks"
            fail(
                "CG0411",
                text,
                self.factor.span,
                help="bound its subject, or normalise the parts that have a peak each",
            )
        if error > TOLERANCE:
            text = f"the constant of {self.factor.inner.description} is known to {error:.1g} nats only"
            self.ctx.session.warn("CG0411", text, self.factor.span)


def subject_domains(factor: Factor, ctx: Context) -> tuple[Domain | None, ...]:
    """What a factor's subjects range over, from the declarations it leads to; None where nothing says."""
    match factor:
        case WithInputs():
            inner = replace(ctx, scope=factor.factor.scope)
            return tuple(declared_domain(inner, s.type) for s in factor.factor.decl.subjects)
        case Normalised():
            return factor.domains
        case Scaled():
            return subject_domains(factor.factor, ctx)
        case Contrast():
            return subject_domains(factor.likes, ctx)
        case OverRange():
            return subject_domains(factor.body, ctx)
        case Product():
            parts = [subject_domains(f, ctx) for f, _ in factor.parts]
            return tuple(narrowest(each) for each in zip(*parts, strict=True))
        case Mixture():
            parts = [subject_domains(f, ctx) for _, f in factor.parts]
            return tuple(None if None in each else max(each, key=width) for each in zip(*parts, strict=True))
    return tuple(None for _ in factor.ranks)


def declared_domain(ctx: Context, written: ast.TypeExpr | None) -> Domain | None:
    """A parameter's domain; None where it has no type, or one whose size its arguments bind."""
    if written is None:
        return None
    try:
        return declared_type(ctx, replace(written, shape=())).type.domain
    except ComposeError:
        return None


def width(domain: Domain | None) -> float:
    low, high = value_range(domain or REAL)
    return high - low


def narrowest(domains: Sequence[Domain | None]) -> Domain | None:
    """The domain that a product leaves: where its parts are bounded on different sides, both bounds hold."""
    first = min(domains, key=width)
    if first is None or first.kind != "real":
        return first
    ranges = [value_range(d or REAL) for d in domains]
    return replace(first, lower=max(low for low, _ in ranges), upper=min(high for _, high in ranges))


def normalised(ctx: Context, factor: Factor, span: Span) -> Factor:
    """`normalize(P)`; a density is its own."""
    if factor.normalised:
        return factor
    if not factor.ranks:
        fail("CG0206", "normalize takes a factor that waits for its subject: normalize(F(…))", span)
    return Normalised(factor, subject_domains(factor, ctx), span)


def truncated(ctx: Context, factor: Factor, lower: Node, upper: Node, span: Span) -> Factor:
    """`truncate(P, lo, hi)`: the part of a factor over one number that lies between two, as a density."""
    if len(factor.ranks) != 1:
        fail("CG0206", f"truncate takes a factor over one number, {factor.description} is not", span)
    (domain,) = subject_domains(factor, ctx)
    if factor.ranks != (0,) and not (isinstance(factor, WithInputs) and factor.ranks == (factor.widened,)):
        fail("CG0204", f"truncate takes a factor over numbers, {factor.description} is over arrays", span)
    if lower.value is not None and upper.value is not None and (lower.value > upper.value).any():
        text = f"nothing lies between {lower.value.max():g} and {upper.value.min():g}"
        fail(
            "CG0204",
            text,
            span,
            help=f"the bounds are {describe(lower)} and {describe(upper)}, the lower one first",
        )
    return Normalised(factor, (domain,), span, lower, upper)
