"""A density and its kernels become two functions over a batch of chains: start, and advance by some draws.

One *sweep* is one step of every block's kernel, in the plan's order; a *draw* is what is recorded after a
number of sweeps. What a chain draws depends on the seed and its number alone: its noise comes from a
counter-based generator, keyed by (seed, chain, stream) and counted by the sweep, so chunks do not show.

Before: `views`, which bind the kernels of a plan. After: the driver, which calls `advance` chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import BoundKernel
from compose_lang.runtime.kernels.pairwise.held import Packed
from compose_lang.runtime.views.views import Views

CHUNK_DRAWS, CHUNK_BYTES = 4096, 2**25
"""Room for the draws of one chunk. It is no function of how many are wanted: a program compiled for some draws
serves any number, also from the cache of an earlier run."""

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
    """The compiled functions of one run. `capacity` is the most draws that one chunk can hold.

    fixed: coordinates (chains, …) of variables that every start has: params being fitted.
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
        kept = [column for column in self.density.columns if column.name in set(keep)]
        self.stored = {column.name: column.stored_dtype for column in kept}
        values = sum(int(np.prod(column.type.full_shape, dtype=int)) for column in kept)
        self.capacity = max(1, min(CHUNK_DRAWS, CHUNK_BYTES // max(1, 8 * chains * values)))
        if self.backend.compiles_whole:
            self._start_kernels = self.backend.compile(self._start_kernels_of)
            self._advance = self.backend.compile(self._advance_in_one)
            self._one_sweep = self.backend.compile(
                self._sweep
            )  # a function of its own, so that it is traced once
        else:
            self._start_kernels = self._start_kernels_of
            self._advance = self._advance_by_sweeps

    def start(self, chains: Sequence[int]) -> Batch:
        """Put the chains of these numbers where the energy is finite; CG0502 or CG0701 if that fails."""
        numbers = np.asarray(chains)
        with self.backend.scope():
            position = self.scattered(self._keys(numbers, START_STREAM))
            blocks = range(len(self.views.blocks))
            starts = tuple(self._keys(numbers, 2 * b + 1) for b in blocks)
            steps = tuple(self._keys(numbers, 2 * b + 2) for b in blocks)
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
        return {
            name: np.asarray(self.backend.to_numpy(leaf))
            for name, leaf in named_leaves((batch.position, batch.states))
        }

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Batch) -> Batch:
        """The batch that was packed; `like` is one of the same chains."""
        with self.backend.scope():
            names = dict(named_leaves((like.position, like.states)))
            restored = {
                name: self.backend.asarray(arrays[name], dtype=getattr(leaf, "dtype", None))
                for name, leaf in names.items()
            }
            position, states = rebuilt((like.position, like.states), restored)
            return Batch(like.keys, position, states)

    def _keys(self, chains: NDArray[Any], stream: int) -> Array:
        # by NumPy, whose bits are the same: JAX would compile each of these small operations
        keys = noise.chain_keys(self.seed, chains, stream, load_backend("numpy"))
        return self.backend.asarray(keys, self.backend.word)

    def _density(self, constants: Tree) -> Density:
        return self.density.with_constants(constants["density"])

    def _kernels(self, constants: Tree, level: Level = FULL) -> list[BoundKernel]:
        return self.views.on(constants).kernels(self.warmup, level)

    def _start_kernels_of(self, constants: Tree, keys: tuple[Array, ...], position: Position) -> Tree:
        kernels = self._kernels(constants)
        return tuple(kernel.init(position, key) for kernel, key in zip(kernels, keys, strict=True))

    def _sweep(
        self, constants: Tree, keys: tuple[Array, ...], position: Position, states: Tree, t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """A sweep of the program's density."""
        return self._moved(constants, keys, position, states, t)

    def _moved(
        self,
        constants: Tree,
        keys: tuple[Array, ...],
        position: Position,
        states: Tree,
        t: Any,
        level: Level = FULL,
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """One step of every block's kernel, and their statistics; a position is as `_hold` makes it."""
        after, statistics = [], {}
        kernels = self._kernels(constants, level)
        one = holder(kernels)
        if one is not None:
            drawn = noise.draw(one.noise, keys[0], t, self.backend)
            return one.sweep(position, drawn, t), states, {}
        for b, (kernel, state) in enumerate(zip(kernels, states, strict=True)):
            drawn = noise.draw(kernel.noise, keys[b], t, self.backend)
            position, state, found = kernel.step(position, state, drawn, t)
            after.append(state)
            statistics.update({f"stat.{b}.{name}": value for name, value in found.items()})
        return position, tuple(after), statistics

    def _hold(self, constants: Tree, position: Position) -> Tree:
        """A position as sweeps take it: where one kernel moves all, in that kernel's own arrangement if it has one."""
        one = holder(self._kernels(constants))
        return position if one is None else one.pack(position)

    def _release(self, constants: Tree, held: Tree) -> Position:
        """The position that is held."""
        one = holder(self._kernels(constants))
        return held if one is None else one.unpack({}, held)

    def _record(self, constants: Tree, position: Position) -> dict[str, Array]:
        """What is kept of a position, in the types it is stored in."""
        xp = self.backend.xp
        own = {None: self.backend.real, "int64": self.backend.integer}
        values = self._density(constants).record(position)
        return {
            f"draw.{name}": xp.astype(values[name], own[dtype] if dtype in own else getattr(xp, str(dtype)))
            for name, dtype in self.stored.items()
        }

    def _energy(self, constants: Tree, position: Position) -> Array:
        return self._density(constants).energy(position)

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
        shapes = {**self._record(constants, position), **statistics}
        buffers = {
            name: xp.zeros((self.capacity, *value.shape), dtype=value.dtype) for name, value in shapes.items()
        }

        def draw(i: Any, carry: Tree) -> Tree:
            held, states, statistics, buffers = carry

            def sweep(j: Any, carry: Tree) -> Tree:
                t = self.backend.asarray(done + i * sweeps + j, self.backend.integer)
                return self._one_sweep(constants, keys, carry[0], carry[1], t)

            held, states, statistics = loop(0, sweeps, sweep, (held, states, statistics))
            recorded = {**self._record(constants, self._release(constants, held)), **statistics}
            buffers = {
                name: self.backend.set_at(buffer, i, recorded[name]) for name, buffer in buffers.items()
            }
            return held, states, statistics, buffers

        held, states, _, buffers = loop(0, draws, draw, (held, states, statistics, buffers))
        position = self._release(constants, held)
        return position, states, buffers, self._energy(constants, position)

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
            held, states, statistics = self._sweep(constants, keys, held, states, self.backend.asarray(t))
            if (t - done + 1) % sweeps == 0:
                recorded.append({**self._record(constants, self._release(constants, held)), **statistics})
        position = self._release(constants, held)
        stacked = {name: self.backend.xp.stack([record[name] for record in recorded]) for name in recorded[0]}
        return position, states, stacked, self._energy(constants, position)


def holder(kernels: Sequence[BoundKernel]) -> Packed | None:
    """The kernel that moves all and can keep it in an arrangement of its own, if there is one."""
    return kernels[0] if len(kernels) == 1 and isinstance(kernels[0], Packed) else None


def named_leaves(tree: Tree, name: str = "") -> list[tuple[str, Array]]:
    """A tree's arrays, each under the path that leads to it."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in named_leaves(tree[key], f"{name}/{key}")]
    if isinstance(tree, tuple | list):
        return [leaf for i, part in enumerate(tree) for leaf in named_leaves(part, f"{name}/{i}")]
    return [(name, tree)]


def rebuilt(tree: Tree, values: Mapping[str, Array], name: str = "") -> Tree:
    """A tree of this structure whose arrays are taken from their paths."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: rebuilt(part, values, f"{name}/{key}") for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [rebuilt(part, values, f"{name}/{i}") for i, part in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return values[name]
