"""Trajectories that end at a wall of hard constraints are counted apart from those that diverge."""

from __future__ import annotations

from pathlib import Path

import pytest

from compose_lang import compile

WALL = "var x: real[2] ~ Normal(0, 1)\nrequire x[0] + x[1] <= 0.5"
OVERFLOW = "var x: real ~ Normal(0, 1)\nenergy exp(exp(4 * x))"


@pytest.mark.parametrize("method", ["nuts", "hmc"])
def test_walls_are_met_and_nothing_diverges(method: str, tmp_path: Path) -> None:
    run = compile(WALL).sample(method=method, chains=2, warmup=60, draws=150, seed=1, out=tmp_path / "run")
    assert run.statistics["at_wall"].sum() > 20
    assert not run.statistics["diverging"].any()
    assert "CG0704" not in {d.code for d in run.findings()}


def test_what_overflows_without_walls_diverges(tmp_path: Path) -> None:
    run = compile(OVERFLOW).sample(
        method="hmc(step=3)", chains=2, warmup=0, draws=100, seed=1, out=tmp_path / "run"
    )
    assert run.statistics["diverging"].any() and "at_wall" not in run.statistics
