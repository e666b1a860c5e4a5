"""`infer` of parts: which blocks it makes, and that they leave the density as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.report.explain import explain_block
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import graph_of, views_on
from tests.populations.planes import SOUND
from tests.runtime.test_slices import drawn_of

HIERARCHY = "var a: real ~ Normal(0, 1)\nvar b: real ~ Normal(a, 1)\nvar x: real[3, 2] ~ Normal(b, 1)\n"


@pytest.mark.parametrize(
    ("asked", "blocks"),
    [
        ("infer a by hmc\ninfer b by hmc", ["a", "b", "x"]),
        ("infer (a, b) by hmc", ["a, b", "x"]),
        ("infer a, b by hmc", ["a, b", "x"]),
        ("infer x[0] by slice", ["x[0]", "a, b, the rest of x"]),
        ("infer x[i] by slice for i in range(3)", ["x[0]", "x[1]", "x[2]", "a, b"]),
        ("infer x[i, 0] by mh for i in range(3) if i > 0", ["x[1,0]", "x[2,0]", "a, b, the rest of x"]),
        ("infer (x[-1], b) by mh\ninfer x[0] by mh", ["x[2], b", "x[0]", "a, the rest of x"]),
        ("infer x by slice\ninfer b by mh", ["b", "x", "a"]),
    ],
)
def test_each_infer_is_a_block(asked: str, blocks: list[str]) -> None:
    found = [", ".join(b.key) for b in plan(graph_of(HIERARCHY + asked), "jax").blocks]
    assert sorted(found) == sorted(blocks)


def test_explain_names_parts() -> None:
    first = plan(graph_of(HIERARCHY + "infer x[0] by slice"), "jax").blocks[0]
    assert explain_block(first) == "  slice draws x[0]: asked for"
    assert first.describe()["variables"] == ["x"]
    assert first.describe()["parts"] == ["x[0]"]


PARTS = ("infer x[0] by slice\ninfer x[1] by mh(step=0.7)", "infer x[1] by hit_and_run")


def worst(asked: str) -> float:
    """By how many standard errors a Gaussian's means and variances are off, from a start that is off."""
    text = "var x: real[3]\nx[0] ~ Normal(1, 1)\nfor (i, j) in chain(3) { x[j] ~ Normal(0.5 * x[i], 1) }\n"
    chains, steps = 2000, 60
    x = drawn_of(text + asked, {"x": np.zeros((chains, 3))}, steps)["x"][steps // 2 :]
    scores = []
    for found, right in ((x, [1, 0.5, 0.25]), ((x - [1, 0.5, 0.25]) ** 2, [1, 1.25, 1.3125])):
        of_chains = found.mean(axis=0)
        scores.append(np.abs(of_chains.mean(axis=0) - right) / (of_chains.std(axis=0) / np.sqrt(chains)))
    return float(np.max(scores))


@pytest.mark.parametrize("asked", PARTS)
def test_parts_leave_the_density_as_it_is(asked: str) -> None:
    assert worst(asked) < SOUND


def test_a_part_that_sees_half_the_energy_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    coordinates = type(views_on(graph_of("var x: real ~ Normal(0, 1)")).coordinates(("x",)))
    whole: Callable[..., np.ndarray] = coordinates.energy_at
    monkeypatch.setattr(coordinates, "energy_at", lambda *given: 0.5 * whole(*given))
    assert worst(PARTS[1]) > 2 * SOUND


def test_a_run_records_parts() -> None:
    run = cg.compile(HIERARCHY + "infer x[0] by slice\ninfer x[i] by mh for i in range(1, 3)").sample(
        seed=1, chains=2, warmup=20, draws=20, backend="numpy"
    )
    assert run.posterior["x"].shape == (2, 20, 3, 2)
    assert np.ptp(np.asarray(run.posterior["x"]), axis=(0, 1)).min() > 0
