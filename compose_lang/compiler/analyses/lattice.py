"""Lattices: pairwise variables whose sites are coupled to the same few neighbours relative to where they stand.

In: a `Pairwise` variable of 1 to 3 axes. Out: a `Lattice`, if every pair of its sites differs by one of a few offsets
(modulo the shape, so that grids, tori, chains and strides are all found), and a site's parity, that of the sum of its
coordinates, differs from its neighbours': then the sites of one parity are updated at once, and their neighbours are
slices of those of the other.

The sites of a parity are kept without those between them. Along the last axis, of even length m (an odd one gets one
more column, coupled to nothing), site x of parity k stands at q = (x[-1] - o) / 2, where o = (sum of x[:-1] + k) mod 2,
in an array of shape (*shape[:-1], m / 2). Its neighbour at offset d stands, in the array of the other parity, at
x[:-1] + d[:-1] and q + (d[-1] + o - o') / 2, where o' = (sum of (x + d)[:-1] + 1 - k) mod 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.analyses.pairwise import Pairwise

MOST_AXES = 3
MOST_OFFSETS = 16
LEAST_FILLED = 0.25
"""Of the sites, on the average over offsets, that have a neighbour there: else lists of neighbours are shorter."""


@dataclass(frozen=True, eq=False)
class Direction:
    """The neighbours at one offset from each site, modulo the shape.

    coupling: (1, K - 1, K - 1) where all are alike, else (sites, K - 1, K - 1). present: which sites have a neighbour
    there, (sites,); None where all have. Sites count those of the padded shape.
    """

    offset: tuple[int, ...]
    coupling: np.ndarray
    present: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Lattice:
    """A variable on a lattice of two parities.

    shape: of the variable; padded: with an even last axis. field: (1, K - 1) where sites are alike, else
    (padded sites, K - 1).
    """

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    field: np.ndarray
    directions: tuple[Direction, ...]

    @property
    def sites(self) -> int:
        return math.prod(self.shape)

    @property
    def values(self) -> int:
        return self.field.shape[1] + 1

    @property
    def half(self) -> tuple[int, ...]:
        """The shape of the sites of one parity."""
        return (*self.padded[:-1], self.padded[-1] // 2)

    def of_parity(self, array: np.ndarray, parity: int) -> np.ndarray:
        """What an array (padded sites, …) holds for the sites of a parity: (*half, …)."""
        whole = array.reshape((*self.padded[:-1], self.padded[-1] // 2, 2, *array.shape[1:]))
        first = self.first(parity).reshape((*self.padded[:-1], *(1,) * (whole.ndim - len(self.padded))))
        even, odd = (np.take(whole, o, axis=len(self.padded)) for o in (0, 1))
        return np.where(first == 0, even, odd)

    def first(self, parity: int) -> np.ndarray:
        """Whether the first site of a row is one of the parity (0) or its right neighbour is (1): padded[:-1]."""
        rows = np.indices(self.padded[:-1]).sum(axis=0) if len(self.padded) > 1 else np.zeros((), dtype=int)
        return np.asarray((rows + parity) % 2)


def lattice(p: Pairwise) -> Lattice | None:
    """The lattice that a variable lies on, if it does."""
    shape = p.variable.type.shape
    if not 1 <= len(shape) <= MOST_AXES or p.sites != math.prod(shape) or not p.sites or not p.pairs:
        return None
    padded = (*shape[:-1], shape[-1] + shape[-1] % 2)
    total = math.prod(padded)
    found: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}  # offset: coupling, present
    for pairs in p.pairs:
        for here in pairs.both_ways:
            a = np.unravel_index(here.a, shape)
            b = np.unravel_index(here.b, shape)
            if (np.sum([*a, *b], axis=0) % 2 == 0).any():
                return None
            # counted in the padded shape; a step across its seam is told apart, and only even lengths have any
            steps = [(y - x) % n for x, y, n in zip(a, b, padded, strict=True)]
            codes = np.ravel_multi_index(steps, padded)
            counts = np.bincount(codes, minlength=total)
            offsets = np.flatnonzero(counts)
            if len(offsets) + len(found) > 2 * MOST_OFFSETS:
                return None
            places = np.ravel_multi_index(a, padded)
            for code in offsets:
                offset = tuple(
                    int(step) if 2 * step <= n else int(step) - n
                    for step, n in zip(np.unravel_index(code, padded), padded, strict=True)
                )
                mine = codes == code
                gather(
                    found,
                    offset,
                    places[mine],
                    here.coupling if len(here.coupling) == 1 else here.coupling[mine],
                    total,
                )
    filled = np.mean([present.mean() for _, present in found.values()])
    if len(found) > MOST_OFFSETS or filled < LEAST_FILLED:
        return None
    real = np.zeros(padded, dtype=bool)
    real[tuple(slice(n) for n in shape)] = True
    directions = tuple(direction(o, c, n, real.reshape(-1)) for o, (c, n) in sorted(found.items()))
    field = np.zeros((total, p.values - 1))
    field[real.reshape(-1)] = p.field
    alike = (p.field == p.field[:1]).all()
    return Lattice(shape, padded, p.field[:1] if alike else field, directions)


def gather(
    found: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]],
    offset: tuple[int, ...],
    sites: np.ndarray,
    coupling: np.ndarray,
    total: int,
) -> None:
    """Add couplings (pairs or 1, K - 1, K - 1) of sites to those found at an offset."""
    k = coupling.shape[1]
    if offset not in found:
        found[offset] = (np.zeros((total, k, k)), np.zeros(total, dtype=bool))
    sums, present = found[offset]
    present[sites] = True
    counts = np.bincount(sites, minlength=total) if len(coupling) == 1 else None
    for i in range(k):
        for j in range(k):
            if counts is not None:
                sums[:, i, j] += coupling[0, i, j] * counts
            else:
                sums[:, i, j] += np.bincount(sites, coupling[:, i, j], minlength=total)


def direction(
    offset: tuple[int, ...], coupling: np.ndarray, present: np.ndarray, real: np.ndarray
) -> Direction:
    """One direction, as simple as it can be told; real: which padded sites are the variable's."""
    everywhere = bool(present[real].all())
    first = coupling[int(np.argmax(present))]
    alike = (coupling[present] == first).all()
    return Direction(offset, first[None] if alike else coupling, None if everywhere else present)
