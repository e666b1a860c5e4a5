"""Where a population starts in the variables that no noise is added to: as chains do, with the others at the data."""

from __future__ import annotations

from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.backend import Array
from compose_lang.runtime.kernel import Position
from compose_lang.runtime.starts import find_start


def start_elsewhere(field: Field, keys: Array, level: Array) -> Position:
    """A position of finite energy at a level for each key (n, 2)."""
    density = field.density
    if all(v.name in field.anneal.transported or not v.free_sites for v in density.graph.variables):
        xp, b, n = density.backend.xp, density.backend, keys.shape[0]
        block = field.block
        return {name: xp.zeros((n, *shape), dtype=b.real) for name, shape in block.shapes.items()}
    return find_start(density.at_level(level), keys)
