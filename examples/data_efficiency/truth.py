"""The densities that the programs learn, and draws of them: what their data are made of and what they are held against.

Along an axis lie four bumps of unequal weight. The *product* is a grid of sixteen dots: bumps along the first axis,
times bumps along the second. The *mixture* is of four dots on each diagonal, with equal weights: a cross.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CENTRES = np.array([-0.9, -0.3, 0.3, 0.9])
WEIGHTS = np.array([[0.4, 0.1, 0.3, 0.2], [0.2, 0.4, 0.1, 0.3]])  #: of the bumps along each axis
WIDTH = 0.12  #: standard deviation of a bump

Points = NDArray[np.float64]


def bumps(rng: np.random.Generator, n: int, axis: int) -> Points:
    """Numbers (n,): one factor of the product."""
    return CENTRES[rng.choice(4, n, p=WEIGHTS[axis])] + WIDTH * rng.standard_normal(n)


def dots(rng: np.random.Generator, n: int, which: int) -> Points:
    """Points (n, 2) on a rising or a falling diagonal: one part of the mixture."""
    place = CENTRES[rng.choice(4, n, p=WEIGHTS[which])]
    return np.stack([place, (1 - 2 * which) * place], axis=1) + WIDTH * rng.standard_normal((n, 2))


def product(rng: np.random.Generator, n: int) -> Points:
    return np.stack([bumps(rng, n, 0), bumps(rng, n, 1)], axis=1)


def mixture(rng: np.random.Generator, n: int) -> Points:
    first = rng.random(n) < 0.5
    return np.where(first[:, None], dots(rng, n, 0), dots(rng, n, 1))
