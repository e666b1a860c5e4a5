"""What blocks share that count a finite variable's values from 0, in place of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_lang.compiler.graph.factor_graph import Variable
from compose_lang.runtime.arrays.protocol import Array, Position

if TYPE_CHECKING:
    from compose_lang.runtime.density.density import Density


class ValueIndices:
    """The free sites of one finite variable. Places are the numbers of their values (chains, sites)."""

    density: Density

    @property
    def variable(self) -> Variable:
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def sites(self) -> int:
        return self.variable.free_sites

    @property
    def values(self) -> range:
        return self.variable.type.domain.values

    def places(self, position: Position) -> Array:
        return (position[self.name] - self.values.start) // self.values.step

    def assign(self, position: Position, places: Array) -> Position:
        held = position[self.name]
        values = self.values.start + self.values.step * places
        return {**position, self.name: self.density.backend.xp.astype(values, held.dtype)}
