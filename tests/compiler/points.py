"""Programs at random points: compile a text, draw values of its variables, evaluate its energy on a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part, obtain
from compose_lang.runtime.planning.plan import Plan, plan
from compose_lang.runtime.views.views import Views, views_of

Values = dict[str, np.ndarray]


def graph_of(text: str, data: Mapping[str, Any] | None = None) -> FactorGraph:
    """The factor graph of a program's text."""
    return compile_program(Source("<test>", text), data).graph


def density_of(graph: FactorGraph, backend: str | Backend = "numpy") -> Density:
    """The density of a graph on a backend, with the weights of what it learns."""
    library = load_backend(backend) if isinstance(backend, str) else backend
    return Density(graph, library, by_part(obtain(used_by(graph))))


def views_on(graph: FactorGraph, backend: str | Backend = "numpy", chosen: Plan | None = None) -> Views:
    """What the kernels of a plan see of a graph; unless it is given, of one that draws no variable exactly."""
    density = density_of(graph, backend)
    chosen = plan(graph, density.backend.name, exactly=False) if chosen is None else chosen
    return views_of(density, chosen.blocks)


def random_values(graph: FactorGraph, rng: Generator, points: int) -> Values:
    """Values (points, *shape) of every variable, inside its type; observed sites hold what is observed."""
    return {v.name: values_of(v, rng, points) for v in graph.variables}


def values_of(v: Variable, rng: Generator, points: int) -> np.ndarray:
    drawn = inside(v.type.domain, (points, *v.type.shape), rng)
    free = v.free.reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape)))
    drawn = np.where(free, drawn, v.observed)
    return drawn.astype(bool) if v.type.domain.kind == "bool" else drawn


def inside(domain: Domain, shape: tuple[int, ...], rng: Generator) -> np.ndarray:
    """Random values of a domain, away from its edges."""
    match domain.kind:
        case "simplex":
            return rng.dirichlet(np.full(domain.size, 2.0), shape)
        case "ordered":
            return np.sort(rng.normal(size=(*shape, domain.size)), axis=-1)
        case "positive_ordered":
            return np.cumsum(rng.uniform(0.2, 1.0, (*shape, domain.size)), axis=-1)
        case "unit_vector":
            drawn = rng.normal(size=(*shape, domain.size))
            return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
        case "cholesky_corr":
            lower = np.tril(rng.normal(size=(*shape, domain.size, domain.size)), -1) + np.eye(domain.size)
            return lower / np.linalg.norm(lower, axis=-1, keepdims=True)
        case "permutation":
            return np.argsort(rng.random((*shape, domain.size)), axis=-1)
        case "angle":
            return rng.uniform(-np.pi, np.pi, shape)
        case _ if domain.is_discrete:
            values = np.array(domain.values if domain.is_finite else range(6))
            return rng.choice(values, shape)
    low, high = domain.lower, domain.upper
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * rng.uniform(0.1, 0.9, shape)
    if np.isfinite(low):
        return low + rng.gamma(3.0, 0.5, shape)
    return high - rng.gamma(3.0, 0.5, shape) if np.isfinite(high) else rng.normal(0.0, 1.2, shape)


def energies(density: Density, values: Values) -> np.ndarray:
    """Energies (points,) of a density at values of every variable, compiled where the backend compiles."""
    backend = density.backend
    points = len(next(iter(values.values())))
    with backend.scope():
        arrays = {name: backend.asarray(v) for name, v in values.items()}
        evaluate = backend.compile(
            lambda constants, at: density.with_constants(constants).energy_of_values(at)
        )
        found = np.asarray(backend.to_numpy(evaluate(density.constants, arrays)))
    return np.broadcast_to(found, (points,))


def hard_of(graph: FactorGraph) -> HardConstraints:
    """The hard constraints that a graph has."""
    hard = graph.fact(HardConstraints)
    assert hard is not None
    return hard
