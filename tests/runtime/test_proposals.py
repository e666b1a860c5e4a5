"""A density of the program's that proposes: exact transition matrices, invariance, and what it cannot propose for."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels import mh
from compose_lang.runtime.kernels.common import proposing
from compose_lang.runtime.kernels.common.proposing import Proposed
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import graph_of, views_on
from tests.runtime.checks import BROKEN, SOUND, numbers
from tests.runtime.toy_blocks import run

BACKENDS = ("numpy", "jax", "torch")
MOST_SIGMAS = 5.0

Values = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")


def stepped(text: str, start: Values, steps: int, backend: str = "numpy", sweeps: bool = False) -> Values:
    """Values of all variables after some steps of the proposal's kernel, from values (chains, *shape).

    sweeps: of all the program's blocks in turn.
    """
    graph = graph_of(text)
    views = views_on(graph, backend, plan(graph, backend))
    density, library = views.density, views.backend
    with library.scope():
        position = density.position_of(start)
        blocks = [b for b in views.blocks if sweeps or "proposal" in b.options]
        for t in range(steps):
            for place, block in enumerate(blocks):
                kernel = mh.KERNEL.bind(views.block(block.variables), library, {"step": 0.5}, 0)
                held = {name: library.to_numpy(x) for name, x in position.items()}
                done = run(kernel, library, held, 1, seed=1000 * t + place, compiled=backend == "jax")
                position = {name: library.asarray(x) for name, x in done.last.items()}
        values, _ = density.constrain(position)
        return {name: np.asarray(library.to_numpy(x)) for name, x in values.items()}


# --- discrete: exact transition matrices ------------------------------------------------------------------


def hastings(pi: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The transition matrix of proposing by q (states, states) and accepting for pi."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (pi[None, :] * q.T) / (pi[:, None] * q)
    matrix = np.where(q > 0, q * np.minimum(1.0, ratio), 0.0)
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, 1.0 - matrix.sum(axis=1))
    return matrix


T = np.array([[0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.0, 0.05, 0.95]])
ORDERS = np.array(list(itertools.permutations(range(3))))


def shifted(q: np.ndarray) -> np.ndarray:
    """What `Shift` proposes: the ordering turned on by one, or a random one."""
    turned = (ORDERS[:, None, :] == np.roll(ORDERS, -1, axis=1)[None]).all(-1).T * 1.0
    return 0.5 * turned + 0.5 / 6


#: program, states, their weights, and what is proposed from each
DISCRETE: dict[str, tuple[str, str, np.ndarray, np.ndarray, np.ndarray]] = {
    "a matrix, with a move that has no way back": (
        f"const t = {T.tolist()}\nvar z: category(3) ~ Categorical([0.2, 0.5, 0.3])\n"
        "infer z by mh(proposal=Categorical(t[z]))",
        "z", np.arange(3), np.array([0.2, 0.5, 0.3]), T,
    ),
    "counts beyond their type": (
        "var k: int(0, 4) ~ Poisson(2)\ninfer k by mh(proposal=Poisson(k + 1))",
        "k", np.arange(5), scipy.stats.poisson.pmf(np.arange(5), 2.0),
        scipy.stats.poisson.pmf(np.arange(5)[None], np.arange(5)[:, None] + 1.0),
    ),
    "truth values": (
        "var b: bool ~ Bernoulli(0.3)\ninfer b by mh(proposal=Bernoulli(if b then 0.1 else 0.7))",
        "b", np.arange(2), np.array([0.7, 0.3]), np.array([[0.3, 0.7], [0.9, 0.1]]),
    ),
    "a mixture": (
        "var k: int(0, 4)\nenergy 0.3 * k\n"
        "infer k by mh(proposal=0.8 * Binomial(4, 0.05 + 0.1 * k) + 0.2 * DiscreteUniform(0, 4))",
        "k", np.arange(5), np.exp(-0.3 * np.arange(5)),
        0.8 * scipy.stats.binom.pmf(np.arange(5)[None], 4, 0.05 + 0.1 * np.arange(5)[:, None]) + 0.04,
    ),
    "orderings": (
        "density Anew(p: permutation(n)) { energy lgamma(n + 1); draw argsort(uniform(n)) }\n"
        "density Turned(p: permutation(n) | q: permutation(n)) {\n"
        "  require p == concat(q[1:], q[:1])\n  energy 0\n  draw concat(q[1:], q[:1])\n}\n"
        "var p: permutation(3)\nenergy p[0] - 0.5 * p[2]\ninfer p by mh(proposal=0.5 * Turned(p) + 0.5 * Anew)",
        "p", ORDERS, np.exp(-ORDERS[:, 0] + 0.5 * ORDERS[:, 2]), shifted(ORDERS),
    ),
    "two at once": (
        "density Both(a: category(2), b: category(2) | m: category(2)) {\n"
        "  energy -log(if b == m then 0.8 else 0.2) - log(if a == b then 0.3 else 0.7)\n"
        "  let flip = uniform() < 0.2\n  let other = if flip then 1 - m else m\n"
        "  draw (if uniform() < 0.3 then other else 1 - other, other)\n}\n"
        "var x: category(2)\nvar y: category(2)\nenergy if x == y then 0.4 else 0\nenergy 0.6 * x\n"
        "infer x, y by mh(proposal=Both(x))",
        "x y", np.array([[0, 0], [0, 1], [1, 0], [1, 1]]),
        np.exp(-np.array([0.4, 0.0, 0.6, 1.0])),
        np.array([[(0.8 if b == m else 0.2) * (0.3 if a == b else 0.7) for a, b in np.ndindex(2, 2)]
                  for m in (0, 0, 1, 1)]),
    ),
}  # fmt: skip
CHAINS = 4000


def found_matrix(text: str, names: str, states: np.ndarray, backend: str) -> np.ndarray:
    start = np.repeat(states, CHAINS, axis=0)
    each = names.split()
    values = {names: start} if len(each) == 1 else {n: start[:, i] for i, n in enumerate(each)}
    values = {n: v.astype(bool) if "bool" in text else v for n, v in values.items()}
    end = stepped(text, values, 1, backend)
    after = end[names] if len(each) == 1 else np.stack([end[n] for n in each], axis=1)
    counts = np.zeros((len(states), len(states)))
    shape = (len(states), -1)
    rows = numbers(states.reshape(shape), after.astype(int).reshape((len(after), -1)))
    np.add.at(counts, (np.repeat(np.arange(len(states)), CHAINS), rows), 1.0)
    return counts / CHAINS


def distance(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest deviation of a frequency, in standard errors; infinite where the impossible happened."""
    sure = (exact == 0) | (exact > 1 - 1e-12)
    if not np.allclose(found[sure], exact[sure], atol=1e-12):
        return math.inf
    error = np.sqrt(exact * (1 - exact) / CHAINS)
    return float(np.max(np.abs(found - exact)[~sure] / error[~sure]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", DISCRETE)
def test_one_step_is_that_of_hastings(name: str, backend: str) -> None:
    text, names, states, weights, q = DISCRETE[name]
    exact = hastings(weights / weights.sum(), q)
    np.testing.assert_allclose(weights @ exact, weights, rtol=1e-12)
    assert distance(found_matrix(text, names, states, backend), exact) < MOST_SIGMAS


def mutant_log_density(change: str) -> Any:
    sound = Proposed.log_density

    def log_density(self: Proposed, at: Any, given: Any) -> Any:
        if change == "forgotten":
            return 0.0 * sound(self, at, given)
        return sound(self, given, at)  # swapped

    return log_density


@pytest.mark.parametrize("change", ["forgotten", "swapped"])
@pytest.mark.parametrize("name", [n for n in DISCRETE if n != "truth values"])
def test_a_wrong_density_of_the_proposal_is_seen(
    name: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, names, states, weights, q = DISCRETE[name]
    exact = hastings(weights / weights.sum(), q)
    monkeypatch.setattr(Proposed, "log_density", mutant_log_density(change))
    assert distance(found_matrix(text, names, states, "numpy"), exact) > 2 * MOST_SIGMAS


def test_values_outside_their_type_that_are_let_in_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposing, "fitting", lambda domain, value, back, backend: value == value)
    text, names, states, *_ = DISCRETE["counts beyond their type"]
    with pytest.raises(AssertionError, match="left the states"):
        found_matrix(text, names, states, "numpy")


# --- continuous: exact draws stay exact draws -------------------------------------------------------------


def gammas(rng: np.random.Generator, n: int) -> Values:
    return {"w": rng.gamma(3.0, 0.5, n)}


def halves(rng: np.random.Generator, n: int) -> Values:
    """alpha and beta with density 2 (1 - alpha) alpha …: uniform on the triangle, weighed by alpha."""
    alpha = rng.beta(2.0, 2.0, n)
    return {"alpha": alpha, "beta": rng.random(n) * (1 - alpha)}


def hierarchy(rng: np.random.Generator, n: int) -> Values:
    tau, mu = rng.gamma(3.0, 0.5, n), rng.normal(0, 1, n)
    return {"mu": mu, "tau": tau, "theta": mu[:, None] + tau[:, None] * rng.normal(size=(n, 2))}


def fisher(rng: np.random.Generator, n: int) -> Values:
    """Von Mises and Fisher's directions, kappa 2, about the last axis."""
    v = rng.random(n)
    along = 1 + np.log(v + (1 - v) * np.exp(-4.0)) / 2
    turn = rng.uniform(0, 2 * np.pi, n)
    return {
        "u": np.stack([np.sqrt(1 - along**2) * np.cos(turn), np.sqrt(1 - along**2) * np.sin(turn), along], 1)
    }


#: program, how its variables are drawn exactly, and whether its other blocks move too
CONTINUOUS: dict[str, tuple[str, Any, bool]] = {
    "log-normal": (
        "var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=LogNormal(log(w), 0.8))", gammas, False,
    ),
    "gamma with the present mean": (
        "var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=Gamma(2, 2 / w))", gammas, False,
    ),
    "normal beyond the type": ("var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=Normal(w, 1))", gammas, False),
    "independent of the state": (
        "var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=Exponential(0.7))", gammas, False,
    ),
    "a mixture of steps": (
        "density Leap(x: positive | m: positive) = 0.5 * LogNormal(log(m), 0.2) + 0.5 * LogNormal(0.3, 1)\n"
        "var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=Leap(w))", gammas, False,
    ),
    "an element each": (
        "var w: positive[3] ~ Gamma([3, 3, 3], 2)\ninfer w by mh(proposal=LogNormal(log(w), [0.2, 0.4, 0.3]))",
        lambda rng, n: {"w": rng.gamma(3.0, 0.5, (n, 3))}, False,
    ),
    "a vector at once": (
        "var p: simplex(3) ~ Dirichlet([2, 3, 4])\ninfer p by mh(proposal=Dirichlet(1 + 12 * p))",
        lambda rng, n: {"p": rng.dirichlet([2.0, 3.0, 4.0], n)}, False,
    ),
    "a circle": (
        "var a: angle ~ VonMises(3, 1.5)\ninfer a by mh(proposal=VonMises(a + 0.4, 4))",
        lambda rng, n: {"a": rng.vonmises(3.0 - 2 * np.pi, 1.5, n)}, False,
    ),
    "a direction": (
        "fn unit(x: real[n]) -> real[n] = x / norm(x)\n"
        "density Anywhere(u: unit_vector(3)) { energy log(4 * pi); draw unit(std_normal(3)) }\n"
        "var u: unit_vector(3)\nenergy -2 * u[2]\ninfer u by mh(proposal=Anywhere)", fisher, False,
    ),
    "what bounds another": (
        "var alpha: unit\nvar beta: real(0, 1 - alpha)\nalpha ~ Beta(2, 1)\n"
        "infer alpha by mh(proposal=Beta(1 + 2 * alpha, 1 + beta))", halves, True,
    ),
    "what is bounded by another": (
        "var alpha: unit\nvar beta: real(0, 1 - alpha)\nalpha ~ Beta(2, 1)\n"
        "infer beta by mh(proposal=Uniform(0, 0.5 + 0.5 * alpha))", halves, True,
    ),
    "both together": (
        "density Pair(a: unit, b: unit | m: unit) {\n"
        "  energy 0\n  draw (uniform(), uniform())\n}\n"
        "var alpha: unit\nvar beta: real(0, 1 - alpha)\nalpha ~ Beta(2, 1)\n"
        "infer alpha, beta by mh(proposal=Pair(alpha))", halves, False,
    ),
    "a scale that others are offset by": (
        "var mu: real ~ Normal(0, 1)\nvar tau: positive ~ Gamma(3, 2)\nvar theta: real[2] ~ Normal(mu, tau)\n"
        "infer tau by mh(proposal=LogNormal(log(tau) - 0.1, 0.5))", hierarchy, True,
    ),
    "what is offset": (
        "var mu: real ~ Normal(0, 1)\nvar tau: positive ~ Gamma(3, 2)\nvar theta: real[2] ~ Normal(mu, tau)\n"
        "infer theta by mh(proposal=Normal(0.9 * theta, 0.7 * tau))", hierarchy, True,
    ),
}  # fmt: skip


def p_value(name: str, backend: str = "numpy", chains: int = 4000, steps: int = 8) -> float:
    """The least p-value, over coordinates and their products, of draws after some steps against fresh ones."""
    text, draw, sweeps = CONTINUOUS[name]
    rng = np.random.default_rng(11)
    start = draw(rng, chains)
    if backend == "numpy":
        end = stepped(text, start, steps, backend, sweeps)
    assert any((end[n] != start[n]).any() for n in start)
    fresh = draw(rng, 10 * chains)
    flat = [np.concatenate([v[n].reshape((len(v[n]), -1)) for n in start], axis=1) for v in (end, fresh)]
    k = flat[0].shape[1]
    columns = [*((x[:, i] for x in flat) for i in range(k))]
    columns += [(x[:, i] * x[:, j] for x in flat) for i in range(k) for j in range(i)]
    return float(min(1.0, len(columns) * min(scipy.stats.ks_2samp(*pair).pvalue for pair in columns)))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_proposals_leave_the_density_invariant(name: str) -> None:
    assert p_value(name) > SOUND


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("log-normal", "forgotten"), ("log-normal", "swapped"), ("gamma with the present mean", "forgotten"),
        ("independent of the state", "forgotten"), ("a mixture of steps", "forgotten"),
        ("a vector at once", "forgotten"), ("what bounds another", "forgotten"), ("what is offset", "swapped"),
        ("a scale that others are offset by", "forgotten"),
    ],
)  # fmt: skip
def test_a_wrong_correction_is_seen(name: str, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proposed, "log_density", mutant_log_density(change))
    assert p_value(name) < BROKEN


