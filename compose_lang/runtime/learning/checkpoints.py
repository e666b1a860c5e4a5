"""Checkpoints of a training: its whole state as arrays beside the weights to come, written every few seconds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np

from compose_lang.runtime.chains.sweep import named_leaves, rebuilt
from compose_lang.runtime.learning import files
from compose_lang.runtime.learning.trainer import State, Trainer

EVERY_SECONDS = 10.0


@dataclass
class Checkpoint:
    """The file that the state of a training is kept in."""

    path: Path
    written: float = field(default_factory=monotonic)

    def keep(self, state: State) -> None:
        """Write a state, unless the last one is young."""
        if monotonic() - self.written >= EVERY_SECONDS:
            self.write(state)

    def write(self, state: State) -> bool:
        """Write a state; whether it could be: training goes on without."""
        self.written = monotonic()
        arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(tree(state))}
        try:
            files.publish(self.path, arrays, {})
        except OSError:
            return False
        return True

    def read(self, trainer: Trainer) -> State | None:
        """The state of an earlier training of the same part, if it can be read."""
        try:
            arrays, _ = files.opened(self.path)
        except (OSError, ValueError):
            return None
        with trainer.backend.scope():
            like = tree(trainer.start())
            leaves = dict(named_leaves(like))
            if {n: np.shape(a) for n, a in leaves.items()} != {n: a.shape for n, a in arrays.items()}:
                return None
            given = {
                n: trainer.backend.asarray(arrays[n], getattr(a, "dtype", None))
                for n, a in leaves.items()
                if n != NUMBERS  # of more digits than the backend's
            }
            weights, average, optimiser, carried, best_weights, _ = rebuilt(
                like, {**given, NUMBERS: arrays[NUMBERS]}
            )
        step, held_out, best, best_step = (float(x) for x in arrays[NUMBERS])
        return State(
            int(step), weights, average, optimiser, carried, held_out, best, best_weights, int(best_step)
        )

    def remove(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


NUMBERS = "/5"  #: the leaf of `tree` that holds its numbers


def tree(state: State) -> object:
    numbers = np.array([state.step, state.held_out, state.best, state.best_step], dtype=np.float64)
    return (state.weights, state.average, state.optimiser, state.carried, state.best_weights, numbers)
