"""A lattice's sites in two arrays, one for each parity, and the neighbours of one as slices of the other.

See `compiler/analyses/lattice.py` for where each site stands. Arrays are (lead, *half): what leads is chains.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.lattice import Lattice
from compose_lang.runtime.arrays.protocol import Array, Backend

Offset = tuple[int, ...]


def split(sites: Array, lattice: Lattice, xp: Any) -> tuple[Array, Array]:
    """The sites (chains, sites) of each parity, (chains, *half)."""
    chains, last = sites.shape[0], lattice.shape[-1]
    rows = sites.reshape((chains, *lattice.shape))
    if lattice.padded[-1] > last:
        rows = xp.concat([rows, rows[..., :1]], axis=-1)
    pairs = rows.reshape((chains, *lattice.half, 2))
    even, odd = pairs[..., 0], pairs[..., 1]
    is_odd = odd_rows(lattice, xp)
    return xp.where(is_odd, odd, even), xp.where(is_odd, even, odd)


def join(parities: tuple[Array, Array], lattice: Lattice, xp: Any) -> Array:
    """The sites (chains, sites) of two parities."""
    first, second = parities
    is_odd = odd_rows(lattice, xp)
    even, odd = xp.where(is_odd, second, first), xp.where(is_odd, first, second)
    rows = xp.stack([even, odd], axis=-1).reshape((first.shape[0], *lattice.padded))
    return rows[..., : lattice.shape[-1]].reshape((first.shape[0], lattice.sites))


def odd_rows(lattice: Lattice, xp: Any) -> Array:
    """Which rows begin with a site of the second parity, broadcastable to (*half)."""
    return row_is_odd(lattice.half, xp)


def row_is_odd(half: tuple[int, ...], xp: Any) -> Array:
    """Whether the sum of a row's coordinates is odd, (*half[:-1], 1)."""
    total = np.zeros((*half[:-1], 1), dtype=np.int32)
    rank = len(half)
    found = xp.asarray(total)
    for axis in range(rank - 1):
        shape = [1] * rank
        shape[axis] = half[axis]
        found = found + xp.arange(half[axis], dtype=xp.int32).reshape(tuple(shape))
    return (found & 1) == 1


class Around:
    """The array of one parity with what lies beyond its edges, (lead, *half) with a margin around each axis.

    turn is applied to what is taken from the other end of the first axis: (array, whether from the high end).
    """

    def __init__(self, array: Array, offsets: Iterable[Offset], backend: Backend, turn: Any = None) -> None:
        xp = self.xp = backend.xp
        self.half = tuple(array.shape[1:])
        offsets = list(offsets)
        rank = len(self.half)
        self.margin = [max((abs(o[axis]) for o in offsets), default=0) for axis in range(rank)]
        self.margin[-1] = max((max(map(abs, shifts(o))) for o in offsets), default=0)
        for axis, m in enumerate(self.margin):
            if m:
                low, high = self._ends(array, axis + 1, m)
                if axis == 0 and turn is not None:
                    low, high = turn(low, True), turn(high, False)
                array = xp.concat([low, array, high], axis=axis + 1)
        self.array = backend.in_memory(array)  # what is read at many offsets

    def _ends(self, array: Array, axis: int, m: int) -> tuple[Array, Array]:
        """What comes before an axis (its last m) and after it (its first m), more than once around if need be."""
        n = array.shape[axis]
        lead = (slice(None),) * axis
        if m <= n:
            return array[(*lead, slice(n - m, n))], array[(*lead, slice(0, m))]
        places = np.arange(m)
        return array[(*lead, (places - m) % n)], array[(*lead, places % n)]

    def at(self, offset: Offset, parity: int, is_odd: Array) -> Array:
        """For the sites of a parity their neighbours at an offset; the array is that of the other parity."""
        low, high = shifts(offset)
        if low == high:
            return self._slice((*offset[:-1], low))
        first, second = (self._slice((*offset[:-1], s)) for s in (low, high))
        return self.xp.where(is_odd, second, first) if parity == 0 else self.xp.where(is_odd, first, second)

    def _slice(self, shift: Offset) -> Array:
        window = [slice(m + s, m + s + n) for m, s, n in zip(self.margin, shift, self.half, strict=True)]
        return self.array[(slice(None), *window)]


def shifts(offset: Offset) -> tuple[int, int]:
    """By how much q changes to the neighbour at an offset, in rows that begin with the site's parity and in others."""
    last = offset[-1]
    return (last // 2, last // 2) if last % 2 == 0 else ((last - 1) // 2, (last + 1) // 2)
