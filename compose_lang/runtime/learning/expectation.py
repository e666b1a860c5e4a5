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

from compose_lang.runtime.learning.climb import ITERATIONS, WARM
from compose_lang.runtime.learning.loop import Arrays
from compose_lang.runtime.learning.model_chains import Coordinate
from compose_lang.runtime.learning.objective import Objective


class Expectation:
    """EM, then averages of it."""

    by = "EM"

    def __init__(self, objective: Objective, u: Coordinate, steps: int, seed: int) -> None:
        chains = objective.chains_given_data()
        assert chains is not None
        self.objective, self.given_data, self.chains = objective, chains, objective.chains
        self.half = steps // 2
        self.path, self.u = np.zeros((steps, len(u))), u
        chains.start(u, seed, WARM + self.half)

    def restore(self, begun: Arrays, first: int) -> Coordinate:
        self.given_data.restore(begun)
        return np.asarray(begun["u"])

    def step(self, u: Coordinate, step: int, is_first: bool) -> tuple[Coordinate, float]:
        sweeps, done = (1, WARM + step - 1) if step else (WARM, 0)
        self.given_data.advance(u, done, sweeps)
        position = self.given_data.position
        if is_first:
            self.objective.require_finite(u, position)
        result = self.objective.minimise(u, position, ITERATIONS)
        self.path[step] = result.x
        self.u = u + (result.x - u) / max(1, step - self.half + 1)
        return self.u, float(result.fun)

    def state(self) -> Mapping[str, Any]:
        return {"u": self.u, **self.given_data.packed()}

    def result(self, u: Coordinate) -> Coordinate:
        return u
