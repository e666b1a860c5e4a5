"""Orderings and directions: draws against exact sums and known moments; the moves' transition matrix."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backend import load_backend
from compose_lang.runtime.convergence import ess_bulk
from compose_lang.runtime.kernels import mh

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
    few = backend == "torch"
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


def test_moves_are_symmetric_and_reach_every_ordering():
    """The proposal's transition matrix over a grid of its uniforms: symmetric, and irreducible."""

    class Block:
        name, sites, length = "p", 1, 4

    kernel = mh.Rearrangements(Block(), load_backend("numpy"))  # type: ignore[arg-type]
    orders = list(itertools.permutations(range(4)))
    place = {order: k for k, order in enumerate(orders)}
    corners = [(a + 0.5) / 4 for a in range(4)]
    matrix = np.zeros((24, 24))
    for u in itertools.product(corners, corners, (0.25, 0.75)):
        values = np.array(orders)[:, None, :]
        moved = kernel.propose(values, 0, np.tile(u, (24, 1)))
        for k in range(24):
            matrix[k, place[tuple(moved[k, 0].tolist())]] += 1
    assert (matrix == matrix.T).all()
    assert (np.linalg.matrix_power(matrix, 4) > 0).all()


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_directions_follow_von_mises_and_fisher(backend):
    """E cos θ = coth κ - 1/κ on the sphere, and I₁(κ)/I₀(κ) on the circle, as of an angle."""
    program = """
var u: unit_vector(3)[2]
for i in range(2) { energy -4 * u[i, 2] }
var a: unit_vector(2)
energy -dot([1, 0], a)
"""
    few = backend == "torch"
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
