"""What the numbers of an expression can be: an interval from the types of its variables, where that is plain.

In: IR nodes. Out: bounds that surely hold, infinite where nothing is known. It follows what a reader would: a sum of
positives is positive, a square is not negative; it does not see that x - x is 0.
"""

from __future__ import annotations

import math

from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import value_range

Range = tuple[float, float]
ANYTHING: Range = (-math.inf, math.inf)
SAME = frozenset(
    {"gather", "slice", "collect", "broadcast", "reshape", "transpose", "stack", "concat", "cast"}
)
RISING = {"exp": math.exp, "sqrt": math.sqrt, "log": math.log, "logistic": lambda x: 1 / (1 + math.exp(-x))}
FIXED: dict[str, Range] = {
    "exp": (0.0, math.inf), "logistic": (0.0, 1.0), "abs": (0.0, math.inf), "sqrt": (0.0, math.inf),
    "sin": (-1.0, 1.0), "cos": (-1.0, 1.0), "tanh": (-1.0, 1.0), "softplus": (0.0, math.inf), "norm": (0.0, math.inf),
    "normal_cdf": (0.0, 1.0),
}  # fmt: skip


def range_of(x: Node) -> Range:
    """The least and the greatest value that an expression can surely not pass."""
    if x.value is not None:
        return (float(x.value.min()), float(x.value.max())) if x.value.size else ANYTHING
    if x.op == "var":
        return value_range(x.domain) if x.domain is not None else ANYTHING
    if x.op in SAME:
        parts = [range_of(a) for a in (x.args if x.op in ("stack", "concat") else x.args[:1])]
        return min(low for low, _ in parts), max(high for _, high in parts)
    if x.op in ("sum", "mean", "max", "min", "reduce_axis", "minimum", "maximum", "where"):
        return of_many(x)
    if x.op in FIXED:
        return of_function(x)
    match x.op, [range_of(a) for a in x.args]:
        case "neg", [(low, high)]:
            return -high, -low
        case "add", [(a, b), (c, d)]:
            return a + c, b + d
        case "sub", [(a, b), (c, d)]:
            return a - d, b - c
        case "mul", [(a, b), (c, d)]:
            corners = [0.0 if 0 in (p, q) else p * q for p in (a, b) for q in (c, d)]
            return max(min(corners), 0.0) if x.args[0] is x.args[1] else min(corners), max(corners)
        case "div", [(a, b), (c, d)] if c >= 0:
            return (0.0 if a >= 0 else -math.inf), (0.0 if b <= 0 else math.inf)
    return ANYTHING


def of_many(x: Node) -> Range:
    """A reduction, a choice, or the lesser or greater of two."""
    parts = [range_of(a) for a in (x.args[1:] if x.op == "where" else x.args)]
    low, high = min(p[0] for p in parts), max(p[1] for p in parts)
    kind = x.attrs[0] if x.op == "reduce_axis" else x.op
    if kind == "minimum":
        return low, min(p[1] for p in parts)
    if kind == "maximum":
        return max(p[0] for p in parts), high
    if kind == "sum":
        return (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)
    return (low, high) if kind in ("mean", "max", "min", "where") else ANYTHING


def of_function(x: Node) -> Range:
    least, most = FIXED[x.op]
    low, high = range_of(x.args[0])
    if x.op not in RISING or not (math.isfinite(low) or math.isfinite(high)):
        return least, most
    try:
        lower = RISING[x.op](low) if math.isfinite(low) else least
        upper = RISING[x.op](high) if math.isfinite(high) else most
    except (ValueError, OverflowError):
        return least, most
    return lower, upper


def truth(test: Node) -> bool | None:
    """Whether a comparison holds whatever the variables; None where that is not plain."""
    if test.op in ("and", "or"):
        sides = [truth(a) for a in test.args]
        decisive = test.op == "or"
        if decisive in sides:
            return decisive
        return None if None in sides else not decisive
    if test.op == "not":
        inner = truth(test.args[0])
        return None if inner is None else not inner
    if test.op not in ("lt", "le", "gt", "ge", "eq", "ne"):
        return None
    (a, b), (c, d) = (range_of(x) for x in test.args)
    if test.op in ("gt", "ge"):
        (a, b), (c, d) = (c, d), (a, b)
    if test.op in ("eq", "ne"):
        return (test.op == "ne") if b < c or d < a else None
    strict = test.op in ("lt", "gt")
    if b < c or (b <= c and not strict):
        return True
    return False if a > d or (a >= d and strict) else None
