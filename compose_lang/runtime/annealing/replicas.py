"""Replica exchange over levels of noise: chains that hold one replica of a program at each level.

A sweep moves every replica by MCMC at its own level, all levels as one batch. Then neighbours exchange (`exchange`):
pairs (0, 1), (2, 3), … in even sweeps, (1, 2), (3, 4), … in odd ones. Variables without noise go along with those
that carry it, and so does the part of a mixture that a replica follows (`compiler/analyses/noise_levels`): the
coarsest replica draws it anew, where noise has made the parts alike. The draws are the replica at the finest level.
Steps adapt during the warm-up alone, a factor for each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compose_lang.runtime.annealing import moves
from compose_lang.runtime.annealing.exchange import proposed
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.path import (
    BLOCK_STREAM,
    MOST_PARTICLES,
    MOVE_STREAM,
    Levelled,
    parts,
)
from compose_lang.runtime.annealing.population import reverse_step
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Position, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.chains.recording import CHUNK_BYTES
from compose_lang.runtime.chains.sweep import Advance
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose
from compose_lang.runtime.views.views import Views

EXCHANGE_STREAM, CHOICE_STREAM = 10_003, 10_004
REACH = (
    4.0  #: of the data's spread, the coarsest noise unasked where parts need not be alike: MCMC mixes there
)
OWN_STREAMS = (MOVE_STREAM, EXCHANGE_STREAM, CHOICE_STREAM)
GAIN, SETTLING = 1.0, 20.0  #: of the steps' adaptation: the first, and the sweeps after which it slows down


class Replicas(NamedTuple):
    """A chain between two sweeps: K replicas, the first at the coarsest level."""

    keys: tuple[Array, ...]  #: (K, 2), of moves, of exchanges, of choices, and of each other kernel
    position: Position
    states: Tree  #: of the kernels that move other variables, a row for each level
    log_step: Array  #: (K,): the factors of the steps
    accepted: Array  #: (K,): acceptance of the last sweep's moves
    rates: Array  #: (K - 1,): sums of acceptance of each pair's exchanges since the warm-up
    tries: Array  #: (K - 1,): and how many there were
    from_top: Array  #: (K,): 1 for replicas that saw the coarsest level after the finest
    trips: Array  #: (1,): how often such a one came to the finest since the warm-up


class ReplicaSweeper(Levelled):
    """Compiled functions of a run by exchange; the driver calls them as it calls a `Sweeper`'s."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.capacity = max(1, min(self.capacity, CHUNK_BYTES // (8 * (self.field.block.size + self.count))))
        whole = self.backend.compiles_whole
        self._advance = self.backend.compile(self._advance_in_one) if whole else self._advance_by_sweeps
        self._keep = self.backend.compile(self._kept) if whole else self._kept
        self._descend = self.backend.compile(self._descended) if whole else self._descended

    # --- what the driver calls ---

    def start(self, chains: Sequence[int]) -> Replicas:
        """A chain whose replicas all come from the noisiest level, each taken to its own without weights."""
        (chain,) = chains
        numbers = chain * MOST_PARTICLES + np.arange(self.count)
        b, xp = self.backend, self.backend.xp
        with b.scope():
            position, _, _ = self._noisiest(numbers)
            streams = [BLOCK_STREAM + 2 * k + 1 for k in range(len(self.views.blocks))]
            keys = tuple(self._keys(numbers, stream) for stream in (*OWN_STREAMS, *streams))
            position = self._descend(self.views.constants, keys, position)
            states = self._kernel_states(position, numbers, self._levels)
            each = xp.zeros((self.count,), dtype=b.real)
            pair = each[1:]
            return Replicas(
                keys, position, states, each, each + 0.0, pair + 0.0, pair + 0.0, each + 0.0, each[:1] + 0.0
            )

    def advance(self, batch: Replicas, done: int, draws: int, sweeps: int) -> Advance:
        """Make `draws` times `sweeps` sweeps after `done` of them, and keep the finest replica each time."""
        b = self.backend
        with b.scope():
            batch, positions, statistics, energy = self._advance(
                self.views.constants, batch, done, draws, sweeps
            )
            self.density.require_sound()
            recorded = {**self._keep(positions), **{f"stat.0.{n}": a for n, a in statistics.items()}}
            kept = {n: np.asarray(b.to_numpy(a))[:draws, None] for n, a in recorded.items()}
            settled = done + draws * sweeps >= self.warmup  # before that a replica may be where it must not
            return Advance(batch, kept, np.asarray(b.to_numpy(energy)) if settled else np.zeros(1))

    # --- chunks ---

    def _descended(self, constants: Tree, keys: tuple[Array, ...], position: Position) -> Position:
        """Replicas at the noisiest level, each taken down as far as its own."""
        b, field = self.backend, self.field_with(constants)
        spec = {"normal": NoiseSpec("normal", (field.block.size,))}
        own = b.xp.arange(self.count, dtype=b.integer)

        def level(k: Any, position: Position) -> Position:
            k = b.asarray(k, b.integer)
            normal = noise.draw(spec, keys[1], k, b)["normal"]
            lower, _ = reverse_step(field, position, self._at(k - 1), self._at(k), normal)
            return {n: choose(own >= k, x, position[n], b) for n, x in lower.items()}

        found: Position = b.loop(1, self.count, level, position)
        return found

    def _advance_in_one(
        self, constants: Tree, batch: Replicas, done: Any, draws: Any, sweeps: Any
    ) -> tuple[Replicas, Position, dict[str, Array], Array]:
        """All of a chunk as one traced program, whose buffers have room for `capacity` draws."""
        xp, b = self.backend.xp, self.backend
        walker = Walker(self, self.field_with(constants), self.views.on(constants))
        done = b.asarray(done, b.integer)
        buffers = tree_map(lambda a: xp.zeros((self.capacity, *a.shape), dtype=a.dtype), walker.shown(batch))

        def draw(i: Any, carry: Tree) -> Tree:
            batch, buffers = carry

            def sweep(j: Any, batch: Tree) -> Tree:
                return tuple(walker.sweep(Replicas(*batch), b.asarray(done + i * sweeps + j, b.integer)))

            batch = b.loop(0, sweeps, sweep, batch)
            shown = walker.shown(Replicas(*batch))
            return batch, tuple(
                {n: b.set_at(buffer, i, new[n]) for n, buffer in old.items()}
                for old, new in zip(buffers, shown, strict=True)
            )

        found, (positions, statistics) = b.loop(0, draws, draw, (tuple(batch), buffers))
        batch = Replicas(*found)
        return batch, positions, statistics, walker.finest_energy(batch)

    def _advance_by_sweeps(
        self, constants: Tree, batch: Replicas, done: int, draws: int, sweeps: int
    ) -> tuple[Replicas, Position, dict[str, Array], Array]:
        """A chunk as a Python loop over sweeps."""
        walker = Walker(self, self.field, self.views)
        shown = []
        for t in range(done, done + draws * sweeps):
            batch = walker.sweep(batch, self.backend.asarray(t))
            if (t - done + 1) % sweeps == 0:
                shown.append(walker.shown(batch))
        stacked = [
            {n: self.backend.xp.stack([one[k][n] for one in shown]) for n in shown[0][k]} for k in (0, 1)
        ]
        return batch, stacked[0], stacked[1], walker.finest_energy(batch)


