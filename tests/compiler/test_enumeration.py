"""Gibbs and Metropolis–Hastings on small programs against the exact distribution: enumeration, and quadrature.

Many short chains run side by side; the mean of a statistic over a chain's last sweeps is independent between
chains, so its standard error needs no estimate of the autocorrelation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.views.views import Views
from tests.compiler.discrete_programs import DISCRETE, ORDERINGS
from tests.compiler.points import density_of, graph_of, views_on

CHAINS, SETTLE, KEEP = 600, 25, 25
MOST_SIGMAS = 5.0  # about 2,000 statistics are compared: one in a thousand runs would exceed this by chance
Values = dict[str, np.ndarray]


def assigned(graph: FactorGraph, discrete: str, continuous: str = "mh", backend: str = "numpy") -> Views:
    """What these kernels see of the density."""
    blocks = [
        Block((v.name,), discrete if v.is_discrete else continuous) for v in graph.variables if v.free_sites
    ]
    return views_on(graph, backend, Plan(tuple(blocks)))


def sampled(views: Views, settle: int, keep: int) -> list[Values]:
    """Values of all variables after each of the kept sweeps."""
    density, backend = views.density, views.backend
    chains = np.arange(CHAINS)
    with backend.scope():
        position = find_start(density, noise.chain_keys(1, chains, 0, backend))
        kernels, states = [], []
        for place, block in enumerate(views.blocks):
            kernel = load_kernel(block.kernel).bind(views.block(block.variables), backend, {}, settle)
            kernels.append((kernel, noise.chain_keys(1, chains, place + 1, backend)))
            states.append(kernel.init(position, kernels[-1][1]))

        def sweep(position: Any, states: Any, t: Any) -> Any:
            after = []
            for (kernel, keys), state in zip(kernels, states, strict=True):
                position, state, _ = kernel.step(
                    position, state, noise.draw(kernel.noise, keys, t, backend), t
                )
                after.append(state)
            return position, after

        run = backend.compile(sweep) if backend.compiles_whole else sweep
        found = []
        for t in range(settle + keep):
            position, states = run(position, states, backend.asarray(t))
            if t >= settle:
                values = density.constrain(position)[0]
                found.append({name: np.asarray(backend.to_numpy(v)) for name, v in values.items()})
    return found


def statistics(values: Values) -> np.ndarray:
    """What is compared of points: indicators of every value of every site, and products of all pairs (points, n)."""
    flat = np.concatenate([v.reshape(len(v), -1).astype(float) for v in values.values()], axis=1)
    discrete = [v.reshape(len(v), -1) for v in values.values() if v.dtype.kind in "bi"]
    shown = [flat]
    for array in discrete:
        shown.extend((array == value).astype(float) for value in range(-1, 4))
    first, second = np.triu_indices(flat.shape[1])
    return np.concatenate([*shown, flat[:, first] * flat[:, second]], axis=1)


def disagreement(density: Density, exact: np.ndarray, settle: int = SETTLE, keep: int = KEEP) -> float:
    """The largest distance of a sampled statistic from the exact one, in standard errors."""
    per_chain = np.mean([statistics(v) for v in sampled(density, settle, keep)], axis=0)
    error = per_chain.std(axis=0, ddof=1) / np.sqrt(CHAINS)
    assert np.allclose(per_chain[:, error == 0].mean(axis=0), exact[error == 0], atol=1e-3)
    sure = error > 0
    return float(np.max(np.abs(per_chain.mean(axis=0) - exact)[sure] / error[sure]))


def site_values(v: Variable) -> list[np.ndarray]:
    """The values (values, *event) each site can take: one where it is observed."""
    domain = v.type.domain
    if domain.kind == "permutation":
        every = np.array(list(itertools.permutations(range(domain.size))))
    else:
        every = np.array(domain.values)
    held = v.observed.reshape((v.type.sites, *domain.event_shape))
    return [every if free else held[k : k + 1] for k, free in enumerate(v.free.reshape(-1))]


def enumerated(graph: FactorGraph) -> Values:
    """All configurations of the discrete variables, one a row."""
    members = [v for v in graph.variables if v.is_discrete]
    every = {v.name: site_values(v) for v in members}
    table = np.indices([len(values) for sites in every.values() for values in sites])
    rows = iter(table.reshape(len(table), -1))
    found = {}
    for v in members:
        columns = [values[next(rows)] for values in every[v.name]]
        array = np.stack(columns, axis=1).reshape((-1, *v.type.full_shape))
        found[v.name] = array.astype(bool) if v.type.domain.kind == "bool" else array
    return found


def expectation(density: Density, values: Values, log_measure: np.ndarray | float = 0.0) -> np.ndarray:
    """Exact means of the statistics over weighted points."""
    with np.errstate(divide="ignore"):
        weights = log_measure - density.energy_of_values(values)
    probability = np.exp(weights - logsumexp(weights))
    assert len(probability) <= 2**18
    return probability @ statistics(values)


@pytest.mark.parametrize("method", ["gibbs", "mh"])
@pytest.mark.parametrize("name", DISCRETE)
def test_samplers_agree_with_enumeration(name: str, method: str) -> None:
    graph = graph_of(DISCRETE[name])
    exact = expectation(density_of(graph), enumerated(graph))
    assert disagreement(assigned(graph, method), exact) < MOST_SIGMAS


@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, "numpy") for name in ORDERINGS), *itertools.product(["a tour", "several"], ["jax", "torch"])],
)
def test_orderings_agree_with_enumeration(name: str, backend: str) -> None:
    graph = graph_of(ORDERINGS[name])
    exact = expectation(density_of(graph), enumerated(graph))
    assert disagreement(assigned(graph, "mh", backend=backend), exact, 10, 10) < MOST_SIGMAS


MIXED: dict[str, tuple[str, str, np.ndarray]] = {
    "assignments": (
        """
        data y: real[3] = [-1, 0.4, 2.2]
        var z: category(2)[3]; var m: real ~ Normal(0, 1.5)
        z ~ Categorical([0.3, 0.7])
        for i in range(3) { if z[i] == 1 { y[i] ~ Normal(m, 1) } else { y[i] ~ Normal(-1, 0.7) } }
        """,
        "m",
        np.linspace(-8.0, 8.0, 2001),
    ),
    "a scale": (
        """
        data y: real[3] = [0.2, -0.4, 2.2]
        var b: bool[3] ~ Bernoulli(0.4); var s: positive ~ Exponential(1)
        y ~ Normal(0, [if b[i] then 3 * s else s for i in range(3)])
        """,
        "s",
        np.linspace(1e-3, 20.0, 8001),
    ),
    "an unbounded truncation": (
        """
        var s: spin[2]; var u: real(0, 1)
        u ~ Beta(2, 3); for (i, j) in chain(2) { energy -2 * u * s[i] * s[j] }; require s[0] == 1 or u < 0.5
        """,
        "u",
        np.linspace(5e-4, 1.0 - 5e-4, 1000),
    ),
    "bounds that a discrete variable sets": (
        """
        var k: category(3); var b: bool; var x: real(if b then -1 else 0, 1 + k)
        energy 0.8 * x; energy 0.3 * k
        """,
        "x",
        np.linspace(-1.0 + 5e-4, 3.0 - 5e-4, 4000),
    ),
}  # fmt: skip


def quadrature(graph: FactorGraph, name: str, grid: np.ndarray) -> np.ndarray:
    discrete = enumerated(graph)
    rows = len(next(iter(discrete.values())))
    values = {
        v.name: np.repeat(discrete[v.name], len(grid), axis=0) if v.is_discrete else np.tile(grid, rows)
        for v in graph.variables
    }
    return expectation(density_of(graph), values)


@pytest.mark.parametrize("name", MIXED)
def test_mixed_programs_agree_with_quadrature(name: str) -> None:
    text, variable, grid = MIXED[name]
    graph = graph_of(text)
    exact = quadrature(graph, variable, grid)
    assert disagreement(assigned(graph, "gibbs"), exact, settle=250, keep=150) < MOST_SIGMAS


def flipped(graph: FactorGraph) -> FactorGraph:
    from compose_lang.compiler.ir.build import node

    return replace(graph, groups=tuple(replace(g, energy=node("neg", g.energy)) for g in graph.groups))


MUTANTS: dict[str, Callable[[FactorGraph], FactorGraph]] = {
    "wrong sign": flipped,
    "dropped factor": lambda graph: replace(graph, groups=graph.groups[:-1]),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("method", ["gibbs", "mh"])
def test_mutants_disagree(mutant: str, method: str) -> None:
    """Planted mutants: a sampler of another program's energy is told from enumeration."""
    graph = graph_of(DISCRETE["categories"])
    exact = expectation(density_of(graph), enumerated(graph))
    assert disagreement(assigned(MUTANTS[mutant](graph), method), exact) > 2 * MOST_SIGMAS
