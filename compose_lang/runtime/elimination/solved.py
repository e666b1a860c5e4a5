"""A program over finite variables alone, solved: log Z, marginals, the best point, and joint draws.

In: a graph all of whose variables are finite, few enough to sum out. Out: `Solved`, which `chains/independent` draws
from. All in NumPy: the way up is gone once for a run, and there is nothing to compile.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination.passes import Upward
from compose_lang.runtime.elimination.solver import Impossible, impossible, solve
from compose_lang.runtime.elimination.summed_out import Joint, Summed
from compose_lang.runtime.learned.energy import Learned


class Solved:
    """Finite variables and the exact answers about them."""

    def __init__(self, graph: FactorGraph, exact: Exact, learned: Learned | None = None) -> None:
        self.graph = graph
        self.exact = exact
        self.backend = load_backend("numpy")
        self.density = Density(graph, self.backend, learned).evaluating([t.energy for t in exact.tables])

    @cached_property
    def joint(self) -> Joint:
        summed = Summed(self.exact, self.exact.elimination(1.0))
        index = tree_map(lambda t: self.backend.asarray(t, self.backend.integer), summed.index)
        return Joint(self.density, summed, index)

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
