"""What a run folder holds, as arrays: draws by column and the kernels' statistics, (chains, draws, …).

In: a run folder, finished or not. Out: arrays, read from their chunks when they are looked at. `Run`, what users see,
is made of it; summaries, findings, the best point and the evidence are computed from it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.runs.storage import RunFolder

STATISTICS = {"accept_prob": "acceptance_rate"}
"""Kernels' statistics that ArviZ knows under other names."""


class StoredDraws:
    """The draws of a run folder, with its manifest."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.manifest = folder.manifest
        self.columns = tuple(Column.from_json(column) for column in self.manifest.columns)

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def chains(self) -> int:
        count: int = self.manifest.settings["chains"]
        return count

    @property
    def draws(self) -> int:
        """Draws that every chain has; fewer than were asked for where the run was cut short."""
        return min(lane.draws for lane in self.manifest.lanes)

    def values(self, column: Column) -> NDArray[Any]:
        """The draws of a column, (chains, draws, *full_shape)."""
        return self.tensor(f"draw.{column.name}", column.type.full_shape)

    @cached_property
    def statistics(self) -> dict[str, NDArray[Any]]:
        """The kernels' statistics (chains, draws), under `NAME_VARIABLE` where several blocks have one."""
        chunks = self.manifest.lanes[0].chunks
        names = [name.split(".", 2) for name in self.folder.names(chunks[0])] if chunks else []
        stored = [(int(name[1]), name[2]) for name in names if name[0] == "stat"]
        values: dict[str, NDArray[Any]] = {}
        for block, name in sorted(stored):
            title = STATISTICS.get(name, name)
            if sum(other == name for _, other in stored) > 1:
                title = f"{title}_{self.manifest.plan[block]['variables'][0]}"
            values[title] = self.tensor(f"stat.{block}.{name}", ())
        return values

    def tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """A stored tensor over all lanes and chunks: (chains, draws, *shape)."""
        lanes = []
        for lane in self.manifest.lanes:
            parts = [self.folder.read(chunk, name) for chunk in lane.chunks if chunk.first < self.draws]
            if not parts:
                return np.empty((self.chains, 0, *shape))
            lanes.append(np.concatenate(parts)[: self.draws].swapaxes(0, 1))
        # the last lane may hold chains that were only there to fill it
        return np.concatenate(lanes)[: self.chains]
