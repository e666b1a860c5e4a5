"""Gibbs on a graph by lists of neighbours, held as (sites, chains): what is fetched lies in a row, chains innermost.

Sites are in the order of `compiler/analyses/neighbour_lists.py`, so that a colour is a stretch. Weights are products
of ratios, as in `slices`. Of a colour's sites the first half take the cipher's first words for (place, step), the
second half the second words for the same places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.neighbour_lists import Neighbours
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.pairwise.held import ROUNDS, Packed, PairwiseBlock
from compose_lang.runtime.kernels.pairwise.slices import chosen, ratios, step_word


@dataclass(frozen=True, eq=False)
class Lists(Packed):
    """Held as 8-bit numbers (sites, chains)."""

    block: PairwiseBlock
    backend: Backend
    graph: Neighbours

    def pack(self, position: Position) -> Tree:
        return self.counted(position)[:, self.block.tables["order"]].T

    def unpack(self, position: Position, held: Tree) -> Position:
        return self.valued(position, held[self.block.tables["place"]].T)

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        for c, (start, stop) in enumerate(colours(self.graph)):
            words = self.words(noise["key"], t, start, stop)
            new = self.update(held, self.block.tables["colours"][c], words)
            held = self.backend.set_at(held, slice(start, stop), new)
        return held

    def update(self, held: Array, tables: dict[str, Array], words: Array) -> Array:
        """New numbers (sites of a colour, chains) for a word each."""
        xp = self.backend.xp
        weights = list(tables["field"])
        for neighbour, ratio in zip(tables["lists"], tables["ratio"], strict=True):
            number = held[neighbour]
            weights = [w * ratios(number, ratio[k], xp) for k, w in enumerate(weights)]
        return chosen(weights, words, self.backend)

    def words(self, keys: Array, t: Any, start: int, stop: int) -> Array:
        """A word for each site from start to stop, (sites, chains)."""
        backend, count = self.backend, stop - start
        half = (count + 1) // 2
        places = backend.xp.arange(start, start + half, dtype=backend.word)[:, None]
        key = (keys[None, :, 0], keys[None, :, 1])
        first, second = backend.encipher(key, (places, step_word(t, backend)), ROUNDS)
        return backend.xp.concat([first, second[: count - half]], axis=0)


def colours(graph: Neighbours) -> list[tuple[int, int]]:
    """Where each colour begins and ends."""
    return [(int(a), int(b)) for a, b in zip(graph.starts[:-1], graph.starts[1:], strict=True)]


def list_tables(graph: Neighbours) -> dict[str, Any]:
    """The arrays of `Lists`: where sites stand, and for each colour its lists (degree, sites) and ratios."""
    place = np.empty(graph.sites, dtype=np.int64)
    place[graph.order] = np.arange(graph.sites)
    return {
        "order": graph.order,
        "place": place,
        "colours": [
            {
                "lists": list(graph.lists[:, a:b]),
                "ratio": list(np.exp(-graph.coupling[..., a:b, None])),
                "field": np.exp(-graph.field[:, a:b, None]),
            }
            for a, b in colours(graph)
        ],
    }
