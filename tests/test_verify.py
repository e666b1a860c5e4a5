"""`compose verify` passes what is right and catches what is planted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.elaborate.context import Session
from compose_lang.compiler.elaborate.forward import ForwardSimulation, outcomes_of
from compose_lang.compiler.passes import graph_of
from compose_lang.diagnostics import ComposeError
from compose_lang.validation.ancestral import simulate
from compose_lang.validation.enumeration import enumerate_states
from compose_lang.validation.quadrature import integrate
from compose_lang.validation.verify import share_check, uniform_p, verify

SMALL = """
type Colour = {red, green}
var x: bool[3]
var c: Colour
observe x[1] = true
energy -sum(x[i] * x[i + 1] for i in range(2)) + (if c == red then x[0] else 0)
"""
WALK = """
data y: real[6] = [1, 2, 3, 4, 5, 6]
var x: real[6]
var a: real(0, 1)
x[0] ~ Normal(0, 1)
for t in range(1, 6) { x[t] ~ Normal(a * x[t - 1], 0.5) }
y ~ Normal(x, 0.3)
"""
WIDE = """
density Wide(x: real | m: real) {
  energy 0.5 * (x - m)^2
  draw m + %s * std_normal()
}
data y: real[4] = [1, 2, 3, 4]
var mu: real ~ Normal(0, 3)
y ~ Wide(mu)
"""


def drawn(program: str, count: int = 4000) -> dict[str, np.ndarray]:
    module = cg.compile(program).program.module
    forwards = ForwardSimulation(outcomes_of(module))
    return simulate(graph_of(module, Session(None, {}, {}, interpretation=forwards)), forwards, count, seed=0)


def test_enumeration_sums_up_the_program():
    model = cg.compile(SMALL)
    found = enumerate_states(model.program.graph)
    weights = {
        (a, b, c): np.exp(-model.energy({"x": np.array([a, 1, b]), "c": c}))
        for a, b, c in itertools.product((0, 1), (0, 1), (0, 1))
    }
    total = sum(weights.values())
    assert found.log_z == pytest.approx(np.log(total), rel=1e-12)
    first = sum(w for (a, _, _), w in weights.items() if a) / total
    green = sum(w for (_, _, c), w in weights.items() if c) / total
    assert found.marginals["x"][:, 1] == pytest.approx([first, np.e / (1 + np.e)])
    assert found.marginals["c"][0, 1] == pytest.approx(green)


def test_a_small_program_is_held_against_its_sum():
    verdict = verify(cg.compile(SMALL), draws=400, warmup=50)
    assert (verdict.method, verdict.passed) == ("enumeration", True)
    assert {c.name for c in verdict.checks} == {
        "x[0] = 0", "x[0] = 1", "x[2] = 0", "x[2] = 1", "c = red", "c = green",
    }  # fmt: skip


def test_learned_densities_are_drawn_forwards():
    """A pair learned as a table, its second given to what depends on it."""
    rows = "[0, 0, 0, 1, 1, 2, 2, 2, 2, 1]", "[1, 1, 1, 0, 0, 1, 1, 0, 0, 0]"
    program = f"""
density Pair(a: category(3), b: bool) = learn categorical(a={rows[0]}, b={rows[1]}, smoothing=0)
density After(c: category(3) | b: bool) = learn categorical(c={rows[0]}, b={rows[1]}, smoothing=0)
data y: real[2] = [0, 1]
var a: category(3)
var b: bool
var c: category(3)[2]
(a, b) ~ Pair
c ~ After([b, b])
y ~ Normal(c, 0.5)
"""
    found = drawn(program, 6000)
    pairs = np.bincount(2 * found["a"] + found["b"], minlength=6) / 6000
    assert pairs == pytest.approx([0, 0.3, 0.3, 0, 0.2, 0.2], abs=4 * 0.46 / 6000**0.5)
    for given, shares in ((0, [0, 0.6, 0.4]), (1, [0.6, 0, 0.4])):
        c = found["c"][found["b"] == given]
        assert np.bincount(c.reshape(-1), minlength=3) / c.size == pytest.approx(shares, abs=0.03)
        assert np.corrcoef(c.T)[0, 1] == pytest.approx(0, abs=0.08)
    assert np.std(found["y"] - found["c"]) == pytest.approx(0.5, rel=0.05)


def test_shares_that_are_off_are_caught():
    hits = np.random.default_rng(0).random((4, 1000)) < 0.3
    assert share_check("right", hits, 0.3).p > 0.01
    assert share_check("off", hits, 0.35).p < 1e-6
    assert share_check("impossible", hits, 0.0).p == 0
    assert share_check("never drawn", np.zeros((4, 1000), dtype=bool), 0.05).p < 1e-6
    assert share_check("rare", np.zeros((4, 1000), dtype=bool), 1e-5).p > 0.5


def test_ranks_that_are_off_are_caught():
    ranks = np.random.default_rng(1).random(100)
    assert uniform_p(ranks) > 0.01
    assert uniform_p(ranks**2) < 1e-3
    assert uniform_p(0.5 + (ranks - 0.5) * 0.6) < 1e-3
    assert uniform_p(np.clip(0.5 + (ranks - 0.5) * 1.6, 0.001, 0.999)) < 1e-3


def test_draws_forwards_follow_the_joint_density():
    """A random walk, drawn in the order its own statements need, against its moments."""
    x = drawn(WALK)
    assert set(x) == {"x", "a", "y"}
    assert np.all((x["a"] > 0) & (x["a"] < 1))
    innovations = x["x"][:, 1:] - x["a"][:, None] * x["x"][:, :-1]
    assert innovations.std() == pytest.approx(0.5, rel=0.03)
    assert x["x"][:, 0].std() == pytest.approx(1, rel=0.06)
    assert (x["y"] - x["x"]).std() == pytest.approx(0.3, rel=0.03)
    assert abs(np.corrcoef(innovations[:, 0], x["a"])[0, 1]) < 0.06


def test_bounds_and_constraints_cut_the_joint_draws():
    x = drawn("data y: real[1] = [1]\nvar s: positive ~ Normal(0, 1)\ny ~ Normal(s, s)\nrequire s < 1")
    assert np.all((x["s"] > 0) & (x["s"] < 1))
    grid = np.linspace(0, 1, 2001)
    weights = np.exp(-0.5 * grid**2)
    assert x["s"].mean() == pytest.approx((grid * weights).sum() / weights.sum(), abs=0.02)


def test_latents_and_vectors_are_drawn():
    x = drawn(
        """
