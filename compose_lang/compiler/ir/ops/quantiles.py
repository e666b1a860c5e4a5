"""Quantile functions: how a draw turns a uniform number into a Gamma, a count or an angle, by inversion.

By SciPy on the host, whatever the backend: the draws of a backend are then those of another to the last bit. A
count's quantile is the least whole number whose distribution function reaches u; SciPy inverts a continuous
extension of it, which is rounded here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.ir.operation import Array
from compose_lang.compiler.ir.ops.elementwise import elementwise

BISECTIONS = 60  #: halve the circle down to double precision


def gamma(a: Array, u: Array) -> Array:
    from scipy.special import gammaincinv

    return gammaincinv(a, u)


def least_count(extended: Array, distribution: Callable[[Array], Array], u: Array) -> Array:
    """The quantile of a count, from that of its continuous extension."""
    above = np.ceil(extended)
    below = np.maximum(above - 1, 0)
    return np.where(distribution(below) >= u, below, above)


def poisson(rate: Array, u: Array) -> Array:
    from scipy.special import pdtr, pdtrik

    found = least_count(pdtrik(u, rate), lambda k: pdtr(k, rate), u)
    return np.where(rate == 0, 0.0, found)  # where SciPy has no inverse


def binomial(n: Array, p: Array, u: Array) -> Array:
    from scipy.special import bdtr, bdtrik

    found = least_count(bdtrik(u, n, p), lambda k: bdtr(k, n, p), u)
    return np.where(p == 0, 0.0, found)


def von_mises(kappa: Array, u: Array) -> Array:
    """By bisection: the distribution function has no inverse in closed form."""
    from scipy.stats import vonmises

    kappa, u = np.broadcast_arrays(kappa, u)
    low, high = np.full(u.shape, -np.pi), np.full(u.shape, np.pi)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        left = vonmises.cdf(middle, kappa) < u
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return 0.5 * (low + high)


QUANTILES: dict[str, Callable[..., Array]] = {
    "gamma_quantile": gamma,
    "poisson_quantile": poisson,
    "binomial_quantile": binomial,
    "von_mises_quantile": von_mises,
}


def on_host(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of NumPy arrays as an operation of any backend, in double precision."""

    def wide(x: Any) -> Array:
        x = np.asarray(x)
        return x.astype(np.float64 if x.dtype.kind == "f" else np.int64)

    def quiet(*xs: Any) -> Array:
        with np.errstate(all="ignore"):
            return function(*map(wide, xs))

    return lambda b, *xs: b.on_host(quiet, *xs)


for _name, _function in QUANTILES.items():
    elementwise(_name, on_host(_function), lambda args, cast: args, "real", on_host=True)
