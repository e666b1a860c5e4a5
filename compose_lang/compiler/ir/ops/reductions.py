"""Reductions over the last axis of the shape, or over a plate or generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.ir import intervals
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Op,
    Reduction,
    ShapeError,
    in_all,
    promote,
    reduction_of,
    to_bool,
    to_real,
)


def logsumexp(b: Any, x: Array, axis: Any) -> Array:
    xp = b.xp
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.sum(xp.exp(x - top), axis=axis)
    return xp.log(total) + xp.squeeze(top, axis=axis)


def require_elements(kind: str, reduction: Reduction, count: int) -> None:
    """A sum of nothing is 0; a maximum of nothing is no number."""
    if count == 0 and reduction.needs_elements:
        raise ShapeError(f"`{kind}` needs at least one element", [(0,)])


def reduction(name: str, reduction: Reduction, **facts: Any) -> None:
    """Register a reduction over one axis of the shape, counted from the end: attrs = (axis,)."""

    def infer(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
        shape = args[0].shape
        place = len(shape) + attrs[0]
        require_elements(name, reduction, shape[place])
        return shape[:place] + shape[place + 1 :], args[0].dtype

    def run(b: Any, node: Node, xs: list[Array]) -> Array:
        return reduction.run(b, xs[0], node.attrs[0])

    OPS[name] = Op(infer, run, reduction.coerce, reduction=reduction, **facts)


reduction(
    "sum",
    Reduction(
        lambda b, x, axis: b.xp.sum(x, axis=axis),
        promote, needs_elements=False, empty=0, repeated=("mul", lambda n: n),
    ),
    linear=in_all, smooth=in_all, bounds=intervals.summed,
)  # fmt: skip
reduction(
    "prod",
    Reduction(
        lambda b, x, axis: b.xp.prod(x, axis=axis),
        promote, needs_elements=False, empty=1, repeated=("pow", lambda n: n),
    ),
)  # fmt: skip
reduction(
    "mean",
    Reduction(lambda b, x, axis: b.xp.mean(x, axis=axis), to_real, "real"),
    linear=in_all, smooth=in_all, bounds=intervals.hull,
)  # fmt: skip
reduction(
    "min",
    Reduction(lambda b, x, axis: b.xp.min(x, axis=axis), promote, empty=np.inf, of_two="minimum"),
    smooth=in_all, bounds=intervals.hull,
)  # fmt: skip
reduction(
    "max",
    Reduction(lambda b, x, axis: b.xp.max(x, axis=axis), promote, empty=-np.inf, of_two="maximum"),
    smooth=in_all, bounds=intervals.hull,
)  # fmt: skip
reduction(
    "any",
    Reduction(lambda b, x, axis: b.xp.any(x, axis=axis), to_bool, "bool", needs_elements=False, empty=False),
)
reduction(
    "all",
    Reduction(lambda b, x, axis: b.xp.all(x, axis=axis), to_bool, "bool", needs_elements=False, empty=True),
)
reduction(
    "logsumexp",
    Reduction(
        logsumexp, to_real, "real",
        empty=-np.inf, repeated=("add", lambda n: np.log(n) if n else -np.inf),
    ),
    smooth=in_all, bounds=intervals.log_summed,
)  # fmt: skip


def _without(args: tuple[Node, ...], axis: Axis) -> tuple[Axis, ...]:
    return tuple(a for a in args[0].axes if a is not axis)


def _run_reduce_axis(b: Any, node: Node, xs: list[Array]) -> Array:
    return reduction_of(node.attrs[0]).run(b, xs[0], 1 + node.args[0].axes.index(node.attrs[1]))


def _infer_reduce_axis(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    kind, axis = attrs
    require_elements(kind, reduction_of(kind), axis.size)
    return args[0].shape, reduction_of(kind).dtype or args[0].dtype


OPS["reduce_axis"] = Op(
    _infer_reduce_axis,
    _run_reduce_axis,
    axes=lambda args, attrs: _without(args, attrs[1]),
    ends=lambda n: n.attrs[1],
)


def _run_collect(b: Any, node: Node, xs: list[Array]) -> Array:
    (axis,) = node.attrs
    source = node.args[0]
    return b.xp.moveaxis(xs[0], 1 + source.axes.index(axis), len(source.axes))


OPS["collect"] = Op(
    lambda args, attrs: ((attrs[0].size, *args[0].shape), args[0].dtype),
    _run_collect,
    axes=lambda args, attrs: _without(args, attrs[0]),
    selects=True,
    linear=in_all,
    smooth=in_all,
    bounds=intervals.of_first,
    ends=lambda n: n.attrs[0],
)
