"""Parallel tempering of any program: chains that hold a replica of it at each of some shares β of its energy.

Replica k of a chain is drawn from exp(-β_k E), with the Jacobians of its coordinates as they are, by the plan's
kernels. After each sweep neighbours exchange their positions with probability min(1, exp((β' - β)(E' - E))): pairs
(0, 1), (2, 3), … in even sweeps, (1, 2), (3, 4), … in odd ones, which carries replicas through the shares without
turning back at random (Okabe et al. 2001). In the warm-up, in rounds that double, the shares are set so that all
neighbours reject equally often (Syed et al., JRSSB 84, 2022, algorithm 4). The draws are the replica at β = 1.

At β = 0 an infinite energy counts for nothing, so that every state has the same weight. What is rejected because an
energy is infinite does not count for the shares: no share would change it.

Before: `sweep`, whose chains are replicas here. After: the driver; `evidence` reads the energies of all replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.chains.sweep import Batch, LevelSweeper
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.planning.tempering import Tempering
from compose_lang.runtime.views.views import Views

EXCHANGE_STREAM = 20_001
FIRST_ROUND = 16  #: sweeps before the shares are first set anew
LEAST_REJECTION = 1e-3  #: of a pair, so that no two shares become one


class Ladder(NamedTuple):
    """What a lane of chains knows of its shares, the hottest first."""

    keys: Array  #: (chains, 2), of the exchanges
    shares: Array  #: (chains, K)
    rejected: Array  #: (chains, K - 1): sums over the present round
    tries: Array  #: (chains, K - 1): those between finite energies
    from_top: Array  #: (chains, K): 1 for replicas that saw the hottest share after the coldest
    trips: Array  #: (chains,): how often such a one came to the coldest since the warm-up


class TemperedSweeper(LevelSweeper):
    """A `Sampler` of a tempered program. Its batch holds K replicas a chain, one after another."""

    def __init__(self, views: Views, tempering: Tempering, *, chains: int, **options: Any) -> None:
        self.tempering = tempering
        self.count = tempering.levels
        super().__init__(views, chains=chains, **options)
        self.settled = self.warmup
        self.warmup *= tempering.moves  # what the kernels count
        self.capacity = max(1, min(self.capacity, 2**25 // (16 * chains * self.count)))

    def start(self, chains: Sequence[int]) -> Batch:
        """Replicas of the chains of these numbers, the shares spread evenly in their square."""
        replicas = [chain * self.count + k for chain in chains for k in range(self.count)]
        b = self.backend

        def ladder(batch: Batch) -> Ladder:
            hottest = self.tempering.hottest
            spread = hottest + (1.0 - hottest) * np.linspace(0.0, 1.0, self.count) ** 2
            shares = b.asarray(np.tile(spread, (len(chains), 1)), b.real)
            zero = 0.0 * shares
            return Ladder(
                self.keys(np.asarray(chains), EXCHANGE_STREAM),
                shares,
                zero[:, 1:] + 0.0,
                zero[:, 1:] + 0.0,
                zero + 0.0,
                zero[:, 0] + 0.0,
            )

        return self.begun(replicas, ladder)

    def failing(self, batch: Batch, chain: int) -> list[str]:
        return super().failing(batch, (chain + 1) * self.count - 1)

    # --- a sweep ---

    def sweep(
        self, constants: Tree, keys: tuple[Array, ...], position: Position, states: Tree, t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """Some sweeps of every replica at its share, then an exchange."""
        kernels, ladder = states
        level = Level(share=ladder.shares.reshape((-1,)))
        moves = self.tempering.moves

        def move(i: Any, carry: Tree) -> Tree:
            at = t * moves + i
            return self.moved(constants, keys, carry[0], carry[1], at, level)

        if moves == 1:
            position, kernels, found = self.moved(constants, keys, position, kernels, t, level)
        else:
            first = move(0, (position, kernels, None))
            position, kernels, found = self.backend.loop(1, moves, move, first)
        energy = self.total_energy(constants, position).reshape((-1, self.count))
        position, energy, ladder, taken = self._exchanged(position, energy, ladder, t)
        statistics = {name: x.reshape((-1, self.count, *x.shape[1:]))[:, -1] for name, x in found.items()}
        statistics |= {
            self.statistic("exchange_rate"): taken,
            self.statistic("round_trips"): ladder.trips + 0.0,
            self.statistic("replica_energy"): energy,
            self.statistic("share"): ladder.shares + 0.0,
        }
        return position, (kernels, ladder), statistics

    def _exchanged(
        self, position: Position, energy: Array, ladder: Ladder, t: Any
    ) -> tuple[Position, Array, Ladder, Array]:
        """Neighbours exchange; also the probability (chains, K - 1) with which each pair would."""
        b, xp, count = self.backend, self.backend.xp, self.count
        t = b.asarray(t, b.integer)
        drawn = noise.draw({"accept": NoiseSpec("uniform", (count - 1,))}, ladder.keys, t, b)["accept"]
        probability = exchange_probability(ladder.shares, energy, xp)
        pair = xp.arange(count - 1, dtype=b.integer)
        goes = (drawn < probability) & (pair % 2 == t % 2)[None]
        shut = xp.zeros_like(goes[:, :1])
        down, up = xp.concat([goes, shut], axis=1), xp.concat([shut, goes], axis=1)
        place = xp.arange(count, dtype=b.integer)[None]
        source = place + xp.where(down, 1, 0) - xp.where(up, 1, 0)
        chains = energy.shape[0]
        flat = (source + count * xp.arange(chains, dtype=b.integer)[:, None]).reshape((-1,))
        position = {name: x[flat] for name, x in position.items()}
        from_top = xp.take_along_axis(ladder.from_top, source, axis=1)
        arrived = xp.where(t >= self.settled, from_top[:, -1], 0.0)
        from_top = xp.where(place == 0, 1.0, xp.where(place == count - 1, 0.0, from_top))
        finite = xp.astype(xp.isfinite(energy[:, 1:] + energy[:, :-1]), b.real)
        ladder = ladder._replace(
            rejected=ladder.rejected + finite * (1.0 - probability),
            tries=ladder.tries + finite,
            from_top=from_top,
            trips=ladder.trips + arrived,
        )
        energy = xp.take_along_axis(energy, source, axis=1)
        return position, energy, self._set_anew(ladder, t), probability

    def _set_anew(self, ladder: Ladder, t: Array) -> Ladder:
        """The ladder with its shares set by what was rejected, at the end of a round."""
        ends = rounds(self.settled)
        if not ends:
            return ladder
        xp = self.backend.xp
        is_end = xp.any(self.backend.asarray(ends) == t + 1)
        rate = xp.clip(ladder.rejected / xp.clip(ladder.tries, 1.0, None), LEAST_REJECTION, None)
        fresh = ladder._replace(
            shares=equal_rejection(ladder.shares, rate, self.backend),
            rejected=0.0 * ladder.rejected,
            tries=0.0 * ladder.tries,
        )
        return Ladder(*(xp.where(is_end, new, old) for new, old in zip(fresh, ladder, strict=True)))

    # --- what comes out ---

    def _coldest(self, position: Position) -> Position:
        return {n: x.reshape((-1, self.count, *x.shape[1:]))[:, -1] for n, x in position.items()}

    def record(self, constants: Tree, position: Position) -> dict[str, Array]:
        return super().record(constants, self._coldest(position))

    def energy(self, constants: Tree, position: Position) -> Array:
        return super().energy(constants, self._coldest(position))


def exchange_probability(shares: Array, energy: Array, xp: Any) -> Array:
    """min(1, exp((β' - β)(E' - E))) for each pair of neighbours (chains, K - 1); 0 where an energy is not finite."""
    colder, hotter = energy[:, 1:], energy[:, :-1]
    log_ratio = (shares[:, 1:] - shares[:, :-1]) * (colder - hotter)
    log_ratio = xp.where(xp.isfinite(colder) & xp.isfinite(hotter), log_ratio, -xp.inf)
    return xp.exp(xp.clip(log_ratio, None, 0.0))


def rounds(warmup: int) -> list[int]:
    """The sweeps after which the shares are set anew: rounds that double, the last ended by the warm-up."""
    ends, size, end = [], FIRST_ROUND, 0
    while end + size <= warmup:
        end += size
        size *= 2
        ends.append(end)
    return [*ends[:-1], warmup] if ends and end < warmup else ends


def equal_rejection(shares: Array, rejection: Array, backend: Backend) -> Array:
    """Shares (chains, K) between which the barrier, the sum of rejections (chains, K - 1), is cut into equal parts."""
    xp, count = backend.xp, shares.shape[1]
    barrier = xp.concat([0.0 * rejection[:, :1], xp.cumulative_sum(rejection, axis=1)], axis=1)
    wanted = barrier[:, -1:] * xp.astype(xp.arange(count), backend.real) / (count - 1)
    # which stretch of the barrier each lies in
    beyond = wanted[:, :, None] > barrier[:, None, 1:-1]
    stretch = xp.sum(xp.astype(beyond, backend.integer), axis=2)

    def at(array: Array, place: Array) -> Array:
        return xp.take_along_axis(array, place, axis=1)

    low, high = at(barrier, stretch), at(barrier, stretch + 1)
    begin, end = at(shares, stretch), at(shares, stretch + 1)
    found = begin + (end - begin) * (wanted - low) / (high - low)
    return xp.concat([shares[:, :1], found[:, 1:-1], shares[:, -1:]], axis=1)
