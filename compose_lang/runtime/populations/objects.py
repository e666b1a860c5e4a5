"""Moves of one object at a time, of all particles at once: random walks, relocations, and swaps of like objects.

One sweep visits the classes of each continuous variable's objects (`views/objects`). An object takes a Gaussian step of
log-normal scale, and where it is boxed it is drawn anew in its box; both are accepted by the factors that touch it, of
which one evaluation weighs all three: where it is, where it walks to, and where it is drawn, which does not depend on
where it is. At the end of a variable's sweep each particle exchanges the values of some pairs of its objects. All leave
the density at a level invariant, given the scales of steps, which follow the acceptance of the whole population.

In: a density. After: `smc`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.density.density import FULL, Density, Values
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose, each_class
from compose_lang.runtime.views.conditional import row
from compose_lang.runtime.views.objects import ObjectView, object_views, released
from compose_lang.runtime.views.view import View

TARGET = 0.35  #: share of steps that are accepted
GAIN = 2.0  #: by how much a log scale follows what acceptance a sweep has over the target
JITTER = 0.5  #: standard deviation of a step's log scale
ROUNDING = 100.0  #: errors of rounding by which numbers that are the same may differ
WIDEST = 3.0  #: most standard deviations of a step, as a log
Kind = Literal["uniform", "normal"]
SWAPS = 2  #: pairs that each particle exchanges of each variable's objects


class Scales(NamedTuple):
    """How far the objects of a variable step."""

    log_step: Array  #: (classes, width), in units of the spread
    spread: Array  #: (classes, width, k): the standard deviation of each number in the population


@dataclass(frozen=True, eq=False)
class ObjectMoves:
    """Sweeps over the objects of all continuous variables that have any; the particles are the leading axis.

    views: by variable; tables: their arrays, which compiled functions take as an argument with the density's.
    """

    density: Density
    views: Mapping[str, View]
    tables: Mapping[str, Tree]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that move."""
        return tuple(self.views)

    @property
    def constants(self) -> Tree:
        return {"density": self.density.constants, "objects": dict(self.tables)}

    def on(self, constants: Tree) -> ObjectMoves:
        """The same moves on other arrays for their constants (traced ones, inside a compiled function)."""
        density = self.density.with_constants(constants["density"])
        return ObjectMoves(density, self.views, constants["objects"])

    def block(self, name: str, level: Level) -> ObjectView:
        """The objects of a variable at a level."""
        view: ObjectView = self.views[name].show(self.density, self.tables[name], level, None)
        return view

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        """What a sweep needs of each particle: all uniforms as one array, and all normals."""
        sizes: dict[Kind, int] = {}
        for name in self.names:
            for kind, shape in noise_of(self.block(name, FULL)).values():
                sizes[kind] = sizes.get(kind, 0) + math.prod(shape)
        return {kind: NoiseSpec(kind, (size,)) for kind, size in sizes.items()}

    def drawn(self, noise: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
        """The noise of each variable's sweep by what it is for, (particles, *shape)."""
        start = dict.fromkeys(noise, 0)
        found: dict[str, dict[str, Array]] = {}
        for name in self.names:
            found[name] = {}
            for use, (kind, shape) in noise_of(self.block(name, FULL)).items():
                stop = start[kind] + math.prod(shape)
                found[name][use] = noise[kind][:, start[kind] : stop].reshape((-1, *shape))
                start[kind] = stop
        return found

    def begin(self, position: Position) -> Tree:
        """The scales of steps at the start, for the spread that a population has there."""
        backend = self.density.backend
        held, _ = self.density.constrain(position)
        scales = {}
        for name in self.names:
            block = self.block(name, FULL)
            one = backend.xp.ones((block.classes, block.width), dtype=backend.real)
            spread = spread_of(block, held, backend.xp.ones_like(one[..., None]), backend)
            scales[name] = Scales(one * math.log(2.38 / math.sqrt(block.size)), spread)
        return scales

    def sweep(
        self, position: Position, scales: Tree, noise: Mapping[str, Array], level: Level = FULL
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """Position and scales after a sweep at a level, and by kind of move the share that was accepted, (chains,)."""
        held, _ = self.density.constrain(position, level)
        each = self.drawn(noise)
        after: dict[str, Scales] = {}
        accepted: dict[str, list[Array]] = {}
        for name in self.names:
            block = self.block(name, level)
            held, steps, shares = moved(block, held, scales[name], each[name], self.density.backend)
            if block.alike > 1:
                held, shares["swap"] = swapped(block, held, each[name]["swap"], self.density.backend)
            after[name] = adapted(block, held, scales[name], steps, self.density.backend)
            for kind, share in shares.items():
                accepted.setdefault(kind, []).append(share)
        statistics = {kind: sum(shares) / len(shares) for kind, shares in accepted.items()}
        return released(self.density, position, held, self.names, level), after, statistics


def object_moves(density: Density) -> ObjectMoves:
    """The moves of a density's objects."""
    with density.backend.scope():
        views = object_views(density.graph, density.graph.variables, density.backend, candidates=3)
        density = density.evaluating([n for view in views.values() for n in view.energies])
    return ObjectMoves(density, views, {name: view.tables for name, view in views.items()})


def noise_of(block: ObjectView) -> dict[str, tuple[Kind, tuple[int, ...]]]:
    """What a sweep of one variable needs of each particle."""
    members = (block.classes, block.width)
    numbers = (*members, block.size)
    found: dict[str, tuple[Kind, tuple[int, ...]]] = {
        "walk": ("normal", numbers),
        "scale": ("normal", members),
        "accept": ("uniform", members),
    }
    if block.is_boxed:
        found |= {"place": ("uniform", numbers), "accept_place": ("uniform", members)}
    if block.alike > 1:
        # two objects that were exchanged twice would stand where they did
        found |= {"swap": ("uniform", (min(SWAPS, block.alike - 1), 3))}
    return found


def moved(
    block: ObjectView, held: Values, scales: Scales, noise: Mapping[str, Array], backend: Backend
) -> tuple[Values, Array, dict[str, Array]]:
    """Values after every object has walked and been drawn anew.

    Also the acceptance of walks by object (classes, width), and of both moves by particle (chains,).
    """
    xp, limits = backend.xp, block.limits(held)
    kinds = ("walk", "relocate") if block.is_boxed else ("walk",)

    def visit(cls: Any, carry: Tree) -> Tree:
        held, steps, totals = carry
        now = block.current(held, cls)
        drawn = {kind: values[:, cls] for kind, values in noise.items() if kind != "swap"}
        step = xp.exp(row(scales.log_step, cls) + JITTER * drawn["scale"])
        proposed = [block.wrap(now + step[..., None] * row(scales.spread, cls) * drawn["walk"])]
        if block.is_boxed:
            low, high = block.limits_of(limits, cls)
            proposed.append(low + (high - low) * drawn["place"])
        # a class that does not propose to be drawn anew is weighed where it is once more
        candidates = [now, *proposed, *([now] * (2 - len(proposed)))]
        energies = block.energies(held, cls, xp.stack(candidates, axis=2))
        energy, real = energies[..., 0], block.real_members(cls)[:, 0]
        totals = dict(totals)
        for number, (kind, uniform) in enumerate(zip(kinds, ("accept", "accept_place"), strict=False), 1):
            accept_prob = acceptance(energy, energies[..., number], backend)
            accept = drawn[uniform] < accept_prob
            now = xp.where(accept[..., None], candidates[number], now)
            energy = xp.where(accept, energies[..., number], energy)
            totals[kind] = totals[kind] + xp.sum(xp.where(real, accept_prob, 0.0), axis=-1)
            if kind == "walk":
                mean = xp.mean(accept_prob, axis=0)
                steps = mean[None] if block.classes == 1 else backend.set_at(steps, cls, mean)
        return block.assign(held, cls, now), steps, totals

    none = xp.zeros((held[block.name].shape[0],), dtype=backend.real)
    carry = (held, xp.zeros_like(scales.log_step), dict.fromkeys(kinds, none))
    held, steps, totals = each_class(block.classes, visit, carry, backend, unrolled=1)
    return held, steps, {kind: total / block.objects for kind, total in totals.items()}


def swapped(block: ObjectView, held: Values, uniform: Array, backend: Backend) -> tuple[Values, Array]:
    """Values after exchanges of two objects' values; uniform (chains, swaps, 3). Also the share accepted (chains,)."""
    xp, count, swaps = backend.xp, block.alike, uniform.shape[1]

    def exchange(swap: Any, carry: Tree) -> Tree:
        held, energy, total = carry
        drawn = uniform[:, swap]
        first = xp.astype(xp.floor(drawn[:, 0] * count), backend.integer)
        ahead = 1 + xp.astype(xp.floor(drawn[:, 1] * (count - 1)), backend.integer)
        exchanged = block.exchanged(held, first, (first + ahead) % count)
        energy_then = block.energy(exchanged)
        accept_prob = acceptance(energy, energy_then, backend)
        accept = drawn[:, 2] < accept_prob
        values = choose(accept, exchanged[block.name], held[block.name], backend)
        energy = xp.where(accept, energy_then, energy)
        return {**held, block.name: values}, energy, total + accept_prob / swaps

    energy = block.energy(held)
    held, _, share = backend.loop(0, swaps, exchange, (held, energy, xp.zeros_like(energy)))
    return held, share


def adapted(block: ObjectView, held: Values, scales: Scales, steps: Array, backend: Backend) -> Scales:
    """The scales after a sweep whose steps had this acceptance (classes, width), in a population at these values."""
    log_step = backend.xp.clip(scales.log_step + GAIN * (steps - TARGET), -20.0, WIDEST)
    return Scales(log_step, spread_of(block, held, scales.spread, backend))


def spread_of(block: ObjectView, held: Values, known: Array, backend: Backend) -> Array:
    """The standard deviation (classes, width, k) of each number over the particles.

    Where these are all the same but for rounding, it is as it was known.
    """
    xp = backend.xp
    flat = block.flat(held)
    mean = xp.mean(flat, axis=0)
    deviation = xp.sqrt(xp.mean((flat - mean) ** 2, axis=0))
    rounding = ROUNDING * float(np.finfo(backend.precision).eps) * xp.abs(mean)
    deviation = xp.where(xp.isfinite(deviation) & (deviation > rounding), deviation, 0.0)
    numbers = block.tables["numbers"]
    found = deviation[xp.where(numbers < flat.shape[1], numbers, 0)]
    return xp.where(found > 0.0, found, known)
