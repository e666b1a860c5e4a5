"""Calls: the built-in functions and index sets, users' functions, and factors given their inputs.

`BUILTINS` is the one table of names that programs may call without declaring them; each takes the context and the
call, so that a special form (a reduction over a generator, `contrast`) is an entry like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compose_lang.compiler import application, clauses, draws, expressions, factors, index_sets
from compose_lang.compiler.context import Context, Scope, fail, not_built
from compose_lang.compiler.declared_types import bind_shape
from compose_lang.compiler.ir import (
    REPEATED,
    Axis,
    Node,
    add_all,
    along,
    broadcast_to,
    cast_to,
    collect,
    constant,
    gather,
    node,
    reduce_axis,
)  # fmt: skip
from compose_lang.compiler.operation import ShapeError, broadcast_shapes
from compose_lang.compiler.values import (
    Cell,
    Function,
    IndexSet,
    Nothing,
    Texts,
    as_node,
    describe,
    static_int,
)
from compose_lang.diagnostics import Span
from compose_lang.grammar import ast


@dataclass(frozen=True)
class Builtin:
    name: str
    run: Callable[[Context, ast.Call], Any]

    @property
    def description(self) -> str:
        return f"the function `{self.name}`"


def to_real(x: Node) -> Node:
    return cast_to(x, "real")


def call(ctx: Context, e: ast.Call) -> Any:
    """The value of a call."""
    callee = expressions.evaluate(ctx, e.function)
    if isinstance(callee, Builtin):
        if e.inputs is not None:
            fail("CG0206", f"{callee.description} takes no `|`", e.span)
        return callee.run(ctx, e)
    if isinstance(callee, Function):
        return call_function(ctx, callee, e)
    if isinstance(callee, application.DeclaredFactor):
        return call_factor(ctx, callee, e)
    if isinstance(callee, application.WithInputs) and e.inputs is not None and e.arguments:
        return applied(ctx, callee, e.arguments, e.span)
    fail("CG0204", f"{describe(callee)} cannot be called", e.function.span)


def call_factor(ctx: Context, factor: application.DeclaredFactor, e: ast.Call) -> Any:
    """`F(inputs)`, `F(| inputs)`, `F(subjects |)` and `F(subjects | inputs)`."""
    if e.inputs is None:
        return factor.with_inputs(ctx, e.arguments, e.span)
    waiting = factor.with_inputs(ctx, e.inputs, e.span)
    return applied(ctx, waiting, e.arguments, e.span) if e.arguments else waiting


def applied(
    ctx: Context, waiting: application.WithInputs, arguments: Sequence[ast.Argument], span: Span
) -> factors.Applied:
    """A factor given its subjects, by place or by name."""
    decl = waiting.factor.decl
    given = application.assign(ctx, decl.subjects, arguments, waiting.description, span)
    missing = [s.name for s in decl.subjects if s.name not in given]
    if missing:
        fail(
            "CG0206", f"`{decl.name}` is missing its subject `{missing[0]}`: give all subjects or none", span
        )
    nodes = tuple(as_node(*given[s.name]) for s in decl.subjects)
    return factors.Applied(waiting, nodes, span)


def call_function(ctx: Context, function: Function, e: ast.Call) -> Any:
    """A user's function, inlined; leading axes of its arguments broadcast as independent copies."""
    decl = function.decl
    what = f"the function `{decl.name}`"
    if e.inputs is not None:
        fail("CG0206", f"{what} takes no `|`", e.span)
    if len(ctx.calls) >= application.MAX_DEPTH:
        text = (
            f"{what} calls itself"
            if any(c == e.span for c in ctx.calls)
            else "functions call each other too deeply"
        )
        fail("CG0801", text, e.span, help="functions are inlined and cannot recurse")
    given = application.assign(ctx, decl.parameters, e.arguments, what, e.span)
    for p in decl.parameters:
        if p.name not in given:
            if p.default is None:
                fail("CG0206", f"{what} needs a value for `{p.name}`", e.span)
            given[p.name] = (
                expressions.evaluate(replace(ctx, scope=function.scope), p.default),
                p.default.span,
            )
    leading: dict[str, tuple[int, ...]] = {}
    for p in decl.parameters:
        value, span = given[p.name]
        if isinstance(value, Node) and p.type is not None:
            rank = application.rank_of(p)
            if len(value.shape) < rank:
                text = f"`{p.name}` of `{decl.name}` is {p.type.span.text}, given {describe(value)}"
                fail("CG0203", f"shapes do not match: {text}", span)
            leading[p.name] = value.shape[: len(value.shape) - rank]
    try:
        batch = broadcast_shapes(*leading.values())
    except ShapeError:
        shown = " against ".join(describe(given[n][0]) for n, s in leading.items() if s)
        fail("CG0203", f"shapes do not match in the call of `{decl.name}`: {shown}", e.span)
    axes = [Axis(n) for n in batch]
    names: dict[str, Any] = {}
    for p in decl.parameters:
        value, span = given[p.name]
        shape = leading.get(p.name, ())
        if shape:
            mine = axes[len(axes) - len(shape) :]
            value = gather(
                value, [constant(0) if n == 1 else along(a) for n, a in zip(shape, mine, strict=True)]
            )
        names[p.name] = value
    plates = (*ctx.plates, *axes)
    inner = replace(ctx, scope=Scope(function.scope), plates=plates, calls=(*ctx.calls, e.span))
    for p in decl.parameters:
        if p.type is not None and isinstance(names[p.name], Node):
            bind_shape(inner, p.type, names[p.name], f"`{p.name}` of `{decl.name}`", given[p.name][1])
    inner.scope.names.update(names)
    for let in decl.body:
        inner.scope.names[let.name] = expressions.evaluate(inner, let.value)
    if decl.value is None:
        not_built("a learned function", decl.span)
    made = expressions.evaluate(inner, decl.value)
    if not axes or not isinstance(made, Node):
        return made
    shape = made.shape
    for axis in reversed(axes):
        made = collect(made, axis)
    return broadcast_to(made, (*batch, *shape))


