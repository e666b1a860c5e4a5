"""A program over finite variables alone, solved: log Z, marginals, the best point, and joint draws.

In: a graph all of whose variables are finite, few enough to sum out. Out: `Solved`, and a sampler for the driver whose
draws are independent. All in NumPy: the way up is gone once for a run, and there is nothing to compile.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.solver import Impossible, solve
from compose_lang.runtime.chains.starts import impossible
from compose_lang.runtime.chains.sweep import Advance, stored_dtype
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination.passes import Upward
from compose_lang.runtime.elimination.summed_out import Joint
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.planning.plan import Plan

MOST_NUMBERS = 2**21  #: that are drawn at a time


class Solved:
    """Finite variables and the exact answers about them."""

    def __init__(self, graph: FactorGraph, exact: Exact, weights: Learned | None = None) -> None:
        self.graph = graph
        self.exact = exact
        self.backend = load_backend("numpy")
        plan = Plan((exact.block,), exact={exact.names: exact})
        self.density = Density(graph, plan, self.backend, weights)

    @cached_property
    def joint(self) -> Joint:
        return self.density.joint(self.exact.names)

    @cached_property
    def tables(self) -> list[Array]:
        with self.backend.scope():
            return self.joint.tables(self.density.bindings({}))

    def upward(self, **how: bool) -> Upward:
        """The way up, as `Passes.upward` does it."""
        with self.backend.scope():
            passes = self.joint.passes
            return passes.upward(passes.gather(self.tables), **how)

    @cached_property
    def solved(self) -> Upward:
        """The way up with all messages kept."""
        return self.upward()

    @cached_property
    def log_evidence(self) -> float:
        """log Z in nats: of the sum of exp(-energy) over all joint values."""
        kept = "solved" in self.__dict__
        up = self.solved if kept else self.upward(keep=False)
        return -float(up.energy[0]) - self.constant

    @cached_property
    def constant(self) -> float:
        """The energy of what reads no free site."""
        with self.backend.scope():
            rest = [g for g in self.graph.groups if g not in self.exact.groups]
            energies = self.density.group_energies(rest, {})
            return float(self.joint.loose(self.tables)[0] + sum(float(e[0]) for e in energies))

    def require_possible(self) -> None:
        """CG0502 (exit code 4) where no joint value has a weight."""
        if self.log_evidence == -np.inf:
            hard = self.graph.fact(HardConstraints)
            proof = solve(hard, [0]) if hard is not None and hard.relations else None
            if isinstance(proof, Impossible):  # which names what excludes each other
                raise impossible(proof)
            required = [g for g in self.graph.groups if g.kind == "require"]
            text = "no point satisfies the constraints: every joint value has an infinite energy"
            raise ComposeError(
                Diagnostic("CG0502", text, required[0].span if required else None), exit_code=4
            )

    def marginals(self) -> dict[str, NDArray[np.float64]]:
        """By variable, the probability of each value of each site, (*shape, values); what is observed has 1."""
        up = self.solved
        self.require_possible()
        with self.backend.scope():
            passes = self.joint.passes
            sites = np.asarray(passes.of_sites(passes.beliefs(up)))[0]
        found, start = {}, 0
        for v in self.exact.sites.variables:
            values = np.array(v.type.domain.values)
            whole = (v.observed.reshape(-1, 1).astype(np.int64) == values).astype(np.float64)
            whole[v.free.reshape(-1)] = sites[start : start + v.free_sites, : len(values)]
            found[v.name] = whole.reshape(*v.type.shape, len(values))
            start += v.free_sites
        return found

    def best(self) -> dict[str, NDArray[Any]]:
        """The values (*shape) of the variables at a point of least energy."""
        self.require_possible()
        up = self.upward(best=True)
        with self.backend.scope():
            return {n: x[0] for n, x in self.values(self.joint.passes.draw(up, None)).items()}

    def values(self, digits: Array) -> dict[str, Array]:
        """The values (n, *shape) of the variables whose sites have these places among their values."""
        free = self.joint.summed.values(digits, self.backend)
        values, _ = self.density.constrain(free)
        return values

    def draw(self, uniform: Array) -> dict[str, Array]:
        """Independent draws (n, *shape) of all that is recorded. uniform (n, sites): in (0, 1)."""
        with self.backend.scope():
            values = self.values(self.joint.passes.draw(self.solved, uniform))
            return self.density.record_values(values, len(uniform))


class IndependentSweeper:
    """A `Sampler` of a solved program: a draw is a function of the seed, its chain and its number."""

    def __init__(self, solved: Solved, *, seed: int, chains: int, keep: Sequence[str]) -> None:
        self.solved = solved
        self.seed = seed
        kept = [c for c in solved.density.columns if c.name in set(keep)]
        self.stored = {c.name: stored_dtype(c.type.domain) for c in kept}
        self.capacity = max(1, MOST_NUMBERS // (chains * solved.exact.sites.count))
        self.lock = threading.Lock()

    def start(self, chains: Sequence[int]) -> NDArray[Any]:
        """The keys of chains; CG0502 where there is nothing to draw."""
        with self.lock:
            _ = self.solved.solved  # once for all lanes
            self.solved.require_possible()
        return np.asarray(noise.chain_keys(self.seed, np.asarray(chains), STREAM, self.solved.backend))

    def advance(self, batch: NDArray[Any], done: int, draws: int, sweeps: int) -> Advance:
        backend, chains = self.solved.backend, len(batch)
        specs = {"value": NoiseSpec("uniform", (self.solved.exact.sites.count,))}
        times = np.repeat(np.arange(done, done + draws), chains)[:, None]
        uniform = noise.draw(specs, np.tile(batch, (draws, 1)), times, backend)["value"]
        found = self.solved.draw(uniform)
        recorded = {}
        for name, dtype in self.stored.items():
            value = np.asarray(found[name])
            recorded[f"draw.{name}"] = value.astype(dtype or value.dtype).reshape(
                draws, chains, *value.shape[1:]
            )
        return Advance(batch, recorded, np.zeros(chains))

    def failing(self, batch: NDArray[Any], chain: int) -> list[str]:
        return []

    def pack(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"keys": batch}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: NDArray[Any]) -> NDArray[Any]:
        return like


class BestPoint(IndependentSweeper):
    """A `Sampler` whose one draw is the point of least energy, in every chain."""

    def start(self, chains: Sequence[int]) -> NDArray[Any]:
        self.solved.require_possible()
        return np.zeros((len(chains), 2), dtype=np.uint32)

    def advance(self, batch: NDArray[Any], done: int, draws: int, sweeps: int) -> Advance:
        density, chains = self.solved.density, len(batch)
        with self.lock:
            values = {name: value[None] for name, value in self.solved.best().items()}
        with self.solved.backend.scope():
            found = density.record_values(values, 1)
            energy = np.broadcast_to(density.energy_of_values(values), (chains,))
        recorded = {}
        for name, dtype in self.stored.items():
            value = np.asarray(found[name])
            whole = np.broadcast_to(value, (draws, chains, *value.shape[1:]))
            recorded[f"draw.{name}"] = whole.astype(dtype or value.dtype)
        recorded["stat.0.energy"] = np.broadcast_to(energy, (draws, chains)).copy()
        return Advance(batch, recorded, energy.copy())


STREAM = 1
"""The noise stream of draws."""
