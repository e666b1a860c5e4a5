"""Independent draws of a program over finite variables alone, and its best point: no chain depends on the one before.

In: a program that is solved (`elimination/solved`). Out: samplers for the driver.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.chains.recording import stored_types
from compose_lang.runtime.chains.sweep import Advance
from compose_lang.runtime.elimination.solved import Solved

MOST_NUMBERS = 2**21  #: that are drawn at a time
STREAM = 1  #: of the noise of draws


class IndependentSweeper:
    """A `Sampler` of a solved program: a draw is a function of the seed, its chain and its number."""

    def __init__(self, solved: Solved, *, seed: int, chains: int, keep: Sequence[str]) -> None:
        self.solved = solved
        self.seed = seed
        self.stored = stored_types(solved.density.columns, keep)
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
