"""A population along the levels: what stands in a sweeper's place for a program with levels of noise.

A chain is a population of as many particles as draws are asked for. Its warm-up is the walk down the levels; at each
the particles are carried on (a step of the reverse process), weighed, resampled where their weights have grown apart,
and moved by MCMC that leaves the level's density invariant. At the last level all weights are equal again, and the
particles are the draws.

From level s to t (dv = s² - t²) a particle moves to x' = x - dv ∇E(x) + sqrt(dv) ξ. Its weight grows by the
Feynman–Kac increment of the flows (see `field`), and for all other terms A by

    A_t(x') / A_s(x) · N(x'; x - dv ∇E_flows(x), dv) / N(x'; x - dv ∇E(x), dv),

which is exact for any drift of theirs (Wu et al., NeurIPS 2023, "Practical and asymptotically exact conditional
sampling in diffusion models").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime import noise
from compose_lang.runtime.annealing import moves, resampling, softening
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.schedule import Schedule
from compose_lang.runtime.backend import Array, Backend, Tree, load_backend
from compose_lang.runtime.kernel import BoundKernel, NoiseSpec, Position
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.sweep import CHUNK_DRAWS, Advance, named_leaves, rebuilt, stored_dtype
from compose_lang.runtime.tree import tree_map

if TYPE_CHECKING:
    from compose_lang.compiler.plan import Annealing, Block
    from compose_lang.runtime.density import Density

MIXED = 2.0  #: of the data's spread: at noise above it there is one mode, and moves forget where they began
SPREAD_APART = 0.5  #: resample where the effective part of the population is less
START_STREAM, MOVE_STREAM, SHARED_STREAM, BLOCK_STREAM = 10_000, 10_001, 10_002, 10_100
MOST_PARTICLES = 10**6


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


class PopulationSweeper:
    """Compiled functions of a run along levels; the driver calls them as it calls a `Sweeper`'s."""

    def __init__(
        self,
        field: Field,
        annealing: Annealing,
        blocks: Sequence[Block],
        schedule: Schedule,
        backend: Backend,
        *,
        seed: int,
        particles: int,
        keep: Sequence[str],
        whole: Density,
    ) -> None:
        self.field = field
        self.density = field.density
        self.annealing = annealing
        self.blocks = tuple(b for b in blocks if b.variables != field.anneal.transported)
        self.backend = backend
        self.seed = seed
        self.particles = particles
        self.schedule = schedule
        self.whole = whole  #: the density of the program as written, observed elements and all
        self.move = moves.MOVES[annealing.move]
        self.capacity = CHUNK_DRAWS
        self.stored = {c.name: stored_dtype(c.type.domain) for c in whole.columns if c.name in set(keep)}
        self._kernels = tuple(load_kernel(block.kernel) for block in self.blocks)
        self.count = len(schedule.levels)
        if backend.whole_programs:
            self._walk = backend.compile(self._walk_in_one)
        else:
            self._walk = self._walk_by_levels

    # --- what the driver calls ---

    def start(self, chains: Sequence[int]) -> Population:
        """The population of a chain, drawn where the noisiest level nearly is a Gaussian."""
        (chain,) = chains
        b, xp = self.backend, self.backend.xp
        numbers = chain * MOST_PARTICLES + np.arange(self.particles)
        with b.scope():
            keys = self._keys(numbers, MOVE_STREAM)
            position = self._elsewhere(self._keys(numbers, START_STREAM))
            block = self.field.block
            drawn = noise.draw({"normal": NoiseSpec("normal", (block.size,))}, keys, b.asarray(-1), b)
            mean, spread = self._gaussian(position)
            u = mean + spread * drawn["normal"]
            position = block.unravel(position, u)
            level = self._at(0)
            energy, _ = self.field.force(u, position, level)
            log_weights = -energy + xp.sum(
                0.5 * drawn["normal"] ** 2 + xp.log(spread * np.sqrt(2 * np.pi)), axis=1
            )
            if self.field.anneal.has_scores_only:
                log_weights = xp.zeros_like(log_weights)
            states = tuple(
                kernel.init(position, self._keys(numbers, BLOCK_STREAM + 2 * k))
                for k, kernel in enumerate(self._bound(self.density.at_level(level)))
            )
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
                batch = self._walk(self.density.constants, batch, done, done + sweeps)
                self.density.require_sound()
                return Advance(batch, {}, self._health(batch))
            first = done - self.count
            recorded = self._record(self.density.constants, batch)
            kept = {n: np.asarray(b.to_numpy(a))[first : first + draws, None] for n, a in recorded.items()}
            return Advance(batch, kept, self._health(batch))

    def failing(self, batch: Population, chain: int) -> list[str]:
        """What to name where a population has died."""
        return [g.label for g in (*self.field.anneal.tempered, *self.field.anneal.families)]

    def pack(self, batch: Population) -> dict[str, NDArray[Any]]:
        return {n: np.asarray(self.backend.to_numpy(leaf)) for n, leaf in named_leaves(tuple(batch))}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Population) -> Population:
        with self.backend.scope():
            leaves = dict(named_leaves(tuple(like)))
            given = {n: self.backend.asarray(arrays[n], getattr(a, "dtype", None)) for n, a in leaves.items()}
            return Population(*rebuilt(tuple(like), given))

    # --- the start ---

    def _elsewhere(self, keys: Array) -> Position:
        """Somewhere of finite energy for the variables that no noise is added to, and 0 for the others."""
        from compose_lang.runtime.annealing.elsewhere import start_elsewhere

        return start_elsewhere(self.field, keys, self._at(0))

    def _gaussian(self, position: Position) -> tuple[Array, Array]:
        """Mean and standard deviation (n, D) of the noisiest level, which is nearly a Gaussian of independent parts.

        Its gradient is linear, so two values of it tell both; where powers add up to nothing there is no density.
        Coordinates that no noised density holds are loose: they begin in a Gaussian about 0.
        """
        xp, b = self.backend.xp, self.backend
        level, far = self._at(0), self.field.softening.coarsest
        slope = b.value_and_grad(lambda w: self.field.noised(w, position, level))
        zero = xp.zeros((self.particles, self.field.block.size), dtype=b.real)
        at_zero, at_far = slope(zero)[1], slope(zero + far)[1]
        loose = xp.all((at_zero == 0.0) & (at_far == 0.0), axis=0)
        precision = xp.where(loose, xp.ones_like(zero) / far**2, (at_far - at_zero) / far)
        if not bool(xp.all(precision > 0.0)):
            text = "at the coarsest noise the composition is no density: its exponents sum to 0 or less"
            help = "`P / Q` needs more of P than of Q; contrast(P, Q) is bounded"
            flows = self.field.anneal.flows
            raise ComposeError(Diagnostic("CG0404", text, flows[0].group.span if flows else None, help=help))
        mean = -at_zero / precision
        self._soften(np.asarray(b.to_numpy(loose)), np.asarray(b.to_numpy(mean[:1])), position)
        return mean, 1.0 / xp.sqrt(precision)

    def _soften(self, loose: NDArray[np.bool_], centre: NDArray[Any], position: Position) -> None:
        """Measure the terms that come in as the noise goes, where the data lie about their centre (1, D)."""
        b, field, spread = self.backend, self.field, self.schedule.scale
        rng = np.random.default_rng(0)
        n = min(softening.PROBES, self.particles)
        points = centre + spread * rng.standard_normal((n, field.block.size))
        signs = rng.choice([-1.0, 1.0], points.shape)
        at = {name: x[:n] for name, x in position.items()}
        level = b.asarray(self.schedule.levels[-1:], b.real)

        def slope(number: int, x: NDArray[Any]) -> NDArray[Any]:
            force = b.value_and_grad(lambda w: field.tempered(number, w, at, level))
            return np.asarray(b.to_numpy(force(b.asarray(x, b.real))[1]))

        moved = points + softening.STRIDE * spread * signs
        gradients = [(slope(k, points), slope(k, moved)) for k in range(len(field.anneal.tempered))]
        curvatures, slopes = softening.measured(gradients, signs, spread)
        held = loose.astype(np.float64) if loose.any() else None
        settled = replace(field.softening, curvatures=curvatures, slopes=slopes, loose=held)
        self.field = replace(field, softening=settled)

    # --- the walk ---

    def _at(self, k: Any) -> Array:
        """The noise (1,) of level number k."""
        if isinstance(k, int):
            return self.backend.asarray(self.schedule.levels[k : k + 1], self.backend.real)
        return self._levels[k.reshape((1,))]

    @cached_property
    def _levels(self) -> Any:
        return self.backend.asarray(self.schedule.levels, self.backend.real)

    def _walk_in_one(self, constants: Tree, batch: Population, first: Any, stop: Any) -> Population:
        walker = Walker(self, self.field_with(constants))
        found = self.backend.loop(
            first, stop, lambda k, state: tuple(walker.level(Population(*state), k)), tuple(batch)
        )
        return Population(*found)

    def _walk_by_levels(self, constants: Tree, batch: Population, first: int, stop: int) -> Population:
        walker = Walker(self, self.field)
        for k in range(first, stop):
            batch = walker.level(batch, self.backend.asarray(k))
        return batch

    def field_with(self, constants: Tree) -> Field:
        return replace(self.field, density=self.density.with_constants(constants))

    def _bound(self, density: Density) -> list[BoundKernel]:
        return [
            kernel.bind(density.block(block.variables), self.backend, dict(block.options), self.count)
            for kernel, block in zip(self._kernels, self.blocks, strict=True)
        ]

    def _keys(self, numbers: NDArray[Any], stream: int) -> Array:
        keys = noise.chain_keys(self.seed, numbers, stream, load_backend("numpy"))
        return self.backend.asarray(keys, self.backend.word)

    # --- what comes out ---

    def _health(self, batch: Population) -> NDArray[Any]:
        """0 for a population that lives, NaN for one whose particles all have weight 0: (1,)."""
        weights = np.asarray(self.backend.to_numpy(batch.log_weights))
        return np.array([0.0 if np.isfinite(weights).any() else np.nan])

    def _record(self, constants: Tree, batch: Population) -> dict[str, Array]:
        xp, b = self.backend.xp, self.backend
        whole, _ = self.density.constrain(batch.position)
        values = {name: array for name, array in whole.items() if name in self.whole.variables}
        for v in self.whole.graph.variables:  # what was observed is exact
            if v.name in values and not v.free.all():
                event = (1,) * len(v.type.domain.event_shape)
                free = b.asarray(v.free.reshape((1, *v.type.shape, *event)))
                held = b.asarray(v.observed[None], values[v.name].dtype)
                values[v.name] = xp.where(free, values[v.name], held)
        found = self.whole.record_values(values, self.particles)
        own = {None: b.real, "int64": b.integer}
        recorded = {
            f"draw.{name}": xp.astype(found[name], own[dtype] if dtype in own else getattr(xp, str(dtype)))
            for name, dtype in self.stored.items()
        }
        n = self.particles
        ones = xp.ones((n,), dtype=b.real)
        recorded["stat.0.accept_prob"] = batch.accepted * ones
        recorded["stat.0.log_z"] = batch.log_z * ones
        recorded["stat.0.root"] = xp.astype(batch.roots, b.real)
        return recorded


