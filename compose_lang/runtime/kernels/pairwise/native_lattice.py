"""What kernels in C on lattices share: the shape of a parity's array and of its margins, and what a sweep is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.kernels.pairwise.parities import Offset, shifts
from compose_lang.runtime.kernels.pairwise.slices import step_word


def step_and_chains(held: Tree, t: Any, backend: Backend) -> Array:
    """The step's low word and the number of chains, (2,)."""
    chains = backend.asarray([held[0].shape[0]], backend.word)
    return backend.xp.concat([step_word(t, backend).reshape((1,)), chains])


def geometry(half: tuple[int, ...], offsets: Sequence[Offset]) -> dict[str, int]:
    """The macros of an array of one parity, as rows, middle and columns, and of the margins that offsets reach into."""
    rows, middle, columns = in_three(half, 1)
    wide = [in_three(o, 0) for o in offsets]
    return {
        "ROWS": rows,
        "MIDDLE": middle,
        "COLUMNS": columns,
        "MARGIN_ROWS": max((abs(o[0]) for o in wide), default=0),
        "MARGIN_MIDDLE": max((abs(o[1]) for o in wide), default=0),
        "MARGIN_COLUMNS": max((max(map(abs, shifts(o))) for o in wide), default=0),
    }


def in_three(axes: tuple[int, ...], rest: int) -> tuple[int, int, int]:
    """Numbers of one to three axes for rows, middle and columns, the last of them; rest stands for those not there."""
    rows, middle, *_ = (*axes[:-1], rest, rest)
    return rows, middle, axes[-1]
