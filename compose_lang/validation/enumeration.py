"""A small discrete program summed up: every joint state weighed, so that marginals and log Z are known exactly."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part, obtain

MOST_STATES = 2**18
CHUNK = 2**14


@dataclass(frozen=True)
class Enumerated:
    """log_z in nats; marginals: by variable, the probability of each value of each site, (sites, values)."""

    log_z: float
    marginals: dict[str, NDArray[np.float64]]


def is_small(graph: FactorGraph) -> bool:
    """Whether the joint values of the program's free variables can be listed, and are at most MOST_STATES."""
    bits = 0.0
    for v in graph.variables:
        if v.free_sites:
            bits += (
                v.free_sites * math.log2(len(v.type.domain.values)) if v.type.domain.is_finite else math.inf
            )
    return bits <= math.log2(MOST_STATES)


def enumerate_states(graph: FactorGraph) -> Enumerated:
    """Sum up a program that `is_small`."""
    free = [v for v in graph.variables if v.free_sites]
    domains = [np.array(v.type.domain.values) for v in free]
    digits = [range(len(d)) for v, d in zip(free, domains, strict=True) for _ in range(v.free_sites)]
    density = Density(graph, load_backend("numpy"), by_part(obtain(used_by(graph))))
    states = itertools.product(*digits)
    kept, energies = [], []
    while chunk := list(itertools.islice(states, CHUNK)):
        digit = np.array(chunk)
        values, start = {}, 0
        for v, domain in zip(free, domains, strict=True):
            whole = np.broadcast_to(v.observed, (len(chunk), *v.type.shape)).copy()
            whole[:, v.free] = domain[digit[:, start : start + v.free_sites]]
            values[v.name] = whole.astype(bool) if v.type.domain.kind == "bool" else whole
            start += v.free_sites
        energies.append(np.broadcast_to(density.energy_of_values(values), (len(chunk),)))
        kept.append(digit.astype(np.int16))
    energy, digit = np.concatenate(energies), np.concatenate(kept)
    lowest = energy.min()
    weights = np.exp(lowest - energy)
    total = weights.sum()
    marginals, start = {}, 0
    for v, domain in zip(free, domains, strict=True):
        columns = digit[:, start : start + v.free_sites].T
        marginals[v.name] = np.stack(
            [np.bincount(column, weights, len(domain)) / total for column in columns]
        )
        start += v.free_sites
    return Enumerated(float(np.log(total) - lowest), marginals)
