"""The loop of fits whose likelihood is known through chains: the params take a step, and the chains go on.

In: an `Objective` and a method, `Expectation` or `Contrast`. Out: the params' coordinates, and a warning where
they have not settled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.learning.loop import Arrays, Follower, Progress
from compose_lang.runtime.learning.model_chains import Coordinate
from compose_lang.runtime.learning.objective import Objective

WARM = 20  #: sweeps before the first look at the chains
ITERATIONS = 10  #: of the minimiser at each step
DRIFT = 6.0  #: standard errors between two quarters of a fit that show that it has not converged


class Method(ABC):
    """How the params take a step. chains: of draws; path: (steps, D), what each step came to."""

    by: str  #: its name in reports

    def __init__(self, objective: Objective, u: Coordinate, steps: int, chains: int) -> None:
        self.objective = objective
        self.chains = chains
        self.half = steps // 2
        self.path: NDArray[np.float64] = np.zeros((steps, len(u)))
        self.given_data = objective.chains_given_data()  #: None where all is data

    @abstractmethod
    def restore(self, begun: Arrays, first: int) -> Coordinate:
        """Go on from the state after `first` steps, whose path is in place; the coordinates it stands at."""

    @abstractmethod
    def step(self, u: Coordinate, step: int, is_first: bool) -> tuple[Coordinate, float]:
        """The coordinates after a step, and the objective there."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """What goes on beside the path."""

    def result(self, u: Coordinate) -> Coordinate:
        """What a fit that ends at u has found."""
        return u


def climb(
    objective: Objective,
    method: Method,
    u: Coordinate,
    steps: int,
    begun: Arrays | None,
    follower: Follower,
) -> tuple[Coordinate, list[Diagnostic]]:
    """Make all steps from u, or from the state of an earlier fit."""
    first = 0
    if begun is not None:
        first = int(begun["step"])
        method.path[:first] = begun["path"]
        u = method.restore(begun, first)
    began = monotonic()
    for step in range(first, steps):
        u, value = method.step(u, step, step == first)
        done = step + 1
        state = {"step": np.array(done), "path": method.path[:done], **method.state()}
        if done < steps:
            follower.end_if_told(state, done)
        rate = (done - first) / max(monotonic() - began, 1e-9)
        follower.after(state, Progress(objective.fitting, done, steps, value, np.inf, rate))
    is_settled = not drifts(method.path[steps // 2 :])
    findings = [] if is_settled else [objective.unsettled("its params still move from step to step")]
    return method.result(u), findings


def drifts(path: NDArray[np.float64]) -> bool:
    """Whether what a fit comes to in the last quarter of its steps differs from the quarter before."""
    quarters = np.array_split(path, 2)
    if min(map(len, quarters)) < 20:
        return False
    batches = [np.array([b.mean(0) for b in np.array_split(q, 5)]) for q in quarters]
    error = np.sqrt(sum(b.var(0, ddof=1) / len(b) for b in batches)) + 1e-3
    return bool((np.abs(batches[0].mean(0) - batches[1].mean(0)) > DRIFT * error).any())
