"""`x[i, j]`: a slice wherever the indices run affinely, a gather elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compose_lang.compiler.ir import intervals
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import OPS, Array, Op, align, broadcast_shapes, in_first


def _infer_gather(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    x, *indices = args
    picked = broadcast_shapes(*(i.shape for i in indices))
    return picked + x.shape[len(indices) :], x.dtype


def affine(values: np.ndarray) -> tuple[int, int] | None:
    """(start, step) if a vector of indices runs at a constant positive step."""
    if values.size == 0:
        return None
    if values.size == 1:
        return int(values.flat[0]), 1
    step = int(values[1] - values[0])
    if step < 1 or not np.array_equal(values, values[0] + step * np.arange(values.size)):
        return None
    return int(values[0]), step


def box_view(node: Node) -> tuple[tuple[Any, ...], tuple[int, ...]] | None:
    """A gather that is a slice: each index affine along an axis of its own.

    Returns the parts that index x's leading axes, and for each axis of the result the number of the kept
    leading axis that becomes it. Lattices, chains and `x[i]` over all of x are read this way, without a gather.
    """
    x, *indices = node.args
    if x.axes:
        return None
    parts: list[Any] = []
    kept: list[Any] = []
    for i in indices:
        if i.value is None or i.shape or len(i.axes) > 1:
            return None
        found = affine(i.value.ravel())
        if found is None:
            return None
        start, step = found
        if not i.axes:
            parts.append(start)
        elif i.axes[0] in kept:
            return None
        else:
            parts.append(slice(start, start + step * (i.value.size - 1) + 1, step))
            kept.append(i.axes[0])
    return tuple(parts), tuple(kept.index(a) for a in node.axes)


def _run_gather(b: Any, node: Node, xs: list[Array]) -> Array:
    x, *indices = xs
    source, *index_nodes = node.args
    xp = b.xp
    view = box_view(node)
    if view is not None:
        parts, order = view
        x = x[(slice(None), *parts)]
        if order != tuple(range(len(order))):
            rest = range(1 + len(order), x.ndim)
            x = xp.permute_dims(x, (0, *(1 + o for o in order), *rest))
        return x
    taken = len(indices)
    rank = max(len(i.shape) for i in index_nodes)
    sizes = source.shape[:taken]
    linear: Array = 0
    for i, (array, n) in enumerate(zip(indices, index_nodes, strict=True)):
        array = align(array, n, node.axes, rank)
        wrapped = array if n.is_const else xp.where(array < 0, array + sizes[i], array)
        linear = linear * sizes[i] + wrapped
    lead = x.shape[: 1 + len(source.axes)]
    flat = x.reshape((*lead, math.prod(sizes), *source.shape[taken:]))
    if not source.axes and (linear.shape[0] == 1 or x.shape[0] == 1):
        if linear.shape[0] == 1:
            picked = xp.take(flat, linear.reshape(-1), axis=1)
            return picked.reshape((x.shape[0], *linear.shape[1:], *source.shape[taken:]))
        picked = xp.take(flat[0], linear.reshape(-1), axis=0)
        return picked.reshape((*linear.shape, *source.shape[taken:]))
    where: list[Array] = []
    total = linear.ndim
    for place, (size, axis) in enumerate(zip(lead, (None, *source.axes), strict=True)):
        position = 0 if place == 0 else 1 + node.axes.index(axis)
        if size == 1:
            where.append(xp.zeros((1,) * total, dtype=linear.dtype))
        else:
            shape = [1] * total
            shape[position] = size
            where.append(xp.arange(size, dtype=linear.dtype).reshape(tuple(shape)))
    return flat[(*where, linear)]


OPS["gather"] = Op(
    _infer_gather, _run_gather, selects=True, linear=in_first, smooth=in_first, bounds=intervals.of_first
)
