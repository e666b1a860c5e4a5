"""A density and its kernels become two functions over a batch of chains: start, and advance by some draws.

One *sweep* is one step of every block's kernel, in the plan's order; a *draw* is what is recorded after a
number of sweeps. What a chain draws depends on the seed and its number alone: its noise comes from a
counter-based generator, keyed by (seed, chain, stream) and counted by the sweep, so chunks do not show.

Before: `views`, which bind the kernels of a plan. After: the driver, which calls `advance` chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.chains.recording import (
    CHUNK_BYTES,
    CHUNK_DRAWS,
    as_stored,
    packed,
    stored_types,
    unpacked,
)
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.chains.steps import keys_of, stepped
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import BoundKernel
from compose_lang.runtime.kernels.pairwise.held import Packed
from compose_lang.runtime.views.views import Views

START_STREAM = 0
"""The noise stream of the start; block b has `2b + 1` for its kernel's start and `2b + 2` for its steps."""


class Batch(NamedTuple):
    """Some chains between two sweeps."""

    keys: tuple[Array, ...]  #: of each block's steps, (chains, 2)
    position: Position
    states: Tree  #: the kernels' states, in the plan's order


class Advance(NamedTuple):
    """What a chunk leaves behind."""

    batch: Any  #: a `Batch`, or what else a driver's sampler carries between chunks
    draws: dict[str, NDArray[Any]]  #: `draw.NAME` and `stat.BLOCK.NAME`: (draws, chains, *shape)
    energy: NDArray[Any]  #: (chains,), after the last sweep


