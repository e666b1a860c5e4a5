"""A reference for a program of which nothing can be drawn: a Gaussian about where its energy is low.

Particles scattered widely are moved at the program's density, with walls that are soft, until they have come to where
its mass is; the Gaussian has their mean and twice their deviations, in the coordinates that samplers move in. It
reaches as far as they came: modes that none of them found are none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Backend, Tree

WIDER = 2.0  #: times the deviations of the particles of the pilot


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, L Lᵀ) over coordinates u (n, D), as energies. mean (D,), factor (D, D) lower triangular."""

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @staticmethod
    def about(u: NDArray[Any]) -> Gaussian:
        """The Gaussian about points (n, D), wider than they lie."""
        size = u.shape[1]
        deviations = np.maximum(u.std(axis=0), 1e-3)
        scaled = (u - u.mean(axis=0)) / deviations
        covariance = scaled.T @ scaled / len(u)
        # fewer points than tell a covariance tell its diagonal
        share = size / (size + len(u) / 4.0)
        covariance = (1.0 - share) * covariance + (share + 1e-6) * np.eye(size)
        return Gaussian(u.mean(axis=0), WIDER * deviations[:, None] * np.linalg.cholesky(covariance))

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Independent points (count, D)."""
        return np.asarray(self.mean + rng.standard_normal((count, len(self.mean))) @ self.factor.T)

    @property
    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean (D,), precision (D, D) and the log of the normalising constant (1,), for `energy_and_gradient`."""
        inverse = np.linalg.inv(self.factor)
        log_scale = np.log(np.diagonal(self.factor)).sum()
        constant = log_scale + 0.5 * len(self.mean) * np.log(2.0 * np.pi)
        return self.mean, inverse.T @ inverse, np.array([constant])


def energy_and_gradient(u: Array, arrays: Tree, b: Backend) -> tuple[Array, Array]:
    """Minus the log density (n,) of a Gaussian at points u (n, D), and its gradient (n, D)."""
    mean, precision, constant = arrays
    away = u - mean
    gradient = away @ precision
    return 0.5 * b.xp.sum(away * gradient, axis=1) + constant, gradient
