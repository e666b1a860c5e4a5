"""Operations on each element, broadcast as NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Op,
    align,
    broadcast_shapes,
    promote,
    same_kind,
    to_bool,
    to_real,
    where_kinds,
)

if TYPE_CHECKING:
    from compose_lang.compiler.ir.node import Node


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
    """x log y with 0 log 0 = 0; the gradient in x stays log y wherever that is a number."""
    xp = b.xp
    return x * xp.log(xp.where((x == 0) & (y <= 0), xp.ones_like(y), y))


def sigmoid(b: Any, x: Array) -> Array:
    xp = b.xp
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + small), small / (1 + small))


ARITHMETIC: dict[str, Callable[..., Array]] = {
    "add": lambda b, x, y: x + y,
    "sub": lambda b, x, y: x - y,
    "mul": lambda b, x, y: x * y,
    "maximum": lambda b, x, y: b.xp.maximum(x, y),
    "minimum": lambda b, x, y: b.xp.minimum(x, y),
    "floordiv": lambda b, x, y: b.xp.floor_divide(x, y),
    "mod": lambda b, x, y: b.xp.remainder(x, y),
    "pow": lambda b, x, y: x**y,
    "neg": lambda b, x: -x,
    "abs": lambda b, x: b.xp.abs(x),
    "sign": lambda b, x: b.xp.sign(x),
}
for _name, _function in ARITHMETIC.items():
    elementwise(_name, _function, promote)

REAL_FUNCTIONS: dict[str, Callable[..., Array]] = {
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
}
for _name, _function in REAL_FUNCTIONS.items():
    elementwise(_name, _function, to_real, "real")

for _name in ("floor", "ceil", "round"):
    elementwise(_name, lambda b, x, _name=_name: getattr(b.xp, _name)(x), to_real, "real")

COMPARISONS: dict[str, Callable[..., Array]] = {
    "lt": lambda b, x, y: x < y,
    "le": lambda b, x, y: x <= y,
    "gt": lambda b, x, y: x > y,
    "ge": lambda b, x, y: x >= y,
    "eq": lambda b, x, y: x == y,
    "ne": lambda b, x, y: x != y,
}
for _name, _function in COMPARISONS.items():
    elementwise(_name, _function, same_kind, "bool")

elementwise("isfinite", lambda b, x: b.xp.isfinite(x), to_real, "bool")
elementwise("and", lambda b, x, y: x & y, to_bool, "bool")
elementwise("or", lambda b, x, y: x | y, to_bool, "bool")
elementwise("not", lambda b, x: ~x, to_bool, "bool")
elementwise("where", lambda b, c, x, y: b.xp.where(c, x, y), where_kinds)


def _run_cast(b: Any, node: Node, xs: list[Array]) -> Array:
    (dtype,) = node.attrs
    if dtype == "bool":
        return xs[0] != 0
    return b.xp.astype(xs[0], b.real if dtype == "real" else b.integer)


OPS["cast"] = Op(lambda args, attrs: (args[0].shape, attrs[0]), _run_cast, elementwise=True)
