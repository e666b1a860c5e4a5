"""What the forms share: a block of one pairwise variable, how it is held between sweeps, and its noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map

ROUNDS = 13
"""Of Threefry2x32: the fewest that pass BigCrush (Salmon et al. 2011). docs/inference.md has a battery of this use."""


@dataclass(frozen=True, eq=False)
class PairwiseBlock:
    """A variable in a form; tables are the form's arrays on the backend."""

    name: str
    values: range
    form: Form
    tables: Any


class Packed:
    """A kernel that can keep its variable in an arrangement of its own over many sweeps; it has no other state."""

    block: PairwiseBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"key": NoiseSpec("key", ())}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        held = self.sweep(self.pack(position), noise, t)
        return self.unpack(position, held), state, {}

    def pack(self, position: Position) -> Tree:
        """The variable of a position in the kernel's arrangement."""
        raise NotImplementedError

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        """One update of every site."""
        raise NotImplementedError

    def unpack(self, position: Position, held: Tree) -> Position:
        """The position with the variable that is held."""
        raise NotImplementedError

    def counted(self, position: Position) -> Array:
        """Which of its values each site has, (chains, sites) in 8 bits."""
        values = self.block.values
        found = (position[self.block.name] - values.start) // values.step
        return self.backend.xp.astype(found, self.backend.xp.int8)

    def valued(self, position: Position, counted: Array) -> Position:
        """The position with the values of these numbers (chains, sites)."""
        values = self.block.values
        numbers = self.backend.xp.astype(counted, self.backend.integer)
        return {**position, self.block.name: numbers * values.step + values.start}


def on_backend(tables: Any, backend: Backend) -> Any:
    """A tree of NumPy arrays on a backend: reals in its precision, 32-bit words as its words."""

    def moved(array: np.ndarray) -> Array:
        if array.dtype == np.uint32:
            return backend.asarray(array, backend.word)
        if array.dtype.kind == "f":
            return backend.asarray(array, backend.real)
        if array.dtype.kind == "i":
            return backend.asarray(array, backend.xp.int32)
        return backend.asarray(array)

    return tree_map(moved, tables)
