"""Products, factorisations and solutions over the last axes."""

from __future__ import annotations

import math
from typing import Any

from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Op,
    ShapeError,
    axes_aligned,
    broadcast_shapes,
    in_all,
    in_one,
    in_others,
    product_degree,
    to_real,
)
from compose_lang.compiler.ir.ops.structure import leading


def _infer_matmul(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    p, q = args[0].shape, args[1].shape
    inner = q[-2] if len(q) > 1 else q[-1] if q else None
    if not p or not q or p[-1] != inner:
        raise ShapeError("shapes do not match for @", [p, q])
    batch = broadcast_shapes(p[:-2], q[:-2])
    return batch + (p[-2:-1] if len(p) > 1 else ()) + (q[-1:] if len(q) > 1 else ()), "real"


def _run_matmul(b: Any, node: Node, xs: list[Array]) -> Array:
    left, right = node.args
    x, y = axes_aligned(node, xs)
    p, q = len(left.shape), len(right.shape)
    if p == 1:
        x = x[..., None, :]
    if q == 1:
        y = y[..., :, None]
    rank = max(p, q, 2)
    lead = leading(node)
    x = x.reshape((*x.shape[:lead], *(1,) * (rank - max(p, 2)), *x.shape[lead:]))
    y = y.reshape((*y.shape[:lead], *(1,) * (rank - max(q, 2)), *y.shape[lead:]))
    out = _matmul(b, x, y)
    if p == 1:
        out = out[..., 0, :]
    if q == 1:
        out = out[..., 0]
    return out


def _matmul(b: Any, x: Array, y: Array) -> Array:
    """One matrix times a vector of every chain is one product of two matrices, not a batch of small ones."""
    if y.shape[-1] == 1 and math.prod(x.shape[:-2]) == 1 and y.shape[0] > 1 and math.prod(y.shape[1:-2]) == 1:
        flat = y.reshape((y.shape[0], y.shape[-2])) @ x.reshape(x.shape[-2:]).T
        return flat.reshape((*y.shape[:-2], x.shape[-2], 1))
    return b.xp.matmul(x, y)


OPS["matmul"] = Op(
    _infer_matmul, _run_matmul, to_real, symbol="@", linear=in_one, degree=product_degree, smooth=in_all
)


def _square(args: tuple[Node, ...]) -> int:
    shape = args[0].shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError("a square matrix is needed", [shape])
    return shape[-1]


def _infer_square(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    _square(args)
    return args[0].shape, "real"


def _infer_solve(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    n, right = _square(args), args[1].shape
    if not right or right[-1 if len(right) == 1 else -2] != n:
        raise ShapeError("shapes do not match", [args[0].shape, right])
    return right, "real"


def _run_solve(b: Any, node: Node, xs: list[Array]) -> Array:
    left, right = axes_aligned(node, xs)
    vector = len(node.args[1].shape) == 1
    if vector:
        right = right[..., None]
    lead = tuple(max(m, n) for m, n in zip(left.shape[:-2], right.shape[:-2], strict=True))
    left = b.xp.broadcast_to(left, (*lead, *left.shape[-2:]))
    right = b.xp.broadcast_to(right, (*lead, *right.shape[-2:]))
    out = b.xp.linalg.solve(left, right) if node.op == "solve" else b.solve_triangular(left, right)
    return out[..., 0] if vector else out


def _run_inverse(b: Any, node: Node, xs: list[Array]) -> Array:
    return b.xp.linalg.inv(xs[0])


def _run_log_det(b: Any, node: Node, xs: list[Array]) -> Array:
    return b.xp.linalg.slogdet(xs[0])[1]


OPS["cholesky"] = Op(_infer_square, lambda b, node, xs: b.cholesky(xs[0]), to_real, arity=1)
OPS["solve"] = Op(_infer_solve, _run_solve, to_real, linear=in_others, arity=2)
OPS["solve_triangular"] = Op(_infer_solve, _run_solve, to_real, linear=in_others, arity=2)
OPS["inverse"] = Op(_infer_square, _run_inverse, to_real, arity=1)


def _infer_determinant(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    _square(args)
    return args[0].shape[:-2], "real"


OPS["log_det"] = Op(_infer_determinant, _run_log_det, to_real, arity=1)
OPS["det"] = Op(_infer_determinant, lambda b, node, xs: b.xp.linalg.det(xs[0]), to_real, arity=1)
