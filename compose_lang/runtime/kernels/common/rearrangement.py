"""Metropolis–Hastings over orderings: two places exchange what they hold, or a stretch is reversed or rotated.

Each move is chosen by two places, drawn uniformly and independently, and is undone by a move of its kind that is as
likely: an exchange and a reversal (Lin's 2-opt, 1965) by themselves, taking an element out and putting it in elsewhere
by putting it back. So all are symmetric. The places may coincide, and then nothing moves: orderings that share a
class and all moved at every step would never meet.

A sweep proposes as many of both as there are places. An exchange is weighed by the factors that read one of its two
places, a move of a stretch by all that read the ordering; on tours it is worth that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import PermutationBlock, Weigh
from compose_lang.runtime.kernels.common.metropolis import acceptance, sweep


@dataclass(frozen=True)
class Rearrangement:
    """A sweep over all classes of a block of orderings; it keeps no state."""

    block: PermutationBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        rounds = (self.block.classes, self.block.length, self.block.width)
        return {"exchange": NoiseSpec("uniform", (*rounds, 3)), "stretch": NoiseSpec("uniform", (*rounds, 4))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend

        def update(cls: Any, position: Position) -> tuple[Array, Array]:
            weigh = block.weigh(position, cls)
            current = block.current(position, cls)
            exchanges, stretches = noise["exchange"][:, cls], noise["stretch"][:, cls]

            def both(i: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
                return self.stretch(*self.exchange(*carry, exchanges[:, i], weigh), stretches[:, i], weigh)

            nothing = xp.zeros(current.shape[:2], dtype=backend.real)
            values, accepted = backend.loop(0, block.length, both, (current, nothing))
            return values, accepted / (2 * block.length)

        position, accept_prob = sweep(block, position, update, backend)
        return position, state, {"accept_prob": accept_prob}

    def exchange(self, current: Array, accepted: Array, uniform: Array, weigh: Weigh) -> tuple[Array, Array]:
        """Propose to exchange two places of each ordering (chains, width, n); uniform: (chains, width, 3)."""
        i, j = self.places(uniform)
        source = exchanged(self.all_places, i, j, self.backend)
        return self.move(
            current, accepted, source, uniform[..., 2], weigh, self.backend.xp.concat([i, j], axis=-1)
        )

    def stretch(self, current: Array, accepted: Array, uniform: Array, weigh: Weigh) -> tuple[Array, Array]:
        """Propose to reverse the stretch between two places, or to rotate it; uniform: (chains, width, 4)."""
        i, j = self.places(uniform)
        turned = turned_round(self.all_places, i, j, self.backend)
        moved = moved_to(self.all_places, i, j, self.backend)
        source = self.backend.xp.where(uniform[..., 3:] < 0.5, turned, moved)
        return self.move(current, accepted, source, uniform[..., 2], weigh)

    @property
    def all_places(self) -> Array:
        return self.backend.asarray(range(self.block.length), self.backend.integer)

    def places(self, uniform: Array) -> tuple[Array, Array]:
        """Two places of each ordering, each (chains, width, 1)."""
        xp = self.backend.xp
        drawn = xp.astype(xp.floor(uniform[..., :2] * self.block.length), self.backend.integer)
        return drawn[..., :1], drawn[..., 1:]

    def move(
        self,
        current: Array,
        accepted: Array,
        source: Array,
        uniform: Array,
        weigh: Weigh,
        places: Array | None = None,
    ) -> tuple[Array, Array]:
        """Take orderings whose place k holds what stood at `source[k]`, or keep those there are."""
        xp = self.backend.xp
        proposed = xp.take_along_axis(current, source, axis=-1)
        energies = weigh(xp.stack([current, proposed], axis=2), places)
        accept_prob = acceptance(energies[..., 0], energies[..., 1], self.backend)
        values = xp.where((uniform < accept_prob)[..., None], proposed, current)
        return values, accepted + accept_prob


def exchanged(places: Array, i: Array, j: Array, backend: Backend) -> Array:
    """Where each place takes its element from, when places i and j exchange theirs."""
    xp = backend.xp
    return xp.where(places == i, j, xp.where(places == j, i, places))


def turned_round(places: Array, i: Array, j: Array, backend: Backend) -> Array:
    """Where each place takes its element from, when the stretch from i to j, whichever is first, is reversed."""
    xp = backend.xp
    inside = (places >= xp.minimum(i, j)) & (places <= xp.maximum(i, j))
    return xp.where(inside, i + j - places, places)


def moved_to(places: Array, i: Array, j: Array, backend: Backend) -> Array:
    """Where each place takes its element from, when that of place i is taken out and put in at j."""
    xp = backend.xp
    forth = xp.where((places >= i) & (places < j), places + 1, places)
    back = xp.where((places > j) & (places <= i), places - 1, forth)
    return xp.where(places == j, i, back)