# --- helpers for the table ------------------------------------------------------------------------------


def operands(ctx: Context, e: ast.Call, low: int, high: int | None = None) -> list[Node]:
    """The positional arguments of a built-in as nodes."""
    high = low if high is None else high
    if not low <= len(e.arguments) <= high or any(a.name for a in e.arguments):
        takes = str(low) if low == high else f"{low} to {high}"
        name = e.function.span.text
        fail(
            "CG0206",
            f"`{name}` takes {takes} argument{'s' if high != 1 else ''}, {len(e.arguments)} given",
            e.span,
        )
    return [expressions.number(ctx, a.value) for a in e.arguments]


def elementwise(op: str, arity: int = 1, unsafe: bool = False) -> Callable[[Context, ast.Call], Node]:
    def run(ctx: Context, e: ast.Call) -> Node:
        xs = operands(ctx, e, arity)
        if unsafe:
            xs = [expressions.guarded(ctx, x) for x in xs]
        return expressions.build(op, xs, [a.span for a in e.arguments])

    return run


FILLS = {"sum": 0, "prod": 1, "logsumexp": -np.inf, "max": -np.inf, "min": np.inf, "any": False, "all": True}


def reduction(kind: str) -> Callable[[Context, ast.Call], Node]:
    """Over a generator, or over all axes of an array, or over the one `axis=` names."""

    def run(ctx: Context, e: ast.Call) -> Node:
        if len(e.arguments) == 1 and isinstance(e.arguments[0].value, ast.Generator):
            return over_generator(ctx, kind, e.arguments[0].value)
        positional = [a for a in e.arguments if a.name is None]
        named = {a.name: a for a in e.arguments if a.name is not None}
        if kind in ("min", "max") and len(positional) > 1 and not named:
            xs = [expressions.number(ctx, a.value) for a in positional]
            made = xs[0]
            for x, a in zip(xs[1:], positional[1:], strict=True):
                spans = (positional[0].span, a.span)
                made = expressions.build("maximum" if kind == "max" else "minimum", (made, x), spans)
            return made
        if len(positional) != 1 or set(named) - {"axis"}:
            fail("CG0206", f"`{kind}` takes an array, and optionally axis=", e.span)
        x = expressions.number(ctx, positional[0].value)
        if "axis" in named:
            axis = static_int(expressions.evaluate(ctx, named["axis"].value), named["axis"].span, "an axis")
            return reduce_shape(kind, axis_last(x, axis, e.span), 1)
        return reduce_shape(kind, x, len(x.shape))

    return run


