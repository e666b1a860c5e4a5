"""Step size and metric, learned by each chain during warm-up and frozen after it.

Step size: dual averaging of the acceptance probability (Hoffman and Gelman, "The No-U-Turn sampler", JMLR 2014, section
3.2). Metric: fitted to the draws of windows that double, those of the Stan Reference Manual, "HMC algorithm
parameters"; in windows before the last to their gradients too, since that is the scale of the density where the chain
is, also while it is still on its way and its variance is that of the way. The last is fitted to both, half and half:
the least ESS by gradients, draws and both was 7,600, 5,400 and 7,000 of 4,000 draws of a logistic regression, 1,100,
1,000 and 1,100 of a line through six points, 1,800, 2,200 and 2,100 of eight schools (medians of three seeds).

Everything is an array with the chain as its leading axis, so that state is checkpointed as it is and no chain
looks at another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.kernels.common import adaptation
from compose_lang.runtime.kernels.common.kernel import ContinuousBlock
from compose_lang.runtime.kernels.common.metric import (
    MOST_DENSE,
    Metric,
    Moments,
    fitted,
    nothing_seen,
    observed,
    unit,
)

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


class Adaptation(NamedTuple):
    step: StepSize
    draws: Moments  #: of the window's coordinates
    gradients: Moments | None  #: and of its gradients, for kernels that have them
    metric: Metric


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


def begin(step: float, like: Array, schedule: Windows, backend: Backend, *, gradients: bool) -> Adaptation:
    """The state before warm-up, for coordinates like (chains, D): a first step and the unit metric."""
    xp = backend.xp
    dense = bool(schedule.ends) and 1 < like.shape[1] <= MOST_DENSE

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
        nothing_seen(like, backend, dense=dense),
        nothing_seen(like, backend, dense=dense) if gradients else None,
        unit(like, backend, dense=dense),
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
    gradient: Array | None,
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

    def learned(state: Adaptation) -> Adaptation:
        state = state._replace(step=_averaged(state.step, target - accept_prob, backend))
        if not schedule.ends:
            return state
        collecting = (t >= schedule.start) & (t < schedule.ends[-1])
        state = _when(collecting, lambda s: _seen(s, u, gradient), state, backend)
        within = backend.xp.any(backend.asarray(schedule.ends[:-1]) == t + 1)
        state = _when(within, lambda s: _next_window(s, backend, is_last=False), state, backend)
        at_last = t + 1 == schedule.ends[-1]
        return _when(at_last, lambda s: _next_window(s, backend, is_last=True), state, backend)

    return _when(t < schedule.warmup, learned, state, backend)


def _seen(state: Adaptation, u: Array, gradient: Array | None) -> Adaptation:
    """One more draw in the window."""
    state = state._replace(draws=observed(state.draws, u))
    if gradient is None or state.gradients is None:
        return state
    return state._replace(gradients=observed(state.gradients, gradient))


def _next_window(state: Adaptation, backend: Backend, *, is_last: bool) -> Adaptation:
    """The metric that a window has shown, and everything else anew."""
    metric = fitted(state.metric, state.draws, state.gradients, backend, is_stationary=is_last)
    draws, slopes = tree_map(backend.xp.zeros_like, (state.draws, state.gradients))
    return Adaptation(_restarted(state.step, backend), draws, slopes, metric)


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


def _when(condition: Array, change: Callable[[Adaptation], Adaptation], state: Tree, backend: Backend) -> Any:
    """The changed state where the condition (one truth value) holds; nothing is computed where it does not."""
    return backend.loop(0, backend.asarray(condition, backend.integer), lambda _, s: change(s), state)


MOST_ENERGY_ERROR = 1000.0
"""Nats lost by a step beyond which it has diverged, as in Stan."""


class State(NamedTuple):
    energy: Array  #: (chains,), where the chain stands
    gradient: Array  #: (chains, D)
    adaptation: Adaptation


def start(
    block: ContinuousBlock, position: Position, step: float, schedule: Windows, backend: Backend
) -> State:
    """The state at a position."""
    energy, gradient = block.energy_and_gradient(block.ravel(position), position)
    return State(energy, gradient, adaptation.begin(step, gradient, schedule, backend, gradients=True))


def here(block: ContinuousBlock, position: Position, state: State) -> tuple[Array, Array, Array]:
    """Coordinates, energy and gradient where the chain stands: kept ones, unless other blocks have moved."""
    u = block.ravel(position)
    energy, gradient = (
        (state.energy, state.gradient) if block.alone else block.energy_and_gradient(u, position)
    )
    return u, energy, gradient


def first_step(options: Mapping[str, Any], default: float) -> float:
    """The step size to begin with: the user's, which stays, or a default."""
    return default if options.get("step") is None else float(options["step"])


def schedule_of(options: Mapping[str, Any], warmup: int) -> Windows:
    """When to adapt: through warm-up, or never where the user gave the step.

    A step that is given counts in the block's own coordinates: so the mass stays 1 too.
    """
    return adaptation.windows(warmup if options.get("step") is None else 0)
