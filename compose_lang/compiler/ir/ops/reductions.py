"""Reductions over the last axis of the shape, or over a plate or generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Op,
    ShapeError,
    promote,
    to_bool,
    to_real,
)

if TYPE_CHECKING:
    from compose_lang.compiler.ir.node import Axis, Node


def logsumexp(b: Any, x: Array, axis: Any) -> Array:
    xp = b.xp
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.sum(xp.exp(x - top), axis=axis)
    return xp.log(total) + xp.squeeze(top, axis=axis)


REDUCTIONS: dict[str, Callable[..., Array]] = {
    "sum": lambda b, x, axis: b.xp.sum(x, axis=axis),
    "prod": lambda b, x, axis: b.xp.prod(x, axis=axis),
    "mean": lambda b, x, axis: b.xp.mean(x, axis=axis),
    "max": lambda b, x, axis: b.xp.max(x, axis=axis),
    "min": lambda b, x, axis: b.xp.min(x, axis=axis),
    "any": lambda b, x, axis: b.xp.any(x, axis=axis),
    "all": lambda b, x, axis: b.xp.all(x, axis=axis),
    "logsumexp": logsumexp,
}
REDUCTION_DTYPES = {"mean": "real", "logsumexp": "real", "any": "bool", "all": "bool"}


def reduction_coerce(kind: str) -> Callable[..., tuple[Node, ...]]:
    if kind in ("mean", "logsumexp"):
        return to_real
    return to_bool if kind in ("any", "all") else promote


NEEDS_ELEMENTS = frozenset({"mean", "max", "min", "logsumexp"})


def require_elements(kind: str, count: int) -> None:
    """A sum of nothing is 0; a maximum of nothing is no number."""
    if count == 0 and kind in NEEDS_ELEMENTS:
        raise ShapeError(f"`{kind}` needs at least one element", [(0,)])


def _register_reduction(kind: str) -> None:
    """Over one axis of the shape, counted from the end: attrs = (axis,)."""

    def infer(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
        shape = args[0].shape
        place = len(shape) + attrs[0]
        require_elements(kind, shape[place])
        return shape[:place] + shape[place + 1 :], args[0].dtype

    def run(b: Any, node: Node, xs: list[Array]) -> Array:
        return REDUCTIONS[kind](b, xs[0], node.attrs[0])

    OPS[kind] = Op(infer, run, reduction_coerce(kind), reduces=True)


for _name in REDUCTIONS:
    _register_reduction(_name)


def _without(args: tuple[Node, ...], axis: Axis) -> tuple[Axis, ...]:
    return tuple(a for a in args[0].axes if a is not axis)


def _run_reduce_axis(b: Any, node: Node, xs: list[Array]) -> Array:
    kind, axis = node.attrs
    return REDUCTIONS[kind](b, xs[0], 1 + node.args[0].axes.index(axis))


def _infer_reduce_axis(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    require_elements(attrs[0], attrs[1].size)
    return args[0].shape, REDUCTION_DTYPES.get(attrs[0], args[0].dtype)


OPS["reduce_axis"] = Op(
    _infer_reduce_axis, _run_reduce_axis, axes=lambda args, attrs: _without(args, attrs[1])
)


def _run_collect(b: Any, node: Node, xs: list[Array]) -> Array:
    (axis,) = node.attrs
    source = node.args[0]
    return b.xp.moveaxis(xs[0], 1 + source.axes.index(axis), len(source.axes))


OPS["collect"] = Op(
    lambda args, attrs: ((attrs[0].size, *args[0].shape), args[0].dtype),
    _run_collect,
    axes=lambda args, attrs: _without(args, attrs[0]),
)
