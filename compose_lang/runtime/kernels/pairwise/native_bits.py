"""`Bits` in C: the same words from the same noise, see `runtime/backends/native/bits.c`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.thresholds import Levels, Step
from compose_lang.runtime.arrays.protocol import Array, Tree
from compose_lang.runtime.backends.native import CompiledKernel, native_kernel
from compose_lang.runtime.kernels.pairwise.bits import Bits, bit_tables, levels_of, word_shape
from compose_lang.runtime.kernels.pairwise.native_lattice import (
    geometry,
    in_three,
    step_and_chains,
)
from compose_lang.runtime.kernels.pairwise.parities import shifts

ROOM = 16
"""Words that may be read beyond a row's end."""


@dataclass(frozen=True, eq=False)
class NativeBits(Bits):
    """A sweep is one call."""

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        tables, counts = self.block.tables, step_and_chains(held, t, self.backend)
        kernel = compiled(self.levels)
        arrays = [*held, noise["key"], counts, tables["thresholds"], *tables["masks"]]
        return self.backend.native(kernel, 2, *arrays)


def compiled(few: Levels) -> CompiledKernel:
    """The kernel of a lattice."""
    macros = {
        **geometry(word_shape(few.lattice), [s.offset for g in few.groups for s in g]),
        "LEVELS": len(levels_of(few)),
        "TABLES": len(masks_of(few)),
    }
    return native_kernel("bits.c", macros, generated(few))


def masks_of(few: Levels) -> list[Step | int]:
    """What has a mask of its own: classes of fields, by number, then steps that not all sites have."""
    classes: list[Step | int] = [] if few.classes is None else list(range(int(few.classes.max()) + 1))
    return [*classes, *(s for g in few.groups for s in g if s.present is not None)]


def generated(few: Levels) -> str:
    """The C function `masks` of a lattice: counts of neighbours by sums of bits, then a mask for each threshold."""
    order = masks_of(few)
    lines = [
        "static inline void masks(const word *p, const word *const *tables, size_t m, int high, vec *mask) {"
    ]
    for g, group in enumerate(few.groups):
        for i, step in enumerate(group):
            low, high = shifts(step.offset)
            rows, middle, _ = in_three(step.offset, 0)
            near = f"load(p + AT({rows}, {middle}, high ? {high} : {low}))"
            if step.present is not None:
                near += f" & load(tables[{order.index(step)}] + m)"
            lines.append(f"  vec x{g}_{i} = {near};")
            for n in range(i + 2):  # exactly n of the first i + 1 neighbours
                terms = []
                if n > 0:
                    terms.append(f"(x{g}_{i}" + (f" & n{g}_{i}_{n - 1})" if i else ")"))
                if n <= i:
                    terms.append(f"(~x{g}_{i}" + (f" & n{g}_{i}_{n})" if i else ")"))
                lines.append(f"  vec n{g}_{i + 1}_{n} = {' | '.join(terms)};")
    for level, keys in enumerate(levels_of(few).values()):
        options = []
        for f, *counts in keys:
            parts = [] if few.classes is None else [f"load(tables[{f}] + m)"]
            parts += [f"n{g}_{len(few.groups[g])}_{n}" for g, n in enumerate(counts)]
            options.append("(" + " & ".join(parts) + ")")
        lines.append(f"  mask[{level}] = {' | '.join(options)};")
    return "\n".join([*lines, "}", ""])


def native_bit_tables(few: Levels) -> dict[str, Any]:
    """The arrays of `NativeBits`: the thresholds' bits, and masks for the first parity, then the second."""

    def roomy(words: np.ndarray) -> np.ndarray:
        return np.append(words.reshape(-1), np.zeros(ROOM, dtype=np.uint32))

    tables = bit_tables(few)
    masks = []
    for table in tables:
        masks += [roomy(c) for c in table["classes"]]
        pairs = zip(few.groups, table["groups"], strict=True)
        masks += [roomy(w) for g, ws in pairs for s, w in zip(g, ws, strict=True) if s.present is not None]
    return {"thresholds": tables[0]["thresholds"], "masks": masks}
