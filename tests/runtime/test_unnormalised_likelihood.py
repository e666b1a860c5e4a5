"""`learn … by maximum_likelihood()` where the program's weight has a total that varies with the params.

The likelihood comes from another implementation, every joint value listed in NumPy, and its maximum from scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.loop import Stopped
from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood
from compose_lang.runtime.learning.model_chains import ModelChains
from compose_lang.runtime.learning.objective import LogTotal

Numbers = NDArray[Any]
SPINS = np.array([-1, 1])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")


def every(values: Numbers, *shape: int) -> Numbers:
    """All arrays of a shape, (states, *shape)."""
    return np.array(list(product(values, repeat=int(np.prod(shape))))).reshape(-1, *shape)


def drawn(energy: Numbers, count: int, seed: int) -> Numbers:
    """Exact draws among states of these energies: their numbers."""
    p = np.exp(-energy - logsumexp(-energy))
    return np.random.default_rng(seed).choice(len(p), count, p=p)


def best(
    energy: Callable[[Numbers, Numbers], Numbers], rows: Numbers, states: Numbers, start: Any
) -> tuple[Numbers, float]:
    """The params of the greatest likelihood of rows, and its log. energy(params, states): (states,)."""

    def loss(u: Numbers) -> float:
        return float(energy(u, rows).sum() + len(rows) * logsumexp(-energy(u, states)))

    found = scipy.optimize.minimize(loss, start, tol=1e-12)
    return found.x, -found.fun


# --- an Ising model on a torus ---

ISING = """\
data rows: spin[_, 3, 4]
param J: real
param h: real
factor Ising(s: spin[3, 4] | J: real, h: real) {
  for (a, b) in torus(3, 4) { energy -J * s[a] * s[b] }
  energy -h * sum(s)
}
rows ~ Ising(J, h)
learn J, h by maximum_likelihood()
"""
OBSERVED = """\
data rows: spin[_, 3, 4]
param J: real
param h: real
var s: spin[len(rows), 3, 4]
observe s = rows
for r in range(len(rows)), (a, b) in torus(3, 4) { energy -J * s[r, a[0], a[1]] * s[r, b[0], b[1]] }
energy -h * sum(s)
learn J, h by maximum_likelihood()
"""


def ising(u: Numbers, s: Numbers) -> Numbers:
    pairs = s * np.roll(s, -1, axis=1) + s * np.roll(s, -1, axis=2)
    return -u[0] * pairs.sum(axis=(1, 2)) - u[1] * s.sum(axis=(1, 2))


def configurations(count: int = 150) -> tuple[Numbers, Numbers]:
    """Exact draws, and all states."""
    states = every(SPINS, 3, 4)
    return states[drawn(ising(np.array([0.3, -0.1]), states), count, 1)], states


def log_likelihood(text: str, at: dict[str, Any], **data: Any) -> float:
    """The log-likelihood of a program whose own variables are all observed, on the reference backend."""
    fitting = cg.compile(text, data=data).program.fitting
    assert fitting is not None and all(t.exact is not None for t in fitting.totals if t.names)
    backend = load_backend("numpy")
    values = {name: np.asarray(value, dtype=float)[None] for name, value in at.items()}
    found = -Density(fitting.graph, backend).energy_of_values(values)
    for total in fitting.totals:
        log_z = LogTotal(total, backend, {})
        found = found - log_z.of(log_z.constants, values)
    return float(found[0])


def listed(energy: Callable[[Numbers], Numbers], rows: Numbers, states: Numbers) -> float:
    """The same by listing: energies of rows and of all states."""
    return float(-energy(rows).sum() - len(rows) * logsumexp(-energy(states)))


@pytest.mark.parametrize("text", [ISING, OBSERVED], ids=["factor", "observed"])
def test_the_likelihood_of_an_ising_model(text: str) -> None:
    rows, states = configurations(20)
    found = log_likelihood(text, {"J": 0.4, "h": 0.2}, rows=rows)
    assert found == pytest.approx(listed(lambda s: ising(np.array([0.4, 0.2]), s), rows, states), abs=1e-8)


@pytest.mark.parametrize("mutant", ["left out", "sign", "one copy"])
def test_a_wrong_total_is_seen(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of = LogTotal.of

    def wrong(self: LogTotal, constants: Any, params: Any) -> Any:
        return of(self, constants, params) * {"left out": 0.0, "sign": -1.0, "one copy": 1 / 20}[mutant]

    monkeypatch.setattr(LogTotal, "of", wrong)
    with pytest.raises(AssertionError):
        test_the_likelihood_of_an_ising_model(ISING)


def test_rows_are_copies_of_one_total() -> None:
    rows, _ = configurations()
    fitting = cg.compile(ISING, data={"rows": rows}).program.fitting
    assert fitting is not None
    (total,) = fitting.totals
    assert total.count == len(rows)
    assert total.exact is not None and total.exact.sites.count == 12


RNG = np.random.default_rng(20261128)
W = RNG.normal(size=(4, 4))
B = RNG.normal(size=4)


def test_a_quadratic_form_is_a_sum_over_pairs() -> None:
    text = (
        "data rows: spin[_, 4]\nparam W: real[4, 4]\nparam b: real[4]\n"
        "factor Boltzmann(s: spin[4]) { energy -0.5 * s @ W @ s - mean(b * s) }\n"
        "rows ~ Boltzmann\nlearn W, b by maximum_likelihood()"
    )
    states = every(SPINS, 4)
    rows = states[[0, 3, 3, 7, 12]]

    def energy(s: Numbers) -> Numbers:
        return -0.5 * np.einsum("ni,ij,nj->n", s, W, s) - (s * B).mean(axis=1)

    found = log_likelihood(text, {"W": W, "b": B}, rows=rows)
    assert found == pytest.approx(listed(energy, rows, states), abs=1e-9)
    fitting = cg.compile(text, data={"rows": rows}).program.fitting
    assert fitting is not None and fitting.totals[0].exact is not None
    assert max(t.sites.shape[1] for t in fitting.totals[0].exact.tables) == 2


def test_a_factor_with_inputs_is_a_regression() -> None:
    """Each row has a total of its own: a log-linear model of a label is logistic regression."""
    x = RNG.normal(size=(7, 3))
    y = np.array([1, 0, 0, 1, 1, 0, 1])
    text = (
        "data x: real[_, 3]\ndata y: bool[_]\nparam w: real[3]\n"
        "factor Label(y: bool | z: real) { energy -z * y }\n"
        "y ~ Label(x @ w)\nlearn w by maximum_likelihood()"
    )
    w = np.array([0.5, -1.0, 2.0])
    z = x @ w
    expected = np.where(y == 1, log_expit(z), log_expit(-z)).sum()
    assert log_likelihood(text, {"w": w}, x=x, y=y) == pytest.approx(expected, abs=1e-9)


def test_a_potts_model_on_a_graph_with_densities_of_its_sites() -> None:
    """Densities of what the unnormalised part reads are in the total; so is a param of a simplex."""
    text = (
        "param J: positive\nparam p: simplex(3)\nvar s: category(3)[2, 4] ~ Categorical(p)\n"
        "observe s = [[0, 0, 1, 2], [1, 1, 1, 0]]\n"
        "for r in range(2), (a, b) in [[0, 1], [1, 2], [2, 0], [2, 3]] { energy -J * (s[r, a] == s[r, b]) }\n"
        "learn J, p by maximum_likelihood()"
    )
    p, pairs = np.array([0.2, 0.5, 0.3]), [(0, 1), (1, 2), (2, 0), (2, 3)]

    def energy(s: Numbers) -> Numbers:
        return -0.7 * sum((s[:, a] == s[:, b]).astype(float) for a, b in pairs) - np.log(p[s]).sum(axis=1)

    rows = np.array([[0, 0, 1, 2], [1, 1, 1, 0]])
    found = log_likelihood(text, {"J": 0.7, "p": p})
    assert found == pytest.approx(listed(energy, rows, every(np.arange(3), 4)), abs=1e-9)


N = np.array([0, 2, 1, 4, 0, 1])
COUNTS = np.arange(5)


@pytest.mark.parametrize(
    ("statements", "energy"),
    [
        (  # a type that cuts a density
            "var n: int(0, 4)[6] ~ Poisson(k)\nobserve n = [0, 2, 1, 4, 0, 1]",
            lambda n: -scipy.stats.poisson(1.5).logpmf(n),
        ),
        (  # a product of densities
            "data n: int(0, 4)[6] = [0, 2, 1, 4, 0, 1]\nn ~ Poisson(k) * Geometric(0.3)",
            lambda n: -scipy.stats.poisson(1.5).logpmf(n) - n * np.log(0.7),
        ),
        (  # two statements of one variable
            "var n: int(0, 4)[6] ~ Poisson(k)\nn ~ Geometric(0.3)\nobserve n = [0, 2, 1, 4, 0, 1]",
            lambda n: -scipy.stats.poisson(1.5).logpmf(n) - n * np.log(0.7),
        ),
        (  # a bare energy of what a density is over
            "data n: int(0, 4)[6] = [0, 2, 1, 4, 0, 1]\nn ~ Binomial(4, 0.5)\nenergy sum(k * n)",
            lambda n: -scipy.stats.binom(4, 0.5).logpmf(n) + 1.5 * n,
        ),
        (  # a constraint, and a penalty on the param
            "var n: int(0, 4)[6]\nfor i in range(6) { require n[i] != 3\n energy k * n[i] }\n"
            "observe n = [0, 2, 1, 4, 0, 1]",
            lambda n: np.where(n == 3, np.inf, 1.5 * n),
        ),
    ],
    ids=["cut", "product", "twice", "bare", "constraint"],
)
def test_what_is_no_density_is_divided_by_its_total(
    statements: str, energy: Callable[[Numbers], Numbers]
) -> None:
    text = f"param k: positive\n{statements}\nk ~ Exponential(1)\nlearn k by maximum_likelihood()"
    expected = listed(energy, N, COUNTS) - 1.5
    assert log_likelihood(text, {"k": 1.5}) == pytest.approx(expected, abs=1e-9)


RBM = """\
data v: bool[_, 3]
param W: real[3, 2]
param a: real[3]
var h: bool[len(v), 2]
factor Pair(v: bool[3], h: bool[2]) { energy -v @ W @ h - a @ v - 0.3 * sum(h) }
(v, h) ~ Pair
learn W, a by maximum_likelihood(steps=300)
"""


def rbm(w: Numbers, a: Numbers, v: Numbers, h: Numbers) -> Numbers:
    """Energies (rows of v, rows of h)."""
    return -(v @ w @ h.T) - (v @ a)[:, None] - 0.3 * h.sum(axis=1)


def test_hidden_variables_are_in_the_total_and_summed_out() -> None:
    v, h = every(np.arange(2), 3), every(np.arange(2), 2)
    fitting = cg.compile(RBM, data={"v": v[[1, 2, 2, 7]]}).program.fitting
    assert fitting is not None
    assert {x.name for x in fitting.graph.variables} == {"W", "a", "h"}
    backend, (total,) = load_backend("numpy"), fitting.totals
    w, a = RNG.normal(size=(3, 2)), RNG.normal(size=3)
    log_z = LogTotal(total, backend, {})
    found = log_z.of(log_z.constants, {"W": w[None], "a": a[None]})
    assert found[0] == pytest.approx(4 * logsumexp(-rbm(w, a, v, h)), abs=1e-9)


def test_densities_downstream_are_not_in_the_total() -> None:
    """What is measured of a hidden field follows a density: summed over all data it is 1."""
    text = (
        "data y: real[_]\nparam J: real\nparam m: real\nparam sigma: positive\n"
        "var s: spin[len(y)]\nfor (a, b) in chain(len(y)) { energy -J * s[a] * s[b] }\n"
        "y ~ Normal(m * s, sigma)\nvar next: real ~ Normal(m, sigma)\n"
        "learn J, m, sigma by maximum_likelihood()"
    )
    fitting = cg.compile(text, data={"y": RNG.normal(size=5)}).program.fitting
    assert fitting is not None
    (total,) = fitting.totals
    assert total.names == ("s",) and {x.name for x in fitting.graph.variables} == {"J", "m", "sigma", "s"}


def test_what_only_is_drawn_has_no_total() -> None:
    text = (
        "data y: real[3] = [1, 2, 4]\nparam k: real\ny ~ Normal(k, 1)\n"
        "var s: spin[9]\nfor (a, b) in chain(9) { energy -k * s[a] * s[b] }\nlearn k by maximum_likelihood()"
    )
    fitting = cg.compile(text).program.fitting
    assert fitting is not None and not fitting.totals


def test_a_total_without_params_is_a_constant() -> None:
    text = (
        "data y: real[3] = [1, 2, 4]\nparam k: real\nvar s: spin[3]\n"
        "for (a, b) in chain(3) { energy -0.5 * s[a] * s[b] }\n"
        "y ~ Normal(k * s, 1)\nlearn k by maximum_likelihood()"
    )
    fitting = cg.compile(text).program.fitting
    assert fitting is not None and not fitting.totals
    assert {x.name for x in fitting.graph.variables} == {"k", "s"}


def test_how_a_total_is_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = configurations(20)
    told = cg.compile(ISING, data={"rows": rows}).explain()
    assert "L-BFGS" in told
    assert "the total over rows, one of 20 copies, summed exactly: 12 sites of treewidth" in told
    monkeypatch.setattr("compose_lang.compiler.likelihood.partition_functions.MOST_ENTRIES", 8)
    told = cg.compile(ISING, data={"rows": rows}).explain()
    assert "stochastic approximation" in told
    assert "from persistent chains of the model, with their noise: the best order found has a width" in told


# --- fits ---


@pytest.mark.parametrize(
    "text", [ISING, pytest.param(OBSERVED, marks=pytest.mark.slow)], ids=["factor", "observed"]
)
def test_the_couplings_of_an_ising_model(text: str) -> None:
    rows, states = configurations()
    expected, likelihood = best(ising, rows, states, [0.0, 0.0])
    model = cg.compile(text, data={"rows": rows}).fitted()
    np.testing.assert_allclose([model.params["J"], model.params["h"]], expected, atol=1e-5)
    (lesson,) = model.lessons
    assert lesson.report["log_likelihood"] == pytest.approx(likelihood, abs=1e-6)
    assert not model.diagnostics


def standard_errors(expected: Numbers, rows: Numbers, states: Numbers) -> Numbers:
    """Of the couplings, from the exact covariance of what they multiply."""
    slopes = np.array([ising(np.eye(2)[k], states) for k in range(2)])
    p = np.exp(-ising(expected, states) - logsumexp(-ising(expected, states)))
    away = slopes - (slopes @ p)[:, None]
    found: Numbers = np.sqrt(np.diag(np.linalg.inv(len(rows) * (away * p) @ away.T)))
    return found


def drawn_couplings(monkeypatch: pytest.MonkeyPatch, steps: int, rows: Numbers) -> Numbers:
    """The couplings where nothing may be summed."""
    monkeypatch.setattr("compose_lang.compiler.likelihood.partition_functions.MOST_ENTRIES", 8)
    model = cg.compile(ISING.replace("hood()", f"hood(steps={steps})"), data={"rows": rows}).fitted()
    found = model.params
    assert model.lessons[0].report["by"] == "persistent chains"
    return np.array([found["J"], found["h"]])


@pytest.mark.slow
def test_the_couplings_by_chains_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise of 16 chains over 250 steps is some 0.15 of a standard error of the data (150 rows)."""
    rows, states = configurations()
    expected, _ = best(ising, rows, states, [0.0, 0.0])
    found = drawn_couplings(monkeypatch, 500, rows)
    assert (np.abs(found - expected) < 0.9 * standard_errors(expected, rows, states)).all()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ["left out", "sign", "one copy", "never moved"])
