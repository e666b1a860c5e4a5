"""Slice sampling of one number at a time (Neal, "Slice sampling", 2003): it needs no gradient and no step size.

Numbers of the program's own (reals and angles, alone or in arrays) are drawn in their values, object by object: those
that share no factor at once, each by the factors that touch it. Where a number has two bounds the interval is all
between them, so that it may jump over what is forbidden; else it steps out by a width learned in warm-up. Of other
types, and where finite variables are summed out, unconstrained coordinates are drawn in turn by the whole energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common import slicing
from compose_lang.runtime.kernels.common.adaptation import first_step
from compose_lang.runtime.kernels.common.kernel import (
    BoundKernel,
    ContinuousBlock,
    Kernel,
    Option,
)
from compose_lang.runtime.kernels.common.slicing import Lines
from compose_lang.runtime.kernels.common.value_blocks import ObjectBlock

Step = tuple[Position, Tree, dict[str, Array]]


@dataclass(frozen=True)
class CoordinateSlice:
    """Each unconstrained coordinate of a block in turn, by the whole energy."""

    block: ContinuousBlock
    backend: Backend
    warmup: int
    width: float

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return slicing.noise_of((self.block.size,))

    def init(self, position: Position, keys: Array) -> Tree:
        u = self.block.ravel(position)
        return {
            "energy": self.block.energy(u, position),
            "log_width": slicing.begin(self.width, u, self.backend),
        }

    def step(self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any) -> Step:
        block, backend, xp = self.block, self.backend, self.backend.xp
        u = block.ravel(position)
        energy = state["energy"] if block.alone else block.energy(u, position)
        width = slicing.width_of(state["log_width"], backend)
        places = xp.arange(block.size)[None, :]

        def update(i: Any, carry: Tree) -> Tree:
            u, energy, length, count = carry
            is_here = places == i
            lines = Lines(
                lambda x: block.energy(xp.where(is_here, x[:, None], u), position), -xp.inf, xp.inf, backend
            )
            drawn = {name: values[:, i] for name, values in noise.items()}
            found = lines.update(u[:, i], energy, width[:, i], drawn)
            u = xp.where(is_here, found.place[:, None], u)
            length = xp.where(is_here, found.length[:, None], length)
            return u, found.energy, length, count + found.evaluations

        carry = (u, energy, xp.zeros_like(u), xp.zeros_like(energy))
        u, energy, length, count = backend.loop(0, block.size, update, carry)
        log_width = slicing.adapted(state["log_width"], length, t, self.warmup, backend)
        statistics = {
            "step_size": xp.mean(width, axis=1),
            "energy": energy,
            "num_evaluations": count / block.size,
        }
        return block.unravel(position, u), {"energy": energy, "log_width": log_width}, statistics


@dataclass(frozen=True)
class ObjectSlice:
    """Each number of the objects of a variable, a class at a time, by the factors that touch them."""

    block: ObjectBlock
    backend: Backend
    warmup: int
    width: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.block.classes, self.block.size, self.block.width

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return slicing.noise_of(self.shape)

    def init(self, position: Position, keys: Array) -> Tree:
        chains = next(iter(position.values())).shape[0]
        like = self.backend.xp.zeros((chains, *self.shape), dtype=self.backend.real)
        return {"log_width": slicing.begin(self.width, like, self.backend)}

    def step(self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any) -> Step:
        block, backend, xp = self.block, self.backend, self.backend.xp
        width = slicing.width_of(state["log_width"], backend)
        held = block.hold(position)
        limits = block.limits(held)
        members = xp.arange(block.size)

        def update(number: Any, carry: Tree) -> Tree:
            held, length, count = carry
            cls, member = number // block.size, number % block.size
            now, is_here = block.current(held, cls), members == member

            def energy(x: Array) -> Array:
                candidate = xp.where(is_here, x[..., None], now)
                return block.energies(held, cls, candidate[:, :, None, :])[..., 0]

            low, high = (
                end if isinstance(end, int | float) else end[..., member]
                for end in block.limits_of(limits, cls)
            )
            moving = block.real_members(cls)[None, :, member]
            lines = Lines(energy, low, high, backend, moving)
            place = now[..., member]
            drawn = {name: values[:, cls, member] for name, values in noise.items()}
            found = lines.update(place, energy(place), width[:, cls, member], drawn)
            held = block.assign(held, cls, xp.where(is_here, found.place[..., None], now))
            length = backend.set_at(length, (slice(None), cls, member), xp.where(moving, found.length, 0.0))
            return held, length, count + xp.sum(found.evaluations, axis=1)

        carry = (held, xp.zeros_like(width), xp.zeros_like(width[:, 0, 0, 0]))
        held, length, count = backend.loop(0, block.classes * block.size, update, carry)
        log_width = slicing.adapted(state["log_width"], length, t, self.warmup, backend)
        statistics = {
            "step_size": xp.mean(width.reshape((width.shape[0], -1)), axis=1),
            "num_evaluations": count / (block.objects * block.size),
        }
        return block.release(position, held), {"log_width": log_width}, statistics


def bind(
    block: ContinuousBlock | ObjectBlock, backend: Backend, options: Mapping[str, Any], warmup: int
) -> BoundKernel:
    """Slice sampling of a block."""
    adapting = warmup if options.get("step") is None else 0
    of = ObjectSlice if isinstance(block, ObjectBlock) else CoordinateSlice
    return of(block, backend, adapting, first_step(options, 1.0))  # type: ignore[arg-type]


KERNEL = Kernel(
    name="slice",
    summary="draws one number at a time from the slice under its density, by the factors that touch it",
    serves=frozenset({"continuous"}),
    bind=bind,
    view="objects",
    options={"step": Option(None, "width by which intervals grow; adapted where it is not given")},
)
