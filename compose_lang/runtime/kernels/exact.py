"""Exact draws: finite variables jointly from their distribution given all else, by elimination and backward sampling.

Where there is nothing else and all energies are known, `runtime/chains/independent` makes all draws at once
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels import gibbs
from compose_lang.runtime.kernels.common.kernel import BoundKernel, JointBlock, Kernel, Option


@dataclass(frozen=True)
class Exact:
    """One joint draw a step; it keeps no state."""

    block: JointBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"value": NoiseSpec("uniform", (self.block.sites,))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        return self.block.draw(position, noise["value"]), state, {}


def bind(block: JointBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Exact draws of a block whose joint values can be summed over."""
    return Exact(block, backend)


KERNEL = Kernel(
    name="exact",
    summary="draws finite variables jointly from their exact distribution given all else",
    serves=frozenset({"finite"}),
    bind=bind,
    options={"max_cost": Option(1e9, "entries of all joint tables at most")},
    view="joint",
    at_shares=gibbs.KERNEL.name,
)
