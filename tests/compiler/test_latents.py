"""A factor's own variables: summed out, they leave the weight that the factor is meant to have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

import compose_lang as cg
from compose_lang.diagnostics import ComposeError

COIN = """
density Coin(x: bool | p: real) {
  var hidden: bool ~ Bernoulli(p)
  x ~ Bernoulli(if hidden then 0.9 else 0.2)
}
factor Pull(x: bool | s: real) {
  var t: int(0, 2)
  energy s * t * x
}
"""


def weights(program: str, over: str) -> np.ndarray:
    """The weight of each value of a variable, everything else summed out by enumeration."""
    model = cg.compile(program)
    names, sets, shapes = [], [], []
    for v in model.program.graph.variables:
        if v.free_sites:
            names.append(v.name)
            shapes.append(v.type.shape)
            sets.append(list(itertools.product(v.type.domain.values, repeat=v.type.sites)))
    found: dict[tuple[int, ...], float] = {}
    for values in itertools.product(*sets):
        point = {n: np.array(x).reshape(s) for n, x, s in zip(names, values, shapes, strict=True)}
        key = tuple(np.ravel(point[over]).tolist())
        found[key] = found.get(key, 0.0) + np.exp(-model.energy(point))
    return np.array([found[k] for k in sorted(found)])


def coin(p: float) -> np.ndarray:
    on = 0.9 * p + 0.2 * (1 - p)
    return np.array([1 - on, on])


def pull(s: float) -> np.ndarray:
    return np.array([3.0, 1 + np.exp(-s) + np.exp(-2 * s)])


@pytest.mark.parametrize(
    ("statements", "over", "wanted"),
    [
        ("var x: bool ~ Coin(0.3)", "x", coin(0.3)),
        ("var x: bool ~ Pull(1.5)", "x", pull(1.5)),
        ("var x: bool ~ Coin(0.3) * Pull(0.7)", "x", coin(0.3) * pull(0.7)),
        ("var x: bool ~ 0.3 * Coin(0.1) + 0.7 * Coin(0.8)", "x", 0.3 * coin(0.1) + 0.7 * coin(0.8)),
        ("var x: bool ~ 2 * Pull(1.5) + 0.5 * Coin(0.8)", "x", 2 * pull(1.5) + 0.5 * coin(0.8)),
        ("var x: bool ~ 2 * (0.3 * Pull(1) + 0.7 * Pull(2)) + 3 * Coin(0.8)", "x",
         2 * (0.3 * pull(1) + 0.7 * pull(2)) + 3 * coin(0.8)),
        ("const w = [0.2, 0.5]\nvar x: bool ~ mixture(w[k] * Pull(k + 1) for k in range(2))", "x",
         0.2 * pull(1) + 0.5 * pull(2)),
        ("var x: bool ~ product(Pull(k + 1) for k in range(2))", "x", pull(1) * pull(2)),
        ("var g: bool\nvar x: bool\nif g { x ~ Pull(1.5) }", "x", 2 + pull(1.5) - 1),
        ("var g: bool\nvar x: bool\nif g { x ~ Pull(1.5) }", "g", np.array([2.0, pull(1.5).sum()])),
        ("var g: bool\nvar x: bool\nif g { x ~ Coin(0.4) } else { x ~ Pull(2) }", "g",
         np.array([pull(2).sum(), 1.0])),
        # the latent's inputs mean nothing where the gate is shut: a probability of 1.5
        ("var g: bool\nvar x: bool\nif g { x ~ Coin(if g then 0.4 else 1.5) }", "x", 1 + coin(0.4)),
        ("var g: bool\nvar x: bool\nif not g { x ~ 0.5 * Coin(0.4) + 0.5 * Pull(1) }", "x",
         1 + 0.5 * coin(0.4) + 0.5 * pull(1)),
        # a plate where some instances are left out
        ("var x: bool[3]\nfor i in range(3) if i != 1 { x[i] ~ Coin(0.2 + 0.3 * i) }", "x",
         np.einsum("i,j,k->ijk", coin(0.2), [1, 1], coin(0.8)).ravel()),
        ("var x: bool[2]\nfor i in range(2), j in range(i) { (x[i]) ~ Pull(1 + j) }", "x",
         np.einsum("i,j->ij", [1, 1], pull(1)).ravel()),
        ("var x: bool[2] ~ Coin([0.2, 0.7])", "x", np.einsum("i,j->ij", coin(0.2), coin(0.7)).ravel()),
        ("var x: bool[2] ~ 0.4 * Coin([0.2, 0.7]) + 0.6 * Pull(1)", "x",
         (0.4 * np.einsum("i,j->ij", coin(0.2), coin(0.7)) + 0.6 * np.einsum("i,j->ij", pull(1), pull(1))).ravel()),
    ],
)  # fmt: skip
def test_latents_sum_out(statements, over, wanted):
    np.testing.assert_allclose(weights(COIN + statements, over), wanted * 1.0, rtol=1e-12)


def test_nested_and_named():
    program = (
        COIN
        + """
