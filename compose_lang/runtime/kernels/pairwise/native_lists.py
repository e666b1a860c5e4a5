"""`Lists` of two values in C, by a threshold for every joint value of a site's neighbours.

See `runtime/backends/native/lists.c`. The same numbers from the same noise as `Lists`, whose products of ratios
these thresholds are, rounded to 32 bits as its uniforms are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.neighbour_lists import Neighbours
from compose_lang.runtime.arrays.protocol import Array, Tree
from compose_lang.runtime.backends.native import native_kernel
from compose_lang.runtime.kernels.pairwise.lists import Lists
from compose_lang.runtime.kernels.pairwise.slices import step_word

ROOM = 16
"""Words that are read beyond the last table."""


@dataclass(frozen=True, eq=False)
class NativeLists(Lists):
    """A sweep is one call."""

    def sweep(self, held: Tree, noise: Mapping[str, Array], t: Any) -> Tree:
        macros = {
            "SITES": self.graph.sites,
            "CHAINS": held.shape[1],
            "COLOURS": len(self.graph.starts) - 1,
            "DEGREE": len(self.graph.lists),
        }
        tables = [self.block.tables[name] for name in ("starts", "lists", "thresholds")]
        step = step_word(t, self.backend).reshape((1,))
        kernel = native_kernel("lists.c", macros)
        (after,) = self.backend.native(kernel, 1, held, noise["key"], step, *tables)
        return after


def native_list_tables(graph: Neighbours) -> dict[str, Any]:
    """The arrays of `NativeLists`; thresholds (sites, 2^degree) by which neighbours have their second value."""
    place = np.empty(graph.sites, dtype=np.int64)
    place[graph.order] = np.arange(graph.sites)
    energy = graph.field[0][:, None]
    for coupling in graph.coupling[::-1, 0, 0]:  # the first neighbour is the lowest bit
        energy = np.stack([energy, energy + coupling[:, None]], axis=-1).reshape((graph.sites, -1))
    first = 2.0**32 / (1.0 + np.exp(-energy))
    thresholds = np.clip(np.ceil(first - 0.5), 0, 2**32 - 1).astype(np.uint32)
    return {
        "order": graph.order,
        "place": place,
        "starts": graph.starts,
        "lists": np.ascontiguousarray(graph.lists.T),
        "thresholds": np.append(thresholds.reshape(-1), np.zeros(ROOM, dtype=np.uint32)),
    }