class Sweeper:
    """A `Sampler` by the kernels of views: the compiled functions of one run.

    What stands on it says otherwise what a sweep is (`sweep`), what is kept of a position (`record`), and which energy
    is watched (`energy`). capacity: the most draws that one chunk can hold. fixed: coordinates (chains, …) of
    variables that every start has: params being fitted.
    """

    def __init__(
        self,
        views: Views,
        *,
        seed: int,
        warmup: int,
        chains: int,
        keep: Sequence[str],
        fixed: Position | None = None,
    ) -> None:
        self.views = views
        self.density = views.density
        self.backend: Backend = views.density.backend
        self.seed = seed
        self.warmup = warmup
        self.fixed = fixed or {}
        self.stored = stored_types(self.density.columns, keep)
        values = sum(column.size for column in self.density.columns if column.name in self.stored)
        self.capacity = max(1, min(CHUNK_DRAWS, CHUNK_BYTES // max(1, 8 * chains * values)))
        if self.backend.compiles_whole:
            self._start_kernels = self.backend.compile(self._start_kernels_of)
            self._advance = self.backend.compile(self._advance_in_one)
            # a function of its own, so that it is traced once
            self._one_sweep = self.backend.compile(self.sweep)
        else:
            self._start_kernels = self._start_kernels_of
            self._advance = self._advance_by_sweeps

    def start(self, chains: Sequence[int]) -> Batch:
        """Put the chains of these numbers where the energy is finite; CG0502 or CG0701 if that fails."""
        numbers = np.asarray(chains)
        with self.backend.scope():
            position = self.scattered(self.keys(numbers, START_STREAM))
            blocks = range(len(self.views.blocks))
            starts = tuple(self.keys(numbers, 2 * b + 1) for b in blocks)
            steps = tuple(self.keys(numbers, 2 * b + 2) for b in blocks)
            states = self._start_kernels(self.views.constants, starts, position)
            return Batch(steps, position, states)

    def scattered(self, keys: Array) -> Position:
        """Where chains with these keys start."""
        return find_start(self.density, keys, self.fixed)

    def advance(self, batch: Batch, done: int, draws: int, sweeps: int) -> Advance:
        """Make `draws` times `sweeps` sweeps after `done` of them, and record the position each time."""
        with self.backend.scope():
            constants = self.views.constants
            position, states, recorded, energy = self._advance(constants, *batch, done, draws, sweeps)
            self.density.require_sound()
            kept = {name: self.backend.to_numpy(array)[:draws] for name, array in recorded.items()}
            return Advance(
                Batch(batch.keys, position, states), kept, np.asarray(self.backend.to_numpy(energy))
            )

    def failing(self, batch: Batch, chain: int) -> list[str]:
        """The factors whose energy is not finite where a chain stands."""
        with self.backend.scope():
            groups = self.density.graph.groups
            values, _ = self.density.constrain(batch.position)
            energies = [
                np.asarray(self.backend.to_numpy(energy))
                for energy in self.density.group_energies(groups, values)
            ]
        return [
            group.label
            for group, energy in zip(groups, energies, strict=True)
            if not np.isfinite(energy[chain % len(energy)])  # of data alone there is one for all chains
        ]

    def pack(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """A batch as named arrays, to be stored."""
        return packed((batch.position, batch.states), self.backend)

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Batch) -> Batch:
        """The batch that was packed; `like` is one of the same chains."""
        with self.backend.scope():
            return Batch(like.keys, *unpacked(arrays, (like.position, like.states), self.backend))

    # --- what a sampler may do otherwise ---

    def sweep(
        self, constants: Tree, keys: tuple[Array, ...], position: Position, states: Tree, t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """Sweep number t, and its statistics; a position is as its one kernel packs it, if that does."""
        return self.moved(constants, keys, position, states, t)

    def record(self, constants: Tree, position: Position) -> dict[str, Array]:
        """What is kept of a position, in the types it is stored in."""
        return as_stored(self.density_on(constants).record(position), self.stored, self.backend)

    def energy(self, constants: Tree, position: Position) -> Array:
        """The energy (chains,) by which a chain is known to be lost."""
        return self.density_on(constants).energy(position)

    # --- what all do ---

    def keys(self, chains: NDArray[Any], stream: int) -> Array:
        """A key (chains, 2) of each chain for a stream of noise."""
        return keys_of(self.seed, chains, stream, self.backend)

    def density_on(self, constants: Tree) -> Density:
        """The density on arrays that may be traced."""
        return self.density.with_constants(constants["density"])

    def moved(
        self,
        constants: Tree,
        keys: tuple[Array, ...],
        position: Position,
        states: Tree,
        t: Any,
        level: Level = FULL,
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """One step of every block's kernel at a level, and their statistics."""
        kernels = self._kernels(constants, level)
        packing = packing_kernel(kernels)
        if packing is not None:
            drawn = noise.draw(packing.noise, keys[0], t, self.backend)
            return packing.sweep(position, drawn, t), states, {}
        return stepped(kernels, keys, position, states, t, self.backend)

    # --- chunks ---

    def _kernels(self, constants: Tree, level: Level = FULL) -> list[BoundKernel]:
        return self.views.on(constants).kernels(self.warmup, level)

    def _start_kernels_of(self, constants: Tree, keys: tuple[Array, ...], position: Position) -> Tree:
        kernels = self._kernels(constants)
        return tuple(kernel.init(position, key) for kernel, key in zip(kernels, keys, strict=True))

    def _hold(self, constants: Tree, position: Position) -> Tree:
        """A position as sweeps take it: where one kernel moves all, in that kernel's own arrangement if it has one."""
        packing = packing_kernel(self._kernels(constants))
        return position if packing is None else packing.pack(position)

    def _release(self, constants: Tree, held: Tree) -> Position:
        """The position that is held."""
        packing = packing_kernel(self._kernels(constants))
        return held if packing is None else packing.unpack({}, held)

    def _advance_in_one(
        self,
        constants: Tree,
        keys: tuple[Array, ...],
        position: Position,
        states: Tree,
        done: Any,
        draws: Any,
        sweeps: Any,
    ) -> tuple[Position, Tree, dict[str, Array], Array]:
        """All of a chunk as one traced program, whose buffers have room for `capacity` draws."""
        xp, loop = self.backend.xp, self.backend.loop
        done = self.backend.asarray(done, self.backend.integer)
        held = self._hold(constants, position)
        _, _, shapes = self._one_sweep(constants, keys, held, states, done)  # unused but for its shapes
        statistics = tree_map(xp.zeros_like, shapes)
        shapes = {**self.record(constants, position), **statistics}
        buffers = {
            name: xp.zeros((self.capacity, *value.shape), dtype=value.dtype) for name, value in shapes.items()
        }

        def draw(i: Any, carry: Tree) -> Tree:
            held, states, statistics, buffers = carry

            def sweep(j: Any, carry: Tree) -> Tree:
                t = self.backend.asarray(done + i * sweeps + j, self.backend.integer)
                return self._one_sweep(constants, keys, carry[0], carry[1], t)

            held, states, statistics = loop(0, sweeps, sweep, (held, states, statistics))
            recorded = {**self.record(constants, self._release(constants, held)), **statistics}
            buffers = {
                name: self.backend.set_at(buffer, i, recorded[name]) for name, buffer in buffers.items()
            }
            return held, states, statistics, buffers

        held, states, _, buffers = loop(0, draws, draw, (held, states, statistics, buffers))
        position = self._release(constants, held)
        return position, states, buffers, self.energy(constants, position)

    def _advance_by_sweeps(
        self,
        constants: Tree,
        keys: tuple[Array, ...],
        position: Position,
        states: Tree,
        done: int,
        draws: int,
        sweeps: int,
    ) -> tuple[Position, Tree, dict[str, Array], Array]:
        """A chunk as a Python loop over sweeps, whose energies are compiled."""
        recorded = []
        held = self._hold(constants, position)
        for t in range(done, done + draws * sweeps):
            held, states, statistics = self.sweep(constants, keys, held, states, self.backend.asarray(t))
            if (t - done + 1) % sweeps == 0:
                recorded.append({**self.record(constants, self._release(constants, held)), **statistics})
        position = self._release(constants, held)
        stacked = {name: self.backend.xp.stack([record[name] for record in recorded]) for name in recorded[0]}
        return position, states, stacked, self.energy(constants, position)


def packing_kernel(kernels: Sequence[BoundKernel]) -> Packed | None:
    """The kernel that moves all and can keep it in an arrangement of its own, if there is one."""
    return kernels[0] if len(kernels) == 1 and isinstance(kernels[0], Packed) else None


class LevelSweeper(Sweeper):
    """Chains whose sweeps are made at levels of the energy that change, so that kernels keep no energies."""

    def __init__(self, views: Views, **options: Any) -> None:
        super().__init__(replace(views, is_steady=False), **options)

    def begun(self, chains: Sequence[int], add: Callable[[Batch], Tree]) -> Batch:
        """Chains at their start, with what a sampler adds to the states of the kernels."""
        batch = super().start(chains)
        with self.backend.scope():
            return batch._replace(states=(batch.states, add(batch)))

    def total_energy(self, constants: Tree, position: Position) -> Array:
        """The energy (chains,) of all factors where a position is, at no level and without Jacobians."""
        density = self.density_on(constants)
        return density.energy_without_jacobian(position)

    def statistic(self, name: str) -> str:
        """The name of a statistic of the sampler's own, after those of the blocks."""
        return f"stat.{len(self.views.blocks)}.{name}"
