"""What a kernel must pass, as functions of a kernel, so that planted mutants can be shown to fail.

Each returns p-values or bounds that the tests judge; all randomness is at fixed seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats

from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.kernels.common.kernel import BoundKernel, Kernel
from compose_lang.runtime.planning.exact import exact_block
from compose_lang.runtime.planning.plan import Plan
from tests.compiler.points import graph_of, views_on
from tests.runtime.program_targets import ProgramTarget
from tests.runtime.toy_blocks import (
    DiscreteTarget,
    OrderingTarget,
    Target,
    ToyContinuous,
    ToyDiscrete,
    run,
)

SOUND = 1e-4  #: the least p-value of a sound kernel, given a few dozen of them at fixed seeds
BROKEN = 1e-9  #: a mutant's is below this: no chance of a lucky seed


def continuous_invariance(
    bind: Callable[[ToyContinuous], BoundKernel],
    target: Target,
    backend: Backend,
    steps: int = 10,
    chains: int = 4000,
    compiled: bool = True,
) -> float:
    """Independent exact draws, a few steps, and Kolmogorov–Smirnov against fresh draws: the least p-value.

    Compared are each coordinate, its square about the mean, and the sum of all; Bonferroni-corrected.
    """
    rng = np.random.default_rng(11)
    block = target.block(backend)
    start = target.draw(rng, chains)
    with np.errstate(over="ignore", invalid="ignore"):
        end = run(bind(block), backend, {"x": start}, steps, compiled=compiled).last["x"]
    assert not np.array_equal(end, start), "no chain moved"
    if not np.isfinite(end).all():
        return 0.0
    fresh = target.draw(rng, 20 * chains)
    centre = fresh.mean(axis=0)
    pairs = [(end[:, i], fresh[:, i]) for i in range(target.size)]
    pairs += [((end[:, i] - centre[i]) ** 2, (fresh[:, i] - centre[i]) ** 2) for i in range(target.size)]
    pairs += [(end.sum(axis=1), fresh.sum(axis=1))]
    return float(min(1.0, len(pairs) * min(scipy.stats.ks_2samp(*pair).pvalue for pair in pairs)))


def transition_matrix(
    bind: Callable[[Any], BoundKernel],
    target: DiscreteTarget | OrderingTarget | ProgramTarget,
    backend: Backend,
    chains: int,
    compiled: bool = True,
) -> np.ndarray:
    """Frequencies (states, states) of one step of a kernel, from `chains` runs of it out of each state."""
    states = target.states()
    start = np.repeat(states, chains, axis=0)
    end = run(bind(target.block(backend)), backend, {"s": start}, 1, compiled=compiled).last["s"]
    counts = np.zeros((len(states), len(states)))
    np.add.at(counts, (np.repeat(np.arange(len(states)), chains), numbers(states, end)), 1.0)
    return counts / chains


def numbers(states: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The row of `states` that each state found is."""
    low, base = states.min(), np.ptp(states) + 1
    place = base ** np.arange(states[0].size)
    codes, sought = ((x.reshape(len(x), -1) - low) @ place for x in (states, found))
    order = np.argsort(codes)
    rows = order[np.clip(np.searchsorted(codes, sought, sorter=order), 0, len(codes) - 1)]
    assert np.array_equal(codes[rows], sought), "left the states"
    return rows


def discrete_invariance(
    bind: Callable[[Any], BoundKernel],
    target: DiscreteTarget | OrderingTarget | ProgramTarget,
    backend: Backend,
    chains: int = 3000,
    compiled: bool = True,
) -> float:
    """Whether π P = π for a kernel's transition matrix: the least p-value over states, Bonferroni-corrected.

    A state of probability 0 that is entered from one of positive probability makes it 0, and so does a
    matrix whose powers do not forget where they began.
    """
    pi = target.probabilities()
    matrix = transition_matrix(bind, target, backend, chains, compiled)
    feasible = pi > 0
    if matrix[np.ix_(feasible, ~feasible)].any():
        return 0.0
    pi, matrix = pi[feasible], matrix[np.ix_(feasible, feasible)]
    limit = np.linalg.matrix_power(matrix, 512)
    if np.abs(limit - limit[0]).max() > 1e-6:
        return 0.0
    variance = (pi[:, None] ** 2 * matrix * (1.0 - matrix)).sum(axis=0) / chains
    z = (pi @ matrix - pi) / np.sqrt(np.maximum(variance, 1e-12))
    return float(min(1.0, len(pi) * 2.0 * scipy.stats.norm.sf(np.abs(z).max())))


def counts_invariance(
    bind: Callable[[ToyDiscrete], BoundKernel],
    block: ToyDiscrete,
    draws: np.ndarray,
    steps: int = 10,
    compiled: bool = True,
) -> float:
    """Exact draws (chains, sites) of counts, a few steps, and a chi-square test of independence: least p-value."""
    end = run(bind(block), block.backend, {"s": draws}, steps, compiled=compiled).last["s"]
    assert not np.array_equal(end, draws), "no chain moved"
    values = []
    for i in range(draws.shape[1]):
        before, after = draws[:, i], end[:, i]
        edges = np.unique(np.quantile(before, np.linspace(0, 1, 9)[1:-1]))
        bins = [np.searchsorted(edges, column) for column in (before, after)]
        table = np.array([np.bincount(column, minlength=len(edges) + 1) for column in bins])
        values.append(scipy.stats.chi2_contingency(table[:, table.any(axis=0)]).pvalue)
    return float(min(1.0, len(values) * min(values)))


def joint_invariance(kernel: Kernel, backend: Backend, text: str, chains: int = 20000) -> float:
    """One joint draw of a program's finite variables from wherever: the chi-square p-value against all states."""
    graph = graph_of(text)
    free = [v for v in graph.variables if v.free_sites]
    found = exact(graph, free, 1e6)
    assert isinstance(found, Exact)
    views = views_on(graph, backend, Plan((exact_block(found),)))
    density = views.density
    domains = [np.array(v.type.domain.values) for v in free for _ in range(v.free_sites)]
    states = np.array(list(itertools.product(*domains)))
    ends = np.cumsum([v.free_sites for v in free])[:-1]

    def positions(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {v.name: x for v, x in zip(free, np.split(rows, ends, axis=1), strict=True)}

    with backend.scope():
        placed = {n: backend.asarray(x, backend.integer) for n, x in positions(states).items()}
        share = np.exp(-backend.to_numpy(density.energy(placed)))
        start = positions(np.repeat(states[:1], chains, axis=0))
        bound = kernel.bind(views.block(found.names), backend, {}, 0)
        end = run(bound, backend, start, 1, compiled=backend.name == "jax").last
    rows = np.concatenate([end[v.name] for v in free], axis=1)
    counts = np.bincount(numbers(states, rows), minlength=len(states))
    expected = chains * share / share.sum()
    if counts[expected == 0.0].any():
        return 0.0
    return float(scipy.stats.chisquare(counts[expected > 0.0], expected[expected > 0.0]).pvalue)
