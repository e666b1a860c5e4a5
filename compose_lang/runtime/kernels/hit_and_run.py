"""Hit-and-run: a point of the density along a line of random direction (Smith 1984; Chen and Schmeiser 1993).

Reals are moved in their own values. Where bounds and straight walls (`require` of linear expressions) cut a chord of
finite length out of the line, points are drawn from all of it, by slice sampling with shrinkage: walls of other shapes,
and the energy, shrink it. Else an interval steps out by a width learned in warm-up, as it does in unconstrained
coordinates, where variables are of other types or finite ones are summed out. Directions are Gaussian, with the
covariance of a warm-up's windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common import adaptation, slicing
from compose_lang.runtime.kernels.common.adaptation import Windows, first_step, schedule_of
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ContinuousBlock, Kernel, Option
from compose_lang.runtime.kernels.common.metric import push
from compose_lang.runtime.kernels.common.slicing import Lines
from compose_lang.runtime.kernels.common.value_blocks import LineBlock

MOST_MOVES = 16  #: lines of a step, unless they are asked for


@dataclass(frozen=True)
class HitAndRun:
    """Some lines a step through a block, one after another."""

    block: ContinuousBlock | LineBlock
    backend: Backend
    schedule: Windows
    width: float
    moves: int

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        direction = NoiseSpec("normal", (self.moves, self.block.size))
        return {"direction": direction, **slicing.noise_of((self.moves,))}

    def init(self, position: Position, keys: Array) -> Tree:
        x = self.block.ravel(self.held(position))
        return {
            "adaptation": adaptation.begin(1.0, x, self.schedule, self.backend, gradients=False),
            "log_width": slicing.begin(self.width, x[:, 0], self.backend),
        }

    def held(self, position: Position) -> Any:
        """What the block reads its numbers from."""
        return self.block.hold(position) if isinstance(self.block, LineBlock) else position

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, backend, xp = self.block, self.backend, self.backend.xp
        held, learned = self.held(position), state["adaptation"]
        x = block.ravel(held)
        width = slicing.width_of(state["log_width"], backend)

        def move(number: Any, carry: Tree) -> Tree:
            x, energy, length, count = carry
            drawn = {name: values[:, number] for name, values in noise.items()}
            direction = push(learned.metric, drawn["direction"])
            ends = block.chord(x, direction, held) if isinstance(block, LineBlock) else (-xp.inf, xp.inf)
            lines = Lines(lambda s: block.energy(x + s[:, None] * direction, held), *ends, backend)
            found = lines.update(xp.zeros_like(energy), energy, width, drawn)
            x = x + found.place[:, None] * direction
            return x, found.energy, length + found.length / self.moves, count + found.evaluations

        zero = xp.zeros_like(width)
        carry = (x, block.energy(x, held), zero, zero)
        x, energy, length, count = backend.loop(0, self.moves, move, carry)
        warmup = self.schedule.warmup
        # the step size of `adapt` is not used: an acceptance that is on target leaves it
        learned = adaptation.adapt(learned, x, None, zero, 0.0, t, self.schedule, backend)
        log_width = slicing.adapted(state["log_width"], length, t, warmup, backend)
        held = block.unravel(held, x)
        position = block.release(position, held) if isinstance(block, LineBlock) else held
        statistics = {"step_size": width, "energy": energy, "num_evaluations": count / self.moves}
        return position, {"adaptation": learned, "log_width": log_width}, statistics


def bind(
    block: ContinuousBlock | LineBlock, backend: Backend, options: Mapping[str, Any], warmup: int
) -> BoundKernel:
    """Hit-and-run of a block."""
    moves = options.get("moves") or min(block.size, MOST_MOVES)
    return HitAndRun(block, backend, schedule_of(options, warmup), first_step(options, 1.0), int(moves))


KERNEL = Kernel(
    name="hit_and_run",
    summary="draws all of a block along lines of random direction, whose ends are known at linear walls",
    serves=frozenset({"continuous"}),
    bind=bind,
    view="lines",
    options={
        "step": Option(None, "width by which intervals grow; adapted where it is not given"),
        "moves": Option(None, "lines a step; as many as there are numbers, up to 16", "whole number"),
    },
)
