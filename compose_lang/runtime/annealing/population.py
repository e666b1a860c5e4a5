"""A population along the levels: what stands in a sweeper's place for a program with levels of noise.

A chain is a population of as many particles as draws are asked for. Its warm-up is the walk down the levels; at each
the particles make a step of the reverse process (`reverse_step`), are weighed, resampled where their weights have grown
apart, and moved by MCMC that leaves the level's density invariant. At the last level all weights are equal again, and
the particles are the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.annealing import moves, population
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.path import (
    MOST_PARTICLES,
    MOVE_STREAM,
    SHARED_STREAM,
    Levelled,
)
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.chains.sweep import Advance
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.views.views import Views

MIXED = 2.0  #: of the data's spread: at noise above it there is one mode, and moves forget where they began
SPREAD_APART = 0.5  #: resample where the effective part of the population is less


class Population(NamedTuple):
    """Particles between two levels."""

    keys: Array  #: (n, 2), of each particle's noise
    shared: Array  #: (1, 2), of what the population has in common
    position: Position
    log_weights: Array  #: (n,)
    log_step: Array  #: (1,): the factor of the steps
    log_z: Array  #: (1,): the log of the mean weight so far
    accepted: Array  #: (1,): mean acceptance at the last level
    roots: Array  #: (n,): which particle each descends from, of the last level at which all mix anyway
    states: Tree  #: of the kernels that move other variables


class PopulationSweeper(Levelled):
    """Compiled functions of a run along levels; the driver calls them as it calls a `Sweeper`'s."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.backend.compiles_whole:
            self._walk = self.backend.compile(self._walk_in_one)
        else:
            self._walk = self._walk_by_levels

    # --- what the driver calls ---

    def start(self, chains: Sequence[int]) -> Population:
        """The population of a chain, drawn where the noisiest level nearly is a Gaussian."""
        (chain,) = chains
        b, xp = self.backend, self.backend.xp
        numbers = chain * MOST_PARTICLES + np.arange(self.particles)
        with b.scope():
            position, normal, spread = self._noisiest(numbers)
            level = self._at(0)
            energy, _ = self.field.force(self.field.block.ravel(position), position, level)
            log_weights = -energy + xp.sum(0.5 * normal**2 + xp.log(spread * np.sqrt(2 * np.pi)), axis=1)
            if self.field.anneal.has_scores_only:
                log_weights = xp.zeros_like(log_weights)
            states = self._kernel_states(position, numbers, level)
            keys = self._keys(numbers, MOVE_STREAM)
            one = xp.zeros((1,), dtype=b.real)
            return Population(
                keys, self._keys(np.array([chain]), SHARED_STREAM), position, log_weights, one, one + 0.0,
                one + 1.0, xp.arange(self.particles, dtype=b.integer), states,
            )  # fmt: skip

    def advance(self, batch: Population, done: int, draws: int, sweeps: int) -> Advance:
        """Walk `sweeps` levels after `done` of them; once all are walked, hand over the next `draws` particles."""
        b = self.backend
        with b.scope():
            if done < self.count:
                batch = self._walk(self.views.constants, batch, done, done + sweeps)
                self.density.require_sound()
                return Advance(batch, {}, self._health(batch))
            first = done - self.count
            recorded = self._record(batch)
            kept = {n: np.asarray(b.to_numpy(a))[first : first + draws, None] for n, a in recorded.items()}
            return Advance(batch, kept, self._health(batch))

    # --- the walk ---

    def _walk_in_one(self, constants: Tree, batch: Population, first: Any, stop: Any) -> Population:
        walker = Walker(self, self.field_with(constants), self.views.on(constants))
        found = self.backend.loop(
            first, stop, lambda k, state: tuple(walker.level(Population(*state), k)), tuple(batch)
        )
        return Population(*found)

    def _walk_by_levels(self, constants: Tree, batch: Population, first: int, stop: int) -> Population:
        walker = Walker(self, self.field, self.views)
        for k in range(first, stop):
            batch = walker.level(batch, self.backend.asarray(k))
        return batch

    # --- what comes out ---

    def _health(self, batch: Population) -> NDArray[Any]:
        """0 for a population that lives, NaN for one whose particles all have weight 0: (1,)."""
        weights = np.asarray(self.backend.to_numpy(batch.log_weights))
        return np.array([0.0 if np.isfinite(weights).any() else np.nan])

    def _record(self, batch: Population) -> dict[str, Array]:
        xp, b = self.backend.xp, self.backend
        ones = xp.ones((self.particles,), dtype=b.real)
        recorded = self._kept(batch.position)
        recorded["stat.0.accept_prob"] = batch.accepted * ones
        recorded["stat.0.log_z"] = batch.log_z * ones
        recorded["stat.0.root"] = xp.astype(batch.roots, b.real)
        return recorded


