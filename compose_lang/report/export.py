"""Draws in the formats of other tools: ArviZ's netCDF groups, zarr, Parquet, CSV.

In: a `Run`. Out: a file, or for zarr a folder.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from compose_lang.diagnostics import ComposeError, Diagnostic

if TYPE_CHECKING:
    import pandas

    from compose_lang.runtime.results.run import Run

ENDINGS = {"netcdf": ".nc", "zarr": ".zarr", "parquet": ".parquet", "csv": ".csv"}
NEEDED = {"netcdf": "h5netcdf", "zarr": "zarr", "parquet": "pyarrow", "csv": "pandas"}


def export(run: Run, to: str, target: Path | None = None) -> Path:
    """Write a run's draws and give the path; by default next to the run folder, under its name.

    netCDF and zarr hold every group of `Run.tree`; Parquet and CSV the posterior, a row a draw and a column a
    scalar. CG0602 for an unknown format, CG0603 where its package is missing, CG0707 where writing fails.
    """
    if to not in ENDINGS:
        text = f"there is no format `{to}`: there are {', '.join(ENDINGS)}"
        raise ComposeError(Diagnostic("CG0602", text), exit_code=2)
    if find_spec(NEEDED[to]) is None:
        hint = f"install it: python -m pip install {NEEDED[to]}"
        text = f"to write {to} the package `{NEEDED[to]}` is needed"
        raise ComposeError(Diagnostic("CG0603", text, help=hint))
    path = target or run.out.with_suffix(ENDINGS[to])
    try:
        match to:
            case "netcdf":
                run.tree.to_netcdf(path, engine="h5netcdf")
            case "zarr":
                run.tree.to_zarr(path, mode="w", consolidated=False)
            case "parquet":
                flat(run).to_parquet(path, index=False)
            case "csv":
                flat(run).to_csv(path, index=False)
    except OSError as error:
        text = f"{path} cannot be written: {error.strerror or error}"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None
    return path


def flat(run: Run) -> pandas.DataFrame:
    """The posterior as a table with the columns `chain`, `draw` and one a scalar (`theta[0]`)."""
    import numpy as np
    import pandas

    columns = {
        "chain": np.repeat(np.arange(run.chains), run.draws),
        "draw": np.tile(np.arange(run.draws), run.chains),
    }
    for column in run.columns:
        values = run.values(column).reshape(run.chains * run.draws, column.size)
        columns.update(zip(column.element_names(np.arange(column.size)), values.T, strict=True))
    return pandas.DataFrame(columns)
