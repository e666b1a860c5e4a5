"""Monotone rational-quadratic splines: smooth maps of the line onto itself with a known inverse and slope.

On (-BOUND, BOUND) each of BINS pieces is a ratio of quadratics through knots with given slopes, outside it is the
identity (Durkan, Bekasov, Murray and Papamakarios, NeurIPS 2019, eqs. 4 to 8 and appendix A.1; Gregory and Delbourgo
1982). Parameters of 0 are the identity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from compose_lang.runtime.arrays.protocol import Array, Backend

BINS = 8
BOUND = 5.0  #: in standard deviations of the data
LEAST = 1e-3  #: share of a bin and slope at a knot
NUMBERS = 3 * BINS - 1


class Piece(NamedTuple):
    """The piece that a number lies in: its lower corner, sizes, and slopes at both ends."""

    left: Array
    bottom: Array
    width: Array
    height: Array
    first: Array
    last: Array


def sizes(b: Backend, free: Array) -> Array:
    """Sizes of bins (…, BINS) that fill the box, from as many free numbers."""
    shares = b.xp.exp(free - b.special.logsumexp(free, axis=-1, keepdims=True))
    return 2.0 * BOUND * (LEAST + (1.0 - BINS * LEAST) * shares)


def piece(b: Backend, free: Array, at: Array, of_result: bool) -> Piece:
    """The piece of a spline with free numbers (…, NUMBERS) whose arguments, or results, hold `at` (…)."""
    xp = b.xp
    widths, heights = sizes(b, free[..., :BINS]), sizes(b, free[..., BINS : 2 * BINS])
    inner = free[..., 2 * BINS :] + math.log(math.expm1(1.0 - LEAST))
    slopes = LEAST + xp.logaddexp(inner, xp.zeros_like(inner))
    ends = xp.ones_like(slopes[..., :1])
    slopes = xp.concat([ends, slopes, ends], axis=-1)
    rights, tops = xp.cumulative_sum(widths, axis=-1) - BOUND, xp.cumulative_sum(heights, axis=-1) - BOUND
    passed = xp.astype((tops if of_result else rights)[..., :-1] <= at[..., None], b.real)
    padding = xp.ones_like(passed[..., :1])
    chosen = xp.concat([padding, passed], axis=-1) - xp.concat([passed, 0.0 * padding], axis=-1)

    def of(values: Array) -> Array:
        return xp.sum(values * chosen, axis=-1)

    return Piece(
        of(rights - widths),
        of(tops - heights),
        of(widths),
        of(heights),
        of(slopes[..., :-1]),
        of(slopes[..., 1:]),
    )


def slope_at(b: Backend, p: Piece, share: Array) -> Array:
    """log dy/dx at a share of a piece's width."""
    mean, both = p.height / p.width, share * (1.0 - share)
    rise = p.last * share**2 + 2.0 * mean * both + p.first * (1.0 - share) ** 2
    bend = mean + (p.first + p.last - 2.0 * mean) * both
    return 2.0 * b.xp.log(mean) + b.xp.log(rise) - 2.0 * b.xp.log(bend)


def forth(b: Backend, free: Array, x: Array) -> tuple[Array, Array]:
    """y (…) and log dy/dx (…) at x (…)."""
    inside = b.xp.abs(x) < BOUND
    held = b.xp.clip(x, -BOUND, BOUND)
    p = piece(b, free, held, of_result=False)
    share = (held - p.left) / p.width
    mean, both = p.height / p.width, share * (1.0 - share)
    bend = mean + (p.first + p.last - 2.0 * mean) * both
    y = p.bottom + p.height * (mean * share**2 + p.first * both) / bend
    slope = slope_at(b, p, share)
    return b.xp.where(inside, y, x), b.xp.where(inside, slope, b.xp.zeros_like(slope))


def back(b: Backend, free: Array, y: Array) -> Array:
    """x (…) at y (…): the inverse of `forth`."""
    held = b.xp.clip(y, -BOUND, BOUND)
    p = piece(b, free, held, of_result=True)
    mean, over = p.height / p.width, held - p.bottom
    bend = (p.first + p.last - 2.0 * mean) * over
    quadratic, linear = p.height * (mean - p.first) + bend, p.height * p.first - bend
    root = b.xp.sqrt(b.xp.clip(linear**2 + 4.0 * quadratic * mean * over, 0.0, None))
    x = p.left + p.width * 2.0 * mean * over / (linear + root)
    return b.xp.where(b.xp.abs(y) < BOUND, x, y)
