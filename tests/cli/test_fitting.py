"""Fitted params on the command line: shown, explained, kept, and part of what a run hangs on."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA_ALONE = """\
data y: real[4] = [1, 2, 4, 3]
param k: real
param w: real[2] = [1, 1]
y ~ Normal(k, 1)
w ~ Normal(0, 1)
learn k, w by maximum_likelihood()
"""
DRAWN = DATA_ALONE + "var x: real ~ Normal(k, 1)\n"
QUICK = ("--backend", "numpy", "--chains", "2", "--warmup", "10", "--draws", "20")


@pytest.fixture(autouse=True)
def no_jax_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")


def test_a_program_of_data_alone_is_fitted_and_ends_well(compose):
    Path("line.cg").write_text(DATA_ALONE)
    assert "k: real, to be fitted" in compose("explain", "line.cg").out
    done = compose("run", "line.cg")
    assert done.code == 0 and done.out.startswith("k = 2.5\nw = [") and "nothing to sample" in done.err
    assert "k: real, 2.5" in compose("explain", "line.cg").out
    document = compose("run", "line.cg", "--json").document
    assert document["params"]["k"] == pytest.approx(2.5, abs=1e-5)
    assert document["params"]["w"] == pytest.approx([0, 0], abs=1e-5)
    assert document["diagnostics"] == [] and document["plan"] == []


def test_a_run_has_the_params_it_was_drawn_with(compose):
    Path("line.cg").write_text(DRAWN)
    learned = compose("learn", "line.cg")
    assert learned.code == 0 and "maximum_likelihood" in learned.out and "k = 2.5" in learned.out
    document = compose("run", "line.cg", "--json", *QUICK).document
    assert document["params"]["k"] == pytest.approx(2.5, abs=1e-5)
    assert set(document["summary"]) == {"x"}
    assert compose("summary", "line.out", "--json").document["params"] == document["params"]
    for kept in Path("line.learned").iterdir():
        kept.unlink()
    Path("line.cg").write_text(DRAWN.replace("= [1, 2, 4, 3]", "= [1, 2, 4, 5]"))
    again = compose("run", "line.cg", "--resume", *QUICK)
    assert again.code == 1 and "params" in again.err  # other data, other params: another run


def test_checking_fits_nothing(compose):
    Path("line.cg").write_text(DRAWN)
    assert compose("check", "line.cg").code == 0
    assert not Path("line.learned").exists()
