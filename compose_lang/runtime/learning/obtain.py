"""The weights of a program's parts: loaded, found from an earlier run, or learned now and kept.

In: parts. Out: a `TrainedWeights` for each. A training that is cut short leaves a checkpoint and goes on from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from compose_lang.compiler.graph.learned_factor import Joint, LearnedFactor
from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learning import files, weights
from compose_lang.runtime.learning.checkpoints import Checkpoint
from compose_lang.runtime.learning.joint import own
from compose_lang.runtime.learning.trainer import Stopped, Trainer, Watch

Learned = dict[int, dict[str, np.ndarray]]
"""id(part) -> its weights."""

INTERRUPTED = 130


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """What a part has learned, and how it was come by.

    how: `learned` now, `kept` from an earlier training, or `loaded` from the file that the program names.
    """

    part: LearnedFactor | Joint | Fitting
    weights: dict[str, np.ndarray]
    how: Literal["learned", "kept", "loaded"]
    path: Path | None  #: where the weights are; None: nowhere but here
    report: dict[str, Any]  #: of the training: rows, steps, held_out
    seconds: float | None = None  #: that the training took, now
    findings: tuple[Diagnostic, ...] = ()

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def steps(self) -> int | None:
        """Steps of training, fewer than asked for where it was stopped early; None where there are none."""
        return self.report.get("steps") or None

    @property
    def rows(self) -> int | None:
        """Rows of data that were learned from."""
        return self.report.get("rows")

    @property
    def held_out(self) -> float | None:
        """The loss of these weights on rows that they were not trained on."""
        return self.report.get("held_out")

    def __repr__(self) -> str:
        return f"<{self.how}: {self.name}>"

    def as_json(self) -> dict[str, Any]:
        part = self.part
        return {
            "name": part.name,
            "how": self.how,
            "method": part.method,
            "net": None if part.net is None else str(part.net),
            "rows": self.rows,
            "steps": self.steps,
            "held_out": self.held_out,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "weights": None if self.path is None else str(self.path),
            **(
                {"params": {n: w.tolist() for n, w in self.weights.items()}}
                if isinstance(part, Fitting)
                else {}
            ),
        }


def obtain(
    parts: Iterable[LearnedFactor], watch: Watch | None = None, stop: Callable[[], bool] = lambda: False
) -> list[TrainedWeights]:
    """A lesson of every part but foreign ones, trained where its weights are not known.

    Where `stop` says so, training ends with CG0706 (exit code 130), and goes on from there the next time.
    """
    whole: dict[int, TrainedWeights] = {}
    found = []
    for part in parts:
        if part.joint is not None:
            if id(part.joint) not in whole:
                whole[id(part.joint)] = lesson_of(part.joint, watch, stop)
            lesson = whole[id(part.joint)]
            found.append(replace(lesson, part=part, weights=own(part.joint, lesson.weights, part)))
        elif not part.is_foreign:
            found.append(lesson_of(part, watch, stop))
    return found


def by_part(lessons: Sequence[TrainedWeights]) -> Learned:
    return {id(lesson.part): lesson.weights for lesson in lessons}


def lesson_of(part: LearnedFactor | Joint, watch: Watch | None, stop: Callable[[], bool]) -> TrainedWeights:
    if part.file is not None:
        stored = weights.read(part.file, part)
        return TrainedWeights(part, stored.weights, "loaded", part.file, stored.report)
    for path in files.places(part):
        if path.exists():
            with suppress(ComposeError):  # ours, and damaged: it is learned anew
                stored = weights.read(path, part)
                return TrainedWeights(part, stored.weights, "kept", path, stored.report)
    return learn(part, watch, stop)


def learn(part: LearnedFactor | Joint, watch: Watch | None, stop: Callable[[], bool]) -> TrainedWeights:
    """Train a part and keep its weights, going on from a checkpoint where there is one."""
    began = monotonic()
    path = files.writable(part)
    checkpoint = None if path is None else Checkpoint(files.checkpoint_of(path))
    try:
        trainer = Trainer(part)
        begun = None if checkpoint is None else checkpoint.read(trainer)
    except ValueError as misfit:  # a net that does not fit the shapes says so in the user's words
        raise ComposeError(Diagnostic("CG0203", f"`{part.name}`: {misfit}", part.span)) from None
    try:
        found, state = trainer.run(watch, begun, None if checkpoint is None else checkpoint.keep, stop)
    except Stopped as stopped:
        is_kept = checkpoint is not None and checkpoint.write(stopped.state)
        raise interrupted(part, stopped.state.step, trainer.steps, is_kept) from None
    report = {
        "rows": len(next(iter(part.data.values()))),
        "steps": state.step,
        "held_out": None if not np.isfinite(state.held_out) else state.best if trainer.patience else state.held_out,
    }  # fmt: skip
    if path is not None:
        weights.write(path, part, found, report)
    if checkpoint is not None:
        checkpoint.remove()
    return TrainedWeights(part, found, "learned", path, report, monotonic() - began, elsewhere(part, path))


def interrupted(part: LearnedFactor | Joint | Fitting, step: int, steps: int, is_kept: bool) -> ComposeError:
    text = f"interrupted: `{part.name}` has learned {step:,} of {steps:,} steps"
    help = "the same command goes on from there" if is_kept else "they are lost: no folder can be written"
    return ComposeError(Diagnostic("CG0706", text, help=help), exit_code=INTERRUPTED)


def elsewhere(part: LearnedFactor | Joint | Fitting, path: Path | None) -> tuple[Diagnostic, ...]:
    """What to say where weights could not be kept beside the program."""
    if path == files.places(part)[0]:
        return ()
    where = "nowhere, and learned again by the next run" if path is None else f"in {path.parent}"
    text = f"{files.places(part)[0].parent} cannot be written: the weights of `{part.name}` are kept {where}"
    help = "`compose learn --out FILE` writes them where you say, for `load`"
    return (Diagnostic("CG0707", text, severity="warning", help=help),)