def reduce_shape(kind: str, x: Node, axes: int) -> Node:
    if axes == 0 and kind in ("sum", "prod", "max", "min"):
        return cast_to(x, "int") if x.dtype == "bool" else x
    if axes == 0:
        return REPEATED[kind](x, 1) if kind not in ("any", "all") else cast_to(x, "bool")
    for _ in range(axes):
        x = node(kind, x, attrs=(-1,))
    return x


def axis_last(x: Node, axis: int, span: Span) -> Node:
    rank = len(x.shape)
    if not -rank <= axis < rank:
        fail("CG0207", f"axis {axis} is out of range for {describe(x)}", span)
    axis %= rank
    order = (*(k for k in range(rank) if k != axis), axis)
    return x if axis == rank - 1 else node("transpose", x, attrs=(order,))


def over_generator(ctx: Context, kind: str, generator: ast.Generator) -> Node:
    opened = clauses.open_clauses(ctx, generator.clauses, generator.condition, generator.span)
    body = expressions.number(opened.context, generator.body)
    body = reduce_shape(kind, body, len(body.shape))
    if kind == "mean":
        count: Node = constant(float(np.prod([a.size for a in opened.axes])))
        if opened.mask is not None:
            count = cast_to(opened.mask, "real")
            for axis in opened.axes:
                count = reduce_axis("sum", count, axis)
        return node("div", over_axes("sum", to_real(body), opened), count)
    if kind in ("any", "all"):
        body = cast_to(body, "bool")
    return over_axes(kind, body, opened)


def over_axes(kind: str, body: Node, opened: clauses.Opened) -> Node:
    if opened.mask is not None:
        body = node(
            "where",
            opened.mask,
            body,
            constant(FILLS[kind], dtype="bool" if kind in ("any", "all") else None),
        )
    for axis in opened.axes:
        body = reduce_axis(kind, body, axis)
    return body