@pytest.mark.parametrize("name", ["what bounds another", "a scale that others are offset by"])
def test_jacobians_of_what_moves_along_are_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted mutant: the volume by which another variable's coordinate stretches is left out."""
    sound = Density.energy_of
    monkeypatch.setattr(
        Density,
        "energy_of",
        lambda self, position, groups, names, *level: sound(self, position, groups, (), *level),
    )
    assert p_value(name) < BROKEN


# --- learned densities that propose -----------------------------------------------------------------------

PAIRS = np.random.default_rng(5).choice(6, size=300, p=[0.05, 0.3, 0.1, 0.25, 0.25, 0.05])
LEARNED = """
data k: int(1, 3)[_]
data b: bool[_]
{declared}
var x: int(1, 3)
var y: bool
(x, y) ~ P
energy 0.7 * x * y
infer x, y by mh(proposal={proposed})
"""
LEARNERS = {
    "a table": ("density P(u: int(1, 3), v: bool) = learn categorical(u=k, v=b)", "P"),
    "a perceptron": (
        "density P(u: int(1, 3), v: bool) = learn autoregressive(u=k, v=b, net=mlp(4), steps=60, rate=0.1)", "P",
    ),
    "a mixture": (
        "density P(u: int(1, 3), v: bool) = learn categorical(u=k, v=b)\n"
        "density Q(u: int(1, 3), v: bool) = learn categorical(u=k[:20], v=b[:20])",
        "0.5 * P + 0.5 * Q",
    ),
    "one that reads the state": (
        "density P(u: int(1, 3), v: bool) = learn categorical(u=k, v=b)\n"
        "density Q(u: int(1, 3), v: bool | w: int(1, 3)) = learn categorical(u=k[1:], v=b[1:], w=k[:-1])",
        "Q(x)",
    ),
}  # fmt: skip
STATES = np.array([[x, y] for x in (1, 2, 3) for y in (0, 1)])


