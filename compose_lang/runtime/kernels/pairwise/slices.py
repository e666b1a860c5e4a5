"""Gibbs on a lattice by slices: weights are products of ratios, or thresholds are chosen by counts.

With `weights` the value k of a site weighs exp(-E(k) + E(0)) against its first: the product of its field's ratio and
one of each neighbour, so that no exponential is taken. A word w of 32 random bits is the uniform (w + 1/2) 2^-32.
With `thresholds` a site has its first value where w is below its threshold. Both use the same word of a site: the
first that the cipher makes of (place, step), places counted through the first parity and then the second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.lattice import Direction, Lattice
from compose_lang.compiler.analyses.thresholds import Levels
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.threefry import low_word
from compose_lang.runtime.kernels.pairwise.held import ROUNDS, Packed, PairwiseBlock
from compose_lang.runtime.kernels.pairwise.parities import Around, join, odd_rows, split


class OnLattice(Packed):
    """What both kinds share: two arrays of 8-bit numbers (chains, *half), and a word for each site."""

    lattice: Lattice

    def pack(self, position: Position) -> Tree:
        return split(self.counted(position), self.lattice, self.backend.xp)

    def unpack(self, position: Position, held: Tree) -> Position:
        return self.valued(position, join(held, self.lattice, self.backend.xp))

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        first, second = held
        first = self.backend.in_memory(self.update(second, 0, self.words(noise["key"], t, 0)))
        return first, self.backend.in_memory(self.update(first, 1, self.words(noise["key"], t, 1)))

    def words(self, keys: Array, t: Any, parity: int) -> Array:
        """A word for each site of a parity, (chains, *half)."""
        backend, half = self.backend, self.lattice.half
        size = math.prod(half)
        places = backend.xp.arange(parity * size, (parity + 1) * size, dtype=backend.word).reshape((1, *half))
        key = tuple(keys[:, i].reshape((keys.shape[0], *(1,) * len(half))) for i in (0, 1))
        return backend.encipher(key, (places, step_word(t, backend)), ROUNDS)[0]

    def update(self, others: Array, parity: int, words: Array) -> Array:
        """New numbers (chains, *half) for the sites of a parity, given those of the other and a word for each."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Weights(OnLattice):
    """Values of any number by products of ratios."""

    block: PairwiseBlock
    backend: Backend
    lattice: Lattice

    def update(self, others: Array, parity: int, words: Array) -> Array:
        xp = self.backend.xp
        tables = self.block.tables[parity]
        around = Around(others, [d.offset for d in self.lattice.directions], self.backend)
        is_odd = odd_rows(self.lattice, xp)
        near = [around.at(d.offset, parity, is_odd) for d in self.lattice.directions]
        weights = list(tables["field"])
        for d, number, table in zip(self.lattice.directions, near, tables["directions"], strict=True):
            for k in range(self.lattice.values - 1):
                ratio = ratios(number, table["ratio"][k], xp)
                if d.present is not None:
                    ratio = xp.where(table["present"], ratio, xp.ones_like(ratio))
                weights[k] = weights[k] * ratio
        return chosen(weights, words, self.backend)


def ratios(number: Array, ratio: Array, xp: Any) -> Array:
    """The ratio of a neighbour's number; ratio (K - 1, …) by its values but the first, whose ratio is 1."""
    found = xp.where(number == 1, ratio[0], xp.ones_like(ratio[0]))
    for j in range(1, ratio.shape[0]):
        found = xp.where(number == j + 1, ratio[j], found)
    return found


def chosen(weights: list[Array], words: Array, backend: Backend) -> Array:
    """The number drawn where the first value weighs 1 and the others these weights."""
    xp = backend.xp
    total = 1.0 + sum(weights)
    point = (xp.astype(words, backend.real) + 0.5) * 2.0**-32 * total
    number = xp.astype(point >= 1.0, xp.int8)
    below = 1.0
    for w in weights[:-1]:
        below = below + w
        number = number + xp.astype(point >= below, xp.int8)
    return number


@dataclass(frozen=True, eq=False)
class Thresholds(OnLattice):
    """Two values by a threshold for each local field."""

    block: PairwiseBlock
    backend: Backend
    levels: Levels

    @property
    def lattice(self) -> Lattice:  # type: ignore[override]
        return self.levels.lattice

    def update(self, others: Array, parity: int, words: Array) -> Array:
        xp = self.backend.xp
        tables = self.block.tables[parity]
        around = Around(others, [s.offset for g in self.levels.groups for s in g], self.backend)
        is_odd = odd_rows(self.lattice, xp)
        place, stride = tables["class"], 1
        for group, masks in zip(reversed(self.levels.groups), reversed(tables["groups"]), strict=True):
            for step, mask in zip(group, masks, strict=True):
                number = around.at(step.offset, parity, is_odd)
                place = place + stride * (number if step.present is None else number * mask)
            stride *= len(group) + 1
        threshold = tables["thresholds"]
        found = threshold[0]
        for i in range(1, threshold.shape[0]):
            found = xp.where(place == i, threshold[i], found)
        return xp.astype(words >= found, xp.int8)


def weight_tables(lattice: Lattice) -> list[dict[str, Any]]:
    """The arrays of `Weights` for each parity: ratios exp(-energy), scalars where sites are alike."""

    rank = len(lattice.padded)

    def ratio(parity: int, energies: np.ndarray) -> np.ndarray:
        """Of energies (padded sites or 1, ...): (..., 1, *half), or with axes of 1."""
        alike = energies.reshape((*(1,) * rank, *energies.shape[1:])) if len(energies) == 1 else None
        here = lattice.of_parity(energies, parity) if alike is None else alike
        return np.expand_dims(np.exp(-np.moveaxis(here, range(rank), range(-rank, 0))), -rank - 1)

    def direction(d: Direction, parity: int) -> dict[str, Any]:
        table: dict[str, Any] = {"ratio": ratio(parity, d.coupling)}
        if d.present is not None:
            table["present"] = lattice.of_parity(d.present, parity)[None]
        return table

    return [
        {
            "field": ratio(parity, lattice.field),
            "directions": [direction(d, parity) for d in lattice.directions],
        }
        for parity in (0, 1)
    ]


def threshold_tables(few: Levels) -> list[dict[str, Any]]:
    """The arrays of `Thresholds` for each parity; a class counts the places in the thresholds before it."""
    lattice = few.lattice
    sizes = [len(g) + 1 for g in few.groups]
    count = max(key[0] for key in few.thresholds) + 1
    every = itertools.product(range(count), *map(range, sizes))
    thresholds = np.array([few.thresholds[key] for key in every], dtype=np.uint32)

    def masks(parity: int) -> list[list[np.ndarray]]:
        none = np.ones((), dtype=np.int8)
        return [
            [
                none if s.present is None else lattice.of_parity(s.present, parity)[None].astype(np.int8)
                for s in g
            ]
            for g in few.groups
        ]

    def classes(parity: int) -> np.ndarray:
        if few.classes is None:
            return np.zeros((), dtype=np.int8)
        return (lattice.of_parity(few.classes, parity)[None] * math.prod(sizes)).astype(np.int8)

    return [{"class": classes(p), "groups": masks(p), "thresholds": thresholds} for p in (0, 1)]


def step_word(t: Any, backend: Backend) -> Array:
    """The counter's second word: the step's low 32 bits."""
    return low_word(backend.asarray(t, backend.word))
