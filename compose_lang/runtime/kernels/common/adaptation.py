"""Step size and diagonal mass, learned by each chain during warm-up and frozen after it.

Step size: dual averaging of the acceptance probability (Hoffman and Gelman, "The No-U-Turn sampler", JMLR
2014, section 3.2). Mass: variances V of the coordinates in windows that double, by Welford's recurrence, with
the windows and the shrinkage of the Stan Reference Manual, "HMC algorithm parameters". In windows before the
last, V is sqrt(Var u / Var ∇E) where there are gradients, as in nutpie: it is the scale of the density where
the chain is, also while it is still on its way and its variance is that of the way.

Everything is an array with the chain as its leading axis, so that state is checkpointed as it is and no chain
looks at another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.kernels.common import adaptation
from compose_lang.runtime.kernels.common.kernel import ContinuousBlock

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
    moments: Moments  #: of the coordinates
    slopes: Moments | None  #: of the gradient, for kernels that have one
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


def begin(step: float, like: Array, backend: Backend, *, gradients: bool) -> Adaptation:
    """The state before warm-up, for coordinates like (chains, D): a first step and unit mass."""
    xp = backend.xp

    def each_chain(value: float) -> Array:
        return xp.full((like.shape[0],), value, dtype=backend.real)

    def nothing_seen() -> Moments:
        return Moments(each_chain(0.0), xp.zeros_like(like), xp.zeros_like(like))

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
        nothing_seen(),
        nothing_seen() if gradients else None,
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
    learned = state._replace(step=_averaged(state.step, target - accept_prob, backend))
    if schedule.ends:
        seen = learned._replace(moments=_observed(state.moments, u))
        if gradient is not None and state.slopes is not None:
            seen = seen._replace(slopes=_observed(state.slopes, gradient))
        collecting = (t >= schedule.start) & (t < schedule.ends[-1])
        learned = _where(collecting, seen, learned, backend)
        at_end = backend.xp.any(backend.asarray(schedule.ends) == t + 1)
        learned = _where(at_end, _next_window(learned, t + 1 == schedule.ends[-1], backend), learned, backend)
    return _where(t < schedule.warmup, learned, state, backend)


def _next_window(state: Adaptation, last: Array, backend: Backend) -> Adaptation:
    """The mass that a window has shown, and everything else anew."""
    xp = backend.xp
    variance = _shrunk(state.moments)
    if state.slopes is not None:
        rough = xp.sqrt(state.moments.squares / state.slopes.squares)
        rough = xp.where(xp.isfinite(rough) & (rough > 0.0), rough, state.variance)
        variance = xp.where(last, variance, rough)
    moments, slopes = tree_map(xp.zeros_like, (state.moments, state.slopes))
    return Adaptation(_restarted(state.step, backend), moments, slopes, variance)


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


MOST_ENERGY_ERROR = 1000.0
"""Nats lost by a step beyond which it has diverged, as in Stan."""


class State(NamedTuple):
    energy: Array  #: (chains,), where the chain stands
    gradient: Array  #: (chains, D)
    adaptation: Adaptation


def start(block: ContinuousBlock, position: Position, step: float, backend: Backend) -> State:
    """The state at a position."""
    energy, gradient = block.energy_and_gradient(block.ravel(position), position)
    return State(energy, gradient, adaptation.begin(step, gradient, backend, gradients=True))


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
