"""Populations that walk from a reference to a program: their draws and their evidence against quadrature."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.api import samplers
from compose_lang.api.samplers import choose_sampler
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.planning.plan import plan
from compose_lang.runtime.populations import sampler, weights
from compose_lang.runtime.populations.path import Path, Place
from compose_lang.runtime.populations.reference import drawn_outright
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.runs.settings import Settings
from tests.compiler.points import graph_of, random_values

#: a wall, a mixture that is drawn, and an energy that comes in along the path
PROGRAM = """
var x: real(-4, 4)[2] ~ 0.3 * Normal(-2, 0.5) + 0.7 * Normal(1, 0.8)
energy 1.5 * sin(3 * x[0]) + 0.5 * (x[0] * x[1])^2
require "below the line": x[0] + x[1] <= 1
let first = x[0] < 0
"""
#: nothing of it can be drawn
LOOSE = """
var x: real[2]
energy 3 * (x[0]^2 - 1)^2 + 0.5 * (x[1] - x[0])^2
require x[0] + x[1] >= -1.5
"""
ELBOW = """
var q: real(-3, 3)[2]
[1.2, 0.4] ~ Normal([cos(q[0]) + cos(q[0] + q[1]), sin(q[0]) + sin(q[0] + q[1])], 0.05)
let up = q[1] > 0
"""
SETTINGS = Settings(seed=3, chains=2, draws=500)
SOUND = 5.0  #: standard errors, which a right mean misses in none of a million runs
FAULTY = 8.0


@pytest.fixture(autouse=True)
def walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small programs would be drawn by rejection, without a walk."""
    monkeypatch.setattr(samplers, "reference_of", drawn_outright)


@cache
def exact(text: str) -> dict[str, Any]:
    """Means and deviations of x, and the log of the integral, on a grid."""
    side = np.linspace(-4, 4, 801)
    x, y = np.meshgrid(side, side, indexing="ij")
    if text is PROGRAM:
        mixture = [0.3 * density(z, -2, 0.5) + 0.7 * density(z, 1, 0.8) for z in (x, y)]
        weight = mixture[0] * mixture[1] * np.exp(-1.5 * np.sin(3 * x) - 0.5 * (x * y) ** 2) * (x + y <= 1)
    else:
        weight = np.exp(-3 * (x**2 - 1) ** 2 - 0.5 * (y - x) ** 2) * (x + y >= -1.5)
    total = weight.sum()
    means = [(weight * z).sum() / total for z in (x, y)]
    return {"means": np.array(means), "log_z": math.log(total * (side[1] - side[0]) ** 2)}


def density(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi)))


def score(run: Run, text: str) -> float:
    """By how many of its errors the worst mean is off, the log evidence among them."""
    rows = run.summary()
    truth = exact(text)
    scores = [
        abs(rows[f"x[{i}]"]["mean"] - truth["means"][i]) / rows[f"x[{i}]"]["mcse_mean"] for i in range(2)
    ]
    evidence = run.document()["log_evidence"]
    return float(max(*scores, abs(evidence["value"] - truth["log_z"]) / max(evidence["error"], 0.03)))


@pytest.mark.parametrize("text", [PROGRAM, LOOSE], ids=["from a mixture", "from a fit"])
def test_draws_and_evidence_are_the_program_s(text: str) -> None:
    run = cg.compile(text).sample(seed=1)
    assert score(run, text) < SOUND
    total = run.posterior["x"].sum("x_dim_0")
    assert bool((total <= 1 if text is PROGRAM else total >= -1.5).all())


@pytest.mark.slow  # of compiling
@pytest.mark.parametrize("text", [PROGRAM, LOOSE], ids=["from a mixture", "from a fit"])
def test_so_they_are_on_torch(text: str) -> None:
    assert score(cg.compile(text).sample(seed=1, chains=2, backend="torch"), text) < SOUND


def unweighed(own: np.ndarray, uniform: float) -> np.ndarray:
    return np.arange(len(own))


def at_once(self: Any, *_: Any) -> Place:
    return Place(1.0, math.inf)


def half(self: Place, to: Place, brought: np.ndarray, cost: np.ndarray) -> np.ndarray:
    return 0.5 * sound_increments(self, to, brought, cost)


def absorbed_twice(graph: Any, absorbed: Any) -> Path:
    path = sound_path(graph, absorbed)
    return replace(path, brought=(*path.brought, *absorbed))


