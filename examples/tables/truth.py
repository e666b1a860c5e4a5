"""The distribution that the programs learn, p(a) p(b) p(c, d), and samples of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NAMES = ("a", "b", "c", "d")


def probabilities(k: int, seed: int = 0) -> NDArray[np.float64]:
    """A distribution (k, k, k, k) that factors as it should; its parts are uniform among all distributions."""
    rng = np.random.default_rng([seed, k])
    a, b, cd = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k * k))
    return a[:, None, None, None] * b[:, None, None] * cd.reshape(k, k)


def samples(p: NDArray[np.float64], n: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """n independent values of each variable, by name."""
    flat = np.random.default_rng(seed).choice(p.size, n, p=p.reshape(-1))
    return dict(zip(NAMES, np.unravel_index(flat, p.shape), strict=True))
