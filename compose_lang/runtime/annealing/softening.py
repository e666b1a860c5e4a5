"""How terms that are no densities with noise come in as the noise goes.

A term's energy E is taken as a share of itself. Were it a Gaussian's, of precision h, its density with noise σ would
have the precision h / (1 + σ² h); were it a slope g, noise would not move the density by more than itself if the
slope were below 1 / σ. So at noise σ the share is

    s(σ) / s(σ_last),   s(σ) = 1 / (1 + σ² h + σ g),

with h and g measured where the data lie: gentle terms are there from the start, sharp ones come in when the noise is as
fine as they are. A term that came in sooner would be too narrow for the steps of the noise, and weights would be lost.

For the same reason what is forbidden costs, until the last level, a price in proportion to how far it is violated in
units of the noise: a wall is as soft as the noise is coarse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.density.level import Level

WALL = 1.0  #: nats for a violation as large as the noise
OUTSIDE = 3.0  #: nats, near the last level, for being where a term has no finite energy
PROBES, STRIDE = (
    64,
    0.1,
)  #: points at which terms are measured, and the difference in units of the data's spread


@dataclass(frozen=True)
class Softening:
    """What terms need to come in between two levels of noise.

    curvatures and slopes: h and g of each tempered term, None before they are measured. loose: (D,), 1 for coordinates
    that no noised density holds, else 0: they begin in a Gaussian about 0 as wide as the coarsest noise, which goes.
    """

    coarsest: float
    finest: float
    curvatures: tuple[float, ...] | None = None
    slopes: tuple[float, ...] = ()
    loose: NDArray[np.float64] | None = None

    def share(self, number: int, level: Array) -> Array:
        """How much of term `number` there is at a level (1,), from 0 to 1."""
        assert self.curvatures is not None
        h, g = self.curvatures[number], self.slopes[number]
        last = 1.0 + self.finest**2 * h + self.finest * g
        return last / (1.0 + level * level * h + level * g)

    def level(self, number: int, noise: Array, b: Backend) -> Level:
        """Where term `number` is taken at a level of noise (1,) or (n,): what is forbidden is so at the last one."""
        is_last = noise <= self.finest * (1.0 + 1e-9)
        return Level(noise, self.share(number, noise), b.xp.where(is_last, math.inf, WALL / noise))

    @property
    def unknown(self) -> float:
        """The violation of a term that is infinite and does not say by how much it is violated."""
        return OUTSIDE * self.finest

    def hold(self, u: Array, level: Array, b: Backend) -> Array:
        """The energy (n,) that holds loose coordinates of u (n, D)."""
        if self.loose is None:
            return 0.0 * u[:, 0]
        left = (level - self.finest) / (self.coarsest - self.finest)
        away = b.asarray(self.loose, b.real) * u / self.coarsest
        return left * b.xp.sum(0.5 * away * away, axis=1)


def measured(
    gradients: Sequence[tuple[np.ndarray, np.ndarray]], signs: np.ndarray, spread: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Curvatures and slopes of terms, from gradients (n, D) of each at points and at points moved by STRIDE · spread.

    signs: (n, D) of 1 and -1, the directions in which points were moved. The slope counts where the curvature does not
    explain it within some spreads of the data.
    """
    curvatures, slopes = [], []
    for here, there in gradients:
        sound = np.isfinite(here).all(1) & np.isfinite(there).all(1)
        here, bend = here[sound], (there - here)[sound] / (STRIDE * spread) * signs[sound]
        touched = np.abs(here).max(0, initial=0.0) > 0.0
        h = float(np.sqrt((bend[:, touched] ** 2).mean())) if sound.any() and touched.any() else 0.0
        g = float(np.sqrt((here[:, touched] ** 2).mean())) if sound.any() and touched.any() else 0.0
        curvatures.append(h)
        slopes.append(max(0.0, g - 3.0 * spread * h))
    return tuple(curvatures), tuple(slopes)
