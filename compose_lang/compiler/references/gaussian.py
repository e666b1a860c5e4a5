"""Gaussians and mixtures of them, cut by bounds: independent blocks of elements, and the log of their integral.

A normal of one element is drawn by inversion, another block by rejection of what lies outside its bounds. Mixtures
that meet in a block are multiplied out. In: energies of degree two, added up by `expansion`, and choices among such.
Out: a `Gaussian`, or None where their sum has no finite integral, or bounds leave almost nothing of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.references.choices import Choice, ChoiceScope, choices_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Expansion, Scope, elements_of, expand

LEAST_ACCEPTED = 0.01  #: share of a block's draws that its bounds must leave
MOST_IN_BLOCK = 3_000
FAR = 9.0  #: standard deviations beyond which a bound takes nothing that counts
SINGULAR = 1e-11  #: the least eigenvalue of a correlation matrix, as a share of the largest
PILOT = (2_000, 40_000)  #: draws that an acceptance is found from, at least and at most
AGREES = 1e-6
MOST_TERMS = 64  #: combinations of the parts of mixtures that meet in a block


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

    @property
    def numbers(self) -> np.ndarray:
        return np.concatenate([self.singles.numbers, *(b.numbers for b in self.blocks)])

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws (count, k) of the elements `numbers`."""
        return np.concatenate(
            [self.singles.draw(count, rng), *(b.draw(count, rng) for b in self.blocks)], axis=1
        )


def gaussian_of(
    elements: Elements,
    scopes: Sequence[Scope],
    mixtures: Sequence[ChoiceScope],
    low: np.ndarray,
    high: np.ndarray,
) -> Gaussian | None:
    """The Gaussian with these energies, each element above `low` and below `high` (count,)."""
    numbers = np.unique(np.concatenate([s.reads.ravel() for s in (*scopes, *(m.scope for m in mixtures))]))
    numbers = numbers[numbers >= 0]
    if not len(numbers) or (low[numbers] >= high[numbers]).any():
        return None
    found = expand(elements, scopes)
    if not np.isfinite(found.constant) or not np.isfinite(found.curvature.data).all():
        return None
    choices = [choices_of(elements, m) for m in mixtures]
    if any(c is None for c in choices):
        return None
    parts = blocks_of(found, numbers, [c for cs in choices for c in cs or ()], low, high)
    return None if parts is None else judged(elements, scopes, found, *parts)


def blocks_of(
    found: Expansion, numbers: np.ndarray, choices: Sequence[Choice], low: np.ndarray, high: np.ndarray
) -> tuple[Singles, list[Block]] | None:
    """Independent blocks of elements; None where a precision is not positive definite, or parts are too many."""
    of_number, count = connected_numbers(found, numbers, choices)
    sizes = np.bincount(of_number, minlength=count)
    if sizes.max() > MOST_IN_BLOCK:
        return None
    meeting: dict[int, list[Choice]] = {}
    for choice in choices:
        if len(choice.numbers):
            meeting.setdefault(int(of_number[np.searchsorted(numbers, choice.numbers[0])]), []).append(choice)
    is_chosen = np.isin(np.arange(count), list(meeting))
    if any(math.prod(len(c.constant) for c in met) > MOST_TERMS for met in meeting.values()):
        return None
    inner = found.curvature[numbers][:, numbers]
    diagonal = inner.diagonal()
    alone = (sizes[of_number] == 1) & ~is_chosen[of_number]
    if (diagonal[alone] <= 0).any():
        return None
    single = numbers[alone]
    sd = 1 / np.sqrt(diagonal[alone])
    mean = found.centre[single] - found.linear[single] * sd**2
    singles = Singles(single, mean, sd, low[single], high[single])
    order = np.argsort(of_number, kind="stable")
    ends = np.cumsum(sizes)
    blocks = []
    for k in np.flatnonzero((sizes > 1) | is_chosen):
        places = order[ends[k] - sizes[k] : ends[k]]
        precision = inner[places][:, places].toarray()
        block = block_of(found, precision, numbers[places], meeting.get(int(k), []), low, high)
        if block is None:
            return None
        blocks.append(block)
    return singles, blocks