factor Both(x: bool) {
  x ~ Coin(0.3)
  x ~ Coin(0.6)
  x ~ Pull(1)
}
var x: bool[2] ~ Both
var z: bool ~ Coin(0.5)
"""
    )
    model = cg.compile(program)
    assert [v.name for v in model.program.graph.variables] == [
        "x", "Both.Coin.hidden", "Both.Coin.2.hidden", "Both.Pull.t", "z", "Coin.hidden",
    ]  # fmt: skip
    each = coin(0.3) * coin(0.6) * pull(1)
    np.testing.assert_allclose(weights(program, "x"), np.einsum("i,j,z->ij", each, each, coin(0.5)).ravel())


@pytest.mark.parametrize(
    "value", ["Coin(0.3) ^ 2", "Normal(0, 1) / Coin(0.3)", "contrast(Coin(0.3), Coin(0.4))"]
)
def test_refused_where_a_weight_must_be_a_number(value):
    with pytest.raises(ComposeError, match="CG0410"):
        cg.compile(f"{COIN}\nvar x: bool ~ {value}")


def test_log_weight_is_refused():
    with pytest.raises(ComposeError, match="CG0410"):
        cg.compile(f"{COIN}\nvar x: bool\nenergy -log_weight(Coin(x | 0.5))")


def test_unbounded_latent_without_density_in_a_mixture():
    """The energy that holds a latent while its part is not chosen cancels where it is."""
    program = """
factor Near(x: real) {
  var t: real
  t ~ Normal(0, 2)
  x ~ Normal(t, 1)
}
var x: real ~ 0.4 * Near + 0.6 * Normal(3, 1)
"""
    model = cg.compile(program)
    t = np.linspace(-30, 30, 6001)
    for x in (-1.0, 0.5, 3.0):
        mass = sum(np.exp(-model.energy({"x": x, "Near.t": u})) for u in t[::4]) * (t[4] - t[0])
        normal = lambda m, v, x=x: np.exp(-0.5 * (x - m) ** 2 / v) / np.sqrt(2 * np.pi * v)  # noqa: E731
        assert mass == pytest.approx(0.4 * normal(0, 5) + 0.6 * normal(3, 1), rel=1e-6)


def test_a_latent_may_be_asked_for_before_its_factor_is_applied():
    model = cg.compile(f"{COIN}\ninfer Coin.hidden by mh\nvar x: bool ~ Coin(0.3)")
    kernels = {b.variables: b.kernel for b in model.plan(model.settings()).blocks}
    assert kernels == {("x",): "exact", ("Coin.hidden",): "mh"}


def test_draws_of_a_mixture_with_latents_have_its_shares():
    """Near chooses x ≈ t with t ~ Normal(-3, 1); the other part leaves t to its prior."""
    program = """
density Near(x: real) {
  var t: real ~ Normal(-3, 1)
  x ~ Normal(t, 0.5)
}
var x: real ~ 0.3 * Near + 0.7 * Normal(1, 2)
"""
    run = cg.compile(program).sample(seed=3, chains=8, draws=2000, warmup=500)
    below = np.asarray(run.posterior["x"]) < -3
    wanted = 0.3 * 0.5 + 0.7 * norm.cdf(-3, 1, 2)
    error = below.mean(1).std(ddof=1) / np.sqrt(8)
    assert abs(below.mean() - wanted) < 4 * error + 0.005
    assert np.asarray(run.posterior["Near.t"]).mean() == pytest.approx(-3, abs=0.15)


def test_the_chosen_branch_of_a_constant_if_stands_in_its_place():
    program = """
const wide = true
if wide {
  var v: real ~ Normal(0, 5)
  let s[0] = 1.0
  let s[t] = 0.5 * s[t - 1] for t in range(1, 4)
} else { var v: real ~ Normal(10, 1) }
factor F(x: real | kind: int) {
  if kind == 1 { var h: real ~ Normal(0, 1) } else { let h = 2 }
  x ~ Normal(h, 1)
}
var a: real ~ F(1)
var b: real ~ F(2)
a ~ Normal(v, s[3])
"""
    model = cg.compile(program)
    assert [v.name for v in model.program.graph.variables] == ["v", "a", "F.h", "b"]
    parts = [
        norm.logpdf(1, 0, 5),
        norm.logpdf(0.3),
        norm.logpdf(2, 0.3),
        norm.logpdf(0, 2),
        norm.logpdf(2, 1, 1 / 8),
    ]
    assert model.energy({"v": 1, "a": 2, "F.h": 0.3, "b": 0}) == pytest.approx(-sum(parts))