def learned_matrices(name: str, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """The found and the exact transition matrix of a learned proposal."""
    declared, proposed = LEARNERS[name]
    data = {"k": PAIRS // 2 + 1, "b": PAIRS % 2 == 1}
    text = LEARNED.format(declared=declared, proposed=proposed)
    graph = cg.compile(text, data=data).program.graph
    start = {n: np.repeat(STATES[:, i], CHAINS) for i, n in enumerate("xy")}
    views = views_on(graph, backend, plan(graph, backend))
    density, library = views.density, views.backend
    with library.scope():
        position = {n: library.to_numpy(x) for n, x in density.position_of(start).items()}
        kernel = mh.KERNEL.bind(views.block(("x", "y")), library, {}, 0)
        end, _ = density.constrain(
            {n: library.asarray(x) for n, x in run(kernel, library, position, 1, seed=3).last.items()}
        )
        after = np.stack([np.asarray(library.to_numpy(end[n])).reshape(-1).astype(int) for n in "xy"], axis=1)
    counts = np.zeros((6, 6))
    np.add.at(counts, (np.repeat(np.arange(6), CHAINS), numbers(STATES, after)), 1.0)

    def weights(energy: str) -> np.ndarray:
        model = cg.compile(f"data k: int(1, 3)[_]\ndata b: bool[_]\n{declared}\nconst now = 1\n"
                           f"var x: int(1, 3)\nvar y: bool\n{energy}", data=data)  # fmt: skip
        model.learn()
        return np.array([np.exp(-model.energy({"x": x, "y": bool(y)})) for x, y in STATES])

    pi = weights("(x, y) ~ P\nenergy 0.7 * x * y")
    q = np.stack([weights(f"(x, y) ~ {proposed.replace('(x)', f'({x})')}") for x, _ in STATES])
    np.testing.assert_allclose(q.sum(axis=1), 1.0, atol=1e-9)
    return counts / CHAINS, hastings(pi / pi.sum(), q)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LEARNERS)
def test_one_step_of_a_learned_proposal_is_that_of_hastings(name: str, backend: str) -> None:
    assert distance(*learned_matrices(name, backend)) < MOST_SIGMAS


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learned_proposal_without_its_density_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proposed, "log_density", mutant_log_density("forgotten"))
    assert distance(*learned_matrices(name, "numpy")) > 2 * MOST_SIGMAS


