"""Draws of one of several values by their energies."""

from __future__ import annotations

from compose_lang.runtime.arrays.protocol import Array, Backend


def softmax_weights(energies: Array, backend: Backend) -> Array:
    """Weights exp(least - energy) over the last axis, the largest 1; those of energies not finite are 0."""
    xp = backend.xp
    finite = xp.isfinite(energies)
    least = xp.min(xp.where(finite, energies, xp.inf), axis=-1, keepdims=True)
    return xp.where(finite, xp.exp(least - energies), 0.0)


def place_of(weights: Array, uniform: Array, backend: Backend) -> tuple[Array, Array]:
    """Where a uniform number (…) falls to among weights (…, values), and whether any of them is above 0."""
    xp = backend.xp
    cumulative = xp.cumulative_sum(weights, axis=-1)
    total = cumulative[..., -1]
    below = cumulative <= (uniform * total)[..., None]
    place = xp.sum(xp.astype(below, backend.integer), axis=-1)
    return xp.clip(place, 0, weights.shape[-1] - 1), total > 0.0