def connected_numbers(
    found: Expansion, numbers: np.ndarray, choices: Sequence[Choice]
) -> tuple[np.ndarray, int]:
    """The block of each number: those that a curvature or a choice ties are in one. Returns how many blocks, too."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    inner = found.curvature[numbers][:, numbers].tocoo()
    tied = inner.data != 0
    rows, columns = [inner.row[tied]], [inner.col[tied]]
    for choice in choices:
        at = np.searchsorted(numbers, choice.numbers)
        rows.append(np.repeat(at[:1], len(at)))
        columns.append(at)
    joined = np.concatenate(rows), np.concatenate(columns)
    shape = (len(numbers), len(numbers))
    graph = coo_array((np.ones(len(joined[0]), dtype=np.int8), joined), shape=shape)
    count, of_number = connected_components(graph, directed=False)
    return of_number, int(count)


def block_of(
    found: Expansion,
    precision: np.ndarray,
    numbers: np.ndarray,
    choices: Sequence[Choice],
    low: np.ndarray,
    high: np.ndarray,
) -> Block | None:
    """A block by its energies: each combination of the parts of its choices is a normal; None where one is singular."""
    centre = found.centre[numbers]
    parts = []
    for combination in itertools.product(*(range(len(c.constant)) for c in choices)):
        constant, linear, curvature = 0.0, found.linear[numbers].copy(), precision.copy()
        for choice, j in zip(choices, combination, strict=True):
            at, shift = np.searchsorted(numbers, choice.numbers), found.centre[choice.numbers] - choice.centre
            turned = choice.curvature[j] @ shift
            constant += choice.constant[j] + choice.linear[j] @ shift + 0.5 * shift @ turned
            linear[at] += choice.linear[j] + turned
            curvature[np.ix_(at, at)] += choice.curvature[j]
        part = normal_of(constant, linear, curvature)
        if part is None:
            return None
        parts.append(part)
    if not parts:
        return None
    weights, shifts, roots = zip(*parts, strict=True)
    return Block(
        numbers, np.array(weights), centre + np.array(shifts), np.array(roots), low[numbers], high[numbers]
    )


def normal_of(
    constant: float, linear: np.ndarray, precision: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray] | None:
    """The log of the integral of a polynomial's exponential, its mean and a root of its covariance."""
    from scipy.linalg import solve_triangular

    diagonal = np.diagonal(precision)
    if (diagonal <= 0).any():
        return None
    scale = 1 / np.sqrt(diagonal)
    correlated = precision * scale[:, None] * scale
    eigenvalues = np.linalg.eigvalsh(correlated)
    if eigenvalues[0] < SINGULAR * eigenvalues[-1]:
        return None
    lower = np.linalg.cholesky(correlated)
    root = scale[:, None] * solve_triangular(lower, np.eye(len(scale)), lower=True).T
    whitened = root.T @ linear
    log_det = float(np.log(scale).sum() - np.log(np.diagonal(lower)).sum())
    log_z = -constant + 0.5 * float(whitened @ whitened) + log_det + 0.5 * len(scale) * math.log(2 * math.pi)
    return log_z, -root @ whitened, root


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
        log_z += block.log_mass
        if block.is_cut:
            tries = int(np.clip(2 * 10**8 / len(block.numbers) ** 2, *PILOT))
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
        points[:, b.numbers] = b.tries(3, rng)[0]
    moved = points - found.centre
    expected = found.constant + moved @ found.linear + 0.5 * ((moved @ found.curvature) * moved).sum(axis=1)
    energy = sum(
        s.term.weight * elements_of(s.term.node, elements, s.names, points).sum(axis=1) for s in scopes
    )
    return bool((np.abs(energy - expected) <= AGREES * (1 + np.abs(expected))).all())
