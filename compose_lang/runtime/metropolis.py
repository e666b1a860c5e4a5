"""The Metropolis–Hastings decision, taken by each chain on its own (Hastings 1970)."""

from __future__ import annotations

from compose_lang.runtime.backend import Array, Backend


def acceptance(energy: Array, proposed: Array, backend: Backend, correction: Array | float = 0.0) -> Array:
    """The probability (chains,) of accepting a proposal.

    `correction` is log q(x | x') - log q(x' | x). A proposal whose energy, or correction, is not finite is
    never accepted; from a point whose energy is infinite every other is.
    """
    xp = backend.xp
    log_ratio = xp.where(xp.isfinite(energy), energy - proposed + correction, 0.0)
    allowed = xp.isfinite(proposed) & xp.isfinite(log_ratio)
    return xp.where(allowed, xp.exp(xp.clip(log_ratio, None, 0.0)), 0.0)


def choose(accept: Array, new: Array, old: Array, backend: Backend) -> Array:
    """The new rows where a chain accepts, the old ones where it does not; accept is (chains,)."""
    shape = (accept.shape[0],) + (1,) * (new.ndim - 1)
    return backend.xp.where(accept.reshape(shape), new, old)
