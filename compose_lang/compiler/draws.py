"""How a density is drawn outright: its `draw` expression as a node over noise.

While a `draw` is elaborated the session collects the noise it asks for; whoever evaluates the node binds each
collected slot to an array of that kind, (chains, *shape).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler import expressions
from compose_lang.compiler.context import Context, Scope, fail, not_built
from compose_lang.compiler.declared_types import bind_shape, rank_of
from compose_lang.compiler.ir import Axis, Node, along, broadcast_to, collect, constant, gather, node, slot
from compose_lang.compiler.operation import broadcast_shapes
from compose_lang.compiler.values import static_int
from compose_lang.grammar import ast

if TYPE_CHECKING:
    from compose_lang.compiler.application import WithInputs


def noise(kind: str) -> Callable[[Context, ast.Call], Node]:
    """A source of randomness of a given shape: `std_normal()`, `std_normal(n, m)`."""

    def run(ctx: Context, e: ast.Call) -> Node:
        shape = tuple(static_int(expressions.evaluate(ctx, a.value), a.span, "a size") for a in e.arguments)
        return source(ctx, kind, shape, e)

    return run


def source(ctx: Context, kind: str, shape: tuple[int, ...], e: ast.Call) -> Node:
    if ctx.session.noise is None:
        name = e.function.span.text
        text = f"`{name}` is randomness, which stands only in a density's `draw`"
        fail("CG0209", text, e.span, help="declare a variable: var z: real ~ Normal(0, 1)")
    made = slot(kind, shape, ctx.plates)
    ctx.session.noise.append((kind, made))
    return made


def _std_exponential(ctx: Context, e: ast.Call) -> Node:
    return node("neg", node("log", noise("uniform")(ctx, e)))


def inverted(quantile: str, parameters: int) -> Callable[[Context, ast.Call], Node]:
    """Randomness with parameters, by inversion: `std_gamma(a)`, and of a given shape `std_gamma(a, n, m)`."""

    def run(ctx: Context, e: ast.Call) -> Node:
        if len(e.arguments) < parameters:
            fail("CG0206", f"`{e.function.span.text}` takes {parameters} parameters", e.span)
        given = [expressions.number(ctx, x.value) for x in e.arguments[:parameters]]
        sizes = tuple(
            static_int(expressions.evaluate(ctx, x.value), x.span, "a size") for x in e.arguments[parameters:]
        )
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


def draw(ctx: Context, factor: WithInputs, subject: tuple[int, ...] = ()) -> Node:
    """A draw of a density's subject, with the leading axes its inputs have.

    subject: the shape of what is drawn, needed where the inputs do not tell it (a Cholesky factor's size).
    """
    decl = factor.factor.decl
    written = [s for s in decl.body or () if isinstance(s, ast.Draw)]
    if not written:
        not_built(f"drawing outright from `{decl.name}`, which has no `draw`,", factor.span)
    values: dict[str, Any] = {}
    leading: dict[str, tuple[int, ...]] = {}
    for p in decl.inputs:
        if p.name in factor.inputs:
            values[p.name] = factor.inputs[p.name][0]
        elif p.default is not None:
            values[p.name] = expressions.evaluate(replace(ctx, scope=factor.factor.scope), p.default)
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
    if subject:
        shown = constant(np.zeros(subject))
        bind_shape(inner, decl.subjects[0].type, shown, "the subject", factor.span)  # type: ignore[arg-type]
    for p in decl.inputs:
        shape = leading.get(p.name, ())
        if shape:
            mine = axes[len(axes) - len(shape) :]
            columns = [constant(0) if n == 1 else along(a) for n, a in zip(shape, mine, strict=True)]
            values[p.name] = gather(values[p.name], columns)
        if p.type is not None and isinstance(values[p.name], Node):
            bind_shape(inner, p.type, values[p.name], f"`{p.name}`", factor.span)
    scope.names.update(values)
    made = expressions.number(inner, written[0].value)
    shape = made.shape
    for axis in reversed(axes):
        made = collect(made, axis)
    return broadcast_to(made, (*batch, *shape))


class LazyScope(Scope):
    """A body's names while its `draw` is elaborated: a `let` that reads the subject must not be touched."""

    ctx: Context

    def __init__(self, parent: Scope, lets: dict[str, ast.Expr]) -> None:
        super().__init__(parent)
        self.lets = lets

    def find(self, name: str) -> Any:
        if name not in self.names and name in self.lets:
            self.names[name] = expressions.evaluate(self.ctx, self.lets[name])
        return super().find(name)
