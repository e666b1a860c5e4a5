"""Orderings and directions: draws against exact sums and known moments; the moves' exact transition matrices."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels.common import rearrangement
from compose_lang.runtime.kernels.common.rearrangement import Rearrangement
from compose_lang.runtime.results.convergence import ess_bulk
from tests.runtime.checks import numbers
from tests.runtime.toy_blocks import OrderingTarget, tour

TOUR = """
data cost: real[4, 4] = [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0.5]]
var p: permutation(4)
var q: permutation(3)[2]
var z: category(4)
energy sum(cost[p[i], p[i + 1]] for i in range(3))
require p[0] != 3
for k in range(2) { energy 0.7 * q[k, 0] }
energy if p[z] == 2 then -1 else 0
"""
COST = np.array([[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0.5]])


def tours() -> dict[tuple[int, ...], float]:
    """The exact probability of each ordering, z summed out."""
    weights = {}
    for p in itertools.permutations(range(4)):
        along = sum(COST[p[i], p[i + 1]] for i in range(3))
        z = sum(math.exp(1.0 if p[z] == 2 else 0.0) for z in range(4))
        weights[p] = 0.0 if p[0] == 3 else math.exp(-along) * z
    total = sum(weights.values())
    return {p: w / total for p, w in weights.items()}


def assert_shares(hits: np.ndarray, p: float) -> None:
    """A share of draws (chains, draws) within 4.5 Monte-Carlo errors."""
    error = math.sqrt(p * (1 - p) / float(ess_bulk(hits.astype(float)[..., None])[0]))
    assert abs(hits.mean() - p) < 4.5 * error


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_orderings_follow_the_program(backend):
    few = backend != "jax"
    run = cg.compile(TOUR).sample(
        backend=backend, chains=2 if few else 4, draws=300 if few else 1500, warmup=20
    )
    p, q = np.asarray(run.posterior["p"]), np.asarray(run.posterior["q"])
    assert (np.sort(p, -1) == np.arange(4)).all()
    assert (p[..., 0] != 3).all()
    for order, share in tours().items():
        if share > 0.02:
            assert_shares((p == np.array(order)).all(-1), share)
    for k in range(2):
        assert_shares(q[:, :, k, 0] == 0, 1 / (1 + math.exp(-0.7) + math.exp(-1.4)))
    assert run.summary()["p[0]"]["p"]["3"] == 0


def move_matrix(kernel: Rearrangement, move: str, target: OrderingTarget) -> np.ndarray:
    """The exact transition matrix of one move: the mean over all places that it may choose."""
    n, states = target.length, target.states()
    weigh = kernel.block.weigh({"s": states}, 0)
    corners = [(a + 0.5) / n for a in range(n)]
    kinds = (0.25, 0.75) if move == "stretch" else (0.0,)
    matrix = np.zeros((len(states), len(states)))
    for i, j, kind in itertools.product(corners, corners, kinds):
        uniform = np.tile([i, j, 0.0, kind], (len(states), 1, 1))  # accepted wherever that is possible
        with kernel.backend.scope():
            values, accept_prob = getattr(kernel, move)(states, np.zeros((len(states), 1)), uniform, weigh)
        share = accept_prob[:, 0] / (n * n * len(kinds))
        np.add.at(matrix, (np.arange(len(states)), numbers(states, values)), share)
    np.fill_diagonal(matrix, matrix.diagonal() + 1 - matrix.sum(axis=1))
    return matrix


@pytest.mark.parametrize("move", ["exchange", "stretch"])
@pytest.mark.parametrize("length", [3, 4])
def test_each_move_is_in_detailed_balance(move: str, length: int) -> None:
    target, backend = tour(length), load_backend("numpy")
    matrix = move_matrix(Rearrangement(target.block(backend), backend), move, target)
    flow = target.probabilities()[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, rtol=0, atol=1e-15)
    possible = target.probabilities() > 0
    assert (np.linalg.matrix_power(matrix, 2 * length)[np.ix_(possible, possible)] > 0).all()
    assert not matrix[np.ix_(possible, ~possible)].any()


def test_a_move_that_is_not_undone_by_its_like_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that always rotates to the right."""
    target, backend = tour(), load_backend("numpy")
    kernel = Rearrangement(target.block(backend), backend)
    sound = rearrangement.moved_to
    monkeypatch.setattr(
        rearrangement, "moved_to", lambda p, i, j, b: sound(p, np.minimum(i, j), np.maximum(i, j), b)
    )
    matrix = move_matrix(kernel, "stretch", target)
    pi = target.probabilities()
    assert np.abs(pi @ matrix - pi).max() > 1e-3


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_directions_follow_von_mises_and_fisher(backend):
    """E cos θ = coth κ - 1/κ on the sphere, and I₁(κ)/I₀(κ) on the circle, as of an angle."""
    program = """
var u: unit_vector(3)[2]
for i in range(2) { energy -4 * u[i, 2] }
var a: unit_vector(2)
energy -dot([1, 0], a)
"""
    few = backend != "jax"
    run = cg.compile(program).sample(
        backend=backend, chains=2 if few else 4, draws=200 if few else 2000, warmup=200
    )
    u, a = np.asarray(run.posterior["u"]), np.asarray(run.posterior["a"])
    np.testing.assert_allclose((u**2).sum(-1), 1, rtol=1e-12)
    for x, mean in (
        (u[:, :, 0, 2], 1 / math.tanh(4) - 0.25),
        (u[:, :, 1, 2], 1 / math.tanh(4) - 0.25),
        (a[..., 0], 0.44639),
    ):
        error = x.std() / math.sqrt(float(ess_bulk(x[..., None])[0]))
        assert abs(x.mean() - mean) < 4.5 * error
    for x in (u[:, :, 0, 0], a[..., 1]):
        assert abs(x.mean()) < 4.5 * x.std() / math.sqrt(float(ess_bulk(x[..., None])[0]))


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("var p: permutation(3)\nobserve p = [0, 0, 2]", "CG0504"),
        ("var u: unit_vector(2)\nobserve u = [1, 1]", "CG0504"),
        ("var u: unit_vector(1)", "CG0204"),
        ("data p: permutation(3) = [1, 2, 3]\nvar x: real ~ Normal(p[0], 1)", "CG0304"),
        ("var p: permutation(3)\ninfer p by gibbs", "CG0601"),
        ("var p: permutation(3)\ninfer p by nuts", "CG0601"),
    ],
)
def test_mistakes(program, code):
    with pytest.raises(ComposeError) as wrong:
        cg.compile(program)
    assert [d.code for d in wrong.value.diagnostics if d.severity == "error"] == [code]


def test_observed_orderings_and_directions():
    model = cg.compile(
        "data x: real[3] = [5, 6, 7]\nvar p: permutation(3)\nvar u: unit_vector(2)[2]\n"
        "observe p = [2, 0, 1]\nobserve u[0] = [0.6, 0.8]\nenergy x[p[0]] + x[p][1] + u[0, 1] + u[1, 0]"
    )
    assert model.energy({"u": [[0.6, 0.8], [0.0, 1.0]]}) == pytest.approx(7 + 5 + 0.8)
