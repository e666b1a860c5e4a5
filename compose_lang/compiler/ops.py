"""Every operation of the IR, once: what shape and dtype it gives, and how an array library computes it.

`OPS[name]` is read by `ir.node` (inference, constant folding with NumPy) and by `runtime/evaluate.py` (on a
backend). An implementation sees arrays `(chain, *axes, *shape)`; its `b` offers `xp`, `special`, `real`,
`integer` and `scan`, which a backend and `Host` both do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compose_lang.compiler.ir import Axis, Node

Array = Any
Infer = Callable[["tuple[Node, ...]", tuple[Any, ...]], tuple[tuple[int, ...], Any]]


class ShapeError(Exception):
    """Operands whose shapes do not fit; carries the shapes for the message."""

    def __init__(self, message: str, shapes: Sequence[tuple[int, ...]] = ()) -> None:
        super().__init__(message)
        self.shapes = tuple(shapes)


class HostSpecial:
    """scipy.special, imported only for what `math` does not have: it takes longer to import than a program to check."""

    def gammaln(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        if x.size > SMALL or (x <= 0).any() or not np.isfinite(x).all():
            return self.of_scipy.gammaln(x)
        return np.vectorize(math.lgamma, otypes=[np.float64])(x) if x.size else np.zeros(x.shape)

    @cached_property
    def of_scipy(self) -> ModuleType:
        import scipy.special

        return scipy.special

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of_scipy, name)


SMALL = 64  #: elements that are worth a Python loop to spare an import


class Host:
    """NumPy as the folder of constants: the members of a backend that implementations use."""

    name = "host"
    xp = np
    real = np.float64
    integer = np.int64

    special = HostSpecial()

    def asarray(self, value: Any, dtype: Any = None) -> np.ndarray:
        return np.asarray(value, dtype)

    def cholesky(self, x: np.ndarray) -> np.ndarray:
        """Lower factor; NaN where a matrix is not positive definite, as on a backend."""
        try:
            return np.linalg.cholesky(x)
        except np.linalg.LinAlgError:
            return np.full_like(x, np.nan)

    def solve_triangular(self, lower: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.linalg.solve(lower, right)


@dataclass(frozen=True)
class Op:
    """One operation. `run(b, node, xs)` computes it from the physical arrays of its arguments."""

    infer: Infer
    run: Callable[[Any, Node, list[Array]], Array]
    coerce: Callable[..., tuple[Node, ...]] | None = None
    axes: Callable[[tuple[Node, ...], tuple[Any, ...]], tuple[Axis, ...]] | None = None
    elementwise: bool = False
    reduces: bool = False  #: over the last axis or axes of the shape, whatever stands before them


OPS: dict[str, Op] = {}


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcasting of shapes; ShapeError where they do not fit."""
    rank = max((len(s) for s in shapes), default=0)
    out = []
    for k in range(rank):
        sizes = {s[k - rank + len(s)] for s in shapes if k - rank + len(s) >= 0} - {1}
        if len(sizes) > 1:
            raise ShapeError("shapes do not match", shapes)
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def align(x: Array, arg: Node, axes: tuple[Axis, ...], rank: int | None = None) -> Array:
    """Insert axes of length 1 where `arg` lacks one of `axes`, and before its shape up to `rank`."""
    if arg.axes == axes and (rank is None or rank == len(arg.shape)):
        return x
    sizes = iter(x.shape[1 : 1 + len(arg.axes)])
    middle = [next(sizes) if a in arg.axes else 1 for a in axes]
    pad = [1] * (0 if rank is None else rank - len(arg.shape))
    event = x.shape[1 + len(arg.axes) :]
    return x.reshape((x.shape[0], *middle, *pad, *event))


def axes_aligned(node: Node, xs: list[Array]) -> list[Array]:
    return [align(x, a, node.axes) for x, a in zip(xs, node.args, strict=True)]


# --- elementwise ----------------------------------------------------------------------------------------


