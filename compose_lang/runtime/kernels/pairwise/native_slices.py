"""`Weights` of two values in C: the same numbers from the same noise, see `runtime/backends/native/slices.c`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.lattice import Lattice
from compose_lang.runtime.arrays.protocol import Array, Tree
from compose_lang.runtime.backends.native import CompiledKernel, native_kernel
from compose_lang.runtime.kernels.pairwise.native_lattice import (
    geometry,
    in_three,
    step_and_chains,
)
from compose_lang.runtime.kernels.pairwise.parities import Offset, shifts
from compose_lang.runtime.kernels.pairwise.slices import Weights, weight_tables

ROOM = 16
"""Ratios that may be read beyond the last row's end."""


@dataclass(frozen=True, eq=False)
class NativeWeights(Weights):
    """A sweep is one call."""

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        tables, counts = self.block.tables, step_and_chains(held, t, self.backend)
        kernel = compiled(self.lattice, self.backend.precision)
        return self.backend.native(kernel, 2, *held, noise["key"], counts, *tables["bits"], *tables["ratios"])


def compiled(lattice: Lattice, precision: str) -> CompiledKernel:
    """The kernel of a lattice."""
    offsets = [d.offset for d in lattice.directions]
    macros = {
        **geometry(lattice.half, offsets),
        "DIRECTIONS": len(offsets),
        "REAL": "float" if precision == "float32" else "double",
    }
    return native_kernel("slices.c", macros, generated(offsets))


def generated(offsets: Sequence[Offset]) -> str:
    """The C functions `weigh` and `exactly` of a lattice: products in the order of the array operations."""
    place = "const {} *ratios, size_t place, int high"
    many = [f"static inline reals weigh(const uint8_t *p, {place.format('word')}) {{"]
    one = [f"static REAL exactly(const uint8_t *p, {place.format('REAL')}) {{"]
    many.append("  reals w = (reals)load(ratios + place);")
    one.append("  REAL w = ratios[place];")
    for number, offset in enumerate(offsets, 1):
        low, high = shifts(offset)
        rows, middle, _ = in_three(offset, 0)
        near = f"p + AT({rows}, {middle}, high ? {high} : {low})"
        ratio = f"ratios + {number} * SITES + place"
        many.append(f"  w = times(w, {near}, {ratio});")
        one.append(f"  w *= *({near}) ? *({ratio}) : 1;")
    return "\n".join([*many, "  return w;", "}", *one, "  return w;", "}", ""])


def native_weight_tables(lattice: Lattice) -> dict[str, Any]:
    """The arrays of `NativeWeights`: ratios of each parity (1 + directions, sites), 1 where no neighbour is."""

    def of_parity(table: dict[str, Any]) -> np.ndarray:
        found = [np.broadcast_to(table["field"][0, 0], lattice.half)]
        for d in table["directions"]:
            ratio = np.broadcast_to(d["ratio"][0, 0, 0], lattice.half)
            found.append(np.where(d["present"][0], ratio, 1.0) if "present" in d else ratio)
        return np.stack(found)

    ratios = [of_parity(table) for table in weight_tables(lattice)]
    bits = [np.append(r.astype(np.float32).reshape(-1), np.zeros(ROOM, np.float32)) for r in ratios]
    return {"bits": [b.view(np.uint32) for b in bits], "ratios": ratios}