def test_wrong_chains_of_the_model_are_seen(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, states = configurations()
    expected, _ = best(ising, rows, states, [0.0, 0.0])
    mean_energy, share = ModelChains.mean_energy, {"left out": 0.0, "sign": -1.0, "one copy": 1 / len(rows)}

    def wrong(self: ModelChains, *at: Any) -> Any:
        return share[mutant] * mean_energy(self, *at)

    if mutant == "never moved":
        monkeypatch.setattr(ModelChains, "advance", lambda self, u, done, sweeps: None)
    else:
        monkeypatch.setattr(ModelChains, "mean_energy", wrong)
    found = drawn_couplings(monkeypatch, 100, rows)
    assert (np.abs(found - expected) > 3.0 * standard_errors(expected, rows, states)).any()


@pytest.mark.slow
def test_a_restricted_boltzmann_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidden units, by elimination and by chains: the likelihood that is reached is that of the maximum."""
    v, h = every(np.arange(2), 3), every(np.arange(2), 2)
    true_w, true_a = np.array([[2.0, -1.0], [1.5, 1.0], [-1.0, 2.0]]), np.array([-0.5, 0.0, 0.3])
    marginal = -logsumexp(-rbm(true_w, true_a, v, h), axis=1)
    rows = v[drawn(marginal, 300, 5)]

    def energy(u: Numbers, states: Numbers) -> Numbers:
        found: Numbers = -logsumexp(-rbm(u[:6].reshape(3, 2), u[6:], states, h), axis=1)
        return found

    _, most = best(energy, rows, v, np.concatenate([true_w.reshape(-1), true_a]))
    for limit in (2.0**24, 4.0):
        monkeypatch.setattr("compose_lang.compiler.likelihood.partition_functions.MOST_ENTRIES", limit)
        found = cg.compile(RBM, data={"v": rows}).fitted().params
        u = np.concatenate([found["W"].reshape(-1), found["a"]])
        reached = -(energy(u, rows).sum() + len(rows) * logsumexp(-energy(u, v)))
        assert most - 1.0 < reached < most + 1e-6  # of 9 params, a nat is far inside their errors


@pytest.mark.slow
def test_a_product_of_densities_over_reals() -> None:
    """Normal(k, 1) times Normal(0, 1) has mean k / 2."""
    text = (
        "data y: real[_]\nparam k: real\ny ~ Normal(k, 1) * Normal(0, 1)\n"
        "learn k by maximum_likelihood(steps=300)"
    )
    y = np.random.default_rng(3).normal(1.0, 0.7, 60)
    found = cg.compile(text, data={"y": y}).fitted().params
    error = 2.0 * np.sqrt(0.5 / 60)
    assert found["k"] == pytest.approx(2.0 * y.mean(), abs=0.6 * error)


@pytest.mark.slow
def test_an_energy_without_a_total_is_told() -> None:
    text = (
        "data y: real[3] = [1, 2, 4]\nparam k: real\nfactor Slope(x: real) { energy k * x }\n"
        "y ~ Slope\nlearn k by maximum_likelihood(steps=20)"
    )
    with pytest.raises(ComposeError, match=r"CG0701.*has no total: `y` ran off"):
        _ = cg.compile(text).fitted().params


@pytest.mark.slow
def test_chains_of_the_model_go_on_where_they_were_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = configurations(30)
    monkeypatch.setattr("compose_lang.compiler.likelihood.partition_functions.MOST_ENTRIES", 8)
    fitting = cg.compile(ISING.replace("hood()", "hood(steps=30)"), data={"rows": rows}).program.fitting
    assert fitting is not None
    whole = MaximumLikelihood(fitting).run().weights
    calls = iter(range(100))
    with pytest.raises(Stopped) as stopped:
        MaximumLikelihood(fitting).run(stop=lambda: next(calls) == 11)
    found = MaximumLikelihood(fitting).run(begun=stopped.value.state).weights
    np.testing.assert_allclose([found["J"], found["h"]], [whole["J"], whole["h"]], rtol=1e-9)