class Walker:
    """One sweep's work, on constants that may be traced."""

    def __init__(self, sweeper: ReplicaSweeper, field: Field, views: Views) -> None:
        self.sweeper = sweeper
        self.field = field
        self.views = views
        self.backend = sweeper.backend
        self.levels = sweeper._levels

    def sweep(self, r: Replicas, t: Array) -> Replicas:
        """Move every replica at its level, then let every other pair of neighbours exchange."""
        return self.exchanged(self.chosen_anew(self.moved(r, t), t), t)

    def shown(self, r: Replicas) -> tuple[Position, dict[str, Array]]:
        """The finest replica, and what is told of a sweep."""
        xp = self.backend.xp
        tries = xp.where(r.tries > 0.0, r.tries, 1.0)
        statistics = {
            "accept_prob": xp.mean(r.accepted),
            "exchange_rate": xp.where(r.tries > 0.0, r.rates / tries, 1.0),
            "round_trips": r.trips[0],
        }
        return {n: x[-1] for n, x in r.position.items()}, statistics

    def finest_energy(self, r: Replicas) -> Array:
        """The energy (1,) of all but the flows where the finest replica is."""
        at = {n: x[-1:] for n, x in r.position.items()}
        return self.field.weighed(self.field.block.ravel(at), at, self.levels[-1:])

    def moved(self, r: Replicas, t: Array) -> Replicas:
        """MCMC at all levels: some moves of the variables with noise, one step of every other kernel."""
        b, xp = self.backend, self.backend.xp
        sweeper, field, level = self.sweeper, self.field, self.levels
        block, count = field.block, sweeper.annealing.moves
        spread = sweeper.schedule.scale
        scale = level * spread / xp.sqrt(level**2 + spread**2)
        spec = {
            "momentum": NoiseSpec("normal", (count, block.size)),
            "accept": NoiseSpec("uniform", (count,)),
        }
        drawn = noise.draw(spec, r.keys[0], t, b)
        force = lambda w: field.force(w, r.position, level)  # noqa: E731 - one line, used twice
        pull = (lambda w: field.score(w, r.position, level)) if field.anneal.has_scores_only else None
        warming = xp.astype(t < sweeper.warmup, b.real)
        gain = warming * GAIN / (1.0 + xp.astype(t, b.real) / SETTLING)

        def once(i: Any, carry: Tree) -> Tree:
            point, log_step, accepted = moves.Point(*carry[:3]), carry[3], carry[4]
            size = (xp.exp(log_step) * scale)[:, None]
            noises = drawn["momentum"][:, i], drawn["accept"][:, i]
            point, probability = moves.step(sweeper.move, force, point, size, *noises, pull, b)
            return *point, log_step + gain * (probability - moves.TARGET), accepted + probability / count

        u = block.ravel(r.position)
        *_, log_step, accepted = found = b.loop(0, count, once, (u, *force(u), r.log_step, 0.0 * level))
        position, states = block.unravel(r.position, found[0]), []
        kernels = self.views.kernels(sweeper.warmup, Level(level))
        for kernel, state, keys in zip(kernels, r.states, r.keys[len(OWN_STREAMS) :], strict=True):
            position, after, _ = kernel.step(position, state, noise.draw(kernel.noise, keys, t, b), t)
            states.append(after)
        return r._replace(position=position, states=tuple(states), log_step=log_step, accepted=accepted)

    def chosen_anew(self, r: Replicas, t: Array) -> Replicas:
        """The coarsest replica's parts of mixtures: proposed by their weights, and taken by the parts' energies.

        Scores have no energy: with them, what noise has left of the difference between parts is not corrected.
        """
        if not self.field.anneal.choices:
            return r
        b, xp = self.backend, self.backend.xp
        field, level, keys = self.field, self.levels[:1], r.keys[2]
        here = {name: x[:1] for name, x in r.position.items()}
        there = {**here, **parts(field, keys[:1], t)}
        if not field.anneal.has_scores_only:
            u = field.block.ravel(here)
            drawn = noise.draw({"accept": NoiseSpec("uniform", ())}, keys[1:2], t, b)["accept"]
            probability = acceptance(field.noised(u, here, level), field.noised(u, there, level), b)
            there = {name: choose(drawn < probability, x, here[name], b) for name, x in there.items()}
        position = {name: xp.concat([there[name], x[1:]]) for name, x in r.position.items()}
        return r._replace(position=position)

    def exchanged(self, r: Replicas, t: Array) -> Replicas:
        """Neighbours exchange: pairs that begin at an even level in even sweeps, at an odd one in odd sweeps."""
        b, xp = self.backend, self.backend.xp
        field, n = self.field, self.sweeper.count
        normal = NoiseSpec("normal", (field.block.size,))
        spec = {"step": normal, "noise": normal, "accept": NoiseSpec("uniform", ())}
        first = t % 2
        upper = first + 2 * xp.arange(n // 2, dtype=b.integer)  # with an even count the last odd pair is none
        is_pair = upper < n - 1
        upper = xp.where(is_pair, upper, n - 2)
        keys = r.keys[1][upper]
        drawn = noise.draw(spec, keys, self.sweeper.count + t, b)
        s, level = self.levels[upper], self.levels[upper + 1]
        coarse = {name: x[upper] for name, x in r.position.items()}
        fine = {name: x[upper + 1] for name, x in r.position.items()}
        up, down, probability = proposed(field, coarse, fine, s, level, drawn)
        taken = (drawn["accept"] < probability) & is_pair

        own = xp.arange(n, dtype=b.integer)
        pair = xp.clip((own - first) // 2, 0, n // 2 - 1)
        inside = (own >= first) & (own < first + 2 * (n // 2)) & taken[pair]
        is_upper = (own - first) % 2 == 0

        def settled(old: Array, above: Array, below: Array) -> Array:
            return choose(inside, choose(is_upper, above[pair], below[pair], b), old, b)

        position = {name: settled(x, up[name], down[name]) for name, x in r.position.items()}
        from_top = settled(r.from_top, r.from_top[upper + 1], r.from_top[upper])
        counts = xp.astype(t >= self.sweeper.warmup, b.real)
        asked = (own[:-1] >= first) & is_upper[:-1]
        arrived = from_top[-1:]
        from_top = xp.where(own == 0, 1.0, xp.where(own == n - 1, 0.0, from_top))
        return r._replace(
            position=position,
            rates=r.rates + counts * xp.where(asked, probability[pair[:-1]], 0.0),
            tries=r.tries + counts * xp.astype(asked, b.real),
            from_top=from_top,
            trips=r.trips + counts * arrived,
        )
