"""A run as its user sees it: draws as (chain, draw, ...) under their names, statistics, summary and findings.

In: a run folder, finished or not. Out: xarray's data sets under InferenceData's group names, read one variable at a
time, the summary, what is wrong with the draws, and the document of `--json`.
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

from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results import optimum, summary
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.results.evidence import log_evidence
from compose_lang.runtime.results.findings import findings
from compose_lang.runtime.results.summary import ColumnSummary
from compose_lang.runtime.runs.storage import RunFolder

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


class Run(StoredDraws):
    """The draws of a run and what is known about them."""

    @staticmethod
    def open(out: str | Path) -> Run:
        """Open the folder of an earlier run; a ComposeError (CG0708) where it cannot be read."""
        return Run(RunFolder.open(Path(out)))

    @cached_property
    def posterior(self) -> xarray.Dataset:
        """The draws, with dimensions (chain, draw, NAME_dim_0, ...)."""
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
        variables = {
            name: (_dimensions(name, values.ndim - 2), values) for name, values in self.statistics.items()
        }
        return xarray.Dataset(variables, coords=self._coordinates(), attrs=self._attributes())

    @cached_property
    def tree(self) -> xarray.DataTree:
        """All groups, under InferenceData's names."""
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
        return summary.rows(self.summaries)

    @cached_property
    def summaries(self) -> list[ColumnSummary]:
        """The summary of each column, as arrays over its elements."""
        return summary.summarise(self)

    @cached_property
    def optimum(self) -> dict[str, Any] | None:
        """The best point where one was looked for (`map`): `energy`, `values` by name, `energies` of all chains."""
        return optimum.optimum(self)

    def findings(self) -> list[Diagnostic]:
        """Warnings about the draws, with what to try."""
        return findings(self, self.summaries)

    def table(self, every: bool = False) -> Table | Group:
        """Rows for the screen, all of them or the first: the best point of a search, else the summary of the draws."""
        most = None if every else summary.MOST_ROWS
        if self.optimum is not None:
            return optimum.table(self, self.optimum, most)
        return summary.table(self.summaries, most)

    def document(self) -> dict[str, Any]:
        """The run as the JSON document of `compose run --json` and of `summary.json`, all rows."""
        manifest = self.manifest
        settings = manifest.settings
        return {
            "program": manifest.program["name"],
            "seed": settings["seed"],
            "backend": settings["backend"],
            "draws": self.draws,
            "chains": self.chains,
            "plan": manifest.plan,
            "summary": self.summary() if self.optimum is None else {},
            "log_evidence": manifest.log_evidence or log_evidence(self),
            "diagnostics": manifest.diagnostics,
            "seconds": {name: round(value, 3) for name, value in manifest.seconds.items()},
            "out": str(self.out),
            **({} if self.optimum is None else {"optimum": self.optimum}),
            **({"params": manifest.params} if manifest.params else {}),
        }

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
