"""The best point: ground states of glasses against exact ones, modes that are known, constraints that hold."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import compose_lang as cg
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.planning import exact

GLASS = """
data down: real[_, _]
data right: real[_, _]
const n = {n}
var s: spin[n, n]
for i in range(n - 1), k in range(n) {{ energy -down[i, k] * s[i, k] * s[i + 1, k] }}
for i in range(n), k in range(n - 1) {{ energy -right[i, k] * s[i, k] * s[i, k + 1] }}
"""


def ground_energy(down: np.ndarray, right: np.ndarray) -> float:
    """The least energy of a glass on a square, row by row over all states of a row."""
    n = down.shape[1]
    rows = np.array(list(itertools.product([-1, 1], repeat=n)))
    inside = -(right[:, None, :] * rows[:, :-1] * rows[:, 1:]).sum(-1)
    least = inside[0]
    for i, bonds in enumerate(down):
        between = -(rows * bonds) @ rows.T
        least = (least[:, None] + between).min(axis=0) + inside[i + 1]
    return float(least.min())


@pytest.fixture
def by_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """No elimination, which would find the best point of these small programs outright."""
    monkeypatch.setattr(exact, "MOST_ALONE", 0.0)


def search(text: str, **settings: Any) -> Any:
    return cg.sample(
        text, method="map", **{"seed": 1, "chains": 8, "warmup": 200, "backend": "numpy"} | settings
    )


@pytest.mark.usefixtures("by_search")
@pytest.mark.parametrize(
    ("bonds", "n", "seed"), [("signs", 6, 0), ("signs", 8, 1), ("normal", 7, 2), ("normal", 8, 3)]
)
def test_ground_states_of_glasses_are_the_exact_ones(bonds: str, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = (n - 1, n), (n, n - 1)
    down, right = (rng.choice([-1.0, 1.0], s) if bonds == "signs" else rng.standard_normal(s) for s in shapes)
    run = search(GLASS.format(n=n), data={"down": down, "right": right}, chains=32, warmup=400)
    assert run.optimum["energy"] == pytest.approx(ground_energy(down, right), abs=1e-9)
    s = np.array(run.optimum["values"]["s"])
    assert run.optimum["energy"] == pytest.approx(
        -(down * s[:-1] * s[1:]).sum() - (right * s[:, :-1] * s[:, 1:]).sum()
    )


def test_elimination_finds_the_ground_state_by_itself() -> None:
    rng = np.random.default_rng(4)
    data = {"down": rng.standard_normal((7, 8)), "right": rng.standard_normal((8, 7))}
    run = search(GLASS.format(n=8), data=data, chains=2)
    assert run.manifest.plan[0]["exact"]
    assert run.optimum["energy"] == pytest.approx(ground_energy(data["down"], data["right"]), abs=1e-9)
    assert run.manifest.log_evidence is None


@pytest.mark.usefixtures("by_search")
def test_the_scale_of_the_energy_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    data = {"down": 1e-4 * rng.standard_normal((5, 6)), "right": 1e-4 * rng.standard_normal((6, 5))}
    run = search(GLASS.format(n=6), data=data, chains=16)
    assert run.optimum["energy"] == pytest.approx(ground_energy(data["down"], data["right"]), abs=1e-12)


CONTINUOUS = """
var t: positive ~ Gamma(3, 1)
var x: real ~ Normal(t, 2)
var w: simplex(3) ~ Dirichlet([2, 3, 5])
"""


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_modes_are_those_of_the_density_without_jacobians(backend: str) -> None:
    """The mode of Gamma(3, 1) is 2; that of its logarithm is 3."""
    found = search(CONTINUOUS, backend=backend, chains=2, warmup=60).optimum["values"]
    assert found["t"] == pytest.approx(2.0, abs=1e-4)
    assert found["x"] == pytest.approx(2.0, abs=1e-3)
    np.testing.assert_allclose(found["w"], np.array([1, 2, 4]) / 7, atol=1e-4)


def test_a_jacobian_that_is_left_in_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Density, "energy_without_jacobian", Density.energy)
    found = search("var t: positive ~ Gamma(3, 1)", chains=2, warmup=40).optimum["values"]
    assert found["t"] == pytest.approx(3.0, abs=1e-3)


def test_the_deeper_of_two_wells() -> None:
    text = "var x: real\nenergy 0.5 * min((x - 4)^2, (x + 4)^2 + 3) + 0.001 * x^2"
    run = search(text, chains=12, warmup=300)
    assert run.optimum["values"]["x"] == pytest.approx(4.0, abs=0.01)
    assert np.mean(np.array(run.optimum["energies"]) < run.optimum["energy"] + 1e-6) > 0.5


def test_finite_and_continuous_variables_together() -> None:
    text = """
    var z: category(3)[2]
    var x: real[2]
    let cost = [1.0, 0.2, 0.5]
    for i in range(2) { energy cost[z[i]] + 2 * (x[i] - 2 * z[i])^2 }
    energy 10 * (x[0] + x[1] - 4.6)^2
    """
    best = min(
        (sum([1.0, 0.2, 0.5][k] for k in z) + 10 * (0.6 + 4 - 2 * sum(z)) ** 2 / 11, z)
        for z in itertools.product(range(3), repeat=2)
    )
    run = search(text, warmup=150)
    assert run.optimum["energy"] == pytest.approx(best[0], abs=1e-5)
    assert sum(run.optimum["values"]["z"]) == sum(best[1])


@pytest.mark.usefixtures("by_search")
def test_the_best_point_keeps_constraints() -> None:
    text = """
    var c: category(4)[6]
    for (i, j) in chain(6) { require c[i] != c[j] }
    energy -sum(c)
    """
    run = search(text)
    assert run.optimum["energy"] == -15.0
    c = run.optimum["values"]["c"]
    assert all(a != b for a, b in itertools.pairwise(c))


def test_an_assignment() -> None:
    cost = np.random.default_rng(7).random((6, 6))
    text = "data cost: real[6, 6]\nvar p: permutation(6)\nenergy sum(cost[i, p[i]] for i in range(6))"
    rows, columns = linear_sum_assignment(cost)
    run = search(text, data={"cost": cost})
    assert run.optimum["energy"] == pytest.approx(cost[rows, columns].sum(), abs=1e-12)


def test_a_run_says_what_it_found(tmp_path: Path) -> None:
    text = "var z: bool[3]\nvar x: real\nenergy 0.4 * z[0] - z[1] * z[2] + (x - z[1])^2\nlet n = sum(z)\n"
    (tmp_path / "small.cg").write_text(text)
    command = [sys.executable, "-c", "from compose_lang.cli import main; main()", "run", "small.cg"]
    flags = ["--method", "map", "--warmup", "20", "--backend", "numpy", "--no-progress"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *flags, *more], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    told = run("--out", "a")
    assert "the best point found, of energy -1 nats, to which 4 of 4 chains came; not a draw" in " ".join(
        told.stdout.split()
    )
    assert "4 searches, each annealed over 20 sweeps" in told.stderr
    document = json.loads(run("--out", "b", "--json").stdout)
    values = document["optimum"]["values"]
    assert values.pop("x") == pytest.approx(1.0, abs=1e-6)
    assert values == {"z": [False, True, True], "n": 2}
    assert document["summary"] == {} and document["diagnostics"] == []
