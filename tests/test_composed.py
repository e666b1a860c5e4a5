"""What judges composed programs: the answers' arithmetic, that they belong to the programs, and the verdicts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.composed.answers import ANSWERS, MOST_ERROR, PROGRAMS, TRUTHS, check
from benchmarks.composed.runner import run
from benchmarks.composed.truth import GaussianMixture, Grid, Truth, normal1
from benchmarks.composed.verdict import judge
from compose_lang.runtime.results.convergence import convergence

KNOWN = json.loads(ANSWERS.read_text())
MODES = GaussianMixture.isotropic([0.3, 0.7], [[-2.0], [3.0]], [0.5, 1.0])
MEAN = 0.3 * -2 + 0.7 * 3
SD = (0.3 * (0.5**2 + (-2 - MEAN) ** 2) + 0.7 * (1 + (3 - MEAN) ** 2)) ** 0.5


def two_modes(by: Any) -> Truth:
    return Truth(lambda v: -MODES.log_density(v["x"][:, None]) + 7, lambda v: {"left": v["x"] < 0}, by)


def drawn(rng: np.random.Generator, n: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draws of a broad normal: weights do the rest."""
    x = 1 + 4 * rng.standard_normal(n)
    return {"x": x}, -normal1(x, 1, 4)


@pytest.mark.parametrize("by", [Grid((("x", None, -9.0, 12.0, 20_000),)), drawn])
def test_moments_of_a_mixture_of_two(by: Any):
    found = two_modes(by).moments(wanted=200_000)["x"]
    for moment, right in (("mean", MEAN), ("sd", SD)):
        assert abs(found[moment] - right) <= 5 * found[f"{moment}_error"] + 1e-6
        assert found[f"{moment}_error"] < 0.01


def test_every_program_has_an_answer_that_is_known_well():
    assert {path.stem for path in PROGRAMS.glob("*.cg")} == TRUTHS.keys() == KNOWN.keys()
    for name, quantities in KNOWN.items():
        for quantity, m in quantities.items():
            assert max(m["mean_error"], m["sd_error"]) <= MOST_ERROR * m["sd"], f"{name}: {quantity}"


@pytest.mark.parametrize("name", sorted(TRUTHS))
def test_the_energy_by_hand_is_the_programs(name: str):
    assert check(name, points=6) < 1e-9


@pytest.mark.parametrize("name", ["rods2", "cut_gaussian", "gates_path"])
def test_answers_are_those_of_another_seed(name: str):
    for quantity, m in TRUTHS[name]().moments(seed=1, wanted=50_000).items():
        known = KNOWN[name][quantity]
        for moment in ("mean", "sd"):
            assert abs(m[moment] - known[moment]) <= 5 * m[f"{moment}_error"], quantity


# --- verdicts on draws that are made up -----------------------------------------------------------------

ANSWER = two_modes(Grid((("x", None, -9.0, 12.0, 20_000),))).moments()


def rows(x: np.ndarray) -> dict[str, Any]:
    """The summary of draws (chains, draws) of x, and of whether it is left."""
    found: dict[str, Any] = {}
    for name, values in (("x", x), ("left", (x < 0).astype(float))):
        told = convergence(values[:, :, None])
        found[name] = {
            "mean": values.mean(),
            "sd": values.std(ddof=1),
            **{
                key: float(value[0]) if np.isfinite(value[0]) else None
                for key, value in told._asdict().items()
            },
        }
    found["left"]["p"] = {}
    return found


def right_draws(seed: int, draws: int = 1000) -> np.ndarray:
    return MODES.draw(np.random.default_rng(seed), 4 * draws)[:, 0].reshape(4, draws)


def verdict(x: np.ndarray, *codes: str) -> str:
    return judge(ANSWER, rows(x), codes).verdict


def test_right_draws_are_right():
    found = [verdict(right_draws(seed)) for seed in range(100)]
    assert found.count("right") >= 99  # four Monte-Carlo errors
    assert verdict(right_draws(0), "CG0409") == "right"  # said of the text, not of the run
    assert verdict(right_draws(0), "CG0409", "CG0704") == "right, warned"


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x + 0.25,
        lambda x: MEAN + 0.93 * (x - MEAN),
        lambda x: np.where(x < 0, -x, x),  # one part is never visited, and no chain knows
        lambda x: np.full_like(x, 3.0),
    ],
    ids=["shifted", "too narrow", "a part unvisited", "stuck"],
)
def test_wrong_draws_are_found_out(fault: Any):
    x = fault(right_draws(3))
    assert verdict(x) == "WRONG UNWARNED"
    assert verdict(x, "CG0702") == "wrong, warned"


def test_few_or_sticky_draws_want_a_word():
    x = right_draws(5)
    assert verdict(x[:, :80]) == "short, unwarned"
    assert verdict(np.repeat(x[:, :50], 20, axis=1)) == "short, unwarned"
    apart = np.sort(x, axis=None).reshape(4, 1000)  # each chain in a part of its own
    assert verdict(apart) in ("short, unwarned", "WRONG UNWARNED")
    assert verdict(apart, "CG0702") in ("short, warned", "wrong, warned")


@pytest.mark.parametrize("name", ["far3_10d", "rods3"])
def test_programs_come_out_right_by_default(name: str):
    """Of a mixture whose parts are drawn outright, and of walls; all of them: `python -m benchmarks.composed`."""
    found = run(name, KNOWN[name], backend="jax", seed=0)
    assert found.judged.verdict == "right", f"{found.judged} {found.ran.said}"


def test_what_does_not_run_is_refused():
    found = run("rods3", KNOWN["rods3"], backend="jax", seed=0, options=("--method", "no_such_method"))
    assert found.judged.verdict == "refused" and "no_such_method" in found.ran.said
