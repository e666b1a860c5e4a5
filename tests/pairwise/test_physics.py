"""The two-dimensional Ising model against its exact solutions, in every form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ellipk

import compose_lang as cg
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.sweep import Sweeper
from tests.compiler.points import views_on
from tests.pairwise.forms import forms_of, graph_of, planned

PROGRAM = """
var s: spin[{n}, {m}]
for (p, q) in torus({n}, {m}) {{ energy -{beta} * s[p] * s[q] }}
let e = -(sum(s[i, j] * s[(i + 1) % {n}, j] for i in range({n}), j in range({m}))
  + sum(s[i, j] * s[i, (j + 1) % {m}] for i in range({n}), j in range({m}))) / ({n} * {m})
let m = abs(mean(s))
"""
CRITICAL = 0.5 * math.log(1 + math.sqrt(2))


def log_partition(n: int, m: int, beta: float) -> float:
    """log Z of an n x m torus, exactly (Kaufman 1949, equation 43)."""
    r = np.arange(2 * n)
    gamma = np.arccosh(np.cosh(2 * beta) ** 2 / np.sinh(2 * beta) - np.cos(np.pi * r / n))
    gamma[0] = 2 * beta + math.log(math.tanh(beta))
    odd, even = gamma[1::2], gamma[0::2]
    terms = [
        np.log(2 * np.cosh(m * odd / 2)).sum(),
        np.log(2 * np.abs(np.sinh(m * odd / 2))).sum(),
        np.log(2 * np.cosh(m * even / 2)).sum(),
        np.log(2 * np.abs(np.sinh(m * even / 2))).sum(),
    ]
    # the last term changes its sign with gamma_0, at the critical point
    signs = [1.0, 1.0, 1.0, float(np.sign(gamma[0]))]
    largest = max(terms)
    total = sum(sign * math.exp(t - largest) for sign, t in zip(signs, terms, strict=True))
    return -math.log(2) + 0.5 * n * m * math.log(2 * math.sinh(2 * beta)) + largest + math.log(total)


def energy_of_torus(n: int, m: int, beta: float, step: float = 1e-4) -> float:
    """The mean energy a site, by the derivative of log Z."""
    return -(log_partition(n, m, beta + step) - log_partition(n, m, beta - step)) / (2 * step * n * m)


def energy_of_plane(beta: float) -> float:
    """The energy a site of the infinite lattice (Onsager 1944)."""
    k = 2 * math.sinh(2 * beta) / math.cosh(2 * beta) ** 2
    tail = 2 / math.pi * (2 * math.tanh(2 * beta) ** 2 - 1) * float(ellipk(k * k))
    return -1 / math.tanh(2 * beta) * (1 + tail)


def magnetisation_of_plane(beta: float) -> float:
    """The spontaneous magnetisation (Yang 1952)."""
    return float((1 - math.sinh(2 * beta) ** -4) ** 0.125) if beta > CRITICAL else 0.0


def test_the_exact_solutions_agree_with_each_other_and_with_enumeration() -> None:
    states = np.array(np.meshgrid(*[[-1, 1]] * 12, indexing="ij")).reshape(12, -1).T.reshape(-1, 3, 4)
    bonds = (states * np.roll(states, 1, 1)).sum((1, 2)) + (states * np.roll(states, 1, 2)).sum((1, 2))
    for beta in (0.2, 0.44, 0.7):
        assert log_partition(3, 4, beta) == pytest.approx(np.log(np.exp(beta * bonds).sum()), rel=1e-12)
    for beta in (0.3, 0.6):  # far from the critical point size hardly matters
        assert energy_of_torus(64, 64, beta) == pytest.approx(energy_of_plane(beta), abs=1e-5)


def measured(
    n: int,
    m: int,
    beta: float,
    kind: str,
    chains: int,
    warmup: int,
    draws: int,
    thin: int,
    start: int | None = None,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Mean and standard error, between chains, of energy and |magnetisation| a site."""
    graph = graph_of(PROGRAM.format(n=n, m=m, beta=beta))
    backend = load_backend("jax")
    views = views_on(graph, backend, planned(graph, forms_of(graph)[kind]))
    sweeper = Sweeper(views, seed=3, warmup=0, chains=chains, keep=["e", "m"])
    batch = sweeper.start(range(chains))
    if start is not None:
        with backend.scope():
            batch = batch._replace(position={"s": backend.asarray(np.full((chains, n * m), start))})
    batch = sweeper.advance(batch, 0, 1, warmup).batch
    found = sweeper.advance(batch, warmup, draws, thin).draws
    each = [found[f"draw.{name}"].mean(axis=0) for name in ("e", "m")]
    return tuple((float(x.mean()), float(x.std(ddof=1) / math.sqrt(chains))) for x in each)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "kind", ["slices", "slices, C", "thresholds", "bits", "bits, C", "lists", "lists, C"]
)
def test_energy_of_a_torus(kind: str) -> None:
    (energy, error), _ = measured(64, 4, 0.35, kind, chains=16, warmup=100, draws=50, thin=4)
    assert error < 0.01
    assert abs(energy - energy_of_torus(64, 4, 0.35)) < 4 * error


@pytest.mark.parametrize("beta", [0.2, 0.35, 0.42, 0.46, 0.6])
def test_onsager_and_yang(beta: float) -> None:
    """Five temperatures on a 128 x 128 torus, from all spins up where the lattice is ordered."""
    ordered = beta > CRITICAL
    (energy, error), (m, m_error) = measured(
        128, 128, beta, "bits, C", 16, 3000, 100, 20, start=1 if ordered else None
    )
    assert abs(energy - energy_of_torus(128, 128, beta)) < 4 * error
    assert error < 3e-3
    if ordered:
        assert abs(m - magnetisation_of_plane(beta)) < 4 * m_error + 2e-4
    elif beta < 0.4:
        assert m < 0.06


def test_what_compose_runs_is_the_torus() -> None:
    """The whole way, from a program to its draws, with spins that are not stored."""
    run = cg.sample(
        PROGRAM.format(n=64, m=64, beta=0.3),
        chains=4,
        draws=100,
        warmup=200,
        thin=5,
        seed=1,
        keep=("e",),
        method="gibbs",
    )
    assert "bit by bit" in run.manifest.plan[0]["why"]
    each = run.posterior["e"].values.mean(axis=1)
    assert abs(each.mean() - energy_of_torus(64, 64, 0.3)) < 4 * max(each.std(ddof=1) / 2, 5e-4)
    whole = cg.sample(
        PROGRAM.format(n=64, m=64, beta=0.3), chains=1, draws=5, warmup=200, seed=1, method="gibbs"
    )
    s = whole.posterior["s"].values[0]
    bonds = (s * np.roll(s, -1, 1)).sum((1, 2)) + (s * np.roll(s, -1, 2)).sum((1, 2))
    np.testing.assert_allclose(whole.posterior["e"].values[0], -bonds / 64**2, atol=1e-12)
