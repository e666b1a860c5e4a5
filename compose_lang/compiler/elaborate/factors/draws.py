"""How a density is drawn outright: its `draw` expression as a node over noise.

While a `draw` is elaborated the session collects the noise it asks for; whoever evaluates the node binds each
collected slot to an array of that kind, (chains, *shape).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.declared_types import (
    bind_shape,
    declared_type,
    rank_of,
)
from compose_lang.compiler.elaborate.factors.algebra import copy_weights, each_copy
from compose_lang.compiler.elaborate.factors.application import Call
from compose_lang.compiler.elaborate.factors.values import Applied, Mixture, WithInputs, as_factor
from compose_lang.compiler.elaborate.learned.declarations import inputs_of, part_of
from compose_lang.compiler.elaborate.plates import array_over, collect_over, one_copy
from compose_lang.compiler.elaborate.values import Cell, Factor, SymbolTable, as_node, static_int
from compose_lang.compiler.graph.factor_graph import Drawn
from compose_lang.compiler.graph.learned_factor import LEVEL
from compose_lang.compiler.ir.build import (
    add_all,
    along,
    cast_to,
    constant,
    node,
    slot,
)
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.operation import broadcast_shapes, op_of
from compose_lang.diagnostics import Span, fail
from compose_lang.discovery import LEARNERS
from compose_lang.grammar import ast


def noise(kind: str) -> Callable[[Context, ast.Call], Node]:
    """A source of randomness of a given shape: `std_normal()`, `std_normal(n, m)`."""

    def run(ctx: Context, e: ast.Call) -> Node:
        shape = tuple(static_int(ctx.evaluate(a.value), a.span, "a size") for a in e.arguments)
        return source(ctx, kind, shape, e)

    return run


def source(ctx: Context, kind: str, shape: tuple[int, ...], e: ast.Call) -> Node:
    if ctx.session.noise_slots is None:
        name = e.function.span.text
        text = f"`{name}` is randomness, which stands only in a density's `draw`"
        fail("CG0209", text, e.span, help="declare a variable: var z: real ~ Normal(0, 1)")
    return fresh(ctx, kind, shape)


def fresh(ctx: Context, kind: str, shape: tuple[int, ...] = ()) -> Node:
    """A slot of noise of its own for each instance of the plates."""
    noise_slot = slot(kind, shape, ctx.plates)
    assert ctx.session.noise_slots is not None
    ctx.session.noise_slots.append((kind, noise_slot))
    return noise_slot


def _std_exponential(ctx: Context, e: ast.Call) -> Node:
    return node("neg", node("log", noise("uniform")(ctx, e)))


def inverted(quantile: str, parameters: int) -> Callable[[Context, ast.Call], Node]:
    """Randomness with parameters, by inversion: `std_gamma(a)`, and of a given shape `std_gamma(a, n, m)`."""

    def run(ctx: Context, e: ast.Call) -> Node:
        if len(e.arguments) < parameters:
            fail("CG0206", f"`{e.function.span.text}` takes {parameters} parameters", e.span)
        given = [ctx.number(x.value) for x in e.arguments[:parameters]]
        sizes = tuple(static_int(ctx.evaluate(x.value), x.span, "a size") for x in e.arguments[parameters:])
        shape = sizes or broadcast_shapes(*(x.shape for x in given))
        return node(quantile, *given, source(ctx, "uniform", shape, e))

    return run


TABLE: dict[str, Callable[[Context, ast.Call], Any]] = {
    "std_normal": noise("normal"),
    "uniform": noise("uniform"),
    "std_exponential": _std_exponential,
    "std_gamma": inverted("gamma_quantile", 1),
    "std_poisson": inverted("poisson_quantile", 1),
    "std_binomial": inverted("binomial_quantile", 2),
    "std_von_mises": inverted("von_mises_quantile", 1),
}


def draw_and_noise(
    ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span
) -> tuple[list[Node], tuple[tuple[str, Node], ...]]:
    """A draw of a density in the shapes of its subjects, and the noise it is made of: (kind, slot)."""
    slots: list[tuple[str, Node]] = []
    ctx.session.noise_slots = slots
    drawn = draw_of(ctx, factor, subjects, span)
    ctx.session.noise_slots = None
    return drawn, tuple(slots)


def drawn(ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> list[Drawn]:
    """A draw of each subject, of all independent copies that its leading axes mean."""
    values, noise = draw_and_noise(replace(ctx, is_drawn=True), factor, subjects, span)
    return [
        Drawn(collect_over(subject, ctx.plates), collect_over(one, ctx.plates), noise, span)
        for subject, one in zip(subjects, values, strict=True)
    ]


def selects(x: Node) -> bool:
    """Whether a node only chooses elements, so that what it gives can be written back to the variable."""
    return x.is_const or x.op == "var" or op_of(x).selects


def note_statement(ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> int | None:
    """Keep what draws a statement, to be elaborated when it is asked for; returns its place, None where nothing does.

    A statement is drawn if its density counts once whatever the variables, and its subjects are elements of them.
    """
    while isinstance(factor, Applied):
        subjects, factor = factor.subjects, factor.factor
    if ctx.mask is not None or ctx.is_choice or ctx.weighed_by or ctx.is_drawn or not factor.normalised:
        return None
    if isinstance(factor, WithInputs):
        if factor.factor.is_learned:
            return None
        body = factor.factor.decl.body
        if body is not None and not any(isinstance(s, ast.Draw) for s in body):
            return None  # its own statements say how
    elif not isinstance(factor, Mixture) or not sums_to_one(factor):
        return None
    if not all(s.variables for s in subjects) or not all(map(selects, postorder(subjects))):
        return None
    ctx.session.drawn.append(partial(drawn_by_library, ctx, factor, subjects, span))
    return len(ctx.session.drawn) - 1


def sums_to_one(mixture: Mixture) -> bool:
    """Whether a mixture's weights are known to sum to 1, so that they are the probabilities of its parts."""
    sums = add_all([w for w, _ in mixture.parts]).value
    return sums is not None and bool((abs(sums - 1) < 1e-9).all())


