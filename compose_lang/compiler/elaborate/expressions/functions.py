"""The built-in functions: on elements, over generators and arrays, of matrices, and truth values for constraints.

Each takes the context and the call. `builtins.py` is the table that gives them their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate import plates
from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.expressions import operators
from compose_lang.compiler.elaborate.values import (
    Cell,
    IndexSet,
    Texts,
    as_node,
    describe,
    static_int,
    truth,
)
from compose_lang.compiler.ir.build import (
    along,
    broadcast_to,
    cast_to,
    collect,
    constant,
    gather,
    node,
    reduce_axis,
    repeated,
    require_room,
)
from compose_lang.compiler.ir.node import Axis, Node  # fmt: skip
from compose_lang.compiler.ir.operation import reduction_of
from compose_lang.compiler.ir.ops import OPS
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast


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
    return [ctx.number(a.value) for a in e.arguments]


def operation(name: str) -> Callable[[Context, ast.Call], Node]:
    """The built-in that is an operation by its own name."""
    op = OPS[name]

    def run(ctx: Context, e: ast.Call) -> Node:
        xs = operands(ctx, e, op.arity)
        if op.unsafe:
            xs = [operators.guarded(ctx, x) for x in xs]
        value = operators.build(name, xs, [a.span for a in e.arguments])
        if op.elementwise and value.value is not None and value.dtype == "real" and not ctx.guards:
            wrong = np.isnan(value.value)
            if wrong.any():
                at = (
                    xs[0].value[wrong].flat[0]
                    if xs[0].value is not None and xs[0].value.shape == wrong.shape
                    else None
                )
                given = f"`{e.function.span.text}` of {at:g}" if at is not None else "this"
                fail("CG0204", f"{given} is no number", e.span)
        return value

    return run


def reduction(kind: str) -> Callable[[Context, ast.Call], Node]:
    """Over a generator, or over all axes of an array, or over the one `axis=` names."""
    of_two = reduction_of(kind).of_two

    def run(ctx: Context, e: ast.Call) -> Node:
        if len(e.arguments) == 1 and isinstance(e.arguments[0].value, ast.Generator):
            return over_generator(ctx, kind, e.arguments[0].value)
        positional = [a for a in e.arguments if a.name is None]
        named = {a.name: a for a in e.arguments if a.name is not None}
        if of_two and len(positional) > 1 and not named:
            xs = [ctx.number(a.value) for a in positional]
            extremum = xs[0]
            for x, a in zip(xs[1:], positional[1:], strict=True):
                spans = (positional[0].span, a.span)
                extremum = operators.build(of_two, (extremum, x), spans)
            return extremum
        return reduce_shape(kind, *reduced(ctx, e, kind))

    return run


def reduced(ctx: Context, e: ast.Call, name: str) -> tuple[Node, int]:
    """The array that a reduction is given, and how many of its last axes it is over: all, or the one of `axis=`."""
    positional = [a for a in e.arguments if a.name is None]
    named = {a.name: a for a in e.arguments if a.name is not None}
    strange = next((a for given, a in named.items() if given != "axis"), None)
    if strange is not None:
        help = "did you mean `axis`?" if strange.name == "dim" else "it takes an array, and optionally axis="
        fail("CG0206", f"`{name}` has no argument `{strange.name}`", strange.span, help=help)
    if len(positional) != 1:
        help = f"several values make an array: `{name}([1, 2, 3])`" if positional else ""
        fail("CG0206", f"`{name}` takes an array, and optionally axis=", e.span, help=help)
    x = ctx.number(positional[0].value)
    if "axis" not in named:
        return x, len(x.shape)
    axis = static_int(ctx.evaluate(named["axis"].value), named["axis"].span, "an axis")
    return axis_last(x, axis, named["axis"].span), 1


def reduce_shape(kind: str, x: Node, axes: int) -> Node:
    dtype = reduction_of(kind).dtype
    if axes == 0:
        if dtype is None:
            return cast_to(x, "int") if x.dtype == "bool" else x
        return cast_to(x, "bool") if dtype == "bool" else repeated(kind, x, 1)
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
    """`sum(v for …)` and its like, element by element where v is an array; of an array, `any` and `all` ask for all."""
    opened = plates.open_clauses(ctx, generator.clauses, generator.condition, generator.span)
    body = opened.context.number(generator.body)
    dtype = reduction_of(kind).dtype
    if dtype == "bool":
        body = reduce_shape("all", cast_to(body, "bool"), len(body.shape))
    elif dtype == "real":
        body = cast_to(body, "real")
    elif body.dtype == "bool":
        body = cast_to(body, "int")
    if kind == "mean":
        count: Node = constant(float(np.prod([a.size for a in opened.axes])))
        if opened.mask is not None:
            count = cast_to(opened.mask, "real")
            for axis in opened.axes:
                count = reduce_axis("sum", count, axis)
        return node("div", over_axes("sum", body, opened), count)
    return over_axes(kind, body, opened)


def over_axes(kind: str, body: Node, opened: plates.Opened) -> Node:
    nothing = constant(reduction_of(kind).empty)
    if any(axis.size == 0 for axis in opened.axes):
        return broadcast_to(nothing, body.shape)
    if opened.mask is not None:
        body = node("where", opened.mask, body, nothing)
    for axis in opened.axes:
        body = reduce_axis(kind, body, axis)
    return body


def variance(ctx: Context, e: ast.Call) -> Node:
    x, axes = reduced(ctx, e, "variance")
    x = cast_to(x, "real")
    mean = reduce_shape("mean", x, axes)
    away = node("sub", x, node("reshape", mean, attrs=((*mean.shape, *(1,) * axes),)))
    return reduce_shape("mean", node("mul", away, away), axes)


def dot(ctx: Context, e: ast.Call) -> Node:
    x, y = operands(ctx, e, 2)
    products = operators.build("mul", (x, y), [a.span for a in e.arguments])
    return node("sum", products, attrs=(-1,)) if products.shape else products


def norm(ctx: Context, e: ast.Call) -> Node:
    x, axes = reduced(ctx, e, "norm")
    if not x.shape:
        return node("abs", x)
    squared = reduce_shape("sum", node("mul", cast_to(x, "real"), cast_to(x, "real")), axes)
    # the derivative of sqrt at 0 is infinite: two points that coincide would stop a gradient sampler
    zero = node("eq", squared, constant(0.0))
    return node("where", zero, constant(0.0), node("sqrt", node("where", zero, constant(1.0), squared)))


def clip(ctx: Context, e: ast.Call) -> Node:
    x, low, high = operands(ctx, e, 3)
    return node("minimum", node("maximum", x, low), high)


def where_of(ctx: Context, e: ast.Call) -> Any:
    if len(e.arguments) != 3:
        operands(ctx, e, 3)
    test, then, otherwise = (a.value for a in e.arguments)
    return ctx.evaluate(ast.Conditional(test, then, otherwise, span=e.span))


def length(ctx: Context, e: ast.Call) -> Node:
    if len(e.arguments) != 1:
        operands(ctx, e, 1)
    value = ctx.evaluate(e.arguments[0].value)
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


def shape(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    return constant(np.array(x.shape, dtype=np.int64))


def stack(ctx: Context, e: ast.Call) -> Node:
    if not e.arguments:
        fail("CG0206", "`stack` takes the parts of an array, none given", e.span)
    xs = [ctx.number(a.value) for a in e.arguments]
    odd = next((k for k, x in enumerate(xs) if x.shape != xs[0].shape), None)
    if odd is not None:
        text = f"stack takes parts of one shape: {describe(xs[0])} and {describe(xs[odd])}"
        labels = (Label(e.arguments[0].span, describe(xs[0])),)
        fail("CG0203", text, e.arguments[odd].span, labels=labels, label=describe(xs[odd]))
    return xs[0] if len(xs) == 1 else operators.build("stack", xs, [a.span for a in e.arguments])


def concat(ctx: Context, e: ast.Call) -> Node:
    xs = [ctx.number(a.value) for a in e.arguments]
    if any(not x.shape for x in xs) or not xs:
        fail("CG0204", "concat joins arrays; stack makes an array of single values", e.span)
    return operators.build("concat", xs, [a.span for a in e.arguments], attrs=(0,))


def transpose(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    return node("transpose", x, attrs=(tuple(reversed(range(len(x.shape)))),))


def reshape(ctx: Context, e: ast.Call) -> Node:
    xs = [ctx.evaluate(a.value) for a in e.arguments]
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


def argsort(ctx: Context, e: ast.Call) -> Node:
    """The places of a vector's elements in ascending order, equal ones as they stand; of an ordering, its inverse."""
    (x,) = operands(ctx, e, 1)
    if not x.shape:
        fail("CG0204", f"a vector is needed, not {describe(x)}", e.span)
    order = node("argsort", x)
    order.domain = Domain("permutation", size=x.shape[-1])
    return order


