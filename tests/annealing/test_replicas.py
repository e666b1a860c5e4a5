"""Chains of replicas follow the composition: against quadrature, with chains as independent estimates and a planted
mistake; they go on where they were cut short; what a plan says of them, and what is refused.

The z-scores have 15 degrees of freedom: a sound one is above 5.5 in one of 10,000, and the seed is fixed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.annealing import exchange
from compose_lang.runtime.annealing import replicas as replicas_module
from compose_lang.runtime.learned.learners import diffusion
from compose_lang.runtime.results import findings

from .conftest import GRID, MEASURES, program, weight, worst, z_score
from .exact_diffusion import LEARNER

SOUND, BROKEN = 4.5, 7.0
A, C = weight("A"), weight("C")
GUIDED = C * np.exp(0.3 * (np.log(A + 1e-300) - np.log(C + 1e-300)))
ASKED = "\ninfer x by tempering(levels=32)"


def replicas(text: str, chains: int = 16, draws: int = 800, **settings: Any) -> Any:
    return cg.sample(text, seed=3, chains=chains, draws=draws, warmup=200, **settings)


@pytest.mark.slow
def test_compositions_and_how_levels_exchange(monkeypatch: pytest.MonkeyPatch):
    """A product, a power of what has a score and no energy, and a contrast, side by side in one chain."""
    text = """
      density S(x: real) = learn diffusion(x=a, form="score")
      var x: real ~ A * C
      var y: real ~ S ^ 2
      var z: real ~ contrast(A, C)
      infer by tempering(levels=40)
    """
    run = replicas(program(text))
    for name, truth in (("x", A * C), ("y", A**2), ("z", A * A / (A + C + 1e-300))):
        assert worst(np.asarray(run.posterior[name]), truth) < SOUND
    rates, trips = run.statistics["exchange_rate"], run.statistics["round_trips"]
    assert rates.shape == (16, 800, 39) and 0.5 < rates[:, -1].min() < rates.max() <= 1.0
    assert trips[:, -1].min() >= 2 and np.diff(trips, axis=1).max() == 1
    assert "CG0712" not in {f.code for f in run.findings()}
    monkeypatch.setattr(findings, "LEAST_EXCHANGE", 0.95)
    (told,) = [f for f in run.findings() if f.code == "CG0712"]
    assert "of 40 take" in told.message and "raise levels= (now 40)" in str(told.help)


MIXED = 0.2 * A + 0.8 * C


@pytest.mark.slow
@pytest.mark.parametrize(
    ("composed", "truth", "form"),
    [
        ("0.2 * A + 0.8 * C", MIXED, "energy"),
        ("0.2 * A + 0.8 * C", MIXED, "score"),
        ("(0.2 * A + 0.8 * C) * A", MIXED * A, "energy"),
        ("C * (A / C) ^ 0.3", GUIDED, "energy"),
    ],
)
def test_more_compositions(composed: str, truth: np.ndarray, form: str):
    run = replicas(program(f"var x: real ~ {composed}" + ASKED, form))
    assert worst(np.asarray(run.posterior["x"]), truth) < SOUND


@pytest.mark.slow
def test_parts_that_are_drawn_by_other_weights_are_caught(monkeypatch: pytest.MonkeyPatch):
    sound = replicas_module.parts
    monkeypatch.setattr(replicas_module, "parts", lambda *given: {n: 1 - z for n, z in sound(*given).items()})
    x = np.asarray(replicas(program("var x: real ~ 0.2 * A + 0.8 * C" + ASKED)).posterior["x"])
    assert worst(x, MIXED) > BROKEN


def test_shares_of_a_mixture_hang_on_no_fine_energy(monkeypatch: pytest.MonkeyPatch):
    """Energies that are off by two nats where the noise is fine, as learned ones are, change no draw."""

    def off(part: Any, b: Any, weights: Any, level: Any, *arguments: Any) -> Any:
        error = b.xp.where(level < 0.5, 2.0, 0.0) if part.name == "A" else 0.0
        return LEARNER.energy(part, b, weights, level, *arguments) + error

    text = program("var x: real ~ 0.2 * A + 0.8 * C\ninfer x by tempering(levels=6, coarsest=8)")
    sound = replicas(text, chains=1, draws=50)
    monkeypatch.setattr(diffusion, "LEARNER", dataclasses.replace(LEARNER, energy=off))
    np.testing.assert_array_equal(replicas(text, chains=1, draws=50).posterior["x"], sound.posterior["x"])


@pytest.mark.slow
def test_beside_other_terms():
    """A coordinate that nothing learned holds, a latent of another kind, a constraint, a soft term, and inpainting."""
    rows = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    text = f"""
      data rows: real[_, 2] = {rows.tolist()}
      density P(x: real[2]) = learn diffusion(x=rows)
      var x: real[2]
      x[0] ~ A
      x[1] ~ Normal(0.5 * x[0], 0.4)
      var y: real ~ Normal(x[0], 0.7)
      y ~ Normal(0.5, 1)
      require x[0] > -1.05
      energy 0.5 * x[0]
      var seen: real[2] ~ P
      observe seen[0] = -0.95
      infer by tempering
    """
    run = replicas(program(text))
    x, y, seen = (np.asarray(run.posterior[name]) for name in ("x", "y", "seen"))
    assert (x[..., 0] > -1.05).all()
    # y is integrated out: N(x, 0.7) N(0.5, 1) over y is N(x; 0.5, 1.22)
    truth = A * (GRID > -1.05) * np.exp(-0.5 * GRID) * np.exp(-0.5 * (GRID - 0.5) ** 2 / (0.49 + 1.0))
    truth = truth / truth.sum()
    assert worst(x[..., 0], truth) < SOUND
    assert abs(z_score(x[..., 1], lambda v: v, 0.5 * float((GRID * truth).sum()))) < SOUND
    given = (GRID / 0.49 + 0.5) / (1 / 0.49 + 1.0)
    assert abs(z_score(y, lambda v: v, float((given * truth).sum()))) < SOUND
    # of two elements one is observed, the other follows its density given it
    assert (seen[..., 0] == -0.95).all()
    near = np.exp(-0.5 * (-0.95 - rows[:, 0]) ** 2 / 0.01)
    truth = sum(w * np.exp(-0.5 * (GRID - m) ** 2 / 0.01) for w, m in zip(near, rows[:, 1], strict=True))
    truth = truth / truth.sum()
    for measure in ("right", "square"):
        expected = float((MEASURES[measure](GRID) * truth).sum())
        assert abs(z_score(seen[..., 1], MEASURES[measure], expected)) < SOUND


@pytest.mark.slow
def test_choices_by_a_discrete_variable():
    text = "var z: bool ~ Bernoulli(0.3)\nvar x: real\nif z { x ~ A } else { x ~ C }"
    run = replicas(program(text + ASKED))
    z = np.asarray(run.posterior["z"])
    assert abs(z_score(z, lambda v: v * 1.0, 0.3)) < SOUND
    assert worst(np.asarray(run.posterior["x"]), 0.3 * A + 0.7 * C) < SOUND


@pytest.mark.slow  # test_exchange has the same mistake, without the chains
def test_exchanges_that_are_always_taken_are_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "acceptance", lambda energy, *others: 0.0 * energy + 1.0)
    x = np.asarray(replicas(program("var x: real ~ A * C" + ASKED)).posterior["x"])
    assert worst(x, A * C) > BROKEN


TWO = """
var x: real[2]
x[0] ~ A * C
x[1] ~ A
energy 0.5 * (x[0] - x[1])^2
var z: bool ~ Bernoulli(0.3)
energy if z then x[0] else 0
infer x by tempering(levels=6, moves=2)
"""


@pytest.mark.slow  # torch takes a second a sweep
def test_the_backends_exchange_alike():
    settings = {"seed": 5, "chains": 1, "draws": 4, "warmup": 2}
    jax, torch = (
        np.asarray(cg.sample(program(TWO), **settings, backend=name).posterior["x"])
        for name in ("jax", "torch")
    )
    np.testing.assert_allclose(jax, torch, atol=1e-6)


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


def test_what_a_plan_says():
    told = cg.compile(program("var x: real ~ A * C" + ASKED)).explain()
    assert (
        "tempering(levels=32, moves=1, move=mala) draws x: A, C, a replica at every level of noise: " in told
    )
    assert "1 mala a sweep, exchanges by weights of paths" in told


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("infer x by tempering(levels=1)", "CG0602"),
        ("infer x by tempering(moves=0)", "CG0602"),
        ('infer x by tempering(weights="off")', "CG0602"),
        ("infer x by tempering\ninfer y by annealed", "CG0601"),
        (
            'density S(x: real) = learn diffusion(x=a, form="score")\nx ~ contrast(S, C)\ninfer by tempering',
            "CG0415",
        ),
    ],
)
def test_what_is_refused(asked: str, code: str):
    with pytest.raises(ComposeError) as found:
        cg.compile(program("var x: real ~ A\nvar y: real ~ C\n" + asked)).explain()
    assert found.value.diagnostics[0].code == code
