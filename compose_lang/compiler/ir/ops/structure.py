"""Operations that move elements and compute nothing: slices, stacks, reshapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compose_lang.compiler.ir import intervals
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Op,
    ShapeError,
    align,
    broadcast_shapes,
    in_all,
    promote,
    same_kind,
)


def leading(node: Node) -> int:
    return 1 + len(node.axes)


def _run_broadcast(b: Any, node: Node, xs: list[Array]) -> Array:
    x = align(xs[0], node.args[0], node.axes, len(node.shape))
    return b.xp.broadcast_to(x, x.shape[: leading(node)] + node.shape)


#: what moves elements of its first argument alone
MOVES: dict[str, Any] = {"selects": True, "linear": in_all, "smooth": in_all, "bounds": intervals.of_first}
JOINS: dict[str, Any] = {**MOVES, "joins": True, "bounds": intervals.hull}

OPS["broadcast"] = Op(lambda args, attrs: (attrs[0], args[0].dtype), _run_broadcast, **MOVES)
OPS["reshape"] = Op(
    lambda args, attrs: (attrs[0], args[0].dtype),
    lambda b, node, xs: xs[0].reshape(xs[0].shape[: leading(node)] + node.shape),
    **MOVES,
)


def _run_transpose(b: Any, node: Node, xs: list[Array]) -> Array:
    lead = leading(node)
    return b.xp.permute_dims(xs[0], (*range(lead), *(lead + p for p in node.attrs[0])))


OPS["transpose"] = Op(
    lambda args, attrs: (tuple(args[0].shape[p] for p in attrs[0]), args[0].dtype), _run_transpose, **MOVES
)


def _infer_slice(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    sizes = [n if s is None else len(range(*s)) for n, s in zip(args[0].shape, attrs[0], strict=True)]
    return tuple(sizes), args[0].dtype


def _run_slice(b: Any, node: Node, xs: list[Array]) -> Array:
    parts: list[slice] = []
    for s in node.attrs[0]:
        if s is None:
            parts.append(slice(None))
        else:
            start, stop, step = s
            parts.append(slice(start, None if stop < 0 else stop, step))
    negative = [k for k, s in enumerate(node.attrs[0]) if s is not None and s[2] < 0]
    x = xs[0]
    if negative:  # torch has no negative steps: flip, then step forwards
        lead = leading(node)
        for k in negative:
            start, stop, step = node.attrs[0][k]
            size = node.args[0].shape[k]
            x = b.xp.flip(x, axis=lead + k)
            parts[k] = slice(size - 1 - start, size - 1 - stop, -step)
    return x[(slice(None),) * leading(node) + tuple(parts)]


OPS["slice"] = Op(_infer_slice, _run_slice, **MOVES)


def _infer_stack(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    return (len(args), *broadcast_shapes(*(a.shape for a in args))), args[0].dtype


def _spread(b: Any, node: Node, xs: list[Array], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Arguments with every axis at full length, and each its shape."""
    chains = max(x.shape[0] for x in xs)
    sizes = tuple(a.size for a in node.axes)
    out = []
    for x, a, shape in zip(xs, node.args, shapes, strict=True):
        x = align(x, a, node.axes, len(shape))
        out.append(b.xp.broadcast_to(x, (chains, *sizes, *shape)))
    return out


def _run_stack(b: Any, node: Node, xs: list[Array]) -> Array:
    parts = _spread(b, node, xs, [node.shape[1:]] * len(xs))
    return b.xp.stack(parts, axis=leading(node))


OPS["stack"] = Op(_infer_stack, _run_stack, same_kind, **JOINS)


def _infer_concat(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    (axis,) = attrs
    first = args[0].shape
    for a in args:
        if len(a.shape) != len(first) or any(
            m != n for k, (m, n) in enumerate(zip(a.shape, first, strict=True)) if k != axis
        ):
            raise ShapeError("shapes do not match", [a.shape for a in args])
    return (*first[:axis], sum(a.shape[axis] for a in args), *first[axis + 1 :]), args[0].dtype


def _run_concat(b: Any, node: Node, xs: list[Array]) -> Array:
    parts = _spread(b, node, xs, [a.shape for a in node.args])
    return b.xp.concat(parts, axis=leading(node) + node.attrs[0])


OPS["concat"] = Op(_infer_concat, _run_concat, same_kind, **JOINS)


def _same_shape(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    return args[0].shape, args[0].dtype


OPS["cumsum"] = Op(
    _same_shape,
    lambda b, node, xs: b.xp.cumulative_sum(xs[0], axis=-1),
    promote,
    linear=in_all,
    smooth=in_all,
    arity=1,
)
OPS["sort"] = Op(_same_shape, lambda b, node, xs: b.xp.sort(xs[0], axis=-1), promote, arity=1)
OPS["argsort"] = Op(
    lambda args, attrs: (args[0].shape, "int"),
    lambda b, node, xs: b.xp.astype(b.xp.argsort(xs[0], axis=-1, stable=True), b.integer),
    promote,
)