class Walker:
    """One level's work, on constants that may be traced."""

    def __init__(self, sweeper: PopulationSweeper, field: Field, views: Views) -> None:
        self.sweeper = sweeper
        self.field = field
        self.views = views
        self.backend = sweeper.backend

    def level(self, p: Population, k: Array) -> Population:
        """Take a population from level k - 1 to level k (at the first it stays where it is), and move it."""
        xp = self.backend.xp
        b, sweeper, field = self.backend, self.sweeper, self.field
        size = field.block.size
        drawn = noise.draw({"step": NoiseSpec("normal", (size,))}, p.keys, k * 1000, b)
        previous = xp.where(k > 0, k - 1, k)
        position, change = reverse_step(
            field, p.position, sweeper._at(previous), sweeper._at(k), drawn["step"]
        )
        log_weights = p.log_weights + change
        log_weights = xp.where(xp.isnan(log_weights), -xp.inf, log_weights)
        if not sweeper.annealing.weights:  # what is forbidden still dies
            log_weights = xp.where(xp.isfinite(log_weights), xp.zeros_like(log_weights), log_weights)
        last = k == sweeper.count - 1
        p = self.resampled(p._replace(position=position, log_weights=log_weights), k, last)
        return self.moved(p, k)

    def resampled(self, p: Population, k: Array, last: Array) -> Population:
        """Copies by weight where the weights have grown apart, and at the last level."""
        b, xp = self.backend, self.backend.xp
        weights = population.normalised(p.log_weights, b)
        own = xp.arange(weights.shape[0], dtype=b.integer)
        apart = (population.effective(weights, b) < SPREAD_APART * weights.shape[0]) | last
        drawn = noise.draw({"place": NoiseSpec("uniform", ())}, p.shared, k, b)
        chosen = population.systematic(weights, drawn["place"], b)
        chosen = xp.where(apart, chosen, own)
        position, roots, states = tree_map(lambda a: a[chosen], (p.position, p.roots, p.states))
        gained = population.log_mean(p.log_weights, b)
        mixes = self.sweeper._at(k) > MIXED * self.sweeper.schedule.scale
        return p._replace(
            position=position,
            roots=xp.where(mixes, own, roots),
            states=states,
            log_weights=xp.where(apart, xp.zeros_like(p.log_weights), p.log_weights),
            log_z=xp.where(apart, p.log_z + gained, p.log_z),
        )

    def moved(self, p: Population, k: Array) -> Population:
        """MCMC at a level: some moves of the transported variables, one step of every other kernel."""
        b, xp = self.backend, self.backend.xp
        sweeper, field = self.sweeper, self.field
        level = sweeper._at(k)
        move, annealing = sweeper.move, sweeper.annealing
        block = field.block
        spec = {"momentum": NoiseSpec("normal", (block.size,)), "accept": NoiseSpec("uniform", ())}
        spread = sweeper.schedule.scale
        scale = level * spread / xp.sqrt(level**2 + spread**2)
        u = block.ravel(p.position)
        force = lambda w: field.force(w, p.position, level)  # noqa: E731 - one line, used twice
        pull = (lambda w: field.score(w, p.position, level)) if field.anneal.has_scores_only else None

        def once(i: Any, carry: Tree) -> Tree:
            point, log_step = moves.Point(*carry[:3]), carry[3]
            drawn = noise.draw(spec, p.keys, k * 1000 + 1 + i, b)
            size = xp.exp(log_step) * scale
            point, probability = moves.step(
                move, force, point, size, drawn["momentum"], drawn["accept"], pull, b
            )
            return *point, moves.adapted(log_step, probability, b), xp.mean(probability).reshape((1,))

        begin = (u, *force(u), p.log_step, p.accepted)
        *found, log_step, accepted = b.loop(0, annealing.moves, once, begin)
        point = moves.Point(*found)
        position = block.unravel(p.position, point.u)
        states = []
        kernels = self.views.kernels(sweeper.warmup, Level(level))
        for j, (kernel, state) in enumerate(zip(kernels, p.states, strict=True)):
            drawn = noise.draw(kernel.noise, p.keys, k * 1000 + 500 + j, b)
            position, state, _ = kernel.step(position, state, drawn, k)
            states.append(state)
        return p._replace(position=position, log_step=log_step, accepted=accepted, states=tuple(states))


