"""Gaussians and mixtures of them, cut by bounds: independent blocks of elements, and the log of their integral.

A normal of one element is drawn by inversion, another block by rejection of what lies outside its bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_ACCEPTED = 0.01  #: share of a block's draws that its bounds must leave
FAR = 9.0  #: standard deviations beyond which a bound takes nothing that counts
PILOT = (2_000, 40_000)  #: draws that an acceptance is found from, at least and at most


@dataclass(frozen=True, eq=False)
class Block:
    """A mixture of m multivariate normals of the same k elements, often of one, within bounds.

    log_weights: the log of the integral of each part before bounds cut it, which need not add up to 1. roots: means[j]
    + roots[j] @ z is a draw of part j.
    """

    numbers: np.ndarray
    log_weights: np.ndarray  #: (m,)
    means: np.ndarray  #: (m, k)
    roots: np.ndarray  #: (m, k, k)
    low: np.ndarray
    high: np.ndarray

    @property
    def log_mass(self) -> float:
        """The log of the integral before bounds cut it."""
        top = self.log_weights.max()
        return float(top + np.log(np.exp(self.log_weights - top).sum()))

    @property
    def is_cut(self) -> bool:
        sd = np.sqrt((self.roots**2).sum(axis=2))
        return bool(((self.low > self.means - FAR * sd) | (self.high < self.means + FAR * sd)).any())

    def tries(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws (count, k), and which lie within the bounds."""
        z = rng.standard_normal((count, len(self.numbers)))
        if len(self.means) == 1:
            draws = self.means[0] + z @ self.roots[0].T
        else:
            of = rng.choice(len(self.means), size=count, p=np.exp(self.log_weights - self.log_mass))
            draws = np.empty_like(z)
            for j in np.unique(of):
                draws[of == j] = self.means[j] + z[of == j] @ self.roots[j].T
        return draws, ((draws > self.low) & (draws < self.high)).all(axis=1)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws within the bounds (count, k)."""
        kept, found = [], 0
        size = count
        while found < count:
            draws, inside = self.tries(size, rng)
            kept.append(draws[inside])
            found += int(inside.sum())
            share = max(inside.mean(), LEAST_ACCEPTED / 4)
            most = 2 * 10**6 // len(self.numbers) + 1
            size = int(np.clip(1.1 * (count - found) / share + 16, 16, most))
        return np.concatenate(kept)[:count]


@dataclass(frozen=True, eq=False)
class Singles:
    """Independent normals of one element each, within bounds."""

    numbers: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def standard(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bounds in standard deviations, mirrored (where the third is true) so that the lower tail is meant."""
        low, high = (self.low - self.mean) / self.sd, (self.high - self.mean) / self.sd
        mirrored = low > 0
        return np.where(mirrored, -high, low), np.where(mirrored, -low, high), mirrored

    def log_mass(self) -> np.ndarray:
        from scipy.special import log_ndtr

        low, high, _ = self.standard()
        below, above = log_ndtr(low), log_ndtr(high)
        with np.errstate(all="ignore"):
            mass: np.ndarray = above + np.log1p(-np.exp(below - above))
        return mass

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws (count, k), by inversion of the normal's distribution function."""
        from scipy.special import log_ndtr, ndtri_exp

        low, high, mirrored = self.standard()
        with np.errstate(all="ignore"):
            log_u = np.log(rng.random((count, len(self.mean)))) + self.log_mass()
            z = ndtri_exp(np.minimum(np.logaddexp(log_ndtr(low), log_u), 0.0))
        z = np.clip(np.where(np.isposinf(z), FAR, z), low, high)
        draws: np.ndarray = self.mean + self.sd * np.where(mirrored, -z, z)
        return draws


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A product of energies of degree two within bounds, and the log of its integral with its standard error."""

    singles: Singles
    blocks: tuple[Block, ...]
    log_z: float
    log_z_error: float
    log_cut: float  #: what bounds take of the blocks, which is estimated, as part of log_z

    def log_share(self, rng: np.random.Generator) -> tuple[float, float]:
        """The log of the share of the blocks that bounds leave, found from draws, with its standard error."""
        return log_share(self.blocks, rng)

    @property
    def numbers(self) -> np.ndarray:
        return np.concatenate([self.singles.numbers, *(b.numbers for b in self.blocks)])

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws (count, k) of the elements `numbers`."""
        return np.concatenate(
            [self.singles.draw(count, rng), *(b.draw(count, rng) for b in self.blocks)], axis=1
        )


def log_share(blocks: Sequence[Block], rng: np.random.Generator) -> tuple[float, float]:
    """The log of the share of some blocks that bounds leave, with its error; minus infinity where it is too little."""
    log_cut = variance = 0.0
    for block in blocks:
        if block.is_cut:
            tries = int(np.clip(2 * 10**8 / len(block.numbers) ** 2, *PILOT))
            share = float(block.tries(tries, rng)[1].mean())
            if share < LEAST_ACCEPTED:
                return -math.inf, math.inf
            log_cut += math.log(share)
            variance += (1 - share) / (share * tries)
    return log_cut, math.sqrt(variance)
