"""Gibbs sampling of finite variables, one colour class at a time (Geman and Geman 1984).

Every site of a class draws its value from its conditional distribution, softmax of minus the energies of its
values, by one uniform and the inverse of the distribution function. A value that breaks a hard constraint has
infinite energy and is never drawn; where every value does, the site keeps the one it has.

Variables whose factors are all over one site or two have faster forms, see `runtime/pairwise`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.backend import Array, Backend, Tree
from compose_lang.runtime.colour_classes import sweep
from compose_lang.runtime.kernel import BoundKernel, DiscreteBlock, Kernel, NoiseSpec, Position
from compose_lang.runtime.pairwise.forms import by_form
from compose_lang.runtime.pairwise.held import PairwiseBlock


@dataclass(frozen=True)
class Gibbs:
    """A sweep over all classes of a block; it keeps no state."""

    block: DiscreteBlock
    backend: Backend
    values: Sequence[int]

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"value": NoiseSpec("uniform", (self.block.classes, self.block.width))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp = self.block, self.backend.xp
        values = self.backend.asarray(list(self.values))

        def update(cls: Any, position: Position) -> tuple[Array, Array]:
            current = block.current(position, cls)
            candidates = xp.broadcast_to(values, (*current.shape, len(self.values)))
            weights = softmax_weights(block.energies(position, cls, candidates), self.backend)
            place, is_possible = place_of(weights, noise["value"][:, cls], self.backend)
            chosen = xp.where(is_possible, values[place], current)
            return chosen, chosen != current

        position, moved = sweep(block, position, update, self.backend)
        return position, state, {"moved": moved}


def softmax_weights(energies: Array, backend: Backend) -> Array:
    """Weights exp(least - energy) over the last axis, the largest 1; those of energies not finite are 0."""
    xp = backend.xp
    finite = xp.isfinite(energies)
    least = xp.min(xp.where(finite, energies, xp.inf), axis=-1, keepdims=True)
    return xp.where(finite, xp.exp(least - energies), 0.0)


def place_of(weights: Array, uniform: Array, backend: Backend) -> tuple[Array, Array]:
    """Where a uniform number (…) falls to among weights (…, values), and whether any of them is above 0."""
    xp = backend.xp
    cumulative = xp.cumulative_sum(weights, axis=-1)
    total = cumulative[..., -1]
    below = cumulative <= (uniform * total)[..., None]
    place = xp.sum(xp.astype(below, backend.integer), axis=-1)
    return xp.clip(place, 0, weights.shape[-1] - 1), total > 0.0


def bind(
    block: DiscreteBlock | PairwiseBlock, backend: Backend, options: Mapping[str, Any], warmup: int
) -> BoundKernel:
    """Gibbs over a block whose values can be listed."""
    if isinstance(block, PairwiseBlock):
        return by_form(block, backend)
    assert block.values is not None, "the planner gives gibbs finite blocks only"
    return Gibbs(block, backend, block.values)


KERNEL = Kernel(
    name="gibbs",
    summary="draws each site from its exact conditional distribution, a colour class at a time",
    serves=frozenset({"finite"}),
    bind=bind,
    options={},
)