def variance_between(level: Array, next_level: Array) -> Array:
    """dv = s² - t², never below 0: a difference of squares may be, where one of them is rounded and the other fused."""
    return (level - next_level) * (level + next_level)


def drift_of(push: Array, dv: Array, field: Field) -> Array:
    """The drift (n, D) of other terms, which is any we like: steep ones are held to the noise's own step."""
    xp = field.backend.xp
    width = xp.sqrt(dv)[:, None]
    return -xp.clip(dv[:, None] * xp.where(xp.isfinite(push), push, xp.zeros_like(push)), -width, width)


def reverse_step(
    field: Field, position: Position, level: Array, next_level: Array, normal: Array
) -> tuple[Position, Array]:
    """A step of the reverse process between two levels, (1,) or (n,), and the change (n,) of the log weights."""
    xp = field.backend.xp
    u = field.block.ravel(position)
    dv = variance_between(level, next_level)
    energy, push = field.weighed_force(u, position, level)
    kick = xp.sqrt(dv)[:, None] * normal + drift_of(push, dv, field)
    pull, growth = field.flow(u, position, level)
    pull_there, growth_there = field.flow(u - dv[:, None] * pull + kick, position, next_level)
    new = u - 0.5 * dv[:, None] * (pull + pull_there) + kick
    change = 0.25 * dv * (growth + growth_there)
    position = field.block.unravel(position, new)
    new_energy, _ = field.weighed_force(new, position, next_level)
    # where dv is 0 (the first level) nothing moves
    safe = xp.where(dv > 0.0, dv, 1.0)[:, None]
    ratio = xp.sum(0.5 * normal * normal - kick**2 / (2.0 * safe), axis=1)
    return position, xp.where(dv > 0.0, change + energy - new_energy + ratio, 0.0 * change)


def normalised(log_weights: Array, b: Backend) -> Array:
    """Weights (n,) that sum to 1."""
    xp = b.xp
    top = xp.max(log_weights)
    weights = xp.exp(log_weights - xp.where(xp.isfinite(top), top, xp.zeros_like(top)))
    return weights / xp.sum(weights)


def effective(weights: Array, b: Backend) -> Array:
    """The effective number of particles, 1 / Σ w²."""
    return 1.0 / b.xp.sum(weights * weights)


def systematic(weights: Array, uniform: Array, b: Backend) -> Array:
    """Indices (n,) of the particles that are copied. uniform: one number in (0, 1)."""
    xp, n = b.xp, weights.shape[0]
    ends = xp.cumulative_sum(weights)
    places = (xp.arange(n, dtype=b.real) + uniform) / n
    found = xp.searchsorted(ends / ends[-1], places)
    return xp.clip(xp.astype(found, b.integer), 0, n - 1)


def log_mean(log_weights: Array, b: Backend) -> Array:
    """log of the mean weight."""
    xp = b.xp
    top = xp.max(log_weights)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return top + xp.log(xp.mean(xp.exp(log_weights - top)))
