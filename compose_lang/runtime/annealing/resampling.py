"""Systematic resampling: as many copies of each particle as its weight is worth, with one random number for all.

Particle i gets ⌊n wᵢ⌋ or ⌈n wᵢ⌉ copies (Carpenter, Clifford and Fearnhead, IEE Proc. 1999).
"""

from __future__ import annotations

from compose_lang.runtime.backend import Array, Backend


def normalised(log_weights: Array, b: Backend) -> Array:
    """Weights (n,) that sum to 1."""
    xp = b.xp
    top = xp.max(log_weights)
    weights = xp.exp(log_weights - xp.where(xp.isfinite(top), top, xp.zeros_like(top)))
    return weights / xp.sum(weights)


def effective(weights: Array, b: Backend) -> Array:
    """The effective number of particles, 1 / Σ w²."""
    return 1.0 / b.xp.sum(weights * weights)


def systematic(weights: Array, uniform: Array, b: Backend) -> Array:
    """Indices (n,) of the particles that are copied. uniform: one number in (0, 1)."""
    xp, n = b.xp, weights.shape[0]
    ends = xp.cumulative_sum(weights)
    places = (xp.arange(n, dtype=b.real) + uniform) / n
    found = xp.searchsorted(ends / ends[-1], places)
    return xp.clip(xp.astype(found, b.integer), 0, n - 1)


def log_mean(log_weights: Array, b: Backend) -> Array:
    """log of the mean weight."""
    xp = b.xp
    top = xp.max(log_weights)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return top + xp.log(xp.mean(xp.exp(log_weights - top)))
