"""What MALA, ULA and HMC share: the state they keep, how it begins, and how the user's step size is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from compose_lang.runtime import adaptation
from compose_lang.runtime.adaptation import Adaptation, Windows
from compose_lang.runtime.backend import Array, Backend
from compose_lang.runtime.kernel import ContinuousBlock, Position

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