def test_copies_of_a_learned_density_propose_independently() -> None:
    """A leading axis: a draw of its own for each row, and a flow's draws are its density's."""
    rows = np.random.default_rng(0).normal([1.0, -2.0], [0.5, 2.0], (600, 2))
    text = (
        "data rows: real[_, 2]\ndensity P(x: real[2]) = learn flow(x=rows, net=mlp(8), steps=40, layers=2)\n"
        "var w: real[3, 2]\nw ~ P\ninfer w by mh(proposal=P)"
    )
    run = cg.compile(text, data={"rows": rows}).sample(seed=2, chains=4, draws=500, warmup=0)
    assert np.allclose(run.sample_stats["acceptance_rate"], 1.0, atol=1e-4)
    w = np.asarray(run.posterior["w"]).reshape(-1, 6)
    assert np.abs(np.corrcoef(w.T) - np.eye(6))[[0, 0, 1, 2], [2, 4, 3, 4]].max() < 5 / np.sqrt(2000)
    both = [scipy.stats.ks_2samp(w[:, i], w[:, j]).pvalue for i, j in ((0, 2), (1, 3), (2, 4))]
    assert min(both) > SOUND


def test_jacobians_of_what_is_proposed_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted mutant: the density is taken in the coordinates of what is proposed, as the proposal's is not."""
    sound = Density.energy_of
    monkeypatch.setattr(
        Density,
        "energy_of",
        lambda self, position, groups, names, *level: sound(self, position, groups, self.variables, *level),
    )
    assert p_value("log-normal") < BROKEN


