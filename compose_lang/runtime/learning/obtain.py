"""The weights of a program's parts: loaded, found from an earlier run, or learned now and kept.

In: parts. Out: a `TrainedWeights` for each. A training that is cut short leaves a checkpoint and goes on from it.
"""

from __future__ import annotations

import json
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
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learning import files, weights
from compose_lang.runtime.learning.checkpoints import Checkpoint
from compose_lang.runtime.learning.joint import own
from compose_lang.runtime.learning.loop import Stop, Stopped, Training, Watch, never
from compose_lang.runtime.learning.trainer import Trainer

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
    parts: Iterable[LearnedFactor], watch: Watch | None = None, stop: Stop = never
) -> list[TrainedWeights]:
    """The weights of every part but foreign ones, trained where they are not known.

    Where `stop` says so, training ends with CG0706 (exit code 130), and goes on from there the next time.
    """
    return of_each(parts, lambda part: lesson_of(part, watch, stop))


def existing(parts: Iterable[LearnedFactor]) -> list[TrainedWeights]:
    """The weights of every part but foreign ones; CG0714 where some have still to be learned. Nothing is trained."""

    def known(part: LearnedFactor | Joint) -> TrainedWeights:
        weights = stored(part)
        if weights is None:
            raise ComposeError(not_learned(part, f"`{part.name}` is not learned yet"))
        return weights

    return of_each(parts, known)


def not_learned(part: LearnedFactor | Joint | Fitting, text: str) -> Diagnostic:
    """CG0714: what is asked for needs weights or params that are still to be learned."""
    help = "`compose learn F.cg` learns and keeps what the program declares; from Python, `model.learn()`"
    return Diagnostic("CG0714", text, part.span, help=help)


def of_each(
    parts: Iterable[LearnedFactor], weights_of: Callable[[LearnedFactor | Joint], TrainedWeights]
) -> list[TrainedWeights]:
    """The weights of each part but foreign ones; those of parts fitted together are taken out of the whole's."""
    wholes: dict[int, TrainedWeights] = {}
    lessons = []
    for part in parts:
        joint = part.joint
        if joint is not None:
            if id(joint) not in wholes:
                wholes[id(joint)] = weights_of(joint)
            whole = wholes[id(joint)]
            lessons.append(replace(whole, part=part, weights=own(joint, whole.weights, part)))
        elif not part.is_foreign:
            lessons.append(weights_of(part))
    return lessons


def by_part(lessons: Sequence[TrainedWeights]) -> Learned:
    return {id(lesson.part): lesson.weights for lesson in lessons}


def lesson_of(part: LearnedFactor | Joint, watch: Watch | None = None, stop: Stop = never) -> TrainedWeights:
    return stored(part) or learn(part, watch, stop)


def stored(part: LearnedFactor | Joint) -> TrainedWeights | None:
    """The weights of a file that the program names, or of an earlier training; None where there are none."""
    if part.file is not None:
        file = weights.read(part.file, part)
        return TrainedWeights(part, file.weights, "loaded", part.file, file.report)
    for path in files.places(part):
        if path.exists():
            with suppress(ComposeError):  # ours, and damaged: it is learned anew
                file = weights.read(path, part)
                return TrainedWeights(part, file.weights, "kept", path, file.report)
    return None


def kept(fitting: Fitting) -> TrainedWeights | None:
    """The values of params as an earlier fit found them; None where there is none that can be read."""
    for path in files.places(fitting):
        with suppress(OSError, ValueError, KeyError):  # damaged: it is fitted anew
            values, metadata = files.opened(path)
            report: dict[str, Any] = json.loads(metadata["report"])
            findings = [
                Diagnostic(code, message, fitting.span, "warning", help=help)
                for code, message, help in report["warnings"]
            ]
            return TrainedWeights(fitting, values, "kept", path, report, None, tuple(findings))
    return None


def learn(part: LearnedFactor | Joint, watch: Watch | None, stop: Stop) -> TrainedWeights:
    """Train a part, after the parts that it uses, and keep its weights."""
    others = [] if isinstance(part, LearnedFactor) else [p for p in part.every if p.joint is not part]
    try:
        trainer = Trainer(part, by_part(obtain(others, watch, stop)))
    except ValueError as misfit:  # a net that does not fit the shapes says so in the user's words
        raise ComposeError(Diagnostic("CG0203", f"`{part.name}`: {misfit}", part.span)) from None
    return finished(part, trainer, watch, stop)


def finished(
    part: LearnedFactor | Joint | Fitting, training: Training, watch: Watch | None, stop: Stop
) -> TrainedWeights:
    """Run a training or a fit to its end, from a checkpoint where there is one, and keep what it finds."""
    began = monotonic()
    path = files.writable(part)
    checkpoint = Checkpoint(None if path is None else files.checkpoint_of(path), training)
    try:
        outcome = training.run(watch, checkpoint.read(), checkpoint.keep, stop)
    except Stopped as stopped:
        is_kept = checkpoint.write(stopped.state)
        raise interrupted(part, stopped.step, training.steps, is_kept) from None
    if path is not None:
        weights.write(path, part, outcome.weights, outcome.report)
        checkpoint.remove()
    findings = (*outcome.findings, *elsewhere(part, path))
    seconds = monotonic() - began
    return TrainedWeights(part, outcome.weights, "learned", path, outcome.report, seconds, findings)


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
