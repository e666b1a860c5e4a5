"""The weights of a program's parts: loaded, found from an earlier run, or learned now and kept.

What has been learned is kept beside the program (`PROGRAM.learned/NAME-KEY.safetensors`), under a key of all that it
depends on: data, types, net, options. A training that is cut short leaves a checkpoint there and goes on from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compose_lang.compiler.parts import Part
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learn import checkpoints, weights
from compose_lang.runtime.learn.trainer import State, Trainer, Watch

Learned = dict[int, dict[str, np.ndarray]]
"""id(part) -> its weights."""


def prepare(
    parts: Sequence[Part], watch: Watch | None = None, stop: Callable[[], bool] = lambda: False
) -> Learned:
    """The weights of every part, trained where they are not known; KeyboardInterrupt where `stop` says so."""
    return {id(part): weights_of(part, watch, stop) for part in parts if part.method != "extern"}


def weights_of(
    part: Part, watch: Watch | None = None, stop: Callable[[], bool] = lambda: False
) -> dict[str, np.ndarray]:
    """The weights of one part."""
    if part.file is not None:
        return weights.read(part.file, part)
    path = place_of(part)
    if path.exists():
        try:
            return weights.read(path, part)
        except ComposeError:
            path.unlink(missing_ok=True)  # ours, and damaged: it is learned anew
    return learn(part, path, watch, stop)


def place_of(part: Part) -> Path:
    """Where the weights of a part that is learned are kept."""
    home = part.home
    if home is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        home = cache / "compose_lang" / "learned"
    return home / f"{part.name}-{part.key[:16]}.safetensors"


def learn(part: Part, path: Path, watch: Watch | None, stop: Callable[[], bool]) -> dict[str, np.ndarray]:
    """Train a part and keep its weights, going on from a checkpoint where there is one."""
    try:
        trainer = Trainer(part)
        begun = checkpoints.read(path, trainer)
    except ValueError as misfit:  # a net that does not fit the shapes says so in the user's words
        raise ComposeError(Diagnostic("CG0203", f"`{part.name}`: {misfit}", part.span)) from None

    def keep(state: State) -> None:
        checkpoints.write(path, trainer, state)

    found, state = trainer.run(watch, begun, keep, stop)
    if stop():
        raise KeyboardInterrupt
    weights.write(path, part, found, report(part, state))
    checkpoints.remove(path)
    return found


def report(part: Part, state: State) -> dict[str, Any]:
    """What the file of weights says about the training."""
    return {
        "steps": state.step,
        "held_out": state.best if np.isfinite(state.best) else None,
        "name": part.name,
    }
