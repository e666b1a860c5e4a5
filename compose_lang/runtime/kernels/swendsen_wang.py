"""Cluster flips of variables whose sites meet in pairs (Swendsen and Wang 1987), in any fields.

A pair of energy -J [a = b + offset] whose preference is met is bound with probability 1 - exp(-J). Given the bonds all
that is left of the density are the fields: every cluster of bound sites moves all its values on by one number, drawn
with the weight that the fields give to it. Both are exact conditional draws of the joint density of values and bonds,
so nothing is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.potts import clusters
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.categorical import place_of, softmax_weights
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.components import components
from compose_lang.runtime.kernels.common.kernel import BondBlock, BoundKernel, Kernel
from compose_lang.runtime.kernels.common.structure import Match


@dataclass(frozen=True)
class SwendsenWang:
    """One draw of all bonds, then of all clusters; it keeps no state."""

    block: BondBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {
            "bond": NoiseSpec("uniform", (self.block.pairs,)),
            "value": NoiseSpec("uniform", (self.block.sites,)),
        }

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, backend, xp = self.block, self.backend, self.backend.xp
        count = len(block.values)
        places = block.places(position)
        first, second = block.ends
        met = (places[:, first] - places[:, second] - block.offsets) % count == 0
        bound = met & (noise["bond"] < self.probability(block.couplings))
        label = components(bound, first, second, block.sites, backend)
        if block.has_field:
            step = self.weighed_step(block.field(position), places, label, noise["value"])
        else:
            step = xp.astype(xp.floor(noise["value"] * count), places.dtype)
        moved = (places + xp.take_along_axis(step, label, axis=1)) % count
        is_root = label == xp.arange(block.sites, dtype=label.dtype)[None]
        clusters = xp.sum(xp.astype(is_root, backend.real), axis=1)
        return block.assign(position, moved), state, {"clusters": clusters}

    def probability(self, couplings: Array) -> Array:
        """That a pair whose preference is met is bound."""
        return -self.backend.xp.expm1(-couplings)

    def weighed_step(self, field: Array, places: Array, label: Array, uniform: Array) -> Array:
        """By how much each root's cluster moves on, given energies (chains, sites, K) of the sites' values."""
        xp, backend = self.backend.xp, self.backend
        chains, sites, count = field.shape
        steps = xp.arange(count, dtype=places.dtype)
        moved = (places[:, :, None] + steps) % count
        energies = xp.take_along_axis(field, moved, axis=2).reshape((chains, sites * count))
        index = (label[:, :, None] * count + steps).reshape((chains, sites * count))
        summed = backend.add_at(xp.zeros_like(energies), index, energies).reshape((chains, sites, count))
        drawn, is_possible = place_of(softmax_weights(summed, backend), uniform, backend)
        return xp.where(is_possible, xp.astype(drawn, places.dtype), 0)


def bind(block: BondBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Cluster flips of a block of pairs."""
    return SwendsenWang(block, backend)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """The pairs of sites that bonds may join."""
    pairs = clusters(graph, v)
    if isinstance(pairs, str):
        return (
            f"`swendsen_wang` flips clusters of sites that prefer to agree, but `{v.name}` has none: {pairs}"
        )
    return Match(pairs)


KERNEL = Kernel(
    name="swendsen_wang",
    summary="binds pairs that agree, and moves what is bound together as one",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
    view="bonds",
)
