"""What the numbers of an expression can be: interval arithmetic, where that is plain.

In: IR nodes; the rules below, one an operation (`Op.bounds`). Out: bounds that surely hold, infinite where nothing is
known. They follow what a reader would: a sum of positives is positive, a square is not negative; they do not see that
x - x is 0. Truth values count as 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import Range, op_of
from compose_lang.compiler.ir.types import value_range

Bounds = Callable[[Node, list[Range]], Range]
ANYTHING: Range = (-math.inf, math.inf)
TRUTH: Range = (0.0, 1.0)


def range_of(x: Node) -> Range:
    """The least and the greatest value that an expression can surely not pass."""
    if x.value is not None:
        return (float(x.value.min()), float(x.value.max())) if x.value.size else ANYTHING
    if x.op == "var":
        return value_range(x.domain) if x.domain is not None else ANYTHING
    bounds = op_of(x).bounds
    if bounds is None:
        return TRUTH if x.dtype == "bool" else ANYTHING
    return bounds(x, [range_of(a) for a in x.args])


def truth(test: Node) -> bool | None:
    """Whether a condition holds whatever the variables; None where that is not plain."""
    low, high = range_of(test)
    return bool(low) if low == high else None


# --- rules: from an operation and the ranges of its arguments ---


def within(low: float, high: float) -> Bounds:
    return lambda n, ranges: (low, high)


def hull(n: Node, ranges: list[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def of_first(n: Node, ranges: list[Range]) -> Range:
    return ranges[0]


def of_branches(n: Node, ranges: list[Range]) -> Range:
    return hull(n, ranges[1:])


def rising(function: Callable[[float], float], least: float, most: float) -> Bounds:
    """Of an increasing function with values from `least` to `most`."""

    def bounds(n: Node, ranges: list[Range]) -> Range:
        ((low, high),) = ranges
        try:
            lower = function(low) if math.isfinite(low) else least
            upper = function(high) if math.isfinite(high) else most
        except (ValueError, OverflowError):
            return least, most
        return lower, upper

    return bounds


def negated(n: Node, ranges: list[Range]) -> Range:
    ((low, high),) = ranges
    return -high, -low


def added(n: Node, ranges: list[Range]) -> Range:
    (a, b), (c, d) = ranges
    return a + c, b + d


def subtracted(n: Node, ranges: list[Range]) -> Range:
    (a, b), (c, d) = ranges
    return a - d, b - c


def multiplied(n: Node, ranges: list[Range]) -> Range:
    corners = [0.0 if 0 in (p, q) else p * q for p in ranges[0] for q in ranges[1]]
    return max(min(corners), 0.0) if n.args[0] is n.args[1] else min(corners), max(corners)


def divided(n: Node, ranges: list[Range]) -> Range:
    (a, b), (c, _) = ranges
    return ((0.0 if a >= 0 else -math.inf), (0.0 if b <= 0 else math.inf)) if c >= 0 else ANYTHING


def lesser(n: Node, ranges: list[Range]) -> Range:
    return min(low for low, _ in ranges), min(high for _, high in ranges)


def greater(n: Node, ranges: list[Range]) -> Range:
    return max(low for low, _ in ranges), max(high for _, high in ranges)


def summed(n: Node, ranges: list[Range]) -> Range:
    """Of any number of elements."""
    ((low, high),) = ranges
    return (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)


def log_summed(n: Node, ranges: list[Range]) -> Range:
    """Of log Σ exp over the elements of an axis."""
    ((low, high),) = ranges
    count = n.attrs[1].size if n.op == "reduce_axis" else n.args[0].shape[n.attrs[0]]
    more = math.log(count) if count else -math.inf
    return low + more, high + more


# --- truth values ---


def of_cast(n: Node, ranges: list[Range]) -> Range:
    ((low, high),) = ranges
    if n.dtype != "bool":
        return low, high
    return (1.0, 1.0) if low > 0 or high < 0 else (0.0, 0.0) if low == high == 0 else TRUTH


def less(strict: bool, mirrored: bool = False) -> Bounds:
    """Of `<` and `<=`; mirrored: of `>` and `>=`."""

    def bounds(n: Node, ranges: list[Range]) -> Range:
        (a, b), (c, d) = reversed(ranges) if mirrored else ranges
        if b < c or (b == c and not strict):
            return 1.0, 1.0
        return (0.0, 0.0) if a > d or (a == d and strict) else TRUTH

    return bounds


def equal(n: Node, ranges: list[Range]) -> Range:
    (a, b), (c, d) = ranges
    return (0.0, 0.0) if b < c or d < a else TRUTH


def denied(n: Node, ranges: list[Range]) -> Range:
    ((low, high),) = ranges
    return 1.0 - high, 1.0 - low


def unequal(n: Node, ranges: list[Range]) -> Range:
    return denied(n, [equal(n, ranges)])
