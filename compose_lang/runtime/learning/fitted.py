"""The values of a program's fitted params: found from an earlier run, or fitted now and kept beside the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.learning import files, weights
from compose_lang.runtime.learning.contrast import Arrays, Stopped
from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood
from compose_lang.runtime.learning.obtain import TrainedWeights, elsewhere, interrupted
from compose_lang.runtime.learning.trainer import Watch

EVERY_SECONDS = 10.0  #: between two checkpoints


def lesson_of(
    fitting: Fitting, watch: Watch | None = None, stop: Callable[[], bool] = lambda: False
) -> TrainedWeights:
    """The values of params as the weights of a lesson; CG0706 where it is told to stop, and it goes on next time."""
    found = kept(fitting)
    if found is not None:
        return found
    began = monotonic()
    path = files.writable(fitting)
    checkpoint = None if path is None else files.checkpoint_of(path)
    written = began

    def keep(state: Arrays) -> None:
        nonlocal written
        if checkpoint is not None and monotonic() - written >= EVERY_SECONDS:
            written = monotonic()
            write(checkpoint, state)

    try:
        fitted = MaximumLikelihood(fitting).run(watch, read(checkpoint), keep, stop)
    except Stopped as stopped:
        is_kept = checkpoint is not None and write(checkpoint, stopped.state)
        steps = int(fitting.options["steps"])
        raise interrupted(fitting, int(stopped.state["step"]), steps, is_kept) from None
    warnings = [[d.code, d.message, d.help] for d in fitted.findings]
    report = {**fitted.report, "warnings": warnings}
    if path is not None and checkpoint is not None:
        weights.write(path, fitting, fitted.values, report)
        with suppress(OSError):
            checkpoint.unlink(missing_ok=True)
    told = (*fitted.findings, *elsewhere(fitting, path))
    return TrainedWeights(fitting, fitted.values, "learned", path, report, monotonic() - began, told)


def kept(fitting: Fitting) -> TrainedWeights | None:
    """What an earlier run found, if it can be read."""
    for path in files.places(fitting):
        with suppress(OSError, ValueError, KeyError):  # damaged: it is fitted anew
            values, metadata = files.opened(path)
            report: dict[str, Any] = json.loads(metadata["report"])
            told = [
                Diagnostic(code, message, fitting.span, "warning", help=help)
                for code, message, help in report["warnings"]
            ]
            return TrainedWeights(fitting, values, "kept", path, report, None, tuple(told))
    return None


def write(checkpoint: Path, state: Arrays) -> bool:
    """Write a state; whether it could be: a fit goes on without."""
    try:
        files.publish(checkpoint, {name: np.asarray(a) for name, a in state.items()}, {})
    except OSError:
        return False
    return True


def read(checkpoint: Path | None) -> Arrays | None:
    """The state of an earlier fit, if it can be read."""
    if checkpoint is not None:
        with suppress(OSError, ValueError):
            return files.opened(checkpoint)[0]
    return None