sound_increments, sound_path = Place.increments, Path.to
MUTANTS = {
    "particles are copied whatever their weights": (weights, "systematic", unweighed),
    "weights grow by half of what comes in": (Place, "increments", half),
    "the reference is weighed as well": (Path, "to", staticmethod(absorbed_twice)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_mistakes_are_seen(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, planted = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, planted)
    monkeypatch.setattr(sampler.PopulationSampler, "moved", lambda self, p, sweeps: p)  # which would mend it
    run = cg.compile(PROGRAM).sample(seed=1, chains=4, draws=4000, method="smc(particles=4000)")
    assert score(run, PROGRAM) > FAULTY


def test_a_path_leads_from_the_reference_to_the_program() -> None:
    graph = graph_of(PROGRAM)
    reference = drawn_outright(graph)
    assert reference is not None
    backend = load_backend("numpy")
    path, whole = Path.to(graph, reference.groups), Density(graph, backend)
    on_path = Density(path.graph, backend)
    position = whole.position_of(random_values(graph, np.random.default_rng(0), 200))

    def energy(progress: float, price: float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            level = Level(progress=np.array([progress]), price=np.array([price]))
            return np.asarray(on_path.energy(position, level))

    start = whole.energy_of(position, reference.groups, whole.variables)
    np.testing.assert_allclose(energy(0.0, 0.0), start)
    np.testing.assert_allclose(energy(1.0, math.inf), whole.energy(position))
    brought, cost = path.parts(on_path, position, np.zeros((200, 0)), ())
    np.testing.assert_allclose(energy(0.3, 2.0), start + 0.3 * brought + 2.0 * cost)
    assert (cost > 0.0).any() and (cost == 0.0).any()


def walked(text: str, stages: int, interrupted: int = 0) -> dict[str, Any]:
    """Draws of one population after some stages, stored and read again after so many of them."""
    program = cg.compile(text).program
    choice = choose_sampler(program, plan(program.graph, "jax"), SETTINGS, {})
    made = choice.make(["x"])
    batch = made.start([0])
    for stage in range(stages):
        if interrupted and stage == interrupted:
            batch = made.unpack(made.pack(batch), like=made.start([0]))
        batch = made.advance(batch, stage, 1, 1).batch
    return made.advance(batch, sampler.MOST_STAGES, 100, 1).draws


def test_a_walk_goes_on_from_what_is_stored() -> None:
    whole, resumed = walked(PROGRAM, 12), walked(PROGRAM, 12, interrupted=3)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, resumed[name])


def test_chains_in_different_modes_are_replaced_by_populations() -> None:
    elbow = cg.compile(ELBOW).sample(seed=0)
    assert [b["kernel"] for b in elbow.manifest.plan] == ["smc"]
    assert "CG0716" in {d["code"] for d in elbow.diagnostics}
    up = elbow.summary()["up"]
    assert abs(up["mean"] - 0.5) < 5 * up["mcse_mean"] and up["ess_bulk"] > 400


def test_annealed_importance_sampling_keeps_its_weights_to_the_end() -> None:
    run = cg.compile(PROGRAM).sample(seed=1, method="ais(particles=4000, share=0.9)", draws=4000)
    assert score(run, PROGRAM) < SOUND


def test_draws_stay_where_the_second_plan_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(self: Any, chains: Any) -> Any:
        raise cg.ComposeError(Diagnostic("CG0701", "planted"))

    monkeypatch.setattr(sampler.PopulationSampler, "start", failed)
    run = cg.compile(ELBOW).sample(seed=0)
    assert [b["kernel"] for b in run.manifest.plan] == ["nuts"]
    assert "CG0702" in {d["code"] for d in run.diagnostics}


def test_what_is_asked_for_is_not_replaced() -> None:
    run = cg.compile(ELBOW).sample(seed=0, draws=200, warmup=200, method="hmc")
    assert [b["kernel"] for b in run.manifest.plan] == ["hmc"]
    assert "CG0702" in {d["code"] for d in run.diagnostics}


def test_few_particles_are_told_of() -> None:
    run = cg.compile(PROGRAM).sample(
        seed=0, draws=20, method="smc(particles=20, share=0.1, sweeps=1, rest=1)"
    )
    assert {"CG0715", "CG0703"} <= {d["code"] for d in run.diagnostics}


def test_stages_are_as_long_as_weights_stay_together() -> None:
    equal = np.full(100, 0.01)
    assert weights.conditional(equal, np.zeros(100)) == pytest.approx(1.0)
    half_gone = np.where(np.arange(100) < 50, 0.0, -np.inf)
    assert weights.conditional(equal, half_gone) == pytest.approx(0.5)
    assert weights.log_mean(equal, half_gone) == pytest.approx(math.log(0.5))
    energies = np.random.default_rng(0).standard_normal(100)
    step = weights.longest(lambda s: weights.conditional(equal, -s * energies), 0.5, 100.0)
    assert weights.conditional(equal, -step * energies) == pytest.approx(0.5, abs=0.01)
    assert weights.longest(lambda s: 0.0, 0.5, 1.0) < 1e-6  # what is forbidden at once is left at once


def test_copies_are_as_many_as_weights_say() -> None:
    own = weights.normalised(np.log(np.arange(1.0, 101.0)))
    counts = np.mean(
        [np.bincount(weights.systematic(own, u), minlength=100) for u in (np.arange(500) + 0.5) / 500], axis=0
    )
    np.testing.assert_allclose(counts, 100 * own, atol=0.01)