@pytest.mark.parametrize(
    "name", ["log-normal", "gamma with the present mean", "a vector at once", "a circle"]
)
def test_the_same_draws_on_every_backend(name: str) -> None:
    text, _, _ = CONTINUOUS[name]
    runs = [
        cg.compile(text).sample(seed=4, chains=2, draws=60, warmup=5, backend=b).posterior for b in BACKENDS
    ]
    for variable in runs[0]:
        reference = np.asarray(runs[0][variable])
        assert len(np.unique(reference)) > 20
        for other in runs[1:]:
            np.testing.assert_allclose(np.asarray(other[variable]), reference, rtol=1e-9, atol=1e-9)


def test_propose_from_one_factor_and_accept_by_the_rest() -> None:
    """Of a product the factor that proposes cancels: the other alone decides (Du and Kaelbling 2024, 5.3)."""
    text = "var w: real\nw ~ Normal(0, 1)\nw ~ Normal(2, 1)\ninfer w by mh(proposal=Normal(0, 1))"
    w = np.asarray(cg.compile(text).sample(chains=40, draws=400, warmup=50).posterior["w"])
    means = w.mean(axis=1)
    assert abs(means.mean() - 1.0) < 4 * means.std() / math.sqrt(40)
    assert abs((w.var(axis=1) - 0.5).mean()) < 4 * w.var(axis=1).std() / math.sqrt(40)


