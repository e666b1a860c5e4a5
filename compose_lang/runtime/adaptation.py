"""Step size and diagonal mass, learned by each chain during warm-up and frozen after it.

Step size: dual averaging of the acceptance probability (Hoffman and Gelman, "The No-U-Turn sampler", JMLR
2014, section 3.2). Mass: variances of the coordinates in windows that double, by Welford's recurrence, with
the windows and the shrinkage of the Stan Reference Manual, "HMC algorithm parameters". Everything is an array
with the chain as its leading axis, so that state is checkpointed as it is and no chain looks at another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from compose_lang.runtime.backend import Array, Backend, Tree
from compose_lang.runtime.tree import tree_map

GAMMA, T0, KAPPA = 0.05, 10.0, 0.75  # dual averaging: Hoffman and Gelman's values
FIRST_BUFFER, LAST_BUFFER, FIRST_WINDOW = 75, 50, 25  # steps: Stan's
STEP_GRID = 0.01  # in log step
LEAST_WARMUP = 20
"""A warm-up shorter than this adapts the step size only."""


class StepSize(NamedTuple):
    """Dual averaging: each (chains,)."""

    log_step: Array  #: the step tried next
    log_mean: Array  #: the average that is used once warm-up ends
    error: Array  #: averaged distance of acceptance from its target
    count: Array
    centre: Array  #: what log_step is drawn to


class Moments(NamedTuple):
    """Welford's recurrence: count (chains,), mean and sum of squared deviations (chains, D)."""

    count: Array
    mean: Array
    squares: Array


class Adaptation(NamedTuple):
    step: StepSize
    moments: Moments
    variance: Array  #: (chains, D): the inverse of the diagonal mass


@dataclass(frozen=True)
class Windows:
    """When the mass is learned: from step `start` on, in windows that end before the steps `ends`."""

    warmup: int
    start: int
    ends: tuple[int, ...]


def windows(warmup: int) -> Windows:
    """Stan's schedule: the step size alone, then windows that double, then the step size alone."""
    if warmup < LEAST_WARMUP:
        return Windows(warmup, warmup, ())
    start, last, size = FIRST_BUFFER, LAST_BUFFER, FIRST_WINDOW
    if start + last + size > warmup:
        start, last = int(0.15 * warmup), int(0.1 * warmup)
        size = warmup - start - last
    stop, ends, end = warmup - last, [], start
    while end < stop:
        end += size
        size *= 2
        if end + size > stop:  # no room for another: this one takes the rest
            end = stop
        ends.append(end)
    return Windows(warmup, start, tuple(ends))


def begin(step: float, like: Array, backend: Backend) -> Adaptation:
    """The state before warm-up, for coordinates like (chains, D): a first step and unit mass."""
    xp = backend.xp

    def each_chain(value: float) -> Array:
        return xp.full((like.shape[0],), value, dtype=backend.real)

    log_step = math.log(step)
    # Arrays of their own: torch.compile would compile again once two that were one are two.
    return Adaptation(
        StepSize(
            log_step=each_chain(log_step),
            log_mean=each_chain(log_step),
            error=each_chain(0.0),
            count=each_chain(0.0),
            centre=each_chain(log_step + math.log(10.0)),
        ),
        Moments(each_chain(0.0), xp.zeros_like(like), xp.zeros_like(like)),
        xp.ones_like(like),
    )


def step_size(state: Adaptation, t: Array, schedule: Windows, backend: Backend) -> Array:
    """The step (chains,) of step t: the one tried during warm-up, their average after it.

    It is rounded, by half a percent at most. Otherwise the last bits of an acceptance probability, which
    differ between backends, come back magnified through the step, and trajectories part within 50 steps.
    """
    if not schedule.warmup:
        return backend.xp.exp(state.step.log_mean)
    warming = backend.asarray(t) < schedule.warmup
    log_step = backend.xp.where(warming, state.step.log_step, state.step.log_mean)
    return backend.xp.exp(backend.xp.round(log_step / STEP_GRID) * STEP_GRID)


def adapt(
    state: Adaptation,
    u: Array,
    accept_prob: Array,
    target: float,
    t: Array,
    schedule: Windows,
    backend: Backend,
) -> Adaptation:
    """Learn from step t, which led to u (chains, D); after warm-up the state stays as it is."""
    if not schedule.warmup:
        return state
    t = backend.asarray(t)
    step = _averaged(state.step, target - accept_prob, backend)
    moments, variance = state.moments, state.variance
    if schedule.ends:
        collecting = (t >= schedule.start) & (t < schedule.ends[-1])
        moments = _where(collecting, _observed(moments, u), moments, backend)
        at_end = backend.xp.any(backend.asarray(schedule.ends) == t + 1)
        variance = backend.xp.where(at_end, _shrunk(moments), variance)
        moments = _where(at_end, tree_map(backend.xp.zeros_like, moments), moments, backend)
        step = _where(at_end, _restarted(step, backend), step, backend)
    return _where(t < schedule.warmup, Adaptation(step, moments, variance), state, backend)


def _averaged(state: StepSize, error: Array, backend: Backend) -> StepSize:
    """Hoffman and Gelman 2014, algorithm 5, for one value of δ - α."""
    count = state.count + 1.0
    weight = 1.0 / (count + T0)
    average = (1.0 - weight) * state.error + weight * error
    log_step = state.centre - backend.xp.sqrt(count) / GAMMA * average
    share = count**-KAPPA
    log_mean = share * log_step + (1.0 - share) * state.log_mean
    return StepSize(log_step, log_mean, average, count, state.centre)


def _restarted(state: StepSize, backend: Backend) -> StepSize:
    """Dual averaging anew from the present step: the mass under it has changed."""
    zero = backend.xp.zeros_like(state.count)
    return StepSize(state.log_step, state.log_step, zero, zero, state.log_step + math.log(10.0))


def _observed(state: Moments, u: Array) -> Moments:
    count = state.count + 1.0
    deviation = u - state.mean
    mean = state.mean + deviation / count[:, None]
    return Moments(count, mean, state.squares + deviation * (u - mean))


def _shrunk(state: Moments) -> Array:
    """Variances drawn towards 1e-3 with the weight of five draws, as in Stan."""
    count = state.count[:, None]
    return (count * (state.squares / (count - 1.0)) + 5.0 * 1e-3) / (count + 5.0)


def _where(condition: Array, new: Tree, old: Tree, backend: Backend) -> Tree:
    return tree_map(lambda a, b: backend.xp.where(condition, a, b), new, old)
