"""Whether chains have mixed and what their draws are worth: R-hat, effective sizes, Monte-Carlo errors.

In: draws as arrays (chains, draws, n), one column an element. Out: arrays (n,). All of it follows Vehtari,
Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization: an improved R-hat for
assessing convergence of MCMC", Bayesian Analysis 16(2), 2021. An element with a NaN or fewer than 4 draws has
NaN throughout; one that never changes has no R-hat (NaN), and as many effective draws as draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[Any]  #: (chains, draws, n)
Elements = NDArray[np.float64]  #: (n,)

#: Values held at once in double precision by the transforms below: bounds memory for wide variables.
BLOCK_VALUES = 4_000_000


class Convergence(NamedTuple):
    """The diagnostics that the summary shows, each (n,)."""

    rhat: Elements
    ess_bulk: Elements
    ess_tail: Elements
    mcse_mean: Elements


def convergence(draws: Draws) -> Convergence:
    """All diagnostics of draws (chains, draws, n), in blocks of elements that bound the memory used."""
    width = max(1, BLOCK_VALUES // max(1, draws.shape[0] * draws.shape[1]))
    blocks = [_convergence(draws[:, :, i : i + width]) for i in range(0, draws.shape[2], width)]
    return Convergence(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _convergence(draws: Draws) -> Convergence:
    return Convergence(rhat(draws), ess_bulk(draws), ess_tail(draws), mcse_mean(draws))


def _where_valid(measure: Callable[..., Elements]) -> Callable[..., Elements]:
    """Give a measure the elements that have enough finite draws only; the others are NaN."""

    def measured(draws: Draws, *options: float) -> Elements:
        draws = np.asarray(draws, dtype=np.float64)
        result = np.full(draws.shape[2], np.nan)
        valid = np.isfinite(draws).all((0, 1)) & (draws.shape[1] >= 4)
        if valid.any():
            result[valid] = measure(draws if valid.all() else draws[:, :, valid], *options)
        return result

    measured.__doc__ = measure.__doc__
    measured.__name__ = measure.__name__
    return measured


@_where_valid
def rhat(draws: Draws) -> Elements:
    """The larger of the rank-normalised split R-hats of the draws and of their distances from the median."""
    return between(_split(draws))


@_where_valid
def ess_bulk(draws: Draws) -> Elements:
    """Effective sample size of the rank-normalised draws: what means and medians rest on."""
    return _ess(normal_scores(_split(draws)))


@_where_valid
def ess_tail(draws: Draws) -> Elements:
    """The smaller of the effective sample sizes of the 5 % and the 95 % quantile."""
    return np.minimum(_ess_quantile(draws, 0.05), _ess_quantile(draws, 0.95))


@_where_valid
def mcse_mean(draws: Draws) -> Elements:
    """Monte-Carlo standard error of the mean."""
    return draws.std((0, 1), ddof=1) / np.sqrt(_ess(_split(draws)))


def _ess_quantile(draws: Draws, probability: float) -> Elements:
    below = draws <= np.quantile(draws, probability, axis=(0, 1))
    return _ess(_split(below.astype(np.float64)))


def _split(draws: Draws) -> Draws:
    """Halve each chain, so that a drift within a chain shows as a difference between two."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def normal_scores(draws: Draws) -> Draws:
    """Replace draws by the normal quantiles of their ranks among all draws (Blom's offsets).

    Of two values the scores are two values: what is measured does not change under a scale and a shift, so such
    columns (spins, truth values) stay as they are and spare the sort.
    """
    from scipy.special import ndtri

    two_valued = ((draws == draws.min((0, 1))) | (draws == draws.max((0, 1)))).all((0, 1))
    if two_valued.all():
        return draws
    scores = draws.copy()
    pooled = draws[:, :, ~two_valued].reshape(draws.shape[0] * draws.shape[1], -1)
    ranks = ndtri((_average_ranks(pooled) - 0.375) / (len(pooled) + 0.25))
    scores[:, :, ~two_valued] = ranks.reshape((*draws.shape[:2], -1))
    return scores


def _average_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1 within each column of (m, n); ties share the mean of their ranks."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    place = np.arange(len(values))[:, None]
    starts = np.ones(values.shape, dtype=bool)  # whether a new value starts at this place
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    ends = np.ones(values.shape, dtype=bool)
    ends[:-1] = starts[1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, place, len(values))[::-1], axis=0)[::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=0)
    return ranks


def between(draws: Draws) -> Elements:
    """The larger of the rank-normalised R-hats of whole chains and of their distances from the median."""
    folded = np.abs(draws - np.median(draws, (0, 1)))
    # two values equally far from the median fold into a constant, which has no R-hat: the other one stands
    return np.fmax(_rhat(normal_scores(draws)), _rhat(normal_scores(folded)))


def _rhat(draws: Draws) -> Elements:
    """The ratio of pooled to within-chain standard deviation, as Gelman and Rubin estimate it; NaN of one chain."""
    chains, count, n = draws.shape
    if chains < 2:
        return np.full(n, np.nan)
    between = count * draws.mean(1).var(0, ddof=1)
    within = draws.var(1, ddof=1).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((between / within + count - 1) / count)


def _ess(draws: Draws) -> Elements:
    """Effective sample size by Geyer's initial monotone sequence, over the autocovariances of all chains."""
    chains, count, n = draws.shape
    total = chains * count
    constant = np.ptp(draws, (0, 1)) < np.finfo(np.float64).resolution
    autocovariance = _mean_autocovariance(draws)
    within = autocovariance[0] * count / (count - 1)
    pooled = autocovariance[0] + (draws.mean(1).var(0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - (within - autocovariance) / pooled
    correlation[0] = 1.0

    # Sums of neighbouring pairs are positive and fall for a reversible chain: cut at the first that is not
    # positive, and where one rises hold it at the one before.
    last_pair = max(0, (count - 3) // 2)
    even, odd = correlation[: 2 * last_pair + 2 : 2], correlation[1 : 2 * last_pair + 2 : 2]
    pairs = even + odd
    stops = ~(pairs > 0)
    stops[last_pair] = True
    stop = stops.argmax(0)
    columns = np.arange(n)
    before = np.arange(last_pair + 1)[:, None] < stop
    summed = np.where(before, np.minimum.accumulate(pairs, axis=0), 0.0).sum(0)
    at_stop = even[stop, columns]
    at_stop = np.where((at_stop > 0) | (pairs[stop, columns] >= 0), at_stop, 0.0)
    # the factor of Stan that keeps antithetic chains from promising too much
    time = np.maximum(-1 + 2 * summed + at_stop, 1 / np.log10(total))
    return np.where(constant, float(total), total / time)


def _mean_autocovariance(draws: Draws) -> NDArray[np.float64]:
    """Autocovariances (draws, n) at each lag, mean over the chains, by Fourier transform."""
    from scipy.fft import irfft, next_fast_len, rfft

    count = draws.shape[1]
    size = next_fast_len(2 * count, real=True)
    spectrum = rfft(draws - draws.mean(1, keepdims=True), n=size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).mean(0)
    return irfft(power, n=size, axis=0)[:count] / count
