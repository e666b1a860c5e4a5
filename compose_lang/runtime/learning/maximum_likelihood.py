"""Params by maximum likelihood: L-BFGS on the energy, or steps that take turns with chains.

In: a `Fitting` and the weights of its learned parts. Out: the params' values, and what is to be told of the fit.

Where all is data and every total is summed exactly, L-BFGS minimises the objective. With variables to be summed out it
is stochastic EM (`expectation.py`), with totals that are drawn, stochastic approximation (`contrast.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learning.climb import climb
from compose_lang.runtime.learning.contrast import Contrast
from compose_lang.runtime.learning.expectation import Expectation
from compose_lang.runtime.learning.loop import Arrays, Follower, Outcome, Stop, Watch, never
from compose_lang.runtime.learning.model_chains import Coordinate
from compose_lang.runtime.learning.objective import Objective

SETTLED = 1e-4  #: the longest gradient, over the size of the energy, at a minimum
RESTARTS = 20  #: of the minimiser, which may give up where the likelihood falls off


class MaximumLikelihood:
    """One fit of a program's params."""

    def __init__(self, fitting: Fitting, learned: Learned | None = None) -> None:
        self.objective = Objective(fitting, learned or {})
        self.steps = int(fitting.options["steps"])
        self.seed = int(fitting.options["seed"])

    def run(
        self,
        watch: Watch | None = None,
        begun: Arrays | None = None,
        keep: Callable[[Arrays], None] | None = None,
        stop: Stop = never,
    ) -> Outcome:
        """Fit to the end, from an earlier state where it is given. Raises Stopped where `stop` says so before that.

        keep: given the state after each step, where chains are drawn.
        """
        objective = self.objective
        with objective.backend.scope():
            u = objective.first(self.seed)
            if objective.models or objective.rest:
                make: type[Contrast | Expectation] = Contrast if objective.models else Expectation
                method = make(objective, u, self.steps, self.seed)
                u, findings = climb(objective, method, u, self.steps, begun, Follower(watch, keep, stop))
                report: dict[str, Any] = {
                    "steps": self.steps,
                    "chains": method.chains,
                    "log_likelihood": None,
                    "by": method.by,
                }
            else:
                u, report, findings = self.direct(u)
            findings = objective.on_bounds(u) or findings
            report["warnings"] = [[d.code, d.message, d.help] for d in findings]
            return Outcome(objective.values(u), None, report, tuple(findings))

    def direct(self, u: Coordinate) -> tuple[Coordinate, dict[str, Any], list[Diagnostic]]:
        """A fit to data alone."""
        objective = self.objective
        objective.require_finite(u, {})
        result, steps = objective.minimise(u, {}, self.steps), 0
        for _ in range(RESTARTS):
            steps += int(result.nit)
            if is_flat(result) or steps >= self.steps:
                break
            result = objective.minimise(result.x, {}, self.steps - steps)
        findings = []
        if not is_flat(result):
            findings.append(objective.unsettled(f"after {steps} steps the likelihood still rises"))
        report = {"steps": steps, "log_likelihood": -float(result.fun), "by": "L-BFGS"}
        return result.x, report, findings

    def packed(self, state: Arrays) -> Arrays:
        """A state as the arrays of a checkpoint."""
        return {name: np.asarray(array) for name, array in state.items()}

    def unpacked(self, arrays: Arrays) -> Arrays | None:
        """The state that a checkpoint's arrays are."""
        return arrays if "path" in arrays else None


def is_flat(result: Any) -> bool:
    """Whether the likelihood rises no more where the minimiser stands."""
    return bool(np.abs(result.jac).max() <= SETTLED * max(1.0, abs(result.fun)))