class Walker:
    """One level's work, on constants that may be traced."""

    def __init__(self, sweeper: PopulationSweeper, field: Field) -> None:
        self.sweeper = sweeper
        self.field = field
        self.backend = sweeper.backend

    def level(self, p: Population, k: Array) -> Population:
        """Carry a population from level k - 1 to level k (at the first there is nothing to carry), and move it."""
        xp = self.backend.xp
        b, sweeper, field = self.backend, self.sweeper, self.field
        size = field.block.size
        drawn = noise.draw({"carry": NoiseSpec("normal", (size,))}, p.keys, k * 1000, b)
        previous = xp.where(k > 0, k - 1, k)
        position, change = self.carried(p.position, previous, k, drawn["carry"])
        log_weights = p.log_weights + change
        log_weights = xp.where(xp.isnan(log_weights), -xp.inf, log_weights)
        if not sweeper.annealing.weights:  # what is forbidden still dies
            log_weights = xp.where(xp.isfinite(log_weights), xp.zeros_like(log_weights), log_weights)
        last = k == sweeper.count - 1
        p = self.resampled(p._replace(position=position, log_weights=log_weights), k, last)
        return self.moved(p, k)

    def carried(self, position: Position, before: Array, k: Array, normal: Array) -> tuple[Position, Array]:
        """A step of the reverse process between two levels, and the change (n,) of the log weights."""
        xp, field = self.backend.xp, self.field
        level, next_level = self.sweeper._at(before), self.sweeper._at(k)
        u = field.block.ravel(position)
        dv = level**2 - next_level**2  # (1,)
        width = xp.sqrt(dv)[:, None]
        energy, push = field.weighed_force(u, position, level)
        # the drift of other terms is any we like: steep ones are held to the noise's own step
        drift = -xp.clip(dv[:, None] * xp.where(xp.isfinite(push), push, 0.0 * push), -width, width)
        kick = width * normal + drift
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

    def resampled(self, p: Population, k: Array, last: Array) -> Population:
        """Copies by weight where the weights have grown apart, and at the last level."""
        b, xp = self.backend, self.backend.xp
        weights = resampling.normalised(p.log_weights, b)
        own = xp.arange(weights.shape[0], dtype=b.integer)
        apart = (resampling.effective(weights, b) < SPREAD_APART * weights.shape[0]) | last
        drawn = noise.draw({"place": NoiseSpec("uniform", ())}, p.shared, k, b)
        chosen = resampling.systematic(weights, drawn["place"], b)
        chosen = xp.where(apart, chosen, own)
        position, roots, states = tree_map(lambda a: a[chosen], (p.position, p.roots, p.states))
        gained = resampling.log_mean(p.log_weights, b)
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
        for j, (kernel, state) in enumerate(
            zip(sweeper._bound(field.density.at_level(level)), p.states, strict=True)
        ):
            drawn = noise.draw(kernel.noise, p.keys, k * 1000 + 500 + j, b)
            position, state, _ = kernel.step(position, state, drawn, k)
            states.append(state)
        return p._replace(position=position, log_step=log_step, accepted=accepted, states=tuple(states))
