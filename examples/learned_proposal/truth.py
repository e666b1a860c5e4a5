"""Walks on a ring of six places: what the sequences are that the program learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PLACES, LENGTH = 6, 6


def walks(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """n walks (n, LENGTH) that go on in their direction: one place on at a time, seldom none, almost never another."""
    direction = np.where(rng.random(n) < 0.5, 1, -1)
    steps = direction[:, None] * (rng.random((n, LENGTH)) < 0.9)
    lost = rng.random((n, LENGTH)) < 0.03
    steps = np.where(lost, rng.integers(0, PLACES, (n, LENGTH)), steps)
    return np.asarray((rng.integers(0, PLACES, (n, 1)) + np.cumsum(steps, axis=1)) % PLACES)
