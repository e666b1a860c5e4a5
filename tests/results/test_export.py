"""Exported draws, read back by the tools they are for."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import stand_in

from compose_lang.diagnostics import ComposeError
from compose_lang.report.export import ENDINGS, NEEDED, export
from compose_lang.runtime.results.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return stand_in.drive(tmp_path_factory.mktemp("export") / "stand_in.out")[0]


def test_arviz_opens_netcdf(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    path = export(run, "netcdf")
    assert path == run.out.with_name("stand_in.nc")
    data = arviz.from_netcdf(path)
    assert {"posterior", "sample_stats", "observed_data", "constant_data"} <= set(data.groups())
    np.testing.assert_array_equal(data.posterior["x"], run.posterior["x"])
    assert data.sample_stats["diverging"].dtype == bool
    row = arviz.summary(data, var_names=["x"], round_to="none").loc["x[0]"]
    ours = run.summary()["x[0]"]
    assert row["mean"] == pytest.approx(ours["mean"])
    assert row["ess_bulk"] == pytest.approx(ours["ess_bulk"])
    assert row["r_hat"] == pytest.approx(ours["rhat"])


def test_csv_has_a_row_a_draw(run, tmp_path):
    import pandas

    path = export(run, "csv", tmp_path / "draws.csv")
    table = pandas.read_csv(path)
    assert list(table) == ["chain", "draw", "x[0]", "x[1]", "phi", "s", "total"]
    np.testing.assert_allclose(table["x[1]"], run.posterior["x"].values[..., 1].ravel())
    np.testing.assert_array_equal(table["chain"], np.repeat(np.arange(3), 40))


@pytest.mark.parametrize("to", ["zarr", "parquet"])
def test_other_formats_write_or_say_what_to_install(run, tmp_path, to):
    if find_spec(NEEDED[to]):
        assert export(run, to, tmp_path / f"draws{ENDINGS[to]}").exists()
    else:
        with pytest.raises(ComposeError, match=f"`{NEEDED[to]}` is needed"):
            export(run, to, tmp_path / "draws")


def test_what_cannot_be_exported(run, tmp_path):
    with pytest.raises(ComposeError, match="CG0602"):
        export(run, "xls")
    with pytest.raises(ComposeError, match="CG0707"):
        export(run, "csv", tmp_path / "no" / "such" / "folder.csv")
