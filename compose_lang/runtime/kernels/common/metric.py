"""The metric of a block's coordinates: a linear map L to them from coordinates in which the density is round.

Kernels that follow gradients move in v, where u = L v: momenta are standard normal there, a velocity p moves u by L p,
and a gradient g is Lᵀ g. The inverse mass of the usual notation is L Lᵀ.

L is fitted to draws, or to draws and gradients at once as in nutpie (Seyboldt, Carlson and Carpenter, "Preconditioning
Hamiltonian Monte Carlo by minimizing Fisher divergence"): with covariances C of the coordinates and G of the gradients,
Σ = L Lᵀ solves Σ G Σ = C. Of a Gaussian density that is its covariance as soon as there are more draws than dimensions,
also where they are those of a chain on its way.
"""

from __future__ import annotations

from typing import NamedTuple

from compose_lang.runtime.arrays.protocol import Array, Backend

MOST_DENSE = 128
"""Dimensions up to which L is a full matrix."""
PRIOR_DRAWS = 5.0
"""How many draws the independence of coordinates counts: Stan's number."""
LEAST_VARIANCE = 1e-3
"""What variances of draws are drawn to: Stan's number."""


class Metric(NamedTuple):
    """L = diag(scale) · shape."""

    scale: Array  #: (chains, D)
    shape: Array | None  #: (chains, D, D); None: the identity


class Moments(NamedTuple):
    """Welford's recurrence: count (chains,), mean (chains, D), sums of squared deviations (chains, D).

    Where correlations are learned the sums are those of all products, (chains, D, D).
    """

    count: Array
    mean: Array
    squares: Array


def unit(like: Array, backend: Backend, *, dense: bool) -> Metric:
    """The identity, for coordinates like (chains, D)."""
    return Metric(backend.xp.ones_like(like), identity(like, backend) if dense else None)


def identity(like: Array, backend: Backend) -> Array:
    """A unit matrix (chains, D, D) for each row of (chains, D)."""
    xp = backend.xp
    return xp.zeros_like(like)[:, :, None] + xp.eye(like.shape[1], dtype=backend.real)


def push(metric: Metric, velocity: Array) -> Array:
    """L v of velocities (chains, D)."""
    if metric.shape is None:
        return metric.scale * velocity
    return metric.scale * (metric.shape @ velocity[:, :, None])[:, :, 0]


def pull(metric: Metric, gradient: Array) -> Array:
    """Lᵀ g of gradients (chains, D)."""
    scaled = metric.scale * gradient
    return scaled if metric.shape is None else (scaled[:, None, :] @ metric.shape)[:, 0, :]


def nothing_seen(like: Array, backend: Backend, *, dense: bool) -> Moments:
    """Moments of no draws, for coordinates like (chains, D)."""
    xp = backend.xp
    squares = xp.zeros((*like.shape, like.shape[1]), dtype=backend.real) if dense else xp.zeros_like(like)
    return Moments(xp.zeros(like.shape[:1], dtype=backend.real), xp.zeros_like(like), squares)


def observed(state: Moments, u: Array) -> Moments:
    """Moments with one more draw (chains, D)."""
    count = state.count + 1.0
    before = u - state.mean
    mean = state.mean + before / count[:, None]
    after = u - mean
    products = before * after if state.squares.ndim == 2 else before[:, :, None] * after[:, None, :]
    return Moments(count, mean, state.squares + products)


def fitted(
    before: Metric, draws: Moments, gradients: Moments | None, backend: Backend, *, is_stationary: bool
) -> Metric:
    """The metric that a window of draws shows; a coordinate that never moved keeps its scale.

    is_stationary: whether the draws are spread as the density is, so that their covariance counts by itself.
    """
    xp = backend.xp
    count = draws.count[:, None]
    if gradients is None or is_stationary:
        variance = diagonal(draws, backend) / (count - 1.0)
        scale = xp.sqrt((count * variance + PRIOR_DRAWS * LEAST_VARIANCE) / (count + PRIOR_DRAWS))
    else:
        scale = (diagonal(draws, backend) / diagonal(gradients, backend)) ** 0.25
    scale = xp.where(xp.isfinite(scale) & (scale > 0.0), scale, before.scale)
    if before.shape is None:
        return Metric(scale, None)
    spread = covariance(draws, scale, backend)
    if gradients is None:
        return Metric(scale, power(spread, 0.5, backend))
    # Σ = G^(-1/2) (G^(1/2) C G^(1/2))^(1/2) G^(-1/2)
    slope = covariance(gradients, 1.0 / scale, backend)
    root, inverse = power(slope, 0.5, backend), power(slope, -0.5, backend)
    if is_stationary:
        both = inverse @ power(root @ spread @ root, 0.5, backend) @ inverse
        return Metric(scale, power(0.5 * (spread + both), 0.5, backend))
    return Metric(scale, inverse @ power(root @ spread @ root, 0.25, backend))


def diagonal(moments: Moments, backend: Backend) -> Array:
    """The sums of squares (chains, D)."""
    if moments.squares.ndim == 2:
        return moments.squares
    return backend.xp.sum(moments.squares * identity(moments.mean, backend), axis=-1)


def covariance(moments: Moments, scale: Array, backend: Backend) -> Array:
    """The covariance in units of a scale, drawn to its diagonal; the identity where it is not finite."""
    xp = backend.xp
    count, one = moments.count[:, None, None], identity(scale, backend)
    sums = moments.squares / (scale[:, :, None] * scale[:, None, :])
    whole = sums * (1.0 + one * (PRIOR_DRAWS / count)) / (count + PRIOR_DRAWS)
    is_sound = xp.all(xp.isfinite(whole), axis=(1, 2), keepdims=True)
    return xp.where(is_sound, whole, one)


def power(matrix: Array, exponent: float, backend: Backend) -> Array:
    """A power of symmetric positive matrices (chains, D, D)."""
    xp = backend.xp
    values, vectors = backend.eigh(0.5 * (matrix + xp.matrix_transpose(matrix)))
    values = xp.clip(values, 1e-12, None) ** exponent
    return (vectors * values[:, None, :]) @ xp.matrix_transpose(vectors)
