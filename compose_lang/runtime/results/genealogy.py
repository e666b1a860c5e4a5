"""What the particles of populations are worth: effective sizes and Monte-Carlo errors by common ancestors.

Particles that descend from one ancestor are no independent draws, however they are ordered; `populations/families`
estimates the variance of their mean. Particles that have forgotten their ancestor count as independent by it, which
some families are needed to tell: the estimate falls to 0 where one is left, so populations of fewer are worth no more
draws than they have ancestors.

In: draws (chains, draws, n), a chain being a population, and each particle's ancestor (chains, draws). Out: the same
diagnostics as for chains, see `convergence`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.populations.families import variance_of_mean
from compose_lang.runtime.results import convergence
from compose_lang.runtime.results.convergence import Convergence, Draws, Elements

LEAST_FAMILIES = 20  #: of a population, that tell how much particles have in common with their own


def worth(draws: Draws, roots: NDArray[np.intp]) -> Convergence:
    """All diagnostics of populations; an element that is not finite has NaN."""
    draws = np.asarray(draws, dtype=np.float64)
    result = [np.full(draws.shape[2], np.nan) for _ in Convergence._fields]
    valid = np.isfinite(draws).all((0, 1))
    if draws.shape[1] < 4 or not valid.any():
        return Convergence(*result)
    x = draws[:, :, valid]
    tails = [effective((x <= np.quantile(x, p, axis=(0, 1))).astype(np.float64), roots) for p in (0.05, 0.95)]
    found = Convergence(
        convergence.between(x),
        effective(convergence.normal_scores(x), roots),
        np.minimum(*tails),
        x.std((0, 1), ddof=1) / np.sqrt(effective(x, roots)),
    )
    for whole, part in zip(result, found, strict=True):
        whole[valid] = part
    return Convergence(*result)


def effective(x: Draws, roots: NDArray[np.intp]) -> Elements:
    """How many independent draws have a mean as certain as that of all populations' particles, (n,)."""
    chains, count, _ = x.shape
    ancestors = [len(np.unique(families)) for families in roots]
    variance = sum(variance_of_mean(own, families) for own, families in zip(x, roots, strict=True))
    most = float(min(sum(ancestors), chains * count))
    if min(ancestors) >= LEAST_FAMILIES:
        most = float(chains * count)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = x.var((0, 1), ddof=1) * chains**2 / variance
    return np.where(variance > 0.0, np.minimum(found, most), most)
