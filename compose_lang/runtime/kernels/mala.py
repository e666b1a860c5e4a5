"""MALA: a Langevin step as the proposal of a Metropolis–Hastings step; ULA is the same step left uncorrected.

In the coordinates v that the metric makes round, with step size h and standard normal ξ, the proposal is
v' = v - h ∇E(v) + sqrt(2 h) ξ, so q(v' | v) ∝ exp(-|v' - v + h ∇E(v)|² / (4 h)), and the reverse density takes its
gradient at v' (Roberts and Tweedie, Bernoulli 1996).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.kernels.common import adaptation
from compose_lang.runtime.kernels.common.adaptation import (
    State,
    Windows,
    first_step,
    here,
    schedule_of,
    start,
)
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ContinuousBlock, Kernel, Option
from compose_lang.runtime.kernels.common.metric import pull, push
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose
from compose_lang.runtime.kernels.common.walls import ended

TARGET = 0.574
"""The best acceptance in high dimensions: Roberts and Rosenthal, JRSS B 1998."""


@dataclass(frozen=True)
class Langevin:
    """The step, with its correction (MALA) or without (ULA)."""

    block: ContinuousBlock
    backend: Backend
    schedule: Windows
    step_size: float
    target: float
    corrected: bool

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        diffusion = {"normal": NoiseSpec("normal", (self.block.size,))}
        return {**diffusion, "accept": NoiseSpec("uniform", ())} if self.corrected else diffusion

    def init(self, position: Position, keys: Array) -> State:
        return start(self.block, position, self.step_size, self.schedule, self.backend)

    def step(
        self, position: Position, state: State, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, State, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend
        u, energy, gradient = here(block, position, state)
        h = adaptation.step_size(state.adaptation, t, self.schedule, backend)
        metric, h2 = state.adaptation.metric, h[:, None]

        slope = pull(metric, gradient)
        moved = -h2 * slope + xp.sqrt(2.0 * h2) * noise["normal"]
        proposed = u + push(metric, moved)
        new_energy, new_gradient = block.energy_and_gradient(proposed, position)
        correction = self.correction(moved, noise["normal"], pull(metric, new_gradient), h2)
        accept_prob = acceptance(energy, new_energy, backend, correction)

        error = new_energy - energy
        if self.corrected:
            accept = noise["accept"] < accept_prob
        else:
            accept = xp.isfinite(new_energy) & xp.all(xp.isfinite(new_gradient), axis=-1)
        u = choose(accept, proposed, u, backend)
        energy = choose(accept, new_energy, energy, backend)
        gradient = choose(accept, new_gradient, gradient, backend)
        learned = adaptation.adapt(
            state.adaptation, u, gradient, accept_prob, self.target, t, self.schedule, backend
        )
        statistics = {
            "accept_prob": accept_prob,
            "step_size": h,
            "energy": energy,
            **ended(block, error, new_energy, xp),
        }
        return block.unravel(position, u), State(energy, gradient, learned), statistics

    def correction(self, moved: Array, normal: Array, new_slope: Array, h: Array) -> Array:
        """log q(v | v') - log q(v' | v) (chains,), where v' - v is `moved` and ∇E(v') is `new_slope`."""
        back = h * new_slope - moved
        return self.backend.xp.sum(0.5 * normal * normal - back * back / (4.0 * h), axis=-1)


def bind(block: ContinuousBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """MALA over a block."""
    step = first_step(options, 0.5 * block.size ** (-1.0 / 3.0))
    return Langevin(block, backend, schedule_of(options, warmup), step, TARGET, corrected=True)


KERNEL = Kernel(
    name="mala",
    summary="Langevin proposals, accepted or rejected so that draws follow the density exactly",
    serves=frozenset({"continuous"}),
    bind=bind,
    options={"step": Option(None, "step size h; adapted to an acceptance of 0.574 where it is not given")},
    needs_gradient=True,
)
