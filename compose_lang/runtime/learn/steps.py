"""What fits that take turns with chains have in common: how long they go on, and how they are stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WARM = 20  #: sweeps before the first look at the chains
ITERATIONS = 10  #: of the minimiser at each step
DRIFT = 6.0  #: standard errors between two quarters of a fit that show that it has not converged

Arrays = Mapping[str, NDArray[Any]]


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A fit was told to stop before its end."""

    def __init__(self, state: Arrays) -> None:
        super().__init__()
        self.state = state


def drifts(reached: NDArray[np.float64]) -> bool:
    """Whether what a fit comes to in the last quarter of its steps differs from the quarter before."""
    quarters = np.array_split(reached, 2)
    if min(map(len, quarters)) < 20:
        return False
    batches = [np.array([b.mean(0) for b in np.array_split(q, 5)]) for q in quarters]
    error = np.sqrt(sum(b.var(0, ddof=1) / len(b) for b in batches)) + 1e-3
    return bool((np.abs(batches[0].mean(0) - batches[1].mean(0)) > DRIFT * error).any())
