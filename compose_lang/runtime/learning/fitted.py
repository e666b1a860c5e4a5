"""The values of a program's fitted params: found from an earlier run, or fitted now and kept beside the program."""

from __future__ import annotations

from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.runtime.learning.loop import Stop, Watch, never
from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood
from compose_lang.runtime.learning.obtain import TrainedWeights, by_part, finished, kept, obtain


def lesson_of(fitting: Fitting, watch: Watch | None = None, stop: Stop = never) -> TrainedWeights:
    """The values of params, fitted where they are not known; CG0706 where told to stop, and it goes on next time."""
    known = kept(fitting)
    if known is not None:
        return known
    learned = by_part(obtain(fitting.parts, watch, stop))
    return finished(fitting, MaximumLikelihood(fitting, learned), watch, stop)
