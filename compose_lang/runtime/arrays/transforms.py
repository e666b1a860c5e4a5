"""Maps between the unconstrained coordinates that samplers move in and the values of each continuous domain.

Arrays are batch-first: u is (chains, *shape, *unconstrained_shape(domain)) and values are
(chains, *shape, *event_shape). Bounds are Python floats, or arrays that broadcast to (chains, *shape); an
infinite bound is a Python float, so which map applies is known before anything is traced. Log-determinants
are against the base measures of the language: Lebesgue on the value of a real, on the first k-1 coordinates
of a simplex, on the strict lower triangle of a Cholesky factor, the surface of the sphere for a unit vector.

Domains are open: where rounding would put a value on its boundary it stays just inside, so that a density
that vanishes or diverges there keeps a finite energy. Formulas are those of the Stan Reference Manual,
"Constraint Transforms", written with cumulative sums in place of its loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.arrays.protocol import Array, Backend

Bound = Any  # a Python float, or an array that broadcasts to (chains, *shape)


def unconstrained_shape(domain: Domain) -> tuple[int, ...]:
    """The axes of one site's unconstrained coordinates: () for a number, (k - 1,) for a simplex of k."""
    match domain.kind:
        case "real" | "angle":
            return ()
        case "simplex":
            return (domain.size - 1,)
        case "ordered" | "positive_ordered" | "unit_vector":
            return (domain.size,)
        case "cholesky_corr":
            return (domain.size * (domain.size - 1) // 2,)
        case _:
            raise InternalError(f"{domain} has no unconstrained coordinates")


def constrain(domain: Domain, u: Array, lower: Bound, upper: Bound, backend: Backend) -> tuple[Array, Array]:
    """The value at u, and the log of the map's absolute Jacobian determinant summed per chain: (chains,)."""
    match domain.kind:
        case "real":
            value, log_det = _real(u, lower, upper, backend)
        case "angle":
            value, log_det = wrapped(u, backend), backend.xp.zeros_like(u)
        case "simplex":
            value, log_det = _simplex(u, backend)
        case "ordered":
            value, log_det = _ordered(u, backend)
        case "positive_ordered":
            value, log_det = backend.xp.cumulative_sum(_exp(u, backend), axis=-1), u
        case "unit_vector":
            value, log_det = _unit_vector(u, backend)
        case "cholesky_corr":
            value, log_det = _cholesky_corr(u, domain.size, backend)
        case _:
            raise InternalError(f"{domain} has no unconstrained coordinates")
    return value, backend.xp.sum(log_det.reshape((u.shape[0], -1)), axis=-1)


def unconstrain(domain: Domain, value: Array, lower: Bound, upper: Bound, backend: Backend) -> Array:
    """The coordinates that `constrain` takes to a value."""
    xp = backend.xp
    match domain.kind:
        case "real":
            return _real_inverse(value, lower, upper, backend)
        case "angle" | "unit_vector":
            return value
        case "simplex":
            return _simplex_inverse(value, backend)
        case "ordered":
            steps = xp.log(value[..., 1:] - value[..., :-1])
            return xp.concat([value[..., :1], steps], axis=-1)
        case "positive_ordered":
            steps = xp.log(value[..., 1:] - value[..., :-1])
            return xp.concat([xp.log(value[..., :1]), steps], axis=-1)
        case "cholesky_corr":
            return _cholesky_corr_inverse(value, domain.size, backend)
        case _:
            raise InternalError(f"{domain} has no unconstrained coordinates")


def shift(
    u: Array, lower: Bound, upper: Bound, location: Array, scale: Array, backend: Backend
) -> tuple[Array, Array]:
    """The value that lies z scales from its location, and the log-Jacobian, for a variable with one bound at most.

    z is u where there is no bound. Under a lower one, c = (lower - location) / scale scales away, it is log(e^c + e^u):
    u again where the bound is far, and above c always. The value is then lower + scale log(1 + e^(u - c)).
    """
    xp = backend.xp
    bounds = [(bound, sign) for bound, sign in ((lower, 1.0), (upper, -1.0)) if not is_infinite(bound)]
    if not bounds:
        return location + scale * u, xp.sum(xp.log(scale), axis=1)
    ((bound, sign),) = bounds
    away = sign * (u - (bound - location) / scale)
    distance = scale * _softplus(away, backend) + _tiny(backend)
    return bound + sign * distance, xp.sum(xp.log(scale) - _softplus(-away, backend), axis=1)


def unshift(
    value: Array, lower: Bound, upper: Bound, location: Array, scale: Array, backend: Backend
) -> Array:
    """The coordinates that `shift` takes to a value."""
    xp = backend.xp
    bounds = [(bound, sign) for bound, sign in ((lower, 1.0), (upper, -1.0)) if not is_infinite(bound)]
    if not bounds:
        return (value - location) / scale
    ((bound, sign),) = bounds
    distance = sign * (value - bound) / scale
    return (bound - location) / scale + sign * (distance + xp.log(-xp.expm1(-distance)))


def _softplus(x: Array, backend: Backend) -> Array:
    """log(1 + e^x)."""
    return backend.xp.logaddexp(x, backend.xp.zeros_like(x))


def is_infinite(bound: Bound) -> bool:
    """Whether a bound is a number known to be infinite; a traced bound is finite."""
    return isinstance(bound, int | float) and math.isinf(bound)


def _tiny(backend: Backend) -> float:
    return float(np.finfo(backend.precision).tiny)


def _exp(u: Array, backend: Backend) -> Array:
    """exp(u), above 0 also where it underflows."""
    return backend.xp.exp(u) + _tiny(backend)


def _real(u: Array, lower: Bound, upper: Bound, backend: Backend) -> tuple[Array, Array]:
    """Identity, lower + e^u, upper - e^u, or lower + (upper - lower) logistic(u)."""
    xp = backend.xp
    if is_infinite(lower) and is_infinite(upper):
        return u, xp.zeros_like(u)
    if is_infinite(upper):
        return lower + _exp(u, backend), u
    if is_infinite(lower):
        return upper - _exp(u, backend), u
    below_one = 1.0 - float(np.finfo(backend.precision).epsneg)
    share = xp.clip(backend.special.expit(u), _tiny(backend), below_one)
    width = backend.asarray(upper - lower)
    # log logistic(u) + log logistic(-u), without overflow on either side
    log_slope = -xp.abs(u) - 2.0 * xp.log1p(xp.exp(-xp.abs(u)))
    return lower + width * share, xp.log(width) + log_slope


def _real_inverse(value: Array, lower: Bound, upper: Bound, backend: Backend) -> Array:
    xp = backend.xp
    if is_infinite(lower) and is_infinite(upper):
        return value
    if is_infinite(upper):
        return xp.log(value - lower)
    if is_infinite(lower):
        return xp.log(upper - value)
    return xp.log(value - lower) - xp.log(upper - value)


def wrapped(u: Array, backend: Backend) -> Array:
    """The angle in (-π, π] that equals u up to whole turns."""
    turns = backend.xp.ceil((u - math.pi) / (2.0 * math.pi))
    return u - 2.0 * math.pi * turns


def _ordered(u: Array, backend: Backend) -> tuple[Array, Array]:
    """x_0 = u_0, x_i = x_{i-1} + e^{u_i}."""
    xp = backend.xp
    steps = xp.concat([u[..., :1], _exp(u[..., 1:], backend)], axis=-1)
    return xp.cumulative_sum(steps, axis=-1), u[..., 1:]


def _unit_vector(u: Array, backend: Backend) -> tuple[Array, Array]:
    """u / |u|, with a standard normal density for u, whose direction is uniform on the sphere.

    The length |u| is one coordinate more than the value has. The normal density gives it a distribution of its
    own, independent of the direction, so it changes nothing (Marsaglia 1972; Stan Reference Manual, "Unit Vector").
    The constant makes its integral 1: ∫ r^(k-1) exp(-r²/2) dr = 2^(k/2-1) Γ(k/2).
    """
    xp, half = backend.xp, 0.5 * u.shape[-1]
    square = xp.sum(u * u, axis=-1, keepdims=True)
    log_det = -0.5 * square - (half - 1.0) * math.log(2.0) - math.lgamma(half)
    return u / xp.sqrt(square + _tiny(backend)), log_det


def _helmert_norms(k: int, backend: Backend) -> tuple[Array, Array]:
    """i and sqrt(i (i + 1)) for i in 1 … k-1: Helmert's basis of the vectors that sum to 0."""
    i = np.arange(1.0, k)
    return backend.asarray(i), backend.asarray(np.sqrt(i * (i + 1.0)))


def _simplex(u: Array, backend: Backend) -> tuple[Array, Array]:
    """Softmax of the isometric log-ratio coordinates (Egozcue et al. 2003); log|J| = Σ log x + ½ log k.

    z = Σ_i u_i e_i with Helmert's e_i = (1, …, 1, -i, 0, …) / sqrt(i (i + 1)), as sums, not as a matrix
    product, whose bits depend on how many chains there are.
    """
    xp = backend.xp
    k = u.shape[-1] + 1
    i, norm = _helmert_norms(k, backend)
    w = u / norm
    zero = xp.zeros_like(xp.sum(w, axis=-1, keepdims=True))
    after = xp.flip(xp.cumulative_sum(xp.flip(w, axis=-1), axis=-1), axis=-1)
    z = xp.concat([after, zero], axis=-1) - xp.concat([zero, i * w], axis=-1)
    log_x = z - backend.special.logsumexp(z, axis=-1, keepdims=True)
    return _exp(log_x, backend), xp.sum(log_x, axis=-1) + 0.5 * math.log(k)


def _simplex_inverse(value: Array, backend: Backend) -> Array:
    xp = backend.xp
    i, norm = _helmert_norms(value.shape[-1], backend)
    log_x = xp.log(value)
    before = xp.cumulative_sum(log_x[..., :-1], axis=-1)
    return (before - i * log_x[..., 1:]) / norm


def _lower_triangle(k: int, backend: Backend) -> tuple[Array, Array, Array]:
    """For each entry of a (k, k) matrix, its place in a row-major list of the strict lower triangle (0 where
    it has none), whether it has one, and the identity matrix."""
    mask = np.tri(k, k=-1, dtype=bool)
    place = np.where(mask, np.cumsum(mask).reshape(k, k) - 1, 0)
    return backend.asarray(place), backend.asarray(mask), backend.asarray(np.eye(k))


def _cholesky_corr(u: Array, k: int, backend: Backend) -> tuple[Array, Array]:
    """Rows of unit length from canonical partial correlations z = tanh(u).

    L_ij = z_ij Π_{m<j} sqrt(1 - z_im²), L_ii = Π_{m<i} sqrt(1 - z_im²), after Lewandowski, Kurowicka and
    Joe (2009).
    """
    xp = backend.xp
    place, mask, eye = _lower_triangle(k, backend)
    if k == 1:
        return xp.ones_like(xp.sum(u, axis=-1))[..., None, None], xp.sum(u, axis=-1)
    entries = u[..., place]
    size = xp.abs(entries)
    # log(1 - tanh²) = -2 log cosh
    rest = xp.where(mask, 2.0 * (math.log(2.0) - size - xp.log1p(xp.exp(-2.0 * size))), 0.0)
    before = xp.cumulative_sum(rest, axis=-1) - rest
    value = xp.exp(0.5 * before) * xp.where(mask, xp.tanh(entries), eye)
    return value, xp.where(mask, 0.5 * before + rest, 0.0)


def _cholesky_corr_inverse(value: Array, k: int, backend: Backend) -> Array:
    xp = backend.xp
    rows, columns = (backend.asarray(index) for index in np.tril_indices(k, -1))
    squares = value * value
    left = 1.0 - (xp.cumulative_sum(squares, axis=-1) - squares)
    return xp.atanh(value[..., rows, columns] / xp.sqrt(left[..., rows, columns]))