def _variance(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    x = to_real(x)
    mean = reduce_shape("mean", x, len(x.shape))
    away = node("sub", x, mean)
    return reduce_shape("mean", node("mul", away, away), len(x.shape))


def _dot(ctx: Context, e: ast.Call) -> Node:
    x, y = operands(ctx, e, 2)
    made = expressions.build("mul", (x, y), [a.span for a in e.arguments])
    return node("sum", made, attrs=(-1,)) if made.shape else made


def _norm(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    if not x.shape:
        return node("abs", x)
    squared = reduce_shape("sum", node("mul", to_real(x), to_real(x)), len(x.shape))
    # the derivative of sqrt at 0 is infinite: two points that coincide would stop a gradient sampler
    zero = node("eq", squared, constant(0.0))
    return node("where", zero, constant(0.0), node("sqrt", node("where", zero, constant(1.0), squared)))


def _clip(ctx: Context, e: ast.Call) -> Node:
    x, low, high = operands(ctx, e, 3)
    return node("minimum", node("maximum", x, low), high)


def _where(ctx: Context, e: ast.Call) -> Any:
    if len(e.arguments) != 3:
        operands(ctx, e, 3)
    test, then, otherwise = (a.value for a in e.arguments)
    return expressions.evaluate(ctx, ast.Conditional(test, then, otherwise, span=e.span))


def _length(ctx: Context, e: ast.Call) -> Node:
    if len(e.arguments) != 1:
        operands(ctx, e, 1)
    value = expressions.evaluate(ctx, e.arguments[0].value)
    if isinstance(value, IndexSet):
        return constant(value.count)
    if isinstance(value, Texts) and value.value.ndim:
        return constant(len(value.value))
    if isinstance(value, Cell):
        return constant(len(value.items))
    x = as_node(value, e.arguments[0].span)
    if not x.shape:
        fail("CG0204", f"{describe(x)} has no length", e.arguments[0].span)
    return constant(x.shape[0])


def _shape(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    return constant(np.array(x.shape, dtype=np.int64))


def _stack(ctx: Context, e: ast.Call) -> Node:
    xs = [expressions.number(ctx, a.value) for a in e.arguments]
    return xs[0] if len(xs) == 1 else expressions.build("stack", xs, [a.span for a in e.arguments])


def _concat(ctx: Context, e: ast.Call) -> Node:
    xs = [expressions.number(ctx, a.value) for a in e.arguments]
    if any(not x.shape for x in xs) or not xs:
        fail("CG0204", "concat joins arrays; stack makes an array of single values", e.span)
    return expressions.build("concat", xs, [a.span for a in e.arguments], attrs=(0,))


def _transpose(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    return node("transpose", x, attrs=(tuple(reversed(range(len(x.shape)))),))


def _reshape(ctx: Context, e: ast.Call) -> Node:
    xs = [expressions.evaluate(ctx, a.value) for a in e.arguments]
    x = as_node(xs[0], e.arguments[0].span)
    sizes: list[int] = []
    for value, a in zip(xs[1:], e.arguments[1:], strict=True):
        n = as_node(value, a.span)
        if n.value is not None and len(n.shape) == 1:
            sizes.extend(int(k) for k in n.value)
        else:
            sizes.append(static_int(n, a.span, "a size"))
    if sizes.count(-1) == 1 and np.prod([s for s in sizes if s != -1]):
        sizes[sizes.index(-1)] = int(np.prod(x.shape)) // int(np.prod([s for s in sizes if s != -1]))
    if np.prod(sizes) != np.prod(x.shape):
        fail("CG0203", f"shapes do not match: {describe(x)} cannot be reshaped to {sizes}", e.span)
    return node("reshape", x, attrs=(tuple(sizes),))


def _diag(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    n = x.shape[-1] if x.shape else 0
    if len(x.shape) == 1:
        return node("mul", node("reshape", x, attrs=((n, 1),)), constant(np.eye(n)))
    if len(x.shape) != 2 or x.shape[0] != n:
        fail("CG0203", f"diag takes a vector or a square matrix, not {describe(x)}", e.span)
    axis = Axis(n)
    return collect(gather(x, [along(axis), along(axis)]), axis)


def _trace(ctx: Context, e: ast.Call) -> Node:
    return node("sum", _diag(ctx, e), attrs=(-1,))


def _outer(ctx: Context, e: ast.Call) -> Node:
    x, y = operands(ctx, e, 2)
    return node("mul", node("reshape", x, attrs=((*x.shape, 1),)), y)


def _softmax(ctx: Context, e: ast.Call) -> Node:
    return node("exp", _log_softmax(ctx, e))


def _log_softmax(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    if not x.shape:
        fail("CG0204", f"a vector is needed, not {describe(x)}", e.span)
    total = node("logsumexp", x, attrs=(-1,))
    return node("sub", x, node("reshape", total, attrs=((*total.shape, 1),)))


def matrix(op: str, arity: int) -> Callable[[Context, ast.Call], Node]:
    def run(ctx: Context, e: ast.Call) -> Node:
        return expressions.build(op, operands(ctx, e, arity), [a.span for a in e.arguments])

    return run


def _eye(ctx: Context, e: ast.Call) -> Node:
    (n,) = operands(ctx, e, 1)
    return constant(np.eye(static_int(n, e.span, "the size of eye")))


def filled(value: float) -> Callable[[Context, ast.Call], Node]:
    def run(ctx: Context, e: ast.Call) -> Node:
        sizes = [static_int(expressions.evaluate(ctx, a.value), a.span, "a size") for a in e.arguments]
        return constant(np.full(sizes, value))

    return run


# --- truth values for constraints -----------------------------------------------------------------------


def _all_different(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    if len(x.shape) != 1:
        fail("CG0204", f"all_different takes a vector, not {describe(x)}", e.span)
    if x.shape[0] < 2:
        return constant(True)
    ordered = node("sort", x)
    n = x.shape[0]
    low = node("slice", ordered, attrs=(((0, n - 1, 1),),))
    high = node("slice", ordered, attrs=(((1, n, 1),),))
    return node("all", node("ne", low, high), attrs=(-1,))


def count_of(ctx: Context, e: ast.Call, arity: int) -> list[Node]:
    xs = operands(ctx, e, arity)
    truths = cast_to(cast_to(xs[0], "bool"), "int")
    return [reduce_shape("sum", truths, len(truths.shape)), *xs[1:]]


def _exactly_one(ctx: Context, e: ast.Call) -> Node:
    return node("eq", count_of(ctx, e, 1)[0], constant(1))


def _at_most(ctx: Context, e: ast.Call) -> Node:
    return node("le", *count_of(ctx, e, 2))


def _at_least(ctx: Context, e: ast.Call) -> Node:
    return node("ge", *count_of(ctx, e, 2))


def _implies(ctx: Context, e: ast.Call) -> Node:
    p, q = operands(ctx, e, 2)
    return node("or", node("not", p), q)


# --- factors as arguments ------------------------------------------------------------------------------


def factor_argument(ctx: Context, argument: ast.Argument) -> factors.Factor:
    value = expressions.evaluate(ctx, argument.value)
    made = factors.as_factor(value)
    if made is None:
        fail("CG0401", f"a factor is needed here, not {describe(value)}", argument.span)
    return made


def _contrast(ctx: Context, e: ast.Call) -> factors.Factor:
    by_name = {a.name: a for a in e.arguments if a.name}
    by_place = [a for a in e.arguments if not a.name]
    if not 2 <= len(by_place) <= 3 or set(by_name) - {"strength"}:
        fail("CG0206", "contrast takes two factors, and optionally strength=", e.span)
    likes, dislikes = factor_argument(ctx, by_place[0]), factor_argument(ctx, by_place[1])
    given = by_name.get("strength") or (by_place[2] if len(by_place) == 3 else None)
    strength = to_real(expressions.number(ctx, given.value)) if given else constant(1.0)
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


def _log_weight(ctx: Context, e: ast.Call) -> Node:
    if len(e.arguments) != 1:
        operands(ctx, e, 1)
    made = factor_argument(ctx, e.arguments[0])
    if made.ranks:
        fail("CG0206", "log_weight takes a factor with its subjects: log_weight(F(x | …))", e.span)
    return node("neg", factors.total(made, replace(ctx, mask=None), [], e.span))


def unbuilt(name: str) -> Callable[[Context, ast.Call], Any]:
    return lambda ctx, e: not_built(f"`{name}`", e.span)


def _read(ctx: Context, e: ast.Call) -> Any:
    fail("CG0209", "read(…) stands only on the right of a `data` declaration", e.span)


UNSAFE = {"log", "log1p", "sqrt", "lgamma", "digamma", "logit", "asin", "acos"}
UNARY = (
    "exp", "log", "log1p", "expm1", "sqrt", "abs", "sign", "floor", "ceil", "round", "sin", "cos", "tan", "asin",
    "acos", "atan", "sinh", "cosh", "tanh", "logistic", "logit", "softplus", "lgamma", "digamma", "erf", "erfc",
    "log_i0", "normal_cdf", "log_normal_cdf", "isfinite", "cumsum", "sort",
)  # fmt: skip

_TABLE: dict[str, Callable[[Context, ast.Call], Any]] = {
    **{name: elementwise(name, unsafe=name in UNSAFE) for name in UNARY},
    **{name: elementwise(name, 2) for name in ("atan2", "xlogy")},
    "lbeta": elementwise("lbeta", 2, unsafe=True),
    **{kind: reduction(kind) for kind in ("sum", "prod", "mean", "min", "max", "any", "all", "logsumexp")},
    "var": _variance,
    "sd": lambda ctx, e: node("sqrt", _variance(ctx, e)),
    "dot": _dot, "norm": _norm, "clip": _clip, "where": _where, "len": _length, "shape": _shape,
    "stack": _stack, "concat": _concat, "transpose": _transpose, "reshape": _reshape, "diag": _diag,
    "trace": _trace, "outer": _outer, "softmax": _softmax, "log_softmax": _log_softmax, "eye": _eye,
    "zeros": filled(0.0), "ones": filled(1.0),
    "cholesky": matrix("cholesky", 1), "inverse": matrix("inverse", 1), "det": matrix("det", 1),
    "log_det": matrix("log_det", 1), "solve": matrix("solve", 2), "solve_triangular": matrix("solve_triangular", 2),
    "all_different": _all_different, "exactly_one": _exactly_one, "at_most": _at_most, "at_least": _at_least,
    "implies": _implies,
    "contrast": _contrast, "product": gathered("product"), "mixture": gathered("mixture"),
    "log_weight": _log_weight, "read": _read,
    **{name: unbuilt(name) for name in ("normalize", "truncate", "load", "extern")},
    **index_sets.TABLE,
    **draws.TABLE,
}  # fmt: skip

BUILTINS: dict[str, Builtin] = {name: Builtin(name, run) for name, run in _TABLE.items()}

CONSTANTS: dict[str, Any] = {
    "true": constant(True), "false": constant(False), "inf": constant(np.inf), "pi": constant(np.pi),
    "none": Nothing(),
}  # fmt: skip
__all__ = ["BUILTINS", "CONSTANTS", "Builtin", "add_all", "call", "to_real"]
