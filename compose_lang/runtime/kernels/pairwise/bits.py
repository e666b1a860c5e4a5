"""Gibbs on a lattice whose sites are bits: 32 of them to a word, drawn bit by bit of their random numbers.

Bit b of a word stands for block b of the lattice's rows: of n rows, row b n/32 + r is bit b of the words of row r, and
its neighbours beyond the block's edge are the words at the other end, turned by one bit. A site has its first value
where a random number of 32 bits is below the threshold of its local field, as in `slices`; here the random numbers of a
word's sites are 32 words, one for each binary place: word j of them has every site's bit of value 2^j. A comparison
that runs from the lowest place to the highest needs one word of memory,

    below = (~u & threshold) | (~(u ^ threshold) & below),

where the word of a threshold's bits is put together from masks of the sites that have each.

Of places 2i and 2i + 1 the words are the cipher's first and second for ((32 parity + i) words + word, step).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.lattice import Lattice
from compose_lang.compiler.analyses.thresholds import BITS, Levels, Step
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.threefry import MASK, low_word
from compose_lang.runtime.kernels.pairwise.held import ROUNDS, Packed, PairwiseBlock
from compose_lang.runtime.kernels.pairwise.parities import Around, join, row_is_odd, split
from compose_lang.runtime.kernels.pairwise.slices import step_word

PLACES = BITS // 2
"""Pairs of binary places, of which a cipher's two words are one each."""


@dataclass(frozen=True, eq=False)
class Bits(Packed):
    """Held as two arrays of words (chains, rows / 32, …, columns / 2), one for each parity."""

    block: PairwiseBlock
    backend: Backend
    levels: Levels

    @property
    def lattice(self) -> Lattice:
        return self.levels.lattice

    @property
    def words(self) -> tuple[int, ...]:
        """The shape of the words of one parity."""
        return word_shape(self.lattice)

    def pack(self, position: Position) -> Tree:
        parities = split(self.counted(position), self.lattice, self.backend.xp)
        return tuple(packed(p, self.backend) for p in parities)

    def unpack(self, position: Position, held: Tree) -> Position:
        parities = tuple(unpacked(p, self.backend) for p in held)
        return self.valued(position, join(parities, self.lattice, self.backend.xp))

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        first, second = held
        first = self.update(second, 0, noise["key"], t)
        return first, self.update(first, 1, noise["key"], t)

    def update(self, others: Array, parity: int, keys: Array, t: Any) -> Array:
        """New words (chains, *words) of a parity, given those of the other."""
        backend, xp = self.backend, self.backend.xp
        masks = self.masks(others, parity)
        bits = self.block.tables[parity]["thresholds"]  # (places, levels): all ones or none
        size = math.prod(self.words)
        words = xp.arange(size, dtype=backend.word).reshape((1, *self.words))
        key = tuple(keys[:, i].reshape((keys.shape[0], *(1,) * len(self.words))) for i in (0, 1))
        step = step_word(t, backend)

        def places(i: Any, below: Array) -> Array:
            start = backend.asarray((BITS * parity + i) * size, backend.word)
            for j, u in enumerate(backend.encipher(key, (words + start, step), ROUNDS)):
                row = bits[2 * i + j]
                threshold = masks[0] & row[0]
                for m in range(1, len(masks)):
                    threshold = threshold | (masks[m] & row[m])
                below = (threshold & ~u) | (below & ~(u ^ threshold))
            return below

        return backend.in_memory(low_word(~backend.loop(0, PLACES, places, xp.zeros_like(others))))

    def masks(self, others: Array, parity: int) -> list[Array]:
        """For each threshold, in the order of `levels_of`, the sites that have it."""
        xp = self.backend.xp
        tables = self.block.tables[parity]
        steps = [s for g in self.levels.groups for s in g]
        around = Around(others, [s.offset for s in steps], self.backend, turned)
        is_odd = row_is_odd(self.words, xp)

        def near(step: Step, mask: Array) -> Array:
            found = around.at(step.offset, parity, is_odd)
            return found if step.present is None else found & mask

        counts = [
            exactly([near(s, m) for s, m in zip(group, present, strict=True)])
            for group, present in zip(self.levels.groups, tables["groups"], strict=True)
        ]
        found: list[Array] = []
        for keys in levels_of(self.levels).values():
            mask = None
            for f, *n in keys:
                here = None if self.levels.classes is None else tables["classes"][f]
                for count, k in zip(counts, n, strict=True):
                    here = count[k] if here is None else here & count[k]
                mask = here if mask is None else mask | here
            found.append(self.backend.in_memory(mask))
        return found


