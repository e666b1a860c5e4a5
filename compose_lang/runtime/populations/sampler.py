"""The sampler `smc`: populations that walk a path from their reference to the program.

A chain is a population. Its warm-up is the walk: at each stage the particles are weighed by what comes in, copied by
weight where the weights have grown apart, and moved by kernels that leave the density at that place invariant (Del
Moral, Doucet and Jasra, JRSSB 68, 2006). Once they have arrived they are moved on, and are the draws; where more draws
are asked for than there are particles, so are their later states (Dau and Chopin, JRSSB 84, 2022).

In: a path, its reference, the plan. Out: a `Sampler` for the driver.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.chains.recording import as_stored, packed, stored_types, unpacked
from compose_lang.runtime.chains.starts import find_start, refused
from compose_lang.runtime.chains.steps import keys_of
from compose_lang.runtime.chains.sweep import Advance
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.planning.populations import Populations
from compose_lang.runtime.populations import weights
from compose_lang.runtime.populations.families import variance_of_mean
from compose_lang.runtime.populations.fitted import Gaussian
from compose_lang.runtime.populations.moves import Moves, Moving
from compose_lang.runtime.populations.path import Path, Place
from compose_lang.runtime.populations.reference import Reference

MOVE_STREAM, SHARED_STREAM, PILOT_STREAM = 30_000, 30_001, 30_002
MOST_PARTICLES = 10**6
MOST_STAGES = 400
"""Stages of a walk at most: one that needs more has come to where the particles have no way on."""
RESAMPLED_BELOW = 0.6  #: effective share of the population
PILOTS, PILOT_ROUNDS, PILOT_SWEEPS = 500, 8, 8
"""Particles that look for where the mass is, if nothing can be drawn, and their moves."""
PILOT_PLACE = Place(1.0, 10.0)  #: of the density with soft walls
SCATTER = 3.0  #: the deviations that they start with
MOST_PRICE = 1e9
"""Nats for a unit of violation: if all particles still violate something at it, none will cease to."""
REST_PART = 12  #: sweeps between looks at what particles have in common with those of their family
LEAST_GAIN = 0.8  #: sweeps go on while they make some mean more certain by this factor,
FORGOTTEN = 1.2  #: or until all means are as good as those of so many fewer independent particles
STAGE, SWEEP, ROUND = np.eye(3, dtype=np.int64)
"""What each adds to the counts of a walk."""


class Walk(NamedTuple):
    """What the populations of a lane know of their walk, on the host: C populations of n particles."""

    place: NDArray[np.float64]  #: (2,): β and λ
    roots: NDArray[np.int64]  #: (C, n): which particle of the reference each descends from
    log_weights: NDArray[np.float64]  #: (C, n), unnormalised
    log_z: NDArray[np.float64]  #: (C,)
    counts: NDArray[np.int64]  #: (3,): stages, sweeps, rounds of draws
    chains: NDArray[np.int64]  #: (C,): their numbers

    @property
    def has_arrived(self) -> bool:
        return bool(self.place[0] == 1.0 and np.isinf(self.place[1]))


class Lane(NamedTuple):
    """Particles between two stages, those of one population after those of another."""

    keys: Array  #: (C n, 2), of each particle's noise
    position: Position
    moving: Moving  #: what the moves have learned
    walk: Walk


class PopulationSampler:
    """A `Sampler` whose chains are populations. Those of a lane take the same stages, each weighed by itself."""

    def __init__(
        self,
        path: Path,
        reference: Reference | None,
        moves: Moves,
        plan: Populations,
        whole: Density,
        *,
        seed: int,
        keep: Sequence[str],
    ) -> None:
        """reference: None where it is to be fitted. whole: the density of the program as it is written."""
        self.path = path
        self.reference = reference
        self.moves = moves
        self.plan = plan
        self.whole = whole
        self.backend: Backend = whole.backend
        self.seed = seed
        self.particles = plan.particles
        self.capacity = self.particles
        self.is_exact = reference is not None and not (path.brought or path.walls)
        self.lock = threading.Lock()  # chains start in threads of their own
        self.is_possible = False  #: whether a point is known that satisfies the constraints
        self.stored = stored_types(whole.columns, keep)
        compiled = self.backend.compile if self.backend.compiles_whole else lambda function: function
        self._parts = compiled(self._parts_of)
        self._record = compiled(self._record_of)

    # --- what the driver calls ---

    def start(self, chains: Sequence[int]) -> Lane:
        """The populations of some chains, drawn from the reference."""
        n, count = self.particles, len(chains)
        numbers = np.concatenate([chain * MOST_PARTICLES + np.arange(n) for chain in chains])
        with self.backend.scope():
            keys = keys_of(self.seed, numbers, MOVE_STREAM, self.backend)
            position, moving, log_z = self.referred(keys, chains)
        roots = np.tile(np.arange(n), (count, 1))
        walk = Walk(
            np.zeros(2), roots, np.zeros((count, n)), log_z, np.zeros(3, dtype=np.int64), np.array(chains)
        )
        return Lane(keys, position, moving, walk)

    def referred(self, keys: Array, chains: Sequence[int]) -> tuple[Position, Moving, NDArray[np.float64]]:
        """Particles drawn from the reference, and each population's log of its normalising constant."""
        if self.reference is not None:
            log_z = [self.reference.log_z_from((self.seed, chain)) for chain in chains]
            return *self.outright(keys, [(self.seed, chain) for chain in chains]), np.array(log_z)
        with self.lock:
            if self.moves.fit is None:
                self.moves = self.moves.about(self.fitted())
        assert self.moves.fit is not None
        u = [self.moves.fit.draw(self.particles, np.random.default_rng([self.seed, c])) for c in chains]
        return *self.placed(self.moves, keys, np.concatenate(u)), np.zeros(len(chains))

    def outright(self, keys: Array, seeds: Sequence[tuple[int, ...]]) -> tuple[Position, Moving]:
        """Particles drawn from the reference, those of each seed after those of another."""
        assert self.reference is not None
        drawn = [self.reference.draw(self.particles, seed) for seed in seeds]
        return self.moves.begin(keys, {name: np.concatenate([d[name] for d in drawn]) for name in drawn[0]})

    def placed(self, moves: Moves, keys: Array, u: NDArray[np.float64]) -> tuple[Position, Moving]:
        """Particles at continuous coordinates (n, D), and what is known before the first move."""
        position = moves.position(u)
        return moves.begin(keys, self.whole.constrain(position)[0])

    def fitted(self) -> Gaussian:
        """A Gaussian about where the energy is low, found by particles that are moved there."""
        n = min(self.particles, PILOTS)
        keys = keys_of(self.seed, np.arange(n), PILOT_STREAM, self.backend)
        size = self.moves.views.coordinates(self.moves.names).size
        u = SCATTER * np.random.default_rng([self.seed, PILOT_STREAM]).standard_normal((n, size))
        moves = self.moves.about(Gaussian(np.zeros(size), np.eye(size)))
        position, moving = self.placed(moves, keys, u)
        for k in range(PILOT_ROUNDS):
            position, moving = moves.swept(
                keys, position, moving, PILOT_PLACE, k * PILOT_SWEEPS, PILOT_SWEEPS
            )
        return Gaussian.about(moves.coordinates(position))

    def advance(self, batch: Lane, done: int, draws: int, sweeps: int) -> Advance:
        """Walk up to `sweeps` stages while there is a way to go; then hand over the next `draws` states."""
        with self.backend.scope():
            if done < MOST_STAGES:
                for _ in range(sweeps):
                    if batch.walk.has_arrived:
                        break
                    batch = self.stage(batch)
                return Advance(batch, {}, self.health(batch))
            chunks: list[dict[str, NDArray[Any]]] = []
            first = done - MOST_STAGES
            while first < done - MOST_STAGES + draws:
                round_, offset = divmod(first, self.particles)
                if batch.walk.counts[2] <= round_:
                    batch = self.another_round(batch)
                count = min(self.particles - offset, done - MOST_STAGES + draws - first)
                chunks.append(self.recorded(batch, slice(offset, offset + count)))
                first += count
            kept = {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
            return Advance(batch, kept, self.health(batch))

    def failing(self, batch: Lane, chain: int) -> list[str]:
        """What to name where all particles have died."""
        return [g.label for g in (*self.path.walls, *self.path.brought)]

    def pack(self, batch: Lane) -> dict[str, NDArray[Any]]:
        host = {f"walk/{name}": value for name, value in batch.walk._asdict().items()}
        return packed((batch.position, batch.moving), self.backend) | host

    def unpack(self, arrays: Mapping[str, NDArray[Any]], like: Lane) -> Lane:
        with self.backend.scope():
            position, moving = unpacked(arrays, (like.position, like.moving), self.backend)
        walk = Walk(*(arrays[f"walk/{name}"] for name in Walk._fields))
        return Lane(like.keys, position, moving, walk)

    # --- the walk ---

    def stage(self, p: Lane) -> Lane:
        """Go on along the path as far as the weights stay together, copy by weight, and move."""
        walk = p.walk
        brought, cost = self.parts(p.position)
        if not walk.counts[0]:
            self.require_some(p, cost)
        own = [weights.normalised(x) for x in walk.log_weights]
        place = self.next_place(Place(*walk.place), brought, cost, own, int(walk.counts[0]))
        self.require_way(p, place, cost)
        increments = Place(*walk.place).increments(place, brought, cost)
        gained = np.array([weights.log_mean(w, x) for w, x in zip(own, increments, strict=True)])
        walk = walk._replace(
            place=np.array(place, dtype=np.float64),
            log_weights=walk.log_weights + increments,
            log_z=walk.log_z + gained,
            counts=walk.counts + STAGE,
        )
        p = self.resampled(p._replace(walk=walk))
        return self.moved(p, self.plan.sweeps) if np.isfinite(gained).all() and not self.is_exact else p

    def next_place(
        self, at: Place, brought: NDArray[Any], cost: NDArray[Any], own: Sequence[NDArray[Any]], stage: int
    ) -> Place:
        """The next place on the path: β and λ rise in turn, to the end where the weights stay together."""
        least = self.plan.share

        def share(place: Place) -> float:
            increments = at.increments(place, brought, cost)
            return min(weights.conditional(w, x) for w, x in zip(own, increments, strict=True))

        end = Place(1.0, math.inf)
        if share(end) >= least:
            return end
        if at.progress < 1.0 and (stage % 2 == 0 or np.isinf(at.price)):
            step = weights.longest(
                lambda s: share(at._replace(progress=at.progress + s)), least, 1.0 - at.progress
            )
            reached = at.progress + step
            return at._replace(progress=1.0 if reached > 1.0 - 1e-9 else reached)
        hard = at._replace(price=math.inf)
        if share(hard) >= least:
            return hard
        step = weights.longest(lambda s: share(at._replace(price=at.price + s)), least, MOST_PRICE)
        return at._replace(price=at.price + step)

    def require_some(self, p: Lane, cost: NDArray[Any]) -> None:
        """CG0502 (exit code 4) where no point of the reference satisfies the constraints, nor a search finds one."""
        with self.lock:
            if not self.is_possible and self.path.walls and (cost > 0.0).all():
                find_start(self.whole, p.keys[:1])
            self.is_possible = True

    def require_way(self, p: Lane, place: Place, cost: NDArray[Any]) -> None:
        """CG0502 (exit code 4) where no particle comes to satisfy the constraints, whatever they cost."""
        if np.isfinite(place.price) and place.price >= MOST_PRICE and (cost > 0.0).all():
            raise refused(self.whole, p.position)

    def resampled(self, p: Lane) -> Lane:
        """Copies by weight where the weights have grown apart; at the end of a path in any case."""
        walk = p.walk
        chosen = np.tile(np.arange(self.particles), (len(walk.chains), 1))
        for place, chain in enumerate(walk.chains):
            own = weights.normalised(walk.log_weights[place])
            apart = weights.effective(own) < (RESAMPLED_BELOW if self.plan.resamples else 0.0)
            if own.any() and (apart or walk.has_arrived):
                rng = np.random.default_rng([self.seed, SHARED_STREAM, int(chain), int(walk.counts[0])])
                # in any order, so that the first of them are as good as all
                chosen[place] = rng.permutation(weights.systematic(own, rng.random()))
                walk.log_weights[place] = 0.0
        if (chosen == np.arange(self.particles)).all():
            return p
        flat = (chosen + self.particles * np.arange(len(chosen))[:, None]).reshape(-1)

        def copied(array: Array) -> Array:  # by NumPy, which compiles nothing
            return self.backend.asarray(np.asarray(self.backend.to_numpy(array))[flat], array.dtype)

        position, states = tree_map(copied, (p.position, p.moving.states))
        walk = walk._replace(roots=np.take_along_axis(walk.roots, chosen, axis=1))
        return p._replace(position=position, moving=p.moving._replace(states=states), walk=walk)

    def moved(self, p: Lane, sweeps: int) -> Lane:
        """Some sweeps of the moves where the population stands."""
        begun = int(p.walk.counts[1])
        place = Place(*p.walk.place)
        position, moving = self.moves.swept(p.keys, p.position, p.moving, place, begun, sweeps)
        self.whole.require_sound()
        walk = p.walk._replace(counts=p.walk.counts + sweeps * SWEEP)
        return p._replace(position=position, moving=moving, walk=walk)

    def another_round(self, p: Lane) -> Lane:
        """The population moved on while its particles forget those of their family, for all of the rest at most."""
        if self.is_exact:
            is_first = p.walk.counts[2] == 0
            p = p._replace(walk=p.walk._replace(counts=p.walk.counts + ROUND))
            return p if is_first else self.drawn_anew(p)
        left, known = self.plan.rest, self.uncertainty(p)
        while left > 0:
            p = self.moved(p, min(REST_PART, left))
            left -= REST_PART
            before, known = known, self.uncertainty(p)
            if (known < LEAST_GAIN * before).sum() == 0 or (known < FORGOTTEN).all():
                break
        return p._replace(walk=p.walk._replace(counts=p.walk.counts + ROUND))

    def uncertainty(self, p: Lane) -> NDArray[np.float64]:
        """The variance of the coordinates' means (D,), in units of that of independent particles."""
        u = self.moves.coordinates(p.position)
        families = p.walk.roots + self.particles * np.arange(len(p.walk.roots))[:, None]
        return variance_of_mean(u, families.reshape(-1)) * len(u) / np.maximum(u.var(axis=0), 1e-300)

    def drawn_anew(self, p: Lane) -> Lane:
        """Other particles of a program that its reference draws whole."""
        seeds = [(self.seed, int(chain), int(p.walk.counts[2])) for chain in p.walk.chains]
        position, moving = self.outright(p.keys, seeds)
        return p._replace(position=position, moving=moving)

    # --- energies and what comes out ---

    def parts(self, position: Position) -> tuple[NDArray[Any], NDArray[Any]]:
        """What comes in along the path (C, n), and what the walls cost (C, n), at positions."""
        both = self._parts(self.moves.constants, position)
        brought, cost = (np.asarray(self.backend.to_numpy(x), dtype=np.float64) for x in both)
        brought, cost = (x.reshape((-1, self.particles)) for x in (brought, cost))
        return np.where(np.isnan(brought), np.inf, brought), np.where(np.isnan(cost), np.inf, cost)

    def _parts_of(self, constants: Tree, position: Position) -> tuple[Array, Array]:
        views = self.moves.views.on(constants["views"])
        u = views.coordinates(self.moves.names).ravel(position)
        return self.path.parts(views.density, position, u, constants["fit"])

    def _record_of(self, constants: Tree, position: Position) -> dict[str, Array]:
        density = self.whole.with_constants(constants)
        return as_stored(density.record(position), self.stored, self.backend)

    def recorded(self, p: Lane, some: slice) -> dict[str, NDArray[Any]]:
        """The states of some particles of each population as draws (count, C, …), with what is known of these."""
        record = self._record(self.whole.constants, p.position)
        count, populations = len(range(self.particles)[some]), len(p.walk.chains)

        def shown(array: Array) -> NDArray[Any]:
            values = np.asarray(self.backend.to_numpy(array))
            return values.reshape((populations, self.particles, *values.shape[1:]))[:, some].swapaxes(0, 1)

        draws = {name: shown(array) for name, array in record.items()}
        accepted = np.asarray(self.backend.to_numpy(p.moving.accepted))
        known = {"log_z": p.walk.log_z, "accept_prob": accepted, "stages": p.walk.counts[:1]}
        for name, values in known.items():
            draws[f"stat.0.{name}"] = np.broadcast_to(values.astype(np.float64), (count, populations)).copy()
        draws["stat.0.root"] = p.walk.roots[:, some].T.astype(np.float64)
        return draws

    def health(self, p: Lane) -> NDArray[Any]:
        """0 for populations that live, NaN for those whose particles all have weight 0: (C,)."""
        return np.where(np.isfinite(p.walk.log_weights).any(axis=1), 0.0, np.nan)
