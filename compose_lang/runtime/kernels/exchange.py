"""Pairs of sites whose sum must stay are drawn anew together: what `exactly_one` or `sum(x) == k` lets move.

In every set of sites whose sum a constraint fixes, the sites are paired at random, and each pair draws its two values
from their joint distribution given everything else: Gibbs sampling of two sites, along the values that keep their sum
(for a `bool` set: one on and one off, or the two exchanged). The pairing does not look at the values, so each draw
leaves the density invariant, and so does their sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.constraints.moves import sums
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.categorical import place_of, softmax_weights
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, Kernel, PairBlock
from compose_lang.runtime.kernels.common.structure import Match

MOST_ROUNDS = 100
"""Pairs of a set that are drawn in a sweep."""


@dataclass(frozen=True)
class Exchange:
    """A sweep over all sets of a block; it keeps no state."""

    block: PairBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        block = self.block
        return {
            "pairing": NoiseSpec("uniform", (block.classes, block.width, block.length)),
            "value": NoiseSpec("uniform", (block.classes, self.rounds, block.width)),
        }

    @property
    def rounds(self) -> int:
        return min(self.block.length // 2, MOST_ROUNDS)

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend

        def visit(cls: Any, carry: tuple[Position, Array]) -> tuple[Position, Array]:
            members = block.members_of(cls)
            paired = self.paired(members, noise["pairing"][:, cls])

            def draw(i: Any, carry: tuple[Position, Array]) -> tuple[Position, Array]:
                position, moved = carry
                first, second = paired[:, :, 2 * i], paired[:, :, 2 * i + 1]
                position, changed = self.draw(position, first, second, noise["value"][:, cls, i])
                return position, moved + xp.sum(xp.astype(changed, backend.real), axis=-1)

            return backend.loop(0, self.rounds, draw, carry)

        moved = xp.zeros((position[block.name].shape[0],), dtype=backend.real)
        position, moved = backend.loop(0, block.classes, visit, (position, moved))
        return position, state, {"moved": moved / block.sites}

    def paired(self, members: Array, uniform: Array) -> Array:
        """The sites of each set (chains, width, k) in a random order, padding last."""
        xp = self.backend.xp
        there = members[None] < self.block.sites
        order = xp.argsort(xp.where(there, uniform, 2.0), axis=-1)
        return xp.take_along_axis(xp.broadcast_to(members[None], uniform.shape), order, axis=-1)

    def draw(self, position: Position, first: Array, second: Array, uniform: Array) -> tuple[Position, Array]:
        """Draw two sites of each set (chains, width) from their conditional; the padded stay as they are."""
        block, xp = self.block, self.backend.xp
        start, step = block.values[0], block.values[1] - block.values[0]
        held = [block.current(position, sites) for sites in (first, second)]
        one, other, fits = self.candidates(*((x - start) // step for x in held))
        energies = block.energies(position, first, second, start + step * one, start + step * other)
        weights = softmax_weights(xp.where(fits, energies, xp.inf), self.backend)
        place, is_possible = place_of(weights, uniform, self.backend)
        draws = is_possible & (second < block.sites)
        chosen = [
            xp.where(draws, start + step * xp.take_along_axis(c, place[..., None], axis=-1)[..., 0], x)
            for c, x in zip((one, other), held, strict=True)
        ]
        sites = xp.where(second < block.sites, first, block.sites)
        position = block.assign(position, xp.concat([sites, second], axis=1), xp.concat(chosen, axis=1))
        return position, chosen[0] != held[0]

    def candidates(self, one: Array, other: Array) -> tuple[Array, Array, Array]:
        """Numbers of joint values of pairs (chains, width, C) that have these, and which of them are values."""
        xp, count = self.backend.xp, len(self.block.values)
        each = xp.arange(count, dtype=one.dtype)
        if self.block.is_even:
            firsts = xp.broadcast_to(each, (*one.shape, count))
            seconds = (one + other)[..., None] - firsts
        else:
            firsts = xp.broadcast_to(xp.repeat(each, count), (*one.shape, count**2))
            seconds = xp.broadcast_to(xp.tile(each, (count,)), firsts.shape)
        fits = (seconds >= 0) & (seconds < count)
        return firsts, xp.clip(seconds, 0, count - 1), fits


def bind(block: PairBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Pairs of the sets of a block."""
    return Exchange(block, backend)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """The sets of sites whose sums a constraint fixes."""
    sets = sums(graph, v)
    if sets is None:
        return f"`exchange` draws pairs of sites whose sum must stay, and nothing says so of `{v.name}`"
    return Match(sets)


KERNEL = Kernel(
    name="exchange",
    summary="draws pairs of sites anew, along the values that keep a sum which a constraint fixes",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
    view="sums",
)