def levels_of(few: Levels) -> dict[int, list[tuple[int, ...]]]:
    """Which classes and counts have each threshold."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for key, threshold in few.thresholds.items():
        found.setdefault(threshold, []).append(key)
    return found


def exactly(masks: list[Array]) -> list[Array]:
    """Words of the bits that are set in exactly 0, 1, … of some words."""
    counts = [~masks[0], masks[0]]
    for m in masks[1:]:
        shifted = [
            counts[0] & ~m,
            *((a & m) | (b & ~m) for a, b in itertools.pairwise(counts)),
            counts[-1] & m,
        ]
        counts = shifted
    return counts


def word_shape(lattice: Lattice) -> tuple[int, ...]:
    """The shape of the words of one parity."""
    return (lattice.half[0] // BITS, *lattice.half[1:])


def packed(sites: Array, backend: Backend) -> Array:
    """Sites (chains, rows, …) of numbers 0 and 1 as words (chains, rows / 32, …)."""
    xp = backend.xp
    blocks = sites.reshape((sites.shape[0], BITS, sites.shape[1] // BITS, *sites.shape[2:]))
    word = xp.astype(blocks[:, 0], backend.word)
    for b in range(1, BITS):
        word = word | (xp.astype(blocks[:, b], backend.word) << b)
    return word


def unpacked(words: Array, backend: Backend) -> Array:
    """Words (chains, rows / 32, …) as sites (chains, rows, …)."""
    xp = backend.xp
    shift = xp.arange(BITS, dtype=backend.word).reshape((1, BITS, *(1,) * (words.ndim - 1)))
    bits = xp.astype((words[:, None] >> shift) & 1, xp.int8)
    return bits.reshape((words.shape[0], BITS * words.shape[1], *words.shape[2:]))


def turned(words: Array, from_high_end: bool) -> Array:
    """Words of the other end of the first axis: the row before a block's first is the last of the block before it."""
    if from_high_end:
        return low_word(words << 1) | (words >> (BITS - 1))
    return (words >> 1) | low_word(words << (BITS - 1))


def bit_tables(few: Levels) -> list[dict[str, Any]]:
    """The arrays of `Bits` for each parity, all words."""
    lattice = few.lattice
    thresholds = np.array(list(levels_of(few)), dtype=np.uint64)
    places = np.arange(BITS, dtype=np.uint64)[:, None]
    bits = (((thresholds >> places) & 1) * MASK).astype(np.uint32)

    def words(mask: np.ndarray, parity: int) -> np.ndarray:
        rows = lattice.of_parity(mask, parity)
        blocks = rows.reshape((BITS, rows.shape[0] // BITS, *rows.shape[1:])).astype(np.uint32)
        shift = np.arange(BITS, dtype=np.uint32).reshape((BITS, *(1,) * rows.ndim))
        return np.bitwise_or.reduce(blocks << shift, axis=0)[None]

    def masks(parity: int) -> list[list[np.ndarray]]:
        none = np.zeros((), dtype=np.uint32)
        return [[none if s.present is None else words(s.present, parity) for s in g] for g in few.groups]

    def classes(parity: int) -> list[np.ndarray]:
        if few.classes is None:
            return []
        return [words(few.classes == f, parity) for f in range(int(few.classes.max()) + 1)]

    return [{"classes": classes(p), "groups": masks(p), "thresholds": bits} for p in (0, 1)]
