"""Quantile functions: how a draw turns a uniform number into a Gamma, a count or an angle, by inversion.

On the host only (SciPy): draws are not on a sampler's hot path. A count's quantile is the least whole number
whose distribution function reaches u; SciPy inverts a continuous extension of it, which is rounded here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.operation import Array
from compose_lang.compiler.ops.elementwise import elementwise

BISECTIONS = 60  #: halve the circle down to double precision


def least_count(extended: Array, distribution: Callable[[Array], Array], u: Array) -> Array:
    """The quantile of a count, from that of its continuous extension."""
    above = np.ceil(extended)
    below = np.maximum(above - 1, 0)
    return np.where(distribution(below) >= u, below, above)


def poisson(b: Any, rate: Array, u: Array) -> Array:
    return least_count(b.special.pdtrik(u, rate), lambda k: b.special.pdtr(k, rate), u)


def binomial(b: Any, n: Array, p: Array, u: Array) -> Array:
    found = least_count(b.special.bdtrik(u, n, p), lambda k: b.special.bdtr(k, n, p), u)
    return np.where(p == 0, 0.0, found)  # where SciPy has no inverse


def von_mises(b: Any, kappa: Array, u: Array) -> Array:
    """By bisection: the distribution function has no inverse in closed form."""
    from scipy.stats import vonmises

    low, high = np.full_like(u, -np.pi), np.full_like(u, np.pi)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        left = vonmises.cdf(middle, kappa) < u
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return 0.5 * (low + high)


QUANTILES: dict[str, Callable[..., Array]] = {
    "gamma_quantile": lambda b, a, u: b.special.gammaincinv(a, u),
    "poisson_quantile": poisson,
    "binomial_quantile": binomial,
    "von_mises_quantile": von_mises,
}
for _name, _function in QUANTILES.items():
    elementwise(_name, _function, lambda args, cast: args, "real")
