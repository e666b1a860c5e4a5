"""The densities that the programs learn, and draws of them: what their data are made of and what they are held against.

Along an axis lie four bumps of unequal weight. The *product* is a grid of sixteen dots: bumps along the first axis,
times bumps along the second. The *mixture* is of two rings of eight small blobs each, which are linked, half of each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

CENTRES = np.array([-0.9, -0.3, 0.3, 0.9])
WEIGHTS = np.array([[0.4, 0.1, 0.3, 0.2], [0.2, 0.4, 0.1, 0.3]])  #: of the bumps along each axis
WIDTH = 0.12  #: standard deviation of a bump

RADIUS, BLOB = 0.5, 0.03  #: of a ring, and the standard deviation of its blobs
APART = 0.25  #: of each ring's centre from the middle

Points = NDArray[np.float64]


def bumps(rng: np.random.Generator, n: int, axis: int) -> Points:
    """Numbers (n,): one factor of the product."""
    return CENTRES[rng.choice(4, n, p=WEIGHTS[axis])] + WIDTH * rng.standard_normal(n)


def places(which: int) -> Points:
    """The centres (8, 2) of a ring's blobs: 0 is the left ring, 1 the right one, which is turned."""
    angle = np.arange(8) * np.pi / 4 + which * np.pi / 8
    return RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1) + [APART * (2 * which - 1), 0.0]


def ring(rng: np.random.Generator, n: int, which: int) -> Points:
    """Points (n, 2) of one part of the mixture."""
    return places(which)[rng.integers(0, 8, n)] + BLOB * rng.standard_normal((n, 2))


def product(rng: np.random.Generator, n: int) -> Points:
    return np.stack([bumps(rng, n, 0), bumps(rng, n, 1)], axis=1)


def mixture(rng: np.random.Generator, n: int) -> Points:
    first = rng.random(n) < 0.5
    return np.where(first[:, None], ring(rng, n, 0), ring(rng, n, 1))


def log_density(target: str, x: Points) -> Points:
    """log p (n,) of `product` or `mixture`, each of which is sixteen Gaussians, at points (n, 2)."""
    if target == "product":
        shares, width = np.outer(WEIGHTS[0], WEIGHTS[1]).ravel(), WIDTH
        centres = np.stack(np.meshgrid(CENTRES, CENTRES, indexing="ij"), axis=2).reshape(-1, 2)
    else:
        shares, width, centres = np.full(16, 1 / 16), BLOB, np.concatenate([places(0), places(1)])
    squares = ((x[:, None] - centres) ** 2).sum(2)
    return logsumexp(-0.5 * squares / width**2, b=shares, axis=1) - np.log(2 * np.pi * width**2)
