"""Hamiltonian Monte Carlo: leapfrog trajectories from fresh momenta, accepted or rejected at their end.

Momenta are standard normal in the coordinates that the metric learned in warm-up makes round, and the kinetic energy
is ½ |p|². Where the number of leapfrog steps is not given, each trajectory's length is uniform on (0, 3π/2) in those
coordinates, in which a Gaussian coordinate turns once in 2π: a fixed length
resonates with some coordinate, a random one with none (Neal, "MCMC using Hamiltonian dynamics", 2011, section
3.2; Bou-Rabee and Sanz-Serna, "Randomized Hamiltonian Monte Carlo", 2017). A coordinate of unit scale then
correlates from draw to draw by sin(3π/2) / (3π/2) = -0.2.

A rejection should flip the momentum, so that the accept step leaves the joint density invariant. Here the
momentum is drawn anew before every trajectory, so the flip changes nothing and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
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

TARGET = 0.8
LENGTH = 1.5 * math.pi
MOST_LEAPFROGS = 256


@dataclass(frozen=True)
class HMC:
    """Leapfrog trajectories of a fixed number of steps, or (`leapfrog` None) of random length."""

    block: ContinuousBlock
    backend: Backend
    schedule: Windows
    step_size: float
    leapfrog: int | None
    target: float

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        specs = {"momentum": NoiseSpec("normal", (self.block.size,)), "accept": NoiseSpec("uniform", ())}
        return {**specs, "length": NoiseSpec("uniform", ())} if self.leapfrog is None else specs

    def init(self, position: Position, keys: Array) -> State:
        return start(self.block, position, self.step_size, self.schedule, self.backend)

    def step(
        self, position: Position, state: State, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, State, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend
        u, energy, gradient = here(block, position, state)
        h = adaptation.step_size(state.adaptation, t, self.schedule, backend)
        metric = state.adaptation.metric
        steps, longest = self.trajectory(h, noise)

        def leapfrog(i: Any, carry: Tree) -> Tree:
            u, momentum, _, gradient = carry
            half = momentum - 0.5 * h[:, None] * pull(metric, gradient)
            moved = u + h[:, None] * push(metric, half)
            new_energy, new_gradient = block.energy_and_gradient(moved, position)
            new = (moved, half - 0.5 * h[:, None] * pull(metric, new_gradient), new_energy, new_gradient)
            if self.leapfrog is not None:
                return new
            return tuple(choose(i < steps, a, b, backend) for a, b in zip(new, carry, strict=True))

        end = backend.loop(0, longest, leapfrog, (u, noise["momentum"], energy, gradient))
        proposed, end_momentum, new_energy, new_gradient = end
        kinetic = 0.5 * xp.sum(noise["momentum"] ** 2, axis=-1)
        new_kinetic = 0.5 * xp.sum(end_momentum**2, axis=-1)
        accept_prob = acceptance(energy, new_energy, backend, kinetic - new_kinetic)

        error = new_energy + new_kinetic - energy - kinetic
        accept = noise["accept"] < accept_prob
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
            "num_steps": steps,
        }
        return block.unravel(position, u), State(energy, gradient, learned), statistics

    def trajectory(self, h: Array, noise: Mapping[str, Array]) -> tuple[Array, Any]:
        """The number of leapfrog steps of each chain (chains,), and the largest of them."""
        xp, integer = self.backend.xp, self.backend.integer
        if self.leapfrog is not None:
            return xp.full(h.shape, self.leapfrog, dtype=integer), self.leapfrog
        steps = xp.clip(xp.ceil(LENGTH * noise["length"] / h), 1.0, float(MOST_LEAPFROGS))
        steps = xp.astype(steps, integer)
        return steps, xp.max(steps)


def bind(block: ContinuousBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """HMC over a block."""
    leapfrog = options.get("leapfrog")
    return HMC(
        block,
        backend,
        schedule_of(options, warmup),
        first_step(options, block.size**-0.25),
        None if leapfrog is None else int(leapfrog),
        float(options.get("target_accept") or TARGET),
    )


KERNEL = Kernel(
    name="hmc",
    summary="Hamiltonian trajectories of random length, with step size and mass learned in warm-up",
    serves=frozenset({"continuous"}),
    bind=bind,
    options={
        "step": Option(None, "leapfrog step size; adapted where it is not given"),
        "leapfrog": Option(
            None, "leapfrog steps a trajectory; where it is not given, lengths are random", "whole number"
        ),
        "target_accept": Option(TARGET, "the acceptance that the step size is adapted to"),
    },
    needs_gradient=True,
)
