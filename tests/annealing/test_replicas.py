"""Chains of replicas follow the composition: against quadrature, with chains as independent estimates and a planted
mistake; they go on where they were cut short; what a plan says of them, and what is refused.

The z-scores have 15 degrees of freedom: a sound one is above 5.5 in one of 10,000, and the seed is fixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.annealing import exchange

from .conftest import GRID, MEASURES, program, weight, worst, z_score

SOUND, BROKEN = 4.5, 7.0
A, C = weight("A"), weight("C")
ASKED = "\ninfer x by tempering(levels=32)"

COMPOSITIONS = [
    ("A * C", "energy", A * C),
    ("A ^ 2", "score", A**2),
    pytest.param("contrast(A, C)", "energy", A * A / (A + C + 1e-300), marks=pytest.mark.slow),
    pytest.param("0.2 * A + 0.8 * C", "energy", 0.2 * A + 0.8 * C, marks=pytest.mark.slow),
]


def replicas(text: str, chains: int = 16, draws: int = 800, **settings: Any) -> Any:
    return cg.sample(text, seed=3, chains=chains, draws=draws, warmup=200, **settings)


@pytest.mark.parametrize(("composed", "form", "truth"), COMPOSITIONS)
def test_compositions(composed: str, form: str, truth: np.ndarray):
    run = replicas(program(f"var x: real ~ {composed}" + ASKED, form))
    assert worst(np.asarray(run.posterior["x"]), truth) < SOUND
    assert run.statistics["exchange_rate"].shape == (16, 800, 31)
    assert run.statistics["exchange_rate"][:, -1].min() > 0.5
    assert run.statistics["round_trips"][:, -1].min() >= 2
    assert np.diff(run.statistics["round_trips"], axis=1).max() == 1


def test_beside_other_terms():
    """A coordinate that nothing learned holds, a latent of another kind, a constraint, a soft term: all at once."""
    text = """
      var x: real[2]
      x[0] ~ A
      x[1] ~ Normal(0.5 * x[0], 0.4)
      var y: real ~ Normal(x[0], 0.7)
      y ~ Normal(0.5, 1)
      require x[0] > -1.05
      energy 0.5 * x[0]
    """
    run = replicas(program(text + ASKED))
    x, y = np.asarray(run.posterior["x"]), np.asarray(run.posterior["y"])
    assert (x[..., 0] > -1.05).all()
    truth = A * (GRID > -1.05) * np.exp(-0.5 * GRID) * np.exp(-0.5 * (GRID - 0.5) ** 2 / (0.49 + 1.0))
    truth = truth / truth.sum()
    assert worst(x[..., 0], truth) < SOUND
    assert abs(z_score(x[..., 1], lambda v: v, 0.5 * float((GRID * truth).sum()))) < SOUND
    given = (GRID / 0.49 + 0.5) / (1 / 0.49 + 1.0)
    assert abs(z_score(y, lambda v: v, float((given * truth).sum()))) < SOUND


@pytest.mark.slow
def test_choices_by_a_discrete_variable():
    text = "var z: bool ~ Bernoulli(0.3)\nvar x: real\nif z { x ~ A } else { x ~ C }"
    run = replicas(program(text + ASKED))
    z = np.asarray(run.posterior["z"])
    assert abs(z_score(z, lambda v: v * 1.0, 0.3)) < SOUND
    assert worst(np.asarray(run.posterior["x"]), 0.3 * A + 0.7 * C) < SOUND


def test_what_is_observed_stays_and_bends_the_rest():
    """Inpainting: one element is observed, the other follows its density given it."""
    rows = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    text = f"""
      data rows: real[_, 2] = {rows.tolist()}
      density P(x: real[2]) = learn diffusion(x=rows)
      var x: real[2] ~ P
      observe x[0] = -0.95
    """
    x = np.asarray(replicas(text + ASKED).posterior["x"])
    assert (x[..., 0] == -0.95).all()
    near = np.exp(-0.5 * (-0.95 - rows[:, 0]) ** 2 / 0.01)
    truth = sum(w * np.exp(-0.5 * (GRID - m) ** 2 / 0.01) for w, m in zip(near, rows[:, 1], strict=True))
    assert abs(z_score(x[..., 1], MEASURES["right"], float(truth[GRID > 0].sum() / truth.sum()))) < SOUND
    assert abs(z_score(x[..., 1], MEASURES["square"], float((GRID**2 * truth).sum() / truth.sum()))) < SOUND


def test_exchanges_that_are_always_taken_are_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "acceptance", lambda energy, *others: 0.0 * energy + 1.0)
    x = np.asarray(replicas(program("var x: real ~ A * C" + ASKED)).posterior["x"])
    assert worst(x, A * C) > BROKEN


TWO = """
var x: real[2]
x[0] ~ contrast(A, C)
x[1] ~ A
require x[0] < x[1] + 1
var z: bool ~ Bernoulli(0.3)
energy if z then x[0] else 0
infer x by tempering(levels=12, moves=2)
"""


def few(**options: Any) -> np.ndarray:
    run = cg.sample(program(TWO), seed=5, chains=2, draws=15, warmup=10, **options)
    return np.asarray(run.posterior["x"])


def test_the_backends_exchange_alike():
    np.testing.assert_allclose(few(backend="jax"), few(backend="torch"), atol=1e-6)


def test_a_chain_that_is_cut_short_goes_on_to_the_same_draws(tmp_path: Path):
    model = cg.compile(program(TWO))
    settings = {"seed": 5, "chains": 2, "draws": 40, "warmup": 10}
    whole = model.sample(**settings, out=tmp_path / "whole")
    cut = model.sample(**settings, out=tmp_path / "cut", time_limit=0.0)
    assert cut.draws < 40
    resumed = model.sample(**settings, out=tmp_path / "cut", resume=True)
    for name in ("x", "z"):
        np.testing.assert_array_equal(np.asarray(resumed.posterior[name]), np.asarray(whole.posterior[name]))
    for name, values in whole.statistics.items():
        np.testing.assert_array_equal(resumed.statistics[name], values)


def test_levels_too_far_apart_are_told():
    text = "var x: real ~ A * C\ninfer x by tempering(levels=3)"
    run = replicas(program(text), chains=2, draws=50)
    (told,) = [f for f in run.findings() if f.code == "CG0712"]
    assert "raise levels= (now 3)" in str(told.help)
    assert not [
        f for f in replicas(program("var x: real ~ A" + ASKED), chains=2).findings() if f.code == "CG0712"
    ]


def test_what_a_plan_says():
    told = cg.compile(program("var x: real ~ A * C" + ASKED)).explain()
    assert (
        "tempering(levels=32, moves=1, move=mala) draws x: A, C, a replica at every level of noise: " in told
    )
    assert "1 mala a sweep, exchanges by weights of paths" in told and "chains of" in told


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("infer x by tempering(levels=1)", "CG0602"),
        ("infer x by tempering(moves=0)", "CG0602"),
        ('infer x by tempering(weights="off")', "CG0602"),
        ("infer x by tempering\ninfer y by annealed", "CG0601"),
    ],
)
def test_what_is_refused(asked: str, code: str):
    with pytest.raises(ComposeError) as found:
        cg.compile(program("var x: real ~ A\nvar y: real ~ C\n" + asked)).explain()
    assert found.value.diagnostics[0].code == code
