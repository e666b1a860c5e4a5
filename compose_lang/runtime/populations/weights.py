"""Weights of a population: how far to go until they have grown apart, and copies by weight.

All of it is small arrays on the host, one number a particle. The next level is the one at which the conditional
effective sample size has fallen to a share of the population (Zhou, Johansen and Aston, JCGS 25, 2016, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

HALVINGS = 60  #: of the interval in which a step is sought


def normalised(log_weights: Numbers) -> Numbers:
    """Weights (n,) that sum to 1; all 0 where no log weight is finite."""
    top = log_weights.max(initial=-np.inf)
    if not np.isfinite(top):
        return np.zeros_like(log_weights)
    weights = np.exp(log_weights - top)
    return np.asarray(weights / weights.sum())


def effective(weights: Numbers) -> float:
    """The effective share 1 / (n Σ w²) of a population with these normalised weights."""
    squares = float((weights**2).sum())
    return 1.0 / (len(weights) * squares) if squares > 0.0 else 0.0


def conditional(weights: Numbers, increments: Numbers) -> float:
    """The conditional effective share (Σ W v)² / Σ W v² after log increments log v, from 0 to 1."""
    top = increments.max(initial=-np.inf)
    if not np.isfinite(top):
        return 0.0
    ratios = np.exp(increments - top)
    squares = float((weights * ratios**2).sum())
    return float((weights * ratios).sum()) ** 2 / squares if squares > 0.0 else 0.0


def log_mean(weights: Numbers, increments: Numbers) -> float:
    """log Σ W v of log increments log v: by how much the log of the normalising constant grows."""
    top = increments.max(initial=-np.inf)
    if not np.isfinite(top):
        return -np.inf
    return float(top + np.log((weights * np.exp(increments - top)).sum()))


def longest(share_after: Callable[[float], float], least: float, end: float) -> float:
    """The longest step in (0, end] after which the conditional effective share is not below `least`.

    The shortest step that is tried, where not even that one keeps as much: what is forbidden there has to go.
    """
    if share_after(end) >= least:
        return end
    low, high = 0.0, end
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high) if low > 0.0 else 0.1 * high
        if share_after(middle) >= least:
            low = middle
        else:
            high = middle
        if low > 0.0 and high - low <= 1e-3 * low:
            break
    return low if low > 0.0 else high


def systematic(weights: Numbers, uniform: float) -> NDArray[np.intp]:
    """The particles (n,) that are copied, by one number in (0, 1)."""
    ends = np.cumsum(weights)
    places = (np.arange(len(weights)) + uniform) / len(weights) * ends[-1]
    return np.minimum(np.searchsorted(ends, places), len(weights) - 1)
