"""Operations on each element, broadcast as NumPy does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from compose_lang.compiler.ir import intervals
from compose_lang.compiler.ir.intervals import Bounds
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import (
    OPS,
    Array,
    Comparison,
    Op,
    align,
    broadcast_shapes,
    in_all,
    in_first,
    in_one,
    in_others,
    power_degree,
    product_degree,
    promote,
    same_kind,
    to_bool,
    to_real,
    where_kinds,
)

INF = math.inf


def elementwise(
    name: str,
    function: Callable[..., Array],
    coerce: Callable[..., tuple[Node, ...]],
    dtype: str | None = None,
    **facts: Any,
) -> None:
    """Register an operation that broadcasts its operands; dtype None keeps that of the last operand."""

    def infer(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
        return broadcast_shapes(*(a.shape for a in args)), dtype or args[-1].dtype

    def run(b: Any, node: Node, xs: list[Array]) -> Array:
        rank = len(node.shape)
        return function(b, *(align(x, a, node.axes, rank) for x, a in zip(xs, node.args, strict=True)))

    OPS[name] = Op(infer, run, coerce, elementwise=True, **facts)


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


# --- arithmetic: of whole numbers too -------------------------------------------------------------------

SMOOTH: dict[str, Any] = {"smooth": in_all}
LINEAR: dict[str, Any] = {"linear": in_all, "smooth": in_all}

elementwise(
    "add", lambda b, x, y: x + y, promote, symbol="+", identities=(0, 0), bounds=intervals.added, **LINEAR
)
elementwise(
    "sub",
    lambda b, x, y: x - y,
    promote,
    symbol="-",
    identities=(None, 0),
    bounds=intervals.subtracted,
    **LINEAR,
)
elementwise(
    "mul", lambda b, x, y: x * y, promote, symbol="*", identities=(1, 1), bounds=intervals.multiplied,
    linear=in_one, degree=product_degree, smooth=in_all,
)  # fmt: skip
elementwise("maximum", lambda b, x, y: b.xp.maximum(x, y), promote, bounds=intervals.greater, **SMOOTH)
elementwise("minimum", lambda b, x, y: b.xp.minimum(x, y), promote, bounds=intervals.lesser, **SMOOTH)
elementwise("floordiv", lambda b, x, y: b.xp.floor_divide(x, y), promote, symbol="//")
elementwise("mod", lambda b, x, y: b.xp.remainder(x, y), promote, symbol="%")
elementwise("pow", lambda b, x, y: x**y, promote, symbol="^", degree=power_degree, **SMOOTH)
elementwise("neg", lambda b, x: -x, promote, bounds=intervals.negated, **LINEAR)
elementwise("abs", lambda b, x: b.xp.abs(x), promote, bounds=intervals.within(0.0, INF), arity=1, **SMOOTH)
elementwise("sign", lambda b, x: b.xp.sign(x), promote, arity=1)

# --- real functions -------------------------------------------------------------------------------------

UNIT = intervals.within(-1.0, 1.0)


def real(name: str, function: Callable[..., Array], arity: int = 1, **facts: Any) -> None:
    elementwise(name, function, to_real, "real", arity=arity, **facts)


elementwise(
    "div", lambda b, x, y: x / y, to_real, "real", symbol="/", identities=(None, 1), bounds=intervals.divided,
    linear=in_first, smooth=in_all,
)  # fmt: skip
real("exp", lambda b, x: b.xp.exp(x), bounds=intervals.rising(math.exp, 0.0, INF), **SMOOTH)
real("log", lambda b, x: b.xp.log(x), unsafe=True, bounds=intervals.rising(math.log, -INF, INF), **SMOOTH)
real(
    "log1p", lambda b, x: b.xp.log1p(x), unsafe=True, bounds=intervals.rising(math.log1p, -INF, INF), **SMOOTH
)
real("expm1", lambda b, x: b.xp.expm1(x), **SMOOTH)
real("sqrt", lambda b, x: b.xp.sqrt(x), unsafe=True, bounds=intervals.rising(math.sqrt, 0.0, INF), **SMOOTH)
for _name in ("floor", "ceil", "round"):
    real(_name, lambda b, x, _name=_name: getattr(b.xp, _name)(x))
real("sin", lambda b, x: b.xp.sin(x), bounds=UNIT, **SMOOTH)
real("cos", lambda b, x: b.xp.cos(x), bounds=UNIT, **SMOOTH)
real("tan", lambda b, x: b.xp.tan(x))
real("asin", lambda b, x: b.xp.asin(x), unsafe=True)
real("acos", lambda b, x: b.xp.acos(x), unsafe=True)
real("atan", lambda b, x: b.xp.atan(x))
real("sinh", lambda b, x: b.xp.sinh(x))
real("cosh", lambda b, x: b.xp.cosh(x))
real("tanh", lambda b, x: b.xp.tanh(x), bounds=UNIT, **SMOOTH)
real("logistic", sigmoid, bounds=intervals.rising(lambda x: 1 / (1 + math.exp(-x)), 0.0, 1.0), **SMOOTH)
real("logit", lambda b, x: b.xp.log(x) - b.xp.log1p(-x), unsafe=True)
real("softplus", softplus, bounds=intervals.within(0.0, INF), **SMOOTH)
real("lgamma", lambda b, x: b.special.gammaln(x), unsafe=True)
real("digamma", lambda b, x: b.special.digamma(x), unsafe=True)
real("erf", lambda b, x: b.special.erf(x))
real("erfc", lambda b, x: b.special.erfc(x))
real("log_i0", lambda b, x: b.xp.log(b.special.i0e(x)) + b.xp.abs(x))
real("normal_cdf", lambda b, x: b.special.ndtr(x), bounds=intervals.within(0.0, 1.0))
real("log_normal_cdf", lambda b, x: b.special.log_ndtr(x))
real("atan2", lambda b, y, x: b.xp.atan2(y, x), 2)
real("xlogy", xlogy, 2)
real(
    "lbeta",
    lambda b, x, y: b.special.gammaln(x) + b.special.gammaln(y) - b.special.gammaln(x + y),
    2,
    unsafe=True,
)

# --- truth values ---------------------------------------------------------------------------------------


def comparison(name: str, function: Callable[..., Array], symbol: str, known: Bounds, **sides: bool) -> None:
    elementwise(
        name, function, same_kind, "bool", symbol=symbol, bounds=known, comparison=Comparison(**sides)
    )  # fmt: skip


comparison("lt", lambda b, x, y: x < y, "<", intervals.less(True), upper=True, strict=True)
comparison("le", lambda b, x, y: x <= y, "<=", intervals.less(False), upper=True)
comparison("gt", lambda b, x, y: x > y, ">", intervals.less(True, mirrored=True), lower=True, strict=True)
comparison("ge", lambda b, x, y: x >= y, ">=", intervals.less(False, mirrored=True), lower=True)
comparison("eq", lambda b, x, y: x == y, "==", intervals.equal, lower=True, upper=True)
comparison("ne", lambda b, x, y: x != y, "!=", intervals.unequal)

elementwise("isfinite", lambda b, x: b.xp.isfinite(x), to_real, "bool", arity=1)
elementwise("and", lambda b, x, y: x & y, to_bool, "bool", bounds=intervals.lesser)
elementwise("or", lambda b, x, y: x | y, to_bool, "bool", bounds=intervals.greater)
elementwise("not", lambda b, x: ~x, to_bool, "bool", bounds=intervals.denied)
elementwise(
    "where", lambda b, c, x, y: b.xp.where(c, x, y), where_kinds,
    bounds=intervals.of_branches, linear=in_others, smooth=in_others,
)  # fmt: skip


def _run_cast(b: Any, node: Node, xs: list[Array]) -> Array:
    (dtype,) = node.attrs
    if dtype == "bool":
        return xs[0] != 0
    return b.xp.astype(xs[0], b.real if dtype == "real" else b.integer)


OPS["cast"] = Op(
    lambda args, attrs: (args[0].shape, attrs[0]),
    _run_cast,
    elementwise=True,
    linear=lambda n, moving: n.dtype != "bool" and n.args[0].dtype != "real",
    smooth=lambda n, moving: n.dtype != "bool",
    bounds=intervals.of_cast,
)