def diag(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    n = x.shape[-1] if x.shape else 0
    if len(x.shape) == 1:
        return node("mul", node("reshape", x, attrs=((n, 1),)), constant(np.eye(n)))
    if len(x.shape) != 2 or x.shape[0] != n:
        fail("CG0203", f"diag takes a vector or a square matrix, not {describe(x)}", e.span)
    axis = Axis(n)
    return collect(gather(x, [along(axis), along(axis)]), axis)


def trace(ctx: Context, e: ast.Call) -> Node:
    return node("sum", diag(ctx, e), attrs=(-1,))


def outer(ctx: Context, e: ast.Call) -> Node:
    x, y = operands(ctx, e, 2)
    return node("mul", node("reshape", x, attrs=((*x.shape, 1),)), y)


def softmax(ctx: Context, e: ast.Call) -> Node:
    return node("exp", log_softmax(ctx, e))


def log_softmax(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    if not x.shape:
        fail("CG0204", f"a vector is needed, not {describe(x)}", e.span)
    total = node("logsumexp", x, attrs=(-1,))
    return node("sub", x, node("reshape", total, attrs=((*total.shape, 1),)))


def eye(ctx: Context, e: ast.Call) -> Node:
    (x,) = operands(ctx, e, 1)
    n = non_negative(x, e.span, "the size of eye")
    require_room((n, n))
    return constant(np.eye(n))


def non_negative(value: Any, span: Span, what: str) -> int:
    n = static_int(value, span, what)
    if n < 0:
        fail("CG0204", f"{what} must not be negative, not {n}", span)
    return n


def filled(value: float) -> Callable[[Context, ast.Call], Node]:
    def run(ctx: Context, e: ast.Call) -> Node:
        values = [ctx.evaluate(a.value) for a in e.arguments]
        if any(isinstance(v, Cell) for v in values):
            help = f"write `{e.function.span.text}(2, 3)`"
            fail("CG0206", "sizes are given one by one", e.arguments[0].span, help=help)
        sizes = [non_negative(v, a.span, "a size") for v, a in zip(values, e.arguments, strict=True)]
        require_room(sizes)
        return constant(np.full(sizes, value))

    return run


# --- truth values for constraints -----------------------------------------------------------------------


def all_different(ctx: Context, e: ast.Call) -> Node:
    """Of all elements, whatever the shape: a box of a sudoku is a matrix."""
    (x,) = operands(ctx, e, 1)
    n = math.prod(x.shape)
    if n < 2:
        return constant(True)
    ordered = node("sort", x if len(x.shape) == 1 else node("reshape", x, attrs=((n,),)))
    low = node("slice", ordered, attrs=(((0, n - 1, 1),),))
    high = node("slice", ordered, attrs=(((1, n, 1),),))
    return node("all", node("ne", low, high), attrs=(-1,))


def count_of(ctx: Context, e: ast.Call, arity: int) -> list[Node]:
    xs = operands(ctx, e, arity)
    if not xs[0].shape:
        name = e.function.span.text
        fail(
            "CG0204", f"{name} counts in an array of truth values, not {describe(xs[0])}", e.arguments[0].span
        )
    truths = cast_to(cast_to(xs[0], "bool"), "int")
    return [reduce_shape("sum", truths, len(truths.shape)), *xs[1:]]


def exactly_one(ctx: Context, e: ast.Call) -> Node:
    return node("eq", count_of(ctx, e, 1)[0], constant(1))


def at_most(ctx: Context, e: ast.Call) -> Node:
    return node("le", *count_of(ctx, e, 2))


def at_least(ctx: Context, e: ast.Call) -> Node:
    return node("ge", *count_of(ctx, e, 2))


def implies(ctx: Context, e: ast.Call) -> Node:
    pair = zip(operands(ctx, e, 2), e.arguments, strict=True)
    p, q = (truth(x, a.span) for x, a in pair)
    return node("or", node("not", p), q)
