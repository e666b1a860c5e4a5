"""One walk, two backends: a seed gives the same population; a run that is cut short goes on to the same draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import compose_lang as cg

from .conftest import program

FEW = {"seed": 5, "chains": 2, "draws": 40}
TEXT = """
var x: real[2]
x[0] ~ contrast(A, C)
x[1] ~ A
require x[0] < x[1] + 1
infer x by annealed(levels=12, moves=2)
"""


def draws(**options: Any) -> np.ndarray:
    return np.asarray(cg.sample(program(TEXT), **FEW, **options).posterior["x"])


def test_the_backends_walk_alike():
    np.testing.assert_allclose(draws(backend="jax"), draws(backend="torch"), atol=1e-6)


def test_a_walk_that_is_cut_short_goes_on_to_the_same_draws(tmp_path: Path):
    whole = draws(out=tmp_path / "whole")
    model = cg.compile(program(TEXT))
    cut = model.sample(**FEW, out=tmp_path / "cut", time_limit=0.0)
    assert cut.draws < FEW["draws"]
    resumed = model.sample(**FEW, out=tmp_path / "cut", resume=True)
    np.testing.assert_array_equal(np.asarray(resumed.posterior["x"]), whole)
