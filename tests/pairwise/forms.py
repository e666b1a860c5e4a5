"""Programs in every form that serves them, and kernels driven by hand: what the tests of pairs run on."""

from __future__ import annotations

from typing import Any

import numpy as np

import compose_lang as cg
from compose_lang.compiler.analyses.gibbs_form import Form, is_packable
from compose_lang.compiler.analyses.lattice import lattice
from compose_lang.compiler.analyses.neighbour_lists import neighbours
from compose_lang.compiler.analyses.pairwise import Pairwise, pairwise
from compose_lang.compiler.analyses.thresholds import thresholds
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.plan import Plan
from tests.compiler.points import views_on

BACKENDS = ("numpy", "jax", "torch")


def graph_of(program: str, **given: Any) -> FactorGraph:
    return cg.compile(program, **given).program.graph


def pairs_of(graph: FactorGraph) -> Pairwise:
    found = pairwise(graph, graph.variables[0])
    assert isinstance(found, Pairwise), found
    return found


def forms_of(graph: FactorGraph) -> dict[str, Form]:
    """Every form that serves a program's variable, those in C under names that end in `, C`."""
    found: dict[str, Form] = {}
    p = pairs_of(graph)
    on_lattice = lattice(p)
    if on_lattice is not None:
        found["slices"] = Form("slices", on_lattice)
        if on_lattice.values == 2:
            found["slices, C"] = Form("slices", on_lattice, is_native=True)
        few = thresholds(on_lattice)
        if few is not None:
            found["thresholds"] = Form("thresholds", few)
            if is_packable(few):
                found["bits"] = Form("bits", few)
                found["bits, C"] = Form("bits", few, is_native=True)
    lists = neighbours(p)
    if lists is not None:
        found["lists"] = Form("lists", lists)
        if lists.values == 2:
            found["lists, C"] = Form("lists", lists, is_native=True)
    return found


def planned(graph: FactorGraph, form: Form | None) -> Plan:
    return Plan((Block((graph.variables[0].name,), "gibbs", structure=form),))


def swept(
    graph: FactorGraph,
    form: Form | None,
    start: np.ndarray,
    sweeps: int,
    backend: str | Backend = "numpy",
    seed: int = 0,
    chains: np.ndarray | None = None,
    first: int = 0,
) -> np.ndarray:
    """Values (chains, sites) after some sweeps of one form from a start, by the kernel's own steps."""  # fmt: skip
    b = load_backend(backend) if isinstance(backend, str) else backend
    name = graph.variables[0].name
    with b.scope():
        views = views_on(graph, b, planned(graph, form))
        keys = noise.chain_keys(seed, np.arange(len(start)) if chains is None else chains, 2, b)

        def step(constants: Any, position: Any, t: Any) -> Any:
            kernel = load_kernel("gibbs").bind(views.on(constants).block((name,)), b, {}, 0)
            return kernel.step(position, {}, noise.draw(kernel.noise, keys, t, b), t)[0]

        run = b.compile(step) if b.compiles_whole else step
        position: Any = {name: b.asarray(start)}
        for t in range(first, first + sweeps):
            position = run(views.constants, position, b.asarray(t))
        return np.asarray(b.to_numpy(position[name]))


def scattered(graph: FactorGraph, chains: int, seed: int = 0) -> np.ndarray:
    """A random start (chains, free sites)."""
    v = graph.variables[0]
    return np.random.default_rng(seed).choice(list(v.type.domain.values), size=(chains, v.free_sites))


def every_state(graph: FactorGraph) -> np.ndarray:
    """All values (states, free sites) of a small program."""
    v = graph.variables[0]
    axes = np.meshgrid(*[list(v.type.domain.values)] * v.free_sites, indexing="ij")
    return np.stack([a.reshape(-1) for a in axes], axis=1)


def energies(graph: FactorGraph, states: np.ndarray) -> np.ndarray:
    """The program's energy (states,) at values of its free sites."""
    backend = load_backend("numpy")
    with backend.scope():
        density = Density(graph, backend)
        return np.asarray(density.energy({graph.variables[0].name: backend.asarray(states)}))