def _promote(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    kinds = {a.dtype for a in args}
    wanted = "real" if "real" in kinds else "int"
    return tuple(cast(a, wanted) for a in args)


def _same(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return args if len({a.dtype for a in args}) == 1 else _promote(args, cast)


def _to_real(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return tuple(cast(a, "real") for a in args)


def _to_bool(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return tuple(cast(a, "bool") for a in args)


def _where_coerce(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return (cast(args[0], "bool"), *_same(args[1:], cast))


def elementwise(
    name: str,
    function: Callable[..., Array],
    coerce: Callable[..., tuple[Node, ...]],
    dtype: str | None = None,
) -> None:
    """Register an operation that broadcasts its operands; dtype None keeps that of the last operand."""

    def infer(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
        return broadcast_shapes(*(a.shape for a in args)), dtype or args[-1].dtype

    def run(b: Any, node: Node, xs: list[Array]) -> Array:
        rank = len(node.shape)
        return function(b, *(align(x, a, node.axes, rank) for x, a in zip(xs, node.args, strict=True)))

    OPS[name] = Op(infer, run, coerce, elementwise=True)


def softplus(b: Any, x: Array) -> Array:
    xp = b.xp
    return xp.where(x > 0, x, 0 * x) + xp.log1p(xp.exp(-xp.abs(x)))


def xlogy(b: Any, x: Array, y: Array) -> Array:
    """x log y with 0 log 0 = 0, and gradients that stay numbers there."""
    xp = b.xp
    ones = xp.ones_like(y)
    return xp.where(x == 0, 0 * x, x * xp.log(xp.where(x == 0, ones, y)))


def power(b: Any, x: Array, y: Array) -> Array:
    return x**y


def sigmoid(b: Any, x: Array) -> Array:
    xp = b.xp
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + small), small / (1 + small))


for _name, _function in {
    "add": lambda b, x, y: x + y,
    "sub": lambda b, x, y: x - y,
    "mul": lambda b, x, y: x * y,
    "maximum": lambda b, x, y: b.xp.maximum(x, y),
    "minimum": lambda b, x, y: b.xp.minimum(x, y),
    "floordiv": lambda b, x, y: b.xp.floor_divide(x, y),
    "mod": lambda b, x, y: b.xp.remainder(x, y),
    "pow": power,
    "neg": lambda b, x: -x,
    "abs": lambda b, x: b.xp.abs(x),
    "sign": lambda b, x: b.xp.sign(x),
}.items():
    elementwise(_name, _function, _promote)

for _name, _function in {
    "div": lambda b, x, y: x / y,
    "exp": lambda b, x: b.xp.exp(x),
    "log": lambda b, x: b.xp.log(x),
    "log1p": lambda b, x: b.xp.log1p(x),
    "expm1": lambda b, x: b.xp.expm1(x),
    "sqrt": lambda b, x: b.xp.sqrt(x),
    "sin": lambda b, x: b.xp.sin(x),
    "cos": lambda b, x: b.xp.cos(x),
    "tan": lambda b, x: b.xp.tan(x),
    "asin": lambda b, x: b.xp.asin(x),
    "acos": lambda b, x: b.xp.acos(x),
    "atan": lambda b, x: b.xp.atan(x),
    "atan2": lambda b, y, x: b.xp.atan2(y, x),
    "sinh": lambda b, x: b.xp.sinh(x),
    "cosh": lambda b, x: b.xp.cosh(x),
    "tanh": lambda b, x: b.xp.tanh(x),
    "logistic": sigmoid,
    "logit": lambda b, x: b.xp.log(x) - b.xp.log1p(-x),
    "softplus": softplus,
    "xlogy": xlogy,
    "lgamma": lambda b, x: b.special.gammaln(x),
    "lbeta": lambda b, x, y: b.special.gammaln(x) + b.special.gammaln(y) - b.special.gammaln(x + y),
    "digamma": lambda b, x: b.special.digamma(x),
    "erf": lambda b, x: b.special.erf(x),
    "erfc": lambda b, x: b.special.erfc(x),
    "log_i0": lambda b, x: b.xp.log(b.special.i0e(x)) + b.xp.abs(x),
    "normal_cdf": lambda b, x: b.special.ndtr(x),
    "log_normal_cdf": lambda b, x: b.special.log_ndtr(x),
}.items():
    elementwise(_name, _function, _to_real, "real")

for _name in ("floor", "ceil", "round"):
    elementwise(_name, lambda b, x, _name=_name: getattr(b.xp, _name)(x), _to_real, "real")

for _name, _function in {
    "lt": lambda b, x, y: x < y,
    "le": lambda b, x, y: x <= y,
    "gt": lambda b, x, y: x > y,
    "ge": lambda b, x, y: x >= y,
    "eq": lambda b, x, y: x == y,
    "ne": lambda b, x, y: x != y,
}.items():
    elementwise(_name, _function, _same, "bool")

elementwise("isfinite", lambda b, x: b.xp.isfinite(x), _to_real, "bool")
elementwise("and", lambda b, x, y: x & y, _to_bool, "bool")
elementwise("or", lambda b, x, y: x | y, _to_bool, "bool")
elementwise("not", lambda b, x: ~x, _to_bool, "bool")
elementwise("where", lambda b, c, x, y: b.xp.where(c, x, y), _where_coerce)


def _run_cast(b: Any, node: Node, xs: list[Array]) -> Array:
    (dtype,) = node.attrs
    if dtype == "bool":
        return xs[0] != 0
    return b.xp.astype(xs[0], b.real if dtype == "real" else b.integer)


OPS["cast"] = Op(lambda args, attrs: (args[0].shape, attrs[0]), _run_cast, elementwise=True)


# --- reductions -----------------------------------------------------------------------------------------


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
        return _to_real
    return _to_bool if kind in ("any", "all") else _promote


def _register_reduction(kind: str) -> None:
    """Over one axis of the shape, counted from the end: attrs = (axis,)."""

    def infer(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
        shape = args[0].shape
        place = len(shape) + attrs[0]
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
    return args[0].shape, REDUCTION_DTYPES.get(attrs[0], args[0].dtype)


OPS["reduce_axis"] = Op(_infer_reduce_axis, _run_reduce_axis, axes=lambda args, attrs: _without(args, attrs[1]))


def _run_collect(b: Any, node: Node, xs: list[Array]) -> Array:
    (axis,) = node.attrs
    source = node.args[0]
    return b.xp.moveaxis(xs[0], 1 + source.axes.index(axis), len(source.axes))


OPS["collect"] = Op(
    lambda args, attrs: ((attrs[0].size, *args[0].shape), args[0].dtype),
    _run_collect,
    axes=lambda args, attrs: _without(args, attrs[0]),
)


# --- structure ------------------------------------------------------------------------------------------


def _leading(node: Node) -> int:
    return 1 + len(node.axes)


def _run_broadcast(b: Any, node: Node, xs: list[Array]) -> Array:
    x = align(xs[0], node.args[0], node.axes, len(node.shape))
    return b.xp.broadcast_to(x, x.shape[: _leading(node)] + node.shape)


OPS["broadcast"] = Op(lambda args, attrs: (attrs[0], args[0].dtype), _run_broadcast)
OPS["reshape"] = Op(
    lambda args, attrs: (attrs[0], args[0].dtype),
    lambda b, node, xs: xs[0].reshape(xs[0].shape[: _leading(node)] + node.shape),
)


def _run_transpose(b: Any, node: Node, xs: list[Array]) -> Array:
    lead = _leading(node)
    return b.xp.permute_dims(xs[0], (*range(lead), *(lead + p for p in node.attrs[0])))


OPS["transpose"] = Op(
    lambda args, attrs: (tuple(args[0].shape[p] for p in attrs[0]), args[0].dtype), _run_transpose
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
        lead = _leading(node)
        for k in negative:
            start, stop, step = node.attrs[0][k]
            size = node.args[0].shape[k]
            x = b.xp.flip(x, axis=lead + k)
            parts[k] = slice(size - 1 - start, size - 1 - stop, -step)
    return x[(slice(None),) * _leading(node) + tuple(parts)]


OPS["slice"] = Op(_infer_slice, _run_slice)


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
    return b.xp.stack(parts, axis=_leading(node))


OPS["stack"] = Op(_infer_stack, _run_stack, _same)


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
    return b.xp.concat(parts, axis=_leading(node) + node.attrs[0])


OPS["concat"] = Op(_infer_concat, _run_concat, _same)
OPS["cumsum"] = Op(
    lambda args, attrs: (args[0].shape, args[0].dtype),
    lambda b, node, xs: b.xp.cumulative_sum(xs[0], axis=-1),
    _promote,
)
OPS["sort"] = Op(
    lambda args, attrs: (args[0].shape, args[0].dtype), lambda b, node, xs: b.xp.sort(xs[0], axis=-1), _promote
)


# --- gather ---------------------------------------------------------------------------------------------


def _infer_gather(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    x, *indices = args
    picked = broadcast_shapes(*(i.shape for i in indices))
    return picked + x.shape[len(indices) :], x.dtype


def affine(values: np.ndarray) -> tuple[int, int] | None:
    """(start, step) if a vector of indices runs at a constant positive step."""
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


OPS["gather"] = Op(_infer_gather, _run_gather)


# --- linear algebra -------------------------------------------------------------------------------------


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
    lead = _leading(node)
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


OPS["matmul"] = Op(_infer_matmul, _run_matmul, _to_real)


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
    if node.op == "solve":
        out = b.xp.linalg.solve(left, right)
    else:
        out = b.solve_triangular(left, right)
    return out[..., 0] if vector else out


def _run_inverse(b: Any, node: Node, xs: list[Array]) -> Array:
    return b.xp.linalg.inv(xs[0])


def _run_log_det(b: Any, node: Node, xs: list[Array]) -> Array:
    return b.xp.linalg.slogdet(xs[0])[1]


OPS["cholesky"] = Op(_infer_square, lambda b, node, xs: b.cholesky(xs[0]), _to_real)
OPS["solve"] = Op(_infer_solve, _run_solve, _to_real)
OPS["solve_triangular"] = Op(_infer_solve, _run_solve, _to_real)
OPS["inverse"] = Op(_infer_square, _run_inverse, _to_real)
OPS["log_det"] = Op(
    lambda args, attrs: (args[0].shape[: -2 if _square(args) else -2], "real"), _run_log_det, _to_real
)
OPS["det"] = Op(
    lambda args, attrs: (args[0].shape[: -2 if _square(args) else -2], "real"),
    lambda b, node, xs: b.xp.linalg.det(xs[0]),
    _to_real,
)
