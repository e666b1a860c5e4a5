"""What a program has learned, or learns now: weights of its learned factors and values of its fitted params.

Before: `runtime.learning`, which knows no keyboard. After: `model` and `execute`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.compiler.passes import CompiledProgram, with_params
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.chains.driver import ctrl_c_sets
from compose_lang.runtime.learning.fitted import lesson_of
from compose_lang.runtime.learning.loop import Watch
from compose_lang.runtime.learning.obtain import TrainedWeights, kept, not_learned, obtain


def learn(parts: Iterable[LearnedFactor], learning: Watch | None = None) -> list[TrainedWeights]:
    """What parts know: loaded, kept from before, or learned now. Ctrl-C ends a training, which then can go on."""
    stopping = threading.Event()
    with ctrl_c_sets(stopping):
        return obtain(parts, learning, stopping.is_set)


def fit(
    program: CompiledProgram, learning: Watch | None = None
) -> tuple[CompiledProgram, list[TrainedWeights]]:
    """A program with its params fitted, unless they are, and the lesson of it; Ctrl-C as in `learn`."""
    if program.fitting is None or program.params:
        return program, []
    stopping = threading.Event()
    with ctrl_c_sets(stopping):
        lesson = lesson_of(program.fitting, learning, stopping.is_set)
    return with_params(program, lesson.weights, lesson.findings), [lesson]


def fitted_before(program: CompiledProgram) -> CompiledProgram:
    """A program with its params as an earlier fit left them; CG0714 where they are still to be fitted."""
    fitting = program.fitting
    if fitting is None or program.params:
        return program
    lesson = kept(fitting)
    if lesson is None:
        raise ComposeError(not_learned(fitting, f"{fitting.shown}: not fitted yet"))
    return with_params(program, lesson.weights, lesson.findings)
