"""Draws as xarray's data sets under InferenceData's group names, read one variable at a time.

In: `StoredDraws`. Out: data sets; `Run` imports this file when one is asked for, since xarray takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.draws import StoredDraws


def posterior(run: StoredDraws) -> xarray.Dataset:
    """The draws, with dimensions (chain, draw, NAME_dim_0, ...)."""
    variables = {}
    for column in run.columns:
        shape = column.type.full_shape
        variables[column.name] = lazy_variable(
            _dimensions(column.name, len(shape)),
            (run.chains, run.draws, *shape),
            _dtype(run, column),
            partial(run.values, column),
        )
    return xarray.Dataset(variables, coords=_coordinates(run), attrs=_attributes(run))


def sample_stats(run: StoredDraws) -> xarray.Dataset:
    """What the kernels report of each draw, with dimensions (chain, draw)."""
    variables = {
        name: (_dimensions(name, values.ndim - 2), values) for name, values in run.statistics.items()
    }
    return xarray.Dataset(variables, coords=_coordinates(run), attrs=_attributes(run))


def observed_groups(run: StoredDraws) -> dict[str, xarray.Dataset]:
    """The program's data, as `observed_data` and `constant_data`, where there is any."""
    groups = {}
    for group in ("observed_data", "constant_data"):
        arrays = {
            name.removeprefix(f"{group}."): values
            for name, values in run.folder.data().items()
            if name.startswith(f"{group}.")
        }
        if arrays:
            groups[group] = xarray.Dataset(
                {name: (_dimensions(name, values.ndim)[2:], values) for name, values in arrays.items()}
            )
    return groups


def _dtype(run: StoredDraws, column: Column) -> np.dtype[Any]:
    chunks = run.manifest.lanes[0].chunks
    if not chunks or not run.draws:
        return np.dtype(float)
    return run.folder.read(chunks[0], f"draw.{column.name}").dtype


def _coordinates(run: StoredDraws) -> dict[str, Any]:
    return {"chain": np.arange(run.chains), "draw": np.arange(run.draws)}


def _attributes(run: StoredDraws) -> dict[str, Any]:
    return {
        "inference_library": "compose_lang",
        "inference_library_version": run.manifest.versions.get("compose_lang", ""),
        "program": run.manifest.program["name"],
        "seed": run.manifest.settings["seed"],
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
