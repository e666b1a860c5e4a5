"""Params of a program whose total cannot be summed: stochastic approximation over chains of the model.

In: an `Objective` whose totals are drawn. Out: the method by which `climb` moves the params.

The gradient of the log-likelihood is E_model[dE/dk] - E_data[dE/dk]. The first is a mean over chains of the model
without its data, the second one of the data, or over chains of the variables given them. At each step the chains make
some sweeps; near where the params are, the likelihood is then

    -E_data(k) + E_model(k) - half the quadratic form of the slopes' covariance over the model,

with both energies as the chains see them: its first two derivatives are estimates of the likelihood's. Where this is
greatest is a Newton step (Gu and Kong 1998), of which a share is taken that falls with the steps, slower than 1/t; the
params are the mean over the second half of the path, which then is as good as by any shares (Polyak and Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learning.climb import ITERATIONS, WARM, Method
from compose_lang.runtime.learning.loop import Arrays
from compose_lang.runtime.learning.model_chains import Coordinate, Curvature
from compose_lang.runtime.learning.objective import Objective

SWEEPS = 5  #: of the chains at each step
FARTHEST = 1.0  #: that a step may aim at, in each coordinate: beyond, few chains tell nothing of the model
SLOW, POWER = 5.0, 0.6  #: the share of a step that is taken: (1 + t / SLOW) ^ -POWER


class Contrast(Method):
    """Newton steps against chains of the model without its data."""

    by = "persistent chains"

    def __init__(self, objective: Objective, u: Coordinate, steps: int, seed: int) -> None:
        self.models, self.curvature = objective.models, Curvature()
        super().__init__(objective, u, steps, self.models[0].chains)
        warmup = WARM + self.half * SWEEPS
        for number, model in enumerate(self.models):
            model.start(u, seed + 1 + number, warmup)
        if self.given_data is not None:
            self.given_data.start(u, seed, warmup)

    def restore(self, begun: Arrays, first: int) -> Coordinate:
        self.curvature.steps, self.curvature.mean = first, np.asarray(begun["curvature"])
        for number, model in enumerate(self.models):
            start = f"model{number}"
            model.restore({n.removeprefix(start): a for n, a in begun.items() if n.startswith(f"{start}/")})
        if self.given_data is not None:
            self.given_data.restore(begun)
        u: Coordinate = self.path[first - 1]
        return u

    def step(self, u: Coordinate, step: int, is_first: bool) -> tuple[Coordinate, float]:
        sweeps, done = (SWEEPS, WARM + (step - 1) * SWEEPS) if step else (WARM, 0)
        for chains in (*self.models, *([] if self.given_data is None else [self.given_data])):
            chains.advance(u, done, sweeps)
        position = {} if self.given_data is None else self.given_data.position
        if is_first:
            self.objective.require_finite(u, position)
        spread = sum((model.spread(u) for model in self.models), np.zeros(()))
        if not np.isfinite(spread).all() or any(model.is_lost for model in self.models):
            raise ComposeError(self.endless(step))
        self.curvature.add(spread)
        near = self.curvature.around(u, self.chains)
        result = self.objective.minimise(u, position, ITERATIONS, near, FARTHEST)
        u = self.path[step] = u + (result.x - u) / (1.0 + step / SLOW) ** POWER
        return u, float(result.fun)

    def state(self) -> Mapping[str, Any]:
        own = {} if self.given_data is None else self.given_data.packed()
        models = {
            f"model{number}{name}": array
            for number, model in enumerate(self.models)
            for name, array in model.packed().items()
        }
        return {"curvature": self.curvature.mean, **models, **own}

    def result(self, u: Coordinate) -> Coordinate:
        mean: Coordinate = self.path[self.half :].mean(axis=0)
        return mean

    def endless(self, step: int) -> Diagnostic:
        """CG0701 where chains of the model have run off, or have gone where its energy is no number."""
        names = ", ".join(f"`{name}`" for model in self.models for name in model.names)
        text = f"the model without its data has no total: {names} ran off at step {step + 1}"
        rises = "its energy has to rise outwards for all params that are tried"
        help = f"{rises}: bound the type, or start nearer: param k = 3"
        return Diagnostic("CG0701", text, self.objective.fitting.span, help=help)
