"""Draws along levels follow the composition, not the sum of the scores: against quadrature, with planted mistakes.

The z-scores have 15 degrees of freedom: a sound one is above 5.5 in one of 10,000, and the seed is fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compose_lang.runtime.annealing import moves
from compose_lang.runtime.annealing.field import Field

from .conftest import GRID, MEASURES, populations, program, weight, worst, z_score

SOUND, BROKEN = 4.5, 7.0
A, C = weight("A"), weight("C")
GUIDED = C * np.exp(0.3 * (np.log(A + 1e-300) - np.log(C + 1e-300)))

COMPOSITIONS = [
    ("A ^ 2", "score", A**2),
    pytest.param("C * (A / C) ^ 0.3", "score", GUIDED, marks=pytest.mark.slow),
    pytest.param("0.2 * A + 0.8 * C", "score", 0.2 * A + 0.8 * C, marks=pytest.mark.slow),
    ("C ^ 0.5 * (0.2 * A + 0.8 * C)", "energy", np.sqrt(C) * (0.2 * A + 0.8 * C)),
    ("contrast(A, C)", "energy", A * A / (A + C + 1e-300)),
]


def draws(text: str, name: str = "x", **settings: Any) -> np.ndarray:
    return np.asarray(populations(text, **settings).posterior[name])


@pytest.mark.parametrize(("composed", "form", "truth"), COMPOSITIONS)
def test_compositions(composed: str, form: str, truth: np.ndarray):
    assert worst(draws(program(f"var x: real ~ {composed}", form)), truth) < SOUND


def test_a_product_and_its_errors():
    """Errors by common ancestors are those of populations that know nothing of each other."""
    run = populations(program("var x: real ~ A * C"), count=32, particles=200)
    x = np.asarray(run.posterior["x"])
    assert worst(x, A * C) < SOUND
    told = run.summary()["x"]["mcse_mean"]
    seen = x.mean(1).std(ddof=1) / np.sqrt(len(x))
    assert 0.6 < told / seen < 1.6  # the second has a relative error of 1 / sqrt(62)
    assert run.summary()["x"]["ess_bulk"] < 0.9 * x.size


def test_without_weights_the_reverse_process_is_caught(monkeypatch: pytest.MonkeyPatch):
    def flow(self: Field, u: Any, position: Any, level: Any) -> Any:
        pull, growth = whole(self, u, position, level)
        return pull, 0.0 * growth

    whole = Field.flow
    monkeypatch.setattr(Field, "flow", flow)
    assert worst(draws(program("var x: real ~ A * C")), A * C) > BROKEN


@pytest.mark.slow
def test_a_trapezoid_for_the_work_of_a_score_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moves, "PLACES", np.array([0.0, 1.0]))
    monkeypatch.setattr(moves, "SHARES", np.array([0.5, 0.5]))
    assert worst(draws(program("var x: real ~ A ^ 2", "score")), A**2) > BROKEN


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
    run = populations(program(text), count=16)
    x, y = np.asarray(run.posterior["x"]), np.asarray(run.posterior["y"])
    assert (x[..., 0] > -1.05).all()
    # y is integrated out: N(x, 0.7) N(0.5, 1) over y is N(x; 0.5, 1.22)
    truth = A * (GRID > -1.05) * np.exp(-0.5 * GRID) * np.exp(-0.5 * (GRID - 0.5) ** 2 / (0.49 + 1.0))
    truth = truth / truth.sum()
    assert worst(x[..., 0], truth) < SOUND
    mean = float((GRID * truth).sum())
    assert abs(z_score(x[..., 1], lambda v: v, 0.5 * mean)) < SOUND
    given = (GRID / 0.49 + 0.5) / (1 / 0.49 + 1.0)
    assert abs(z_score(y, lambda v: v, float((given * truth).sum()))) < SOUND
    square = given**2 + 1.0 / (1 / 0.49 + 1.0)
    assert abs(z_score(y, lambda v: v * v, float((square * truth).sum()))) < SOUND


@pytest.mark.slow
def test_choices_by_a_discrete_variable():
    text = "var z: bool ~ Bernoulli(0.3)\nvar x: real\nif z { x ~ A } else { x ~ C }"
    run = populations(program(text))
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
    x = draws(text)
    assert (x[..., 0] == -0.95).all()
    near = np.exp(-0.5 * (-0.95 - rows[:, 0]) ** 2 / 0.01)
    truth = sum(w * np.exp(-0.5 * (GRID - m) ** 2 / 0.01) for w, m in zip(near, rows[:, 1], strict=True))
    assert abs(z_score(x[..., 1], MEASURES["right"], float(truth[GRID > 0].sum() / truth.sum()))) < SOUND
    assert abs(z_score(x[..., 1], MEASURES["square"], float((GRID**2 * truth).sum() / truth.sum()))) < SOUND


@pytest.mark.slow
def test_regions_that_overlap():
    """Two densities over slices of one variable that share an element: their product over all three."""
    text = """
      data near: real[_, 2] = [[-1, -1], [1, 1]]
      data far: real[_, 2] = [[-1, 1], [1, -1], [1.1, -1]]
      density P(x: real[2]) = learn diffusion(x=near)
      density Q(x: real[2]) = learn diffusion(x=far)
      var x: real[3]
      x[0:2] ~ P
      x[1:3] ~ Q
    """
    x = draws(text)
    # the shared element is -1 or about 1; Q has one row at the first and two at the second, one of them off by 0.1
    up = 1.0 + np.exp(-(0.1**2) / (4 * 0.01))
    assert (np.sign(x[..., 0]) == np.sign(x[..., 1])).mean() > 0.999
    assert (np.sign(x[..., 2]) == -np.sign(x[..., 1])).mean() > 0.999
    assert abs(z_score(x[..., 1], MEASURES["right"], up / (1.0 + up))) < SOUND
