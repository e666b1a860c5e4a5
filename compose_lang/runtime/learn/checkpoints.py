"""Checkpoints of a training: its whole state as arrays beside the weights to come, written every few seconds."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import numpy as np

from compose_lang.runtime.learn.trainer import State, Trainer
from compose_lang.runtime.sweep import named_leaves, rebuilt

EVERY_SECONDS = 10.0
_written: dict[Path, float] = {}


def place(path: Path) -> Path:
    return path.with_suffix(".checkpoint.safetensors")


def write(path: Path, trainer: Trainer, state: State) -> None:
    """Keep a state, unless the last one is young; where it cannot be written, training goes on without."""
    from safetensors.numpy import save_file

    if monotonic() - _written.setdefault(path, monotonic()) < EVERY_SECONDS:
        return
    _written[path] = monotonic()
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in named_leaves(tree(state))}
    temporary = place(path).with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, temporary)
        temporary.replace(place(path))
    except OSError:
        return


def read(path: Path, trainer: Trainer) -> State | None:
    """The state of an earlier training of the same part, if it can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(place(path))
    except (OSError, SafetensorError):
        return None
    with trainer.backend.scope():
        like = tree(trainer.start())
        shapes = {name: np.shape(leaf) for name, leaf in named_leaves(like)}
        if shapes != {name: array.shape for name, array in arrays.items()}:
            return None
        leaves = dict(named_leaves(like))
        given = {n: trainer.backend.asarray(arrays[n], getattr(leaves[n], "dtype", None)) for n in shapes}
        weights, average, optimiser, carried, best_weights, numbers = rebuilt(like, given)
        step, best, best_step = (float(x) for x in np.asarray(numbers))
    return State(int(step), weights, average, optimiser, carried, best, best_weights, int(best_step))


def remove(path: Path) -> None:
    place(path).unlink(missing_ok=True)
    _written.pop(path, None)


def tree(state: State) -> object:
    numbers = np.array([state.step, state.best, state.best_step], dtype=np.float64)
    return (state.weights, state.average, state.optimiser, state.carried, state.best_weights, numbers)