def drawn_by_library(ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> list[Drawn]:
    """As `drawn`, by the draws of the library alone: that a program's own draw is of its energy is for it to verify."""
    ctx.session.draws_by_library = True
    try:
        return drawn(ctx, factor, subjects, span)
    finally:
        ctx.session.draws_by_library = False


def draw_of(ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> list[Node]:
    """A draw of a density in the shapes of its subjects, an independent one for each copy that they mean.

    CG0606 where the density does not say how it is drawn.
    """
    if isinstance(factor, Mixture) and factor.normalised:
        return draw_of_mixture(ctx, factor, subjects, span)
    if not isinstance(factor, WithInputs) or not factor.normalised:
        help = "a density with a `draw`, and a mixture of such with weights that sum to 1, can be drawn"
        fail("CG0606", f"{factor.description} cannot be drawn", span, help=help)
    call = Call(factor, ctx, list(subjects), span)
    call.split()
    inner = call.checked()
    names = [s.name for s in call.decl.subjects]
    copies = [as_node(*call.arguments[name]) for name in names]
    if call.factor.is_learned:
        drawn = learned_draw(inner, call)
    elif call.decl.value is not None:
        meant = as_factor(inner.evaluate(call.decl.value))
        assert meant is not None
        drawn = draw_of(inner, meant, copies, span)
    else:
        inputs = {name: value for name, value in call.arguments.items() if name not in names}
        one = WithInputs(factor.factor, inputs, factor.span)
        drawn = draws(call.context(), one, [c.shape for c in copies])
    typed = [of_kind(inner, one, s.type) for one, s in zip(drawn, call.decl.subjects, strict=True)]
    return together(typed, call.axes, subjects)


def learned_draw(ctx: Context, call: Call) -> list[Node]:
    """A draw of a learned density in the shapes of its subjects, made by what has learned it."""
    part = part_of(call.factor, ctx)
    if part.learner is None or not part.learner.draws_from:
        known = ", ".join(name for name, learner in LEARNERS.items() if learner.draws_from)
        text = f"`{part.name}` is learned by `{part.method}`, which does not draw outright"
        fail("CG0606", text, call.span, help=f"densities learned by {known} do")
    sizes = [math.prod(p.type.full_shape) for p in part.subjects]
    given, inputs = inputs_of(ctx, part, call.arguments)
    numbers = fresh(ctx, part.learner.draws_from, (sum(sizes),))
    row = node("learned_draw", part.slot, LEVEL, numbers, *inputs, attrs=(part, given))
    draws, start = [], 0
    for port, size in zip(part.subjects, sizes, strict=True):
        one = node("slice", row, attrs=(((start, start + size, 1),),))
        draws.append(node("reshape", one, attrs=(port.type.full_shape,)))
        start += size
    return draws


def of_kind(ctx: Context, drawn: Node, written: ast.TypeExpr | None) -> Node:
    """A draw as a number of its subject's kind: counts are often drawn as whole reals."""
    if written is None:
        return drawn
    domain = declared_type(ctx, written).type.domain
    return cast_to(drawn, "real" if not domain.is_discrete else "bool" if domain.kind == "bool" else "int")


def draw_of_mixture(ctx: Context, mixture: Mixture, subjects: Sequence[Node], span: Span) -> list[Node]:
    """A draw of one part for each copy, chosen by its weight."""
    ranks = mixture.copy_ranks
    inner, copies, axes = each_copy(ctx, subjects, ranks, span, mixture.description)
    weights = copy_weights(mixture, axes, span)
    parts = [draw_of(inner, part, copies, span) for _, part in mixture.parts]
    choice, drawn = fresh(inner, "uniform"), parts[-1]
    for k in reversed(range(len(parts) - 1)):
        earlier = node("lt", choice, add_all(weights[: k + 1]))
        drawn = [node("where", earlier, one, rest) for one, rest in zip(parts[k], drawn, strict=True)]
    return together(drawn, axes, subjects)


def together(drawn: Sequence[Node], axes: Sequence[Axis | None], subjects: Sequence[Node]) -> list[Node]:
    """Draws along some axes of copies as arrays in the shapes of the subjects."""
    along_copies = [collect_over(one, [a for a in axes if a]) for one in drawn]
    return [node("reshape", x, attrs=(s.shape,)) for x, s in zip(along_copies, subjects, strict=True)]


def draw(ctx: Context, factor: WithInputs, subject: tuple[int, ...] = ()) -> Node:
    """A draw of a density's only subject, with the leading axes its inputs have.

    subject: the shape of what is drawn, needed where the inputs do not tell it (a Cholesky factor's size).
    """
    return draws(ctx, factor, [subject])[0]


def draws(ctx: Context, factor: WithInputs, subjects: Sequence[tuple[int, ...]]) -> list[Node]:
    """As `draw`, for a density over several subjects."""
    decl = factor.factor.decl
    written = [s for s in decl.body or () if isinstance(s, ast.Draw)]
    if ctx.session.draws_by_library and not decl.span.source.name.startswith("std."):
        fail("CG0606", f"`{decl.name}` is not drawn by the library", factor.span)
    if not written:
        help = f"a `draw` says how: density {decl.name}(…) {{ energy …; draw … }}"
        fail("CG0606", f"`{decl.name}` has no `draw`", factor.span, help=help)
    values: dict[str, Any] = {}
    leading: dict[str, tuple[int, ...]] = {}
    for p in decl.inputs:
        if p.name in factor.inputs:
            values[p.name] = factor.inputs[p.name][0]
        elif p.default is not None:
            values[p.name] = replace(ctx, scope=factor.factor.scope).evaluate(p.default)
        else:
            fail("CG0206", f"`{decl.name}` needs a value for `{p.name}`", factor.span)
        if isinstance(values[p.name], Node):
            shape = values[p.name].shape
            leading[p.name] = shape[: len(shape) - rank_of(p, factor.factor.scope)]
    batch = broadcast_shapes(*leading.values())
    axes = [Axis(n) for n in batch]
    lets = {s.name: s.value for s in decl.body or () if isinstance(s, ast.Let) and not s.indices}
    scope = LazyScope(factor.factor.scope, lets)
    inner = replace(ctx, scope=scope, plates=(*ctx.plates, *axes))
    scope.ctx = inner
    for s, shape in zip(decl.subjects, subjects, strict=True):
        if shape and s.type is not None:
            bind_shape(inner, s.type, constant(np.zeros(shape)), "the subject", factor.span)
    for p in decl.inputs:
        shape = leading.get(p.name, ())
        if shape:
            values[p.name] = one_copy(values[p.name], len(shape), [along(a) for a in axes])
        if p.type is not None and isinstance(values[p.name], Node):
            bind_shape(inner, p.type, values[p.name], f"`{p.name}`", factor.span)
    scope.names.update(values)
    return [array_over(x, axes) for x in drawn_values(inner, written[0].value, decl, subjects)]


def drawn_values(
    ctx: Context, written: ast.Expr, decl: ast.FactorDecl, subjects: Sequence[tuple[int, ...]]
) -> list[Node]:
    """What a `draw` says, one value a subject: numbers, or another density, which is then drawn."""
    value = ctx.evaluate(written)
    other = as_factor(value)
    if other is not None:
        return draw_of(
            ctx, other, [slot(s.name, n) for s, n in zip(decl.subjects, subjects, strict=True)], written.span
        )
    items = value.items if isinstance(value, Cell) else (value,)
    if len(items) != len(decl.subjects):
        names = ", ".join(s.name for s in decl.subjects)
        text = f"`{decl.name}` is over {len(decl.subjects)} subjects, its `draw` gives {len(items)}"
        fail("CG0206", text, written.span, help=f"write `draw ({names})`, each as it is drawn")
    return [as_node(item, written.span) for item in items]


class LazyScope(SymbolTable):
    """A body's names while its `draw` is elaborated: a `let` that reads the subject must not be touched."""

    ctx: Context

    def __init__(self, parent: SymbolTable, lets: dict[str, ast.Expr]) -> None:
        super().__init__(parent)
        self.lets = lets

    def find(self, name: str) -> Any:
        if name not in self.names and name in self.lets:
            self.names[name] = self.ctx.evaluate(self.lets[name])
        return super().find(name)
