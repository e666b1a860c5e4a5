"""Factors as the reference interpreter sees them: what gives the energy of subjects, one copy at a time.

From the language's reference, "Factors": declared shapes are the last axes, leading axes are independent
copies, array inputs widen what a factor is over, and a mixture chooses once for each copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.compiler.reference_densities import StandardDensity


def pick(array: Any, rank: int, index: tuple[int, ...]) -> Any:
    """The copy of an array (its last `rank` axes) at an index over the copies it broadcasts to."""
    array = np.asarray(array)
    lead = array.shape[: array.ndim - rank]
    mine = index[len(index) - len(lead) :]
    return array[tuple(0 if n == 1 else i for n, i in zip(lead, mine, strict=True))]


def copies(arrays: Sequence[Any], ranks: Sequence[int]) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
    """Every independent copy that leading axes mean: its index, and the arrays' parts in it."""
    shapes = [np.shape(a)[: np.ndim(a) - r] for a, r in zip(arrays, ranks, strict=True)]
    for index in np.ndindex(np.broadcast_shapes(*shapes)):
        yield index, [pick(a, r, index) for a, r in zip(arrays, ranks, strict=True)]


class Factor:
    """A function into weights that waits for its subjects."""

    ranks: tuple[int, ...]

    def energy(self, subjects: Sequence[Any]) -> float:
        raise NotImplementedError


@dataclass
class Given(Factor):
    """A declared factor with its inputs; `one(subjects, inputs)` is the energy of a single copy."""

    one: Callable[[list[Any], list[Any]], float]
    subject_ranks: tuple[int, ...]
    input_ranks: tuple[int, ...]
    inputs: list[Any]

    @property
    def ranks(self) -> tuple[int, ...]:  # type: ignore[override]
        widened = max((np.ndim(v) - r for v, r in zip(self.inputs, self.input_ranks, strict=True)), default=0)
        return tuple(r + widened for r in self.subject_ranks)

    def energy(self, subjects: Sequence[Any]) -> float:
        cut = len(self.subject_ranks)
        every = copies([*subjects, *self.inputs], [*self.subject_ranks, *self.input_ranks])
        return float(sum(self.one(part[:cut], part[cut:]) for _, part in every))


def standard(density: StandardDensity, inputs: list[Any]) -> Given:
    """A density of the table with its inputs."""

    def one(subjects: list[Any], values: list[Any]) -> float:
        with np.errstate(all="ignore"):
            # scipy subtracts, which NumPy refuses for truth values
            return -float(density.log_density(*(np.asarray(v) + 0 for v in (subjects[0], *values))))

    return Given(one, (density.subject_rank,), tuple(rank for _, rank in density.inputs), inputs)


@dataclass
class Applied(Factor):
    """A factor with its subjects."""

    factor: Factor
    subjects: list[Any]
    ranks: tuple[int, ...] = ()

    def energy(self, subjects: Sequence[Any]) -> float:
        return self.factor.energy(self.subjects)


@dataclass
class Product(Factor):
    """Factors to powers: energies add, times the powers."""

    parts: list[tuple[Factor, float]]

    @property
    def ranks(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(max(r) for r in zip(*(f.ranks for f, _ in self.parts), strict=True))

    def energy(self, subjects: Sequence[Any]) -> float:
        return sum(power * factor.energy(subjects) for factor, power in self.parts)


@dataclass
class Mixture(Factor):
    """`Σ w P`: one choice for each copy."""

    parts: list[tuple[Any, Factor]]

    @property
    def weight_rank(self) -> int:
        return max(np.ndim(w) for w, _ in self.parts)

    @property
    def ranks(self) -> tuple[int, ...]:  # type: ignore[override]
        widest = (max(r) for r in zip(*(f.ranks for _, f in self.parts), strict=True))
        return tuple(max(r, self.weight_rank) for r in widest)

    def energy(self, subjects: Sequence[Any]) -> float:
        ranks = [max(0, r - self.weight_rank) for r in self.ranks]
        total = 0.0
        for index, part in copies(subjects, ranks):
            logs = [np.log(pick(w, 0, index)) - f.energy(part) for w, f in self.parts]
            total -= float(np.logaddexp.reduce(logs))
        return total


@dataclass
class Contrast(Factor):
    """`P P / (P + s Q)` of each copy."""

    likes: Factor
    dislikes: Factor
    strength: float

    @property
    def ranks(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(max(r) for r in zip(self.likes.ranks, self.dislikes.ranks, strict=True))

    def energy(self, subjects: Sequence[Any]) -> float:
        total = 0.0
        for _, part in copies(subjects, self.ranks):
            p, q = np.exp(-self.likes.energy(part)), np.exp(-self.dislikes.energy(part))
            with np.errstate(divide="ignore"):
                total -= float(np.log(p * p / (p + self.strength * q))) if p else -np.inf
        return total