density Noisy(x: real | m: real) {
  var t: real ~ Normal(m, 1)
  x ~ Normal(t, 0.5)
}
data y: real[2] = [0, 0]
var p: simplex(3) ~ Dirichlet([1, 2, 3])
var z: category(3)[2] ~ Categorical(p)
var m: real[3] ~ Normal([-5, 0, 5], 0.1)
for i in range(2) { y[i] ~ Noisy(m[z[i]]) }
"""
    )
    assert x["p"].mean(0) == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=0.02)
    means = np.take_along_axis(x["m"], x["z"].astype(int), axis=1)
    assert (x["Noisy.t"] - means).std() == pytest.approx(1, rel=0.04)
    assert (x["y"] - x["Noisy.t"]).std() == pytest.approx(0.5, rel=0.04)


@pytest.mark.parametrize(("wrong", "passes"), [("1", True), ("1.5", False), ("0.6", False)])
def test_a_draw_that_is_not_the_energy_is_caught(wrong, passes):
    verdict = verify(cg.compile(WIDE % wrong), chains=2, draws=300, warmup=300)
    assert verdict.method == "calibration"
    assert verdict.passed is passes


def test_a_walk_is_calibrated():
    verdict = verify(cg.compile(WALK), replicates=80, chains=2, draws=300, warmup=400)
    assert verdict.passed
    assert [c.name for c in verdict.checks] == [*(f"x[{i}]" for i in range(6)), "a"]


COMPOSED = """
var x: real[2] ~ Normal([1, 0], 0.5) * (0.3 * Normal([0, 0], 1) + 0.7 * Normal([2, 1], 0.4))
require x[0] < 2
"""


def test_a_composition_is_held_against_a_grid(monkeypatch):
    """With draws from elsewhere it fails."""
    model = cg.compile(COMPOSED)
    verdict = verify(model, seed=1, chains=4, draws=500, warmup=500)
    assert verdict.method == "quadrature" and verdict.passed
    assert len(verdict.checks) == 19
    beside = cg.compile(COMPOSED.replace("Normal([1, 0], 0.5)", "Normal([1, 0], 0.7)"))
    monkeypatch.setattr(model, "sample", beside.sample)
    assert not verify(model, seed=1, chains=4, draws=500, warmup=500).passed


def test_a_grid_finds_narrow_modes_and_bounds():
    """Far apart, narrow, and beside a bound: total masses and means are known."""
    narrow = integrate(
        cg.compile("var x: real ~ 0.25 * Normal(-50, 0.01) + 0.75 * Normal(30, 2)").program.graph
    )
    assert narrow.mass[narrow.axes[0] < 0].sum() == pytest.approx(0.25, abs=1e-3)
    cut = integrate(cg.compile("var x: positive ~ Exponential(3)").program.graph)
    assert (cut.mass * cut.axes[0]).sum() == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (
            "data y: real = 1\nvar m: real[3] ~ Normal(0, 1)\ny ~ Normal(m[0], 1)\nenergy m[0]",
            "not how to draw it",
        ),
        (
            "data y: real = 1\nvar m: real[3] ~ Normal(0, 1)\nm ~ Normal(0, 1)\ny ~ Normal(m[0], 1)",
            "more than one",
        ),
        ("data y: real[3] = [1, 2, 3]\nvar m: real[3]\ny ~ Normal(m, 1)", "no `~` draws `m`"),
        (
            "data y: real = 1\nvar m: real[3] ~ 0.5 * Normal(0, 1) + 0.5 * Normal(3, 1)\ny ~ Normal(m[0], 1)",
            "how to draw",
        ),
        ("var m: real[3] ~ Normal(0, 1)", "no data"),
        (
            "data y: real = 1\nvar m: real[4] ~ Normal(0, 1)\nobserve m[0] = 1\ny ~ Normal(m[1], 1)",
            "observed",
        ),
        ("data y: real = 1\nvar m: real[3] ~ Normal(0, 1)\ny ~ Normal(m[0], 1)\nrequire m[0] > 40", "meet"),
    ],
)
def test_what_cannot_be_drawn_is_said(program, says):
    with pytest.raises(ComposeError, match="CG0605") as wrong:
        verify(cg.compile(program), draws=10, warmup=10)
    assert says in wrong.value.diagnostics[0].message
