"""Random positions: what a chain tries first, and what searches for a start begin from.

Coordinates are uniform in (-2, 2) on the unconstrained scale, as in Stan; discrete sites uniform over the values that
propagation leaves them.
"""

from __future__ import annotations

import numpy as np

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.arrays.transforms import unconstrained_shape
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density


def scattered(density: Density, keys: Array, attempt: int, fixed: Position) -> Position:
    """Random positions, a different one for each attempt; spread less as attempts fail."""
    shapes = {}
    for v in density.graph.variables:
        if v.free_sites:
            event = v.type.domain.event_shape if v.is_discrete else unconstrained_shape(v.type.domain)
            shapes[v.name] = (v.free_sites, *event)
    specs = {name: NoiseSpec("uniform", shape) for name, shape in shapes.items()}
    # By NumPy, which has the same bits: JAX would compile each of these operations by itself.
    backend, plain = density.backend, load_backend("numpy", density.backend.precision)
    drawn = noise.draw(specs, plain.asarray(backend.to_numpy(keys), plain.word), np.asarray(attempt), plain)
    position: Position = dict(fixed)
    width = 2.0 * 0.8**attempt
    for v in density.graph.variables:
        if not v.free_sites or v.name in fixed:
            continue
        uniform = drawn[v.name]
        if not v.is_discrete:
            position[v.name] = backend.asarray((2.0 * uniform - 1.0) * width, backend.real)
            continue
        domain = v.support
        if domain.kind == "permutation":
            position[v.name] = backend.asarray(np.argsort(uniform, axis=-1), backend.integer)
            continue
        if domain.is_finite:
            values = domain.values
        else:
            low = (
                domain.lower
                if np.isfinite(domain.lower)
                else min(0, domain.upper - 4)
                if np.isfinite(domain.upper)
                else 0
            )
            values = range(int(low), int(low) + 5)
        place = np.clip(np.floor(uniform * len(values)).astype(np.int64), 0, len(values) - 1)
        if v.allowed is not None:
            place = among_allowed(v.allowed, uniform)
        position[v.name] = backend.asarray(values.start + values.step * place, backend.integer)
    return position


def among_allowed(allowed: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The number of one of the values that each site may have (sites, K), by uniforms (chains, sites)."""
    counts = allowed.sum(axis=1)
    nth = np.clip(np.floor(uniform * counts).astype(np.int64), 0, counts - 1)
    order = np.argsort(~allowed, axis=1, kind="stable")
    return order[np.arange(len(allowed)), nth]