def test_the_plan_shows_the_proposal_as_written() -> None:
    model = cg.compile(
        "var w: real ~ Normal(0, 1)\nvar v: real ~ Normal(0, 1)\ninfer w by mh(proposal=Normal(w, 0.1))"
    )
    assert "mh(proposal=Normal(w, 0.1)) draws w: asked for" in model.explain()
    run = model.sample(draws=10, warmup=5)
    assert run.manifest.plan[0] == {
        "variables": ["w"], "kernel": "mh", "options": {"proposal": "Normal(w, 0.1)"}, "exact": False,
        "why": "asked for",
    }  # fmt: skip
    assert run.manifest.plan[1]["variables"] == ["v"]


def test_a_run_by_a_proposal_is_resumed(tmp_path: Any) -> None:
    text = "var w: positive ~ Gamma(3, 2)\ninfer w by mh(proposal=Gamma(4, 4 / w))"
    whole = cg.compile(text).sample(draws=40, warmup=10, out=tmp_path / "whole")
    part = cg.compile(text).sample(draws=15, warmup=10, out=tmp_path / "part")
    assert part.draws == 15
    again = cg.compile(text).sample(draws=40, warmup=10, out=tmp_path / "part", resume=True)
    np.testing.assert_array_equal(np.asarray(again.posterior["w"]), np.asarray(whole.posterior["w"]))


def test_a_start_is_found_though_proposals_could_not() -> None:
    text = "var w: real[2] ~ Normal(0, 1)\nrequire sum(w) > 7\ninfer w by mh(proposal=Normal(w, 0.3))"
    w = np.asarray(cg.compile(text).sample(chains=2, draws=50, warmup=0).posterior["w"])
    assert (w.sum(-1) > 7).all()


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=Normal(w))", "CG0206"),
        ("var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=Poisson(3))", "CG0204"),
        ("var w: real[2] ~ Normal(0, 1)\ninfer w by mh(proposal=Normal([0, 1, 2], 1))", "CG0203"),
        ("var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=Normal(w, 1), step=0.1)", "CG0602"),
        ("var w: real ~ Normal(0, 1)\ninfer w by hmc(proposal=Normal(w, 1))", "CG0602"),
        ("var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=Normal(q, 1))", "CG0201"),
        ("var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=Normal(w | 0, 1))", "CG0606"),
        (
            "density F(x: real) { var u: real ~ Normal(0, 1); x ~ Normal(u, 1) }\n"
            "var w: real ~ Normal(0, 1)\ninfer w by mh(proposal=F)", "CG0606",
        ),
        (
            "density F(x: real, y: real) { energy x^2 + y^2 + log(pi); draw std_normal() }\n"
            "var a: real ~ Normal(0, 1)\nvar b: real ~ Normal(0, 1)\ninfer a, b by mh(proposal=F)", "CG0206",
        ),
    ],
)  # fmt: skip
def test_mistakes(program: str, code: str) -> None:
    with pytest.raises(ComposeError) as wrong:
        cg.compile(program)
    assert [d.code for d in wrong.value.diagnostics if d.severity == "error"] == [code]


def test_a_proposal_is_taken_at_the_level_that_the_energy_is_taken_at() -> None:
    """Beside levels of noise, a step that is as wide as the noise is so at every level."""
    program = (
        "var x: real ~ Normal(0, 1)\nvar w: real ~ Normal(0, 1)\nenergy 0.0 * noise_level * x\n"
        "infer w by mh(proposal=Normal(w, 0.1 + noise_level))"
    )
    graph = cg.compile(program).program.graph
    b = load_backend("numpy")
    (request,) = graph.requests
    given, at = ({name: b.asarray([[0.0 + k]]) for name in "xw"} for k in (0, 1))
    for noise in (0.0, 0.4):
        block = Proposed(Density(graph, b), request.options["proposal"], Level(noise=b.asarray([noise])))
        np.testing.assert_allclose(
            block.log_density(at, given), scipy.stats.norm.logpdf(1.0, 0.0, 0.1 + noise)
        )
        moved, _ = block.propose(given, {"draw 0": b.asarray([1.0])})
        np.testing.assert_allclose(moved["w"], 0.1 + noise)
