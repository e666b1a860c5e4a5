"""Where a population starts in the variables that no noise is added to: as chains do, and parts by their weights."""

from __future__ import annotations

import numpy as np

from compose_lang.runtime import noise
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.backend import Array
from compose_lang.runtime.kernel import NoiseSpec, Position
from compose_lang.runtime.starts import find_start


def start_elsewhere(field: Field, keys: Array, level: Array) -> Position:
    """A position of finite energy at a level for each key (n, 2)."""
    density, anneal = field.density, field.anneal
    settled = {*anneal.transported, *(c.variable.name for c in anneal.choices)}
    if all(v.name in settled or not v.free_sites for v in density.graph.variables):
        xp, b, n = density.backend.xp, density.backend, keys.shape[0]
        position = {name: xp.zeros((n, *shape), dtype=b.real) for name, shape in field.block.shapes.items()}
    else:
        position = find_start(density.at_level(level), keys)
    return {**position, **parts(field, keys, density.backend.asarray(-2))}


def parts(field: Field, keys: Array, t: Array) -> Position:
    """Which part of each mixture a particle belongs to, drawn by the weights: (n, copies) for each choice."""
    b, xp = field.backend, field.backend.xp
    ends = {
        c.variable.name: np.cumsum(c.weights.reshape(-1, c.weights.shape[-1]), axis=1)[:, :-1]
        for c in field.anneal.choices
    }
    spec = {name: NoiseSpec("uniform", (len(x),)) for name, x in ends.items()}
    found = {}
    for name, drawn in noise.draw(spec, keys, t, b).items():
        above = drawn[:, :, None] > b.asarray(ends[name][None], b.real)
        found[name] = xp.sum(xp.astype(above, b.integer), axis=2)
    return found
