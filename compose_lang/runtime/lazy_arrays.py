"""Arrays that xarray reads when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing


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
