"""What an operation of the IR is, and the table `OPS` that `ops/` fills: one entry, one place to touch.

`OPS[name]` is read by `build` (inference, constant folding with NumPy) and by `interpret` (on a backend); what else is
said of an operation is read wherever the compiler asks (`op_of`), and by the table of built-in functions. An
implementation sees arrays `(chain, *axes, *shape)`; its `b` offers `xp`, `special`, `real`, `integer`, `on_host` and
`scan`, which a backend and `Host` both do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from compose_lang.compiler.ir.node import Axis, Dtype, Node
from compose_lang.diagnostics import InternalError

Array = Any
Infer = Callable[["tuple[Node, ...]", tuple[Any, ...]], tuple[tuple[int, ...], Any]]
Moving = Callable[["Node", Sequence[bool]], bool]
Range = tuple[float, float]  #: the least and the greatest value


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
class Comparison:
    """What a comparison says of its left side: bounded below or above by the right one, and whether strictly."""

    lower: bool = False
    upper: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Reduction:
    """One value of many: over an axis of the shape (the operation of its name), or over a plate (`reduce_axis`)."""

    run: Callable[[Any, Array, Any], Array]  #: (backend, array, axis of the array) -> array
    coerce: Callable[..., tuple[Node, ...]]
    dtype: Dtype | None = None  #: of the value; None keeps that of the elements
    needs_elements: bool = True  #: over nothing it is no number
    empty: float | bool | None = None  #: what it is over nothing, and what a masked element counts as
    repeated: tuple[str, Callable[[int], float]] | None = None
    """Over n equal elements: the operation on one of them, and its second argument at n; None: the element itself."""
    of_two: str = (
        ""  #: the operation that is the same of two values, where programs write it by this name too
    )


@dataclass(frozen=True)
class Op:
    """One operation: how it is computed, and all that the compiler and programs know of it.

    `linear` and `smooth` are asked which arguments vary, one truth value each.
    """

    infer: Infer  #: shape and dtype from arguments and attributes
    run: Callable[
        [Any, Node, list[Array]], Array
    ]  #: (backend, node, physical arrays of its arguments) -> array
    coerce: Callable[..., tuple[Node, ...]] | None = None  #: what its arguments are made into first
    axes: Callable[[tuple[Node, ...], tuple[Any, ...]], tuple[Axis, ...]] | None = (
        None  #: if not all of theirs
    )
    elementwise: bool = False
    reduction: Reduction | None = (
        None  #: over the last axis or axes of the shape, whatever stands before them
    )
    comparison: Comparison | None = None
    selects: bool = False  #: it moves elements and computes nothing; arguments after the first are indices …
    joins: bool = False  #: … or, where it joins, more elements
    linear: Moving | None = None  #: whether it is affine in the arguments that vary
    degree: Callable[[Node, Sequence[float]], float] | None = (
        None  #: as a polynomial, where it is not affine, given the degrees of its arguments
    )
    smooth: Moving | None = None  #: whether a gradient reaches the arguments that vary
    bounds: Callable[[Node, list[Range]], Range] | None = (
        None  #: interval arithmetic; truth values count as 0 and 1
    )
    ends: Callable[[Node], Axis] | None = (
        None  #: the axis that ends in it: its argument varies over it, it does not
    )
    identities: tuple[float | None, float | None] = (
        None,
        None,
    )  #: left and right argument that change nothing
    learned: bool = False  #: its first attribute is a `LearnedFactor`
    arity: int = 0  #: of the built-in function of its name; 0 where programs have none
    symbol: str = ""  #: the operator that programs write for it
    on_host: bool = False  #: computed by SciPy, number by number, whatever the backend
    unsafe: bool = False  #: guarded in a branch that is not taken: no number, or an infinite slope, somewhere


OPS: dict[str, Op] = {}


def _no_shape(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    raise InternalError("a leaf is made by `constant`, `variable` and `slot`")


def _no_value(b: Any, node: Node, xs: list[Array]) -> Array:
    raise InternalError(f"{node} is not bound")


LEAF = Op(_no_shape, _no_value)  #: what is said of constants, variables and slots: nothing


def op_of(n: Node) -> Op:
    """The entry of a node's operation; of a reduction over a plate, that of the reduction; of a leaf, `LEAF`."""
    return OPS.get(n.attrs[0] if n.op == "reduce_axis" else n.op, LEAF)


def reduction_of(kind: str) -> Reduction:
    """`sum`, `prod`, … by its name."""
    reduction = OPS[kind].reduction
    if reduction is None:
        raise InternalError(f"`{kind}` is no reduction")
    return reduction


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


# --- which arguments may vary ---


def in_all(n: Node, moving: Sequence[bool]) -> bool:
    return True


def in_one(n: Node, moving: Sequence[bool]) -> bool:
    return sum(moving) == 1


def in_first(n: Node, moving: Sequence[bool]) -> bool:
    return not any(moving[1:])


def in_others(n: Node, moving: Sequence[bool]) -> bool:
    return not moving[0]


# --- degrees of polynomials ---


def product_degree(n: Node, degrees: Sequence[float]) -> float:
    return sum(degrees)


def power_degree(n: Node, degrees: Sequence[float]) -> float:
    """Of a power that is one whole number known at compile time; another one is no polynomial."""
    exponent = n.args[1].value
    if exponent is None or not exponent.size or (exponent != exponent.flat[0]).any():
        return math.inf
    power = float(exponent.flat[0])
    return power * degrees[0] if power >= 0 and power.is_integer() else math.inf


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
