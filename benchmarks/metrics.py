"""How far draws are from what they should be: shares of modes, total variation, Wasserstein, MMD, a classifier.

Samples are arrays (n, d). All distances are 0 in the limit for draws of the right density; for finite samples each has
a floor, which draws of the truth itself show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

Points = NDArray[np.float64]


def mode_shares(x: Points, centres: ArrayLike, radius: float) -> NDArray[np.float64]:
    """The share of draws within a radius of each centre (k, d) and nearest to it, and last of those near none."""
    near, which = cKDTree(np.asarray(centres)).query(x)
    which = np.where(near <= radius, which, len(np.asarray(centres)))
    return np.bincount(which, minlength=len(np.asarray(centres)) + 1) / len(x)


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """Half the absolute difference of two lists of probabilities, or of arrays of them."""
    return 0.5 * float(np.abs(np.asarray(p) - np.asarray(q)).sum())


def cell_shares(x: Points, edges: Sequence[float]) -> NDArray[np.float64]:
    """The share of draws in each cell of a grid with the same edges along every axis, the outermost cells unbounded."""
    place = np.searchsorted(np.asarray(edges), x)
    k = len(edges) + 1
    flat = place @ k ** np.arange(x.shape[1])
    return np.bincount(flat, minlength=k ** x.shape[1]) / len(x)


def wasserstein2(x: Points, y: Points) -> float:
    """W₂ between two samples of one size: the root of the least mean squared distance over all pairings."""
    if len(x) != len(y):
        raise ValueError(f"samples of one size are paired, not {len(x)} and {len(y)}")
    squares = cdist(x, y, "sqeuclidean")
    rows, columns = linear_sum_assignment(squares)
    return float(np.sqrt(squares[rows, columns].mean()))


def squared_mmd(x: Points, y: Points, bandwidth: float) -> float:
    """The unbiased squared maximum mean discrepancy with a Gaussian kernel (Gretton et al., JMLR 2012, eq. 3)."""

    def kernel(a: Points, b: Points) -> NDArray[np.float64]:
        return np.exp(-0.5 * cdist(a, b, "sqeuclidean") / bandwidth**2)

    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - n) / (n * (n - 1)) + (kernel(y, y).sum() - m) / (m * (m - 1))
    return float(within - 2.0 * kernel(x, y).mean())


def classifier_accuracy(x: Points, y: Points) -> float:
    """How often a draw's nearest neighbour among both samples is of its own: about 1/2 where none can tell them apart.

    The leave-one-out accuracy of a nearest-neighbour classifier (Lopez-Paz and Oquab, ICLR 2017).
    """
    both = np.concatenate([x, y])
    own = np.arange(len(both)) < len(x)
    _, near = cKDTree(both).query(both, k=2)
    other = np.where(near[:, 0] == np.arange(len(both)), near[:, 1], near[:, 0])
    return float((own[other] == own).mean())
