"""A run as its user sees it: draws as (chain, draw, ...) under their names, statistics, summary and findings.

In: a run folder, finished or not. Out: xarray's data sets under InferenceData's group names. Draws are read
from their chunks when they are looked at, one variable at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.runs.storage import RunFolder

if TYPE_CHECKING:
    import xarray

    from compose_lang.diagnostics import Diagnostic

STATISTICS = {"accept_prob": "acceptance_rate"}
"""Kernels' statistics that ArviZ knows under other names."""


class Run:
    """The draws of a run and what is known about them."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.manifest = folder.manifest
        self.columns = tuple(Column.from_json(column) for column in self.manifest.columns)

    @staticmethod
    def open(out: str | Path) -> Run:
        """Open the folder of an earlier run; a ComposeError (CG0708) where it cannot be read."""
        return Run(RunFolder.open(Path(out)))

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
        return self._tensor(f"draw.{column.name}", column.type.full_shape)

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
            values[title] = self._tensor(f"stat.{block}.{name}", ())
        return values

    @cached_property
    def posterior(self) -> xarray.Dataset:
        """The draws, with dimensions (chain, draw, NAME_dim_0, ...)."""
        import xarray

        variables = {}
        for column in self.columns:
            shape = column.type.full_shape
            variables[column.name] = lazy_variable(
                _dimensions(column.name, len(shape)),
                (self.chains, self.draws, *shape),
                self._dtype(column),
                partial(self.values, column),
            )
        return xarray.Dataset(variables, coords=self._coordinates(), attrs=self._attributes())

    @cached_property
    def sample_stats(self) -> xarray.Dataset:
        """What the kernels report of each draw, with dimensions (chain, draw)."""
        import xarray

        variables = {
            name: (_dimensions(name, values.ndim - 2), values) for name, values in self.statistics.items()
        }
        return xarray.Dataset(variables, coords=self._coordinates(), attrs=self._attributes())

    @cached_property
    def tree(self) -> xarray.DataTree:
        """All groups, under InferenceData's names."""
        import xarray

        groups = {"posterior": self.posterior, "sample_stats": self.sample_stats}
        for group in ("observed_data", "constant_data"):
            arrays = {
                name.removeprefix(group + "."): values
                for name, values in self.folder.data().items()
                if name.startswith(group + ".")
            }
            if arrays:
                groups[group] = xarray.Dataset(
                    {name: (_dimensions(name, values.ndim)[2:], values) for name, values in arrays.items()}
                )
        return xarray.DataTree.from_dict(groups)

    @property
    def diagnostics(self) -> list[dict[str, Any]]:
        """What was found wrong with the program or the draws, each as in the JSON document."""
        return self.manifest.diagnostics

    def summary(self) -> dict[str, dict[str, Any]]:
        """A row per scalar: mean, sd, quantiles, Monte-Carlo error, effective sample sizes, R-hat."""
        from compose_lang.runtime.results.summary import rows

        return rows(self.summaries)

    @cached_property
    def summaries(self) -> list[Any]:
        """The summary of each column, as arrays over its elements."""
        from compose_lang.runtime.results.summary import summarise

        return summarise(self)

    @cached_property
    def optimum(self) -> dict[str, Any] | None:
        """The best point where one was looked for (`map`): `energy`, `values` by name, `energies` of all chains."""
        from compose_lang.runtime.results.optimum import optimum

        return optimum(self)

    def findings(self) -> list[Diagnostic]:
        """Warnings about the draws, with what to try."""
        from compose_lang.runtime.results.findings import findings

        return findings(self)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """A stored tensor over all lanes and chunks: (chains, draws, *shape)."""
        lanes = []
        for lane in self.manifest.lanes:
            parts = [self.folder.read(chunk, name) for chunk in lane.chunks if chunk.first < self.draws]
            if not parts:
                return np.empty((self.chains, 0, *shape))
            lanes.append(np.concatenate(parts)[: self.draws].swapaxes(0, 1))
        # the last lane may hold chains that were only there to fill it
        return np.concatenate(lanes)[: self.chains]

    def _dtype(self, column: Column) -> np.dtype[Any]:
        chunks = self.manifest.lanes[0].chunks
        if not chunks or not self.draws:
            return np.dtype(float)
        return self.folder.read(chunks[0], f"draw.{column.name}").dtype

    def _coordinates(self) -> dict[str, Any]:
        return {"chain": np.arange(self.chains), "draw": np.arange(self.draws)}

    def _attributes(self) -> dict[str, Any]:
        return {
            "inference_library": "compose_lang",
            "inference_library_version": self.manifest.versions.get("compose_lang", ""),
            "program": self.manifest.program["name"],
            "seed": self.manifest.settings["seed"],
        }


def _dimensions(name: str, axes: int) -> tuple[str, ...]:
    return ("chain", "draw", *(f"{name}_dim_{i}" for i in range(axes)))


class StoredArray(BackendArray):
    """An array of known shape and type whose values are read by a function."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[], NDArray[Any]]
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda basic: self.read()[basic]
        )


def lazy_variable(
    dimensions: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    read: Callable[[], NDArray[Any]],
) -> xarray.Variable:
    """A variable of a data set whose values are read at first sight."""
    return xarray.Variable(
        dimensions, indexing.LazilyIndexedArray(StoredArray(shape, dtype, read)), fastpath=True
    )
