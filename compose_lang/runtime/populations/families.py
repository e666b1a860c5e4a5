"""What particles that descend from one ancestor have in common, and what that makes of a population's mean.

The variance of the mean of n particles is estimated by

    (1 / n²) Σ_r (Σ_{i descends from r} (x_i − x̄))²

over the ancestors r (Lee and Whiteley, "Variance estimation in the particle filter", Biometrika 105, 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def variance_of_mean(x: NDArray[Any], roots: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The variance (k,) of the means of particles x (n, k) with these ancestors (n,)."""
    names, place = np.unique(roots, return_inverse=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, place, x - x.mean(axis=0))
    return np.asarray((sums**2).sum(axis=0) / len(x) ** 2)
