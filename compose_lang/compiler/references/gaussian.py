"""Gaussians cut by bounds: independent blocks of elements, each drawn exactly, with the log of its integral.

A block of one element is drawn by inversion, a larger one by rejection of what lies outside its bounds. In: energies
of degree two, added up by `expansion`. Out: a `Gaussian`, or None where their sum has no finite integral, or bounds
leave almost nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Expansion, Scope, elements_of, expand

LEAST_ACCEPTED = 0.01  #: share of a block's draws that its bounds must leave
MOST_IN_BLOCK = 3_000
FAR = 9.0  #: standard deviations beyond which a bound takes nothing that counts
SINGULAR = 1e-11  #: the least eigenvalue of a correlation matrix, as a share of the largest
PILOT = (2_000, 40_000)  #: draws that an acceptance is found from, at least and at most
AGREES = 1e-6


@dataclass(frozen=True, eq=False)
class Block:
    """A multivariate normal of some elements, within bounds. root: the inverse of the precision's Cholesky factor."""

    numbers: np.ndarray
    mean: np.ndarray
    root: np.ndarray  #: (k, k): mean + root @ z is a draw
    low: np.ndarray
    high: np.ndarray

    @property
    def is_cut(self) -> bool:
        sd = np.sqrt((self.root**2).sum(axis=1))
        return bool(((self.low > self.mean - FAR * sd) | (self.high < self.mean + FAR * sd)).any())

    def tries(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws (count, k), and which lie within the bounds."""
        draws = self.mean + rng.standard_normal((count, len(self.mean))) @ self.root.T
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
            size = int(np.clip(1.1 * (count - found) / share + 16, 16, 2 * 10**6 // len(self.mean) + 1))
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

    @property
    def numbers(self) -> np.ndarray:
        return np.concatenate([self.singles.numbers, *(b.numbers for b in self.blocks)])

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws (count, k) of the elements `numbers`."""
        return np.concatenate(
            [self.singles.draw(count, rng), *(b.draw(count, rng) for b in self.blocks)], axis=1
        )


def gaussian_of(
    elements: Elements, scopes: Sequence[Scope], low: np.ndarray, high: np.ndarray
) -> Gaussian | None:
    """The Gaussian with these energies, each element above `low` and below `high` (count,)."""
    numbers = np.unique(np.concatenate([s.reads.ravel() for s in scopes]))
    numbers = numbers[numbers >= 0]
    if not len(numbers) or (low[numbers] >= high[numbers]).any():
        return None
    found = expand(elements, scopes)
    if not np.isfinite(found.constant) or not np.isfinite(found.curvature.data).all():
        return None
    return (
        None
        if (parts := blocks_of(found, numbers, low, high)) is None
        else judged(elements, scopes, found, *parts)
    )


def blocks_of(
    found: Expansion, numbers: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[Singles, list[Block]] | None:
    """Independent blocks of elements; None where a precision is not positive definite."""
    from scipy.sparse.csgraph import connected_components

    inner = found.curvature[numbers][:, numbers]
    count, of_number = connected_components(inner != 0, directed=False)
    sizes = np.bincount(of_number, minlength=count)
    if sizes.max() > MOST_IN_BLOCK:
        return None
    diagonal = inner.diagonal()
    if (diagonal <= 0).any():
        return None
    alone = sizes[of_number] == 1
    single = numbers[alone]
    sd = 1 / np.sqrt(diagonal[alone])
    mean = found.centre[single] - found.linear[single] * sd**2
    singles = Singles(single, mean, sd, low[single], high[single])
    order = np.argsort(of_number, kind="stable")
    ends = np.cumsum(sizes)
    blocks = []
    for k in np.flatnonzero(sizes > 1):
        places = order[ends[k] - sizes[k] : ends[k]]
        block = block_of(found, inner[places][:, places].toarray(), numbers[places], low, high)
        if block is None:
            return None
        blocks.append(block)
    return singles, blocks


def block_of(
    found: Expansion, precision: np.ndarray, numbers: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Block | None:
    """A block by its precision; None where that is singular."""
    from scipy.linalg import solve_triangular

    scale = 1 / np.sqrt(np.diagonal(precision))
    correlated = precision * scale[:, None] * scale
    eigenvalues = np.linalg.eigvalsh(correlated)
    if eigenvalues[0] < SINGULAR * eigenvalues[-1]:
        return None
    lower = np.linalg.cholesky(correlated)
    inverse = solve_triangular(lower, np.eye(len(numbers)), lower=True)
    root = scale[:, None] * inverse.T
    mean = found.centre[numbers] - root @ (root.T @ found.linear[numbers])
    return Block(numbers, mean, root, low[numbers], high[numbers])


def judged(
    elements: Elements, scopes: Sequence[Scope], found: Expansion, singles: Singles, blocks: Sequence[Block]
) -> Gaussian | None:
    """A Gaussian with its integral; None where bounds leave almost nothing of it, or its energies are not these."""
    rng = np.random.default_rng(2011)
    with np.errstate(all="ignore"):
        log_z = -found.constant + 0.5 * float(
            (found.linear[singles.numbers] * singles.sd) @ (found.linear[singles.numbers] * singles.sd)
        )
        log_z += float((singles.log_mass() + np.log(singles.sd) + 0.5 * math.log(2 * math.pi)).sum())
    variance = 0.0
    for block in blocks:
        size = len(block.numbers)
        whitened = block.root.T @ found.linear[block.numbers]
        log_det = float(np.linalg.slogdet(block.root)[1])
        log_z += 0.5 * float(whitened @ whitened) + log_det + 0.5 * size * math.log(2 * math.pi)
        if block.is_cut:
            tries = int(np.clip(2 * 10**8 / size**2, *PILOT))
            share = float(block.tries(tries, rng)[1].mean())
            if share < LEAST_ACCEPTED:
                return None
            log_z += math.log(share)
            variance += (1 - share) / (share * tries)
    if not math.isfinite(log_z):
        return None
    gaussian = Gaussian(singles, tuple(blocks), log_z, math.sqrt(variance))
    return gaussian if agrees(elements, scopes, found, gaussian, rng) else None


def agrees(
    elements: Elements,
    scopes: Sequence[Scope],
    found: Expansion,
    gaussian: Gaussian,
    rng: np.random.Generator,
) -> bool:
    """Whether the energies at a few draws are those of the expansion: a guard against what is no polynomial."""
    points = np.broadcast_to(found.centre, (3, elements.count)).copy()
    points[:, gaussian.singles.numbers] = gaussian.singles.mean + gaussian.singles.sd * rng.standard_normal(
        (3, len(gaussian.singles.numbers))
    )
    for b in gaussian.blocks:
        points[:, b.numbers] = b.mean + rng.standard_normal((3, len(b.numbers))) @ b.root.T
    moved = points - found.centre
    expected = found.constant + moved @ found.linear + 0.5 * ((moved @ found.curvature) * moved).sum(axis=1)
    energy = sum(
        s.term.weight * elements_of(s.term.node, elements, s.names, points).sum(axis=1) for s in scopes
    )
    return bool((np.abs(energy - expected) <= AGREES * (1 + np.abs(expected))).all())
