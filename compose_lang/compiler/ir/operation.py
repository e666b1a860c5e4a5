"""What an operation of the IR is, and the table `OPS` that `ops/` fills: one entry, one place to touch.

`OPS[name]` is read by `ir.node` (inference, constant folding with NumPy) and by `interpret.py` (on a backend). An
implementation sees arrays `(chain, *axes, *shape)`; its `b` offers `xp`, `special`, `real`, `integer`, `on_host` and
`scan`, which a backend and `Host` both do.
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
    from compose_lang.compiler.ir.node import Axis, Node

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
        return self.of_scipy.gammaln(x) if (x <= 0).any() else self._each("gammaln", math.lgamma, x)

    def ndtr(self, x: np.ndarray) -> np.ndarray:
        return self._each("ndtr", lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), np.asarray(x))

    def _each(self, name: str, function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
        if x.size > SMALL or not np.isfinite(x).all():
            found: np.ndarray = getattr(self.of_scipy, name)(x)
            return found
        return np.vectorize(function, otypes=[np.float64])(x) if x.size else np.zeros(x.shape)

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

    def on_host(self, function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
        return function(*arrays)


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


# --- what operands are made into ---


def promote(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    kinds = {a.dtype for a in args}
    wanted = "real" if "real" in kinds else "int"
    return tuple(cast(a, wanted) for a in args)


def same_kind(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return args if len({a.dtype for a in args}) == 1 else promote(args, cast)


def to_real(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return tuple(cast(a, "real") for a in args)


def to_bool(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return tuple(cast(a, "bool") for a in args)


def where_kinds(args: tuple[Node, ...], cast: Callable[..., Node]) -> tuple[Node, ...]:
    return (cast(args[0], "bool"), *same_kind(args[1:], cast))
