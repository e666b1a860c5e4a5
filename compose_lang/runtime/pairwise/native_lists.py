"""`Lists` of two values in C: the same numbers from the same noise, see `runtime/native/lists.c`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.neighbours import Neighbours
from compose_lang.runtime.backend import Array, Tree
from compose_lang.runtime.native import native_kernel
from compose_lang.runtime.pairwise.lists import Lists
from compose_lang.runtime.pairwise.slices import step_word

REAL = {"float64": "double", "float32": "float"}


@dataclass(frozen=True, eq=False)
class NativeLists(Lists):
    """A sweep is one call."""

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        tables = self.block.tables
        macros = {
            "SITES": self.graph.sites,
            "CHAINS": held.shape[1],
            "COLOURS": len(self.graph.starts) - 1,
            "DEGREE": len(self.graph.lists),
            "REAL": REAL[self.backend.precision],
        }
        arrays = [tables[name] for name in ("starts", "lists", "ratio", "field")]
        step = step_word(t, self.backend).reshape((1,))
        (after,) = self.backend.native(
            native_kernel("lists.c", macros), 1, held, noise["key"], step, *arrays
        )
        return after


def native_list_tables(graph: Neighbours) -> dict[str, Any]:
    """The arrays of `NativeLists`."""
    place = np.empty(graph.sites, dtype=np.int64)
    place[graph.order] = np.arange(graph.sites)
    return {
        "order": graph.order,
        "place": place,
        "starts": graph.starts,
        "lists": graph.lists,
        "ratio": np.exp(-graph.coupling[:, 0, 0]),
        "field": np.exp(-graph.field[0]),
    }
