"""What trainings and fits share: how far they are, who is told, what is kept of them, and how they are stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from compose_lang.compiler.graph.learned_factor import Joint, LearnedFactor
from compose_lang.diagnostics import Diagnostic

if TYPE_CHECKING:
    from compose_lang.compiler.likelihood.fitting import Fitting

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Progress:
    """How far the training of a part, or the fit of params, is."""

    part: LearnedFactor | Joint | Fitting
    step: int
    steps: int
    loss: float
    held_out: float  #: the latest score; infinite before the first
    rate: float  #: steps a second
    phase: Literal["compiling", "training", "finishing"] = "training"


Watch = Callable[[Progress], None]
Stop = Callable[[], bool]


def never() -> bool:
    return False


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A training or a fit was told to stop before its end."""

    def __init__(self, state: Any, step: int) -> None:
        super().__init__()
        self.state = state
        self.step = step


class Outcome(NamedTuple):
    """What a training or a fit found: weights by name, its last state, a report for their file, and warnings."""

    weights: dict[str, np.ndarray]
    state: Any
    report: dict[str, Any]
    findings: tuple[Diagnostic, ...] = ()


class Training(Protocol):
    """What goes on from a checkpoint: its state as arrays and back (None: they are of another), and its run."""

    steps: int

    def packed(self, state: Any) -> Arrays: ...
    def unpacked(self, arrays: Arrays) -> Any: ...
    def run(self, watch: Watch | None, begun: Any, keep: Callable[[Any], None], stop: Stop) -> Outcome: ...


@dataclass(frozen=True)
class Follower:
    """Who follows the steps: `watch` is told, `keep` is given the state, `stop` says whether to end."""

    watch: Watch | None = None
    keep: Callable[[Any], None] | None = None
    stop: Stop = never

    def tell(self, progress: Progress) -> None:
        if self.watch is not None:
            self.watch(progress)

    def after(self, state: Any, progress: Progress) -> None:
        """Keep the state and tell the progress of a step."""
        if self.keep is not None:
            self.keep(state)
        self.tell(progress)

    def end_if_told(self, state: Any, step: int) -> None:
        """Raises Stopped where the training is to end here."""
        if self.stop():
            raise Stopped(state, step)
