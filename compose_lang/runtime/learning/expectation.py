"""Params of a program with variables to be summed out: stochastic EM.

With variables x the likelihood of the data is an integral over them, whose gradient is the mean of the energy's over x
given the data (Fisher's identity). So chains of x, moved by the program's own kernels, take turns with the minimiser on
the mean energy over the chains: stochastic EM (Celeux and Diebolt 1985). What it comes to still jumps by the chains'
noise; from half of the steps on u moves to it by 1/k of the way, which takes the mean and converges (Robbins and Monro
1951; Nielsen 2000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compose_lang.runtime.learning.climb import ITERATIONS, WARM, Method
from compose_lang.runtime.learning.loop import Arrays
from compose_lang.runtime.learning.model_chains import Coordinate, PersistentChains
from compose_lang.runtime.learning.objective import Objective


class Expectation(Method):
    """EM, then averages of it."""

    by = "EM"

    def __init__(self, objective: Objective, u: Coordinate, steps: int, seed: int) -> None:
        super().__init__(objective, u, steps, objective.chains)
        assert self.given_data is not None
        self.drawn: PersistentChains = self.given_data
        self.drawn.start(u, seed, WARM + self.half)
        self.u = u

    def restore(self, begun: Arrays, first: int) -> Coordinate:
        self.drawn.restore(begun)
        return np.asarray(begun["u"])

    def step(self, u: Coordinate, step: int, is_first: bool) -> tuple[Coordinate, float]:
        sweeps, done = (1, WARM + step - 1) if step else (WARM, 0)
        self.drawn.advance(u, done, sweeps)
        position = self.drawn.position
        if is_first:
            self.objective.require_finite(u, position)
        result = self.objective.minimise(u, position, ITERATIONS)
        self.path[step] = result.x
        self.u = u + (result.x - u) / max(1, step - self.half + 1)
        return self.u, float(result.fun)

    def state(self) -> Mapping[str, Any]:
        return {"u": self.u, **self.drawn.packed()}
