"""The values of a program's fitted params: found from an earlier run, or fitted now and kept beside the program."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.learning import files
from compose_lang.runtime.learning.loop import Stop, Watch, never
from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood
from compose_lang.runtime.learning.obtain import TrainedWeights, by_part, finished, obtain


def lesson_of(fitting: Fitting, watch: Watch | None = None, stop: Stop = never) -> TrainedWeights:
    """The values of params, fitted where they are not known; CG0706 where told to stop, and it goes on next time."""
    earlier = kept(fitting)
    if earlier is not None:
        return earlier
    learned = by_part(obtain(fitting.parts, watch, stop))
    return finished(fitting, MaximumLikelihood(fitting, learned), watch, stop)


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
