"""Elimination against the list of all joint values: log Z, marginals, the best point, draws; and how it grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings

from compose_lang.compiler.analyses.elimination import elimination
from compose_lang.compiler.analyses.elimination_order import Buckets, TooCostly, buckets
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.elimination import passes as exact_passes
from tests.runtime.exact_programs import Problem, chain, grid, problems
from tests.work import calls

TOLERANCE = 1e-10


def largest_error(problem: Problem, backend_name: str = "numpy", padding: float = 4.0) -> float:
    """How far the exact answers are from those by listing, the worst of all."""
    backend = load_backend(backend_name)
    states = problem.states()
    energy = problem.energy(states)
    with backend.scope():
        passes, tables = problem.passes(backend, padding)

        def answers(index: Any, tables: Any) -> Any:
            here = exact_passes.Passes(passes.elimination, index, backend)
            own = here.gather(tables)
            up, best = here.upward(own), here.upward(own, best=True)
            beliefs = here.beliefs(up)
            point = here.draw(best, None, count=up.energy.shape[0])
            return up.energy, here.of_sites(beliefs), here.of_tables(beliefs, tables), point

        run = backend.compile(answers) if backend.compiles_whole else answers
        log_z, sites, marginals, point = tree_map(backend.to_numpy, run(passes.index, tables))
        low = energy.min(axis=1, keepdims=True)
        possible = np.isfinite(low[:, 0])
        weights = np.exp(np.where(np.isfinite(low), low, 0.0) - energy)
        total = weights.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            truth = np.where(possible, low[:, 0] - np.log(total), np.inf)
        found = np.broadcast_to(log_z, truth.shape)
        assert np.array_equal(np.isfinite(found), possible)
        worst = [0.0, *np.abs(found[possible] - truth[possible])]
        if possible.all():
            share = weights / total[:, None]
            for s, size in enumerate(problem.sizes):
                for value in range(size):
                    exact = share[:, states[:, s] == value].sum(axis=1)
                    worst += [*np.abs(sites[:, s, value] - exact)]
            for scope, table, marginal in zip(problem.scopes, problem.energies, marginals, strict=True):
                expected = table_marginals(states, share, scope, table)
                worst += [*np.abs(marginal - expected).reshape(-1)]
            for c, values in enumerate(np.broadcast_to(point, (len(energy), point.shape[1]))):
                row = int(np.flatnonzero((states == values).all(axis=1))[0])
                worst.append(abs(energy[c, row] - low[c, 0]))
    return float(max(worst))


def table_marginals(
    states: np.ndarray, share: np.ndarray, scope: np.ndarray, table: np.ndarray
) -> np.ndarray:
    """The probability of each entry of a table, summed over instances where they share it."""
    found = np.zeros((share.shape[0], len(scope), *table.shape[2:]))
    for i, sites in enumerate(scope):
        if (sites < 0).all():
            continue
        choices = tuple(np.where(s >= 0, states[:, s], 0) for s in sites)
        for c in range(share.shape[0]):
            np.add.at(found[c, i], choices, share[c])
    return found.sum(axis=1, keepdims=True) if table.shape[1] == 1 else found


@settings(max_examples=80, deadline=None, derandomize=True)
@given(problems())
def test_random_tables_on_numpy(problem: Problem) -> None:
    assert largest_error(problem) < TOLERANCE
    assert largest_error(problem, padding=1.0) < TOLERANCE


@settings(max_examples=6, deadline=None, derandomize=True)
@given(problems())
def test_random_tables_on_torch(problem: Problem) -> None:
    assert largest_error(problem, "torch") < TOLERANCE


TREE = Problem(
    np.array([2, 3, 2, 3, 2, 2]),
    [np.array([[1, 0], [1, 2]]), np.array([[3, 1]]), np.array([[4, 0], [5, 0], [4, 5]])],
    [np.random.default_rng(1).normal(size=(1, n, *s)) for n, s in ((2, (3, 2)), (1, (3, 3)), (3, (2, 2)))],
)


@pytest.mark.parametrize("problem", [chain(7, 3), TREE], ids=["chain", "loop"])
def test_jax_agrees(problem: Problem) -> None:
    assert largest_error(problem, "jax") < TOLERANCE


def forget_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_passes, "taken", lambda xp, a, rows: 0 * ORIGINAL["taken"](xp, a, rows))


def twice_the_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_passes, "summed", lambda total, b: ORIGINAL["summed"](2 * total, b))


def marginal_of_another_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(xp: Any, belief: Any, places: Any) -> Any:
        found = ORIGINAL["marginal"](xp, belief, places)
        return xp.flip(found, axis=2) if found.ndim > 2 else found

    monkeypatch.setattr(exact_passes, "marginal", wrong)


ORIGINAL = {name: getattr(exact_passes, name) for name in ("taken", "summed", "marginal", "place_in")}


@pytest.mark.parametrize("mutant", [forget_messages, twice_the_energy, marginal_of_another_axis])
def test_mutants_are_caught(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert largest_error(TREE) < TOLERANCE
    mutant(monkeypatch)
    assert largest_error(TREE) > 1e-3


def draws_p_value(problem: Problem, draws: int, backend_name: str = "numpy") -> float:
    """Chi-square of joint draws against the exact probabilities."""
    backend = load_backend(backend_name)
    states = problem.states()
    share = np.exp(-problem.energy(states)[0])
    with backend.scope():
        passes, tables = problem.passes(backend)
        uniform = np.random.default_rng(3).random((draws, len(problem.sizes)))

        def drawn(index: Any, tables: Any, uniform: Any) -> Any:
            here = exact_passes.Passes(passes.elimination, index, backend)
            return here.draw(here.upward(here.gather(tables)), uniform)

        run = backend.compile(drawn) if backend.compiles_whole else drawn
        found = backend.to_numpy(run(passes.index, tables, backend.asarray(uniform)))
    place = np.ravel_multi_index(tuple(found.T), tuple(problem.sizes))
    counts = np.bincount(place, minlength=len(states))
    expected = draws * share / share.sum()
    assert not counts[expected == 0].any()
    return float(scipy.stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue)


HARD = Problem(TREE.sizes, TREE.scopes, [np.where(e > 1.0, np.inf, e) for e in TREE.energies])


@pytest.mark.parametrize(
    ("backend", "draws"), [("numpy", 20000), ("numpy", 3), ("torch", 20000), ("jax", 20000)]
)
@pytest.mark.parametrize("problem", [TREE, HARD], ids=["soft", "hard"])
def test_draws_follow_the_distribution(problem: Problem, backend: str, draws: int) -> None:
    if draws > 100:
        assert draws_p_value(problem, draws, backend) > 1e-4
        return
    # few at a time are drawn without tables for every separator, by the same numbers
    numpy = load_backend("numpy")
    uniform = np.random.default_rng(3).random((300, len(problem.sizes)))
    with numpy.scope():
        passes, tables = problem.passes(numpy)
        up = passes.upward(passes.gather(tables))
        many = passes.draw(up, uniform)
        few = np.concatenate([passes.draw(up, uniform[i : i + draws]) for i in range(0, 300, draws)])
    np.testing.assert_array_equal(many, few)


def test_draws_of_a_mutant_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_passes, "place_in", lambda d, u, b: ORIGINAL["place_in"](d**1.2, u, b))
    assert draws_p_value(TREE, 20000) < 1e-9


def test_chains_and_plates_are_a_few_scans_whatever_their_size() -> None:
    def steps(problem: Problem) -> tuple[int, int]:
        laid = elimination(problem.sizes, problem.scopes, problem.order())
        return len(laid.runs), laid.steps

    assert steps(chain(50, 3)) == steps(chain(5000, 3))
    one = chain(40, 2)
    pairs = np.concatenate([one.scopes[0] + 40 * k for k in range(300)])
    plate = Problem(np.full(300 * 40, 2), [pairs], [np.zeros((1, 1, 2, 2))])
    assert steps(plate) == steps(one)


def test_a_large_forest() -> None:
    """A random tree of 100,000 sites with symmetric energies: log Z is a product over its edges."""
    rng = np.random.default_rng(0)
    n = 100_000
    parent = np.array([rng.integers(0, i) for i in range(1, n)])
    problem = Problem(
        np.full(n, 2), [np.stack([parent, np.arange(1, n)], axis=1)],
        [np.array([[-0.4, 0.4], [0.4, -0.4]])[None, None]],
    )  # fmt: skip
    energy = []

    def eliminate() -> None:
        passes, tables = problem.passes(padding=1.0)
        with load_backend("numpy").scope():
            energy.append(passes.upward(passes.gather(tables), keep=False).energy[0])

    assert calls(eliminate) < 4 * n  # 2.6 a site as it was written
    assert -energy[0] == pytest.approx(np.log(2) + (n - 1) * np.log(2 * np.cosh(0.4)), rel=1e-12)


def transfer_matrix(rows: int, columns: int, coupling: float) -> float:
    """log Z of an open Ising lattice, a row at a time."""
    spins = 1 - 2 * ((np.arange(2**columns)[:, None] >> np.arange(columns)) & 1)
    within = np.exp(coupling * (spins[:, 1:] * spins[:, :-1]).sum(axis=1))
    vector, scale = within.copy(), 0.0
    for _ in range(rows - 1):
        for k in range(columns):  # one site of the row is replaced by the one below
            pair = vector.reshape(-1, 2, 2**k)
            same, other = np.exp(coupling), np.exp(-coupling)
            vector = np.stack(
                [same * pair[:, 0] + other * pair[:, 1], other * pair[:, 0] + same * pair[:, 1]], axis=1
            ).reshape(-1)
        vector = vector * within
        scale += np.log(vector.sum())
        vector /= vector.sum()
    return float(scale + np.log(vector.sum()))


@pytest.mark.parametrize("size", [4, 12])
def test_a_lattice_against_its_transfer_matrix(size: int) -> None:
    problem = grid(size, size, 0.4406868)
    passes, tables = problem.passes(padding=1.0)
    with load_backend("numpy").scope():
        up = passes.upward(passes.gather(tables), keep=False)
    assert passes.elimination.width <= size
    assert -up.energy[0] == pytest.approx(transfer_matrix(size, size, 0.4406868), rel=1e-10)


def test_what_costs_too_much_is_told() -> None:
    problem = grid(30, 30, 0.4)
    found = buckets(problem.sizes, problem.scopes, 1e6)
    assert isinstance(found, TooCostly) and found.width > 10
    strip = grid(3, 2000, 0.4)
    found = buckets(strip.sizes, strip.scopes, 1e6)
    assert isinstance(found, Buckets) and found.width <= 4
    big = grid(256, 256, 0.4)
    assert isinstance(buckets(big.sizes, big.scopes, 1e9), TooCostly)
