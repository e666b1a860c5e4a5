"""NUTS: Hamiltonian trajectories that double until they turn back, and a draw from the points that they pass.

A trajectory grows by subtrees of 1, 2, 4, … leapfrog steps, each to a side drawn at random, until it turns back or
diverges; the draw is one of its points with probability in proportion to exp(-energy), biased to the later subtrees
(Hoffman and Gelman, JMLR 2014; Betancourt, "A conceptual introduction to Hamiltonian Monte Carlo", 2017, appendix A).
A subtree is built step by step, with one momentum kept for each of its levels (Phan, Pradhan and Jankowiak,
"Composable effects", 2019, for the iterative form). One loop over leapfrog steps serves all chains, each of which is
at a step of its own tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels import hmc
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
from compose_lang.runtime.kernels.common.metric import Metric, pull, push
from compose_lang.runtime.kernels.common.metropolis import choose
from compose_lang.runtime.kernels.common.walls import ended

TARGET = 0.8
MOST_DEPTH = 10


class Point(NamedTuple):
    """A point of a trajectory that may be drawn."""

    u: Array  #: (chains, D)
    energy: Array  #: (chains,)
    gradient: Array  #: (chains, D)


class End(NamedTuple):
    """An end of a trajectory: place (chains, D), and momentum and gradient where the metric makes the density round."""

    u: Array
    momentum: Array
    slope: Array


class Trajectory(NamedTuple):
    """The points passed so far, and the subtree that grows at one end of them."""

    left: End
    right: End
    drawn: Point  #: of the trajectory without the subtree
    log_weight: Array  #: of its points, relative to the first: (chains,)
    momenta: Array  #: their sum (chains, D)
    depth: Array  #: doublings done: (chains,)
    candidate: Point  #: drawn from the subtree
    sub_weight: Array
    sub_momenta: Array
    leaf: Array  #: steps in the subtree: (chains,)
    uniform: Array  #: what is left of the subtree's uniform: (chains,)
    first_momenta: Array  #: of the subtrees in the subtree that are open, (depths + 1, chains, D)
    sums_before: Array  #: sums of momenta up to those
    going: Array  #: whether the chain still steps
    accept: Array  #: the sum over steps of acceptance probabilities: (chains,)
    steps: Array
    diverging: Array
    at_wall: Array


@dataclass(frozen=True)
class NUTS:
    """One tree a step; its length is found by itself."""

    block: ContinuousBlock
    backend: Backend
    schedule: Windows
    step_size: float
    target: float
    depth: int

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        doublings = NoiseSpec("uniform", (self.depth,))
        return {
            "momentum": NoiseSpec("normal", (self.block.size,)),
            "side": doublings,
            "point": doublings,
            "subtree": doublings,
        }

    def init(self, position: Position, keys: Array) -> State:
        return start(self.block, position, self.step_size, self.schedule, self.backend)

    def step(
        self, position: Position, state: State, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, State, dict[str, Array]]:
        xp, backend = self.backend.xp, self.backend
        u, energy, gradient = here(self.block, position, state)
        h = adaptation.step_size(state.adaptation, t, self.schedule, backend)
        metric = state.adaptation.metric
        first = energy + 0.5 * xp.sum(noise["momentum"] ** 2, axis=-1)

        def grow(tree: Trajectory) -> Trajectory:
            return self.grown(tree, position, metric, h, first, noise)

        tree = self.trunk(Point(u, energy, gradient), noise, metric)
        tree = backend.repeat(lambda tree: xp.any(tree.going), grow, tree)

        accept_prob = tree.accept / xp.astype(tree.steps, backend.real)
        drawn = tree.drawn
        learned = adaptation.adapt(
            state.adaptation, drawn.u, drawn.gradient, accept_prob, self.target, t, self.schedule, backend
        )
        statistics = {
            "accept_prob": accept_prob,
            "step_size": h,
            "energy": drawn.energy,
            "diverging": tree.diverging,
            "num_steps": tree.steps,
        }
        if self.block.has_walls:
            statistics["at_wall"] = tree.at_wall
        state = State(drawn.energy, drawn.gradient, learned)
        return self.block.unravel(position, drawn.u), state, statistics

    def trunk(self, point: Point, noise: Mapping[str, Array], metric: Metric) -> Trajectory:
        """The trajectory of one point."""
        xp, backend = self.backend.xp, self.backend
        momentum = noise["momentum"]
        end = End(point.u, momentum, pull(metric, point.gradient))
        nothing = xp.zeros_like(point.energy)
        zero = xp.zeros(point.energy.shape, dtype=backend.integer)
        kept = xp.zeros((self.depth + 1, *momentum.shape), dtype=backend.real)
        return Trajectory(
            end, end, point, nothing, momentum, zero, point, nothing - xp.inf, xp.zeros_like(momentum), zero,
            noise["point"][:, 0], kept, kept, zero == 0, nothing, zero, zero != 0, zero != 0,
        )  # fmt: skip

    def grown(
        self,
        tree: Trajectory,
        position: Position,
        metric: Metric,
        h: Array,
        first: Array,
        noise: Mapping[str, Array],
    ) -> Trajectory:
        """The trajectory with one more step of each chain that still steps."""
        xp, backend = self.backend.xp, self.backend
        to_right = at_depth(noise["side"], tree.depth, backend) < 0.5
        end = chosen(to_right, tree.right, tree.left, backend)
        signed = xp.where(to_right, h, -h)[:, None]
        half = end.momentum - 0.5 * signed * end.slope
        u = end.u + signed * push(metric, half)
        energy, gradient = self.block.energy_and_gradient(u, position)
        slope = pull(metric, gradient)
        end = End(u, half - 0.5 * signed * slope, slope)

        error = energy + 0.5 * xp.sum(end.momentum**2, axis=-1) - first
        told = ended(self.block, error, energy, xp)
        at_wall = told.get("at_wall", tree.at_wall)
        log_weight = xp.where(xp.isnan(error), -xp.inf, -error)
        sub_weight = xp.logaddexp(tree.sub_weight, log_weight)
        share = xp.where(sub_weight > -xp.inf, xp.exp(log_weight - sub_weight), 0.0)
        take = tree.uniform < share
        # what is left of a uniform after it was compared is a uniform again
        uniform = xp.where(
            take,
            tree.uniform / xp.where(take, share, 1.0),
            (tree.uniform - share) / xp.where(take, 1.0, 1.0 - share),
        )
        grown = tree._replace(
            left=chosen(tree.going & ~to_right, end, tree.left, backend),
            right=chosen(tree.going & to_right, end, tree.right, backend),
            candidate=chosen(take, Point(u, energy, gradient), tree.candidate, backend),
            sub_weight=sub_weight,
            sub_momenta=tree.sub_momenta + end.momentum,
            uniform=uniform,
            accept=tree.accept
            + xp.where(tree.going, xp.exp(xp.where(log_weight < 0.0, log_weight, 0.0)), 0.0),
            steps=tree.steps + xp.astype(tree.going, backend.integer),
            diverging=tree.diverging | (tree.going & told["diverging"]),
            at_wall=tree.at_wall | (tree.going & at_wall),
        )
        turning, grown = self.turned_within(grown, end.momentum)
        return self.doubled(grown, turning | grown.diverging | grown.at_wall, noise)

    def turned_within(self, tree: Trajectory, momentum: Array) -> tuple[Array, Trajectory]:
        """Whether a subtree that ends with the subtree's newest step turns back, and the tree with that step noted.

        Step n ends the subtrees of 2, 4, … steps for each of the trailing ones of n in binary, and begins those that
        an even n opens: their first momenta are kept at the number of ones in n / 2.
        """
        xp, backend = self.backend.xp, self.backend
        n = tree.leaf
        levels, endings = (backend.asarray(table) for table in subtrees(self.depth))
        level, ending = levels[n], endings[n]
        place = xp.where(n % 2 == 0, level, self.depth)  # an odd step begins none: its place is read by none
        chains = xp.arange(n.shape[0])
        kept = backend.set_at(tree.first_momenta, (place, chains), momentum)
        sums = backend.set_at(tree.sums_before, (place, chains), tree.sub_momenta)
        tree = tree._replace(first_momenta=kept, sums_before=sums, leaf=n + 1)
        lowest = level - ending + 1

        def check(i: Any, turning: Array) -> Array:
            within = tree.sub_momenta - sums[i] + kept[i]
            ends = (i >= lowest) & (i <= level)
            return turning | (ends & turns(kept[i], momentum, within, backend))

        checked = tree.going & (ending > 0)
        low = xp.min(xp.where(checked, lowest, self.depth))
        high = xp.max(xp.where(checked, level, -1))
        return backend.loop(low, high + 1, check, ending < 0), tree

    def doubled(self, tree: Trajectory, stops: Array, noise: Mapping[str, Array]) -> Trajectory:
        """The trajectory with its subtree joined to it where that is whole; stops: chains whose subtree is dropped."""
        xp, backend = self.backend.xp, self.backend
        whole = tree.going & (tree.leaf == xp.astype(2**tree.depth, backend.integer)) & ~stops
        take = whole & (
            at_depth(noise["subtree"], tree.depth, backend) < xp.exp(tree.sub_weight - tree.log_weight)
        )
        momenta = tree.momenta + tree.sub_momenta
        turning = turns(tree.left.momentum, tree.right.momentum, momenta, backend)
        depth = tree.depth + xp.astype(whole, backend.integer)
        return tree._replace(
            drawn=chosen(take, tree.candidate, tree.drawn, backend),
            log_weight=xp.where(whole, xp.logaddexp(tree.log_weight, tree.sub_weight), tree.log_weight),
            momenta=choose(whole, momenta, tree.momenta, backend),
            depth=depth,
            sub_weight=xp.where(whole, -xp.inf, tree.sub_weight),
            sub_momenta=choose(whole, xp.zeros_like(momenta), tree.sub_momenta, backend),
            leaf=xp.where(whole, 0, tree.leaf),
            uniform=xp.where(whole, at_depth(noise["point"], depth, backend), tree.uniform),
            going=tree.going & ~stops & ~(whole & turning) & (depth < self.depth),
        )


@cache
def subtrees(depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each step of a subtree: the ones in its number's binary digits but the last, and its trailing ones."""
    steps = np.arange(2**depth)
    bits = (steps[:, None] >> np.arange(depth)) & 1
    return bits[:, 1:].sum(axis=1), np.cumprod(bits, axis=1).sum(axis=1)


def turns(first: Array, last: Array, momenta: Array, backend: Backend) -> Array:
    """Whether a trajectory turns back: one of its ends moves against the sum of momenta (Betancourt 2017, A.4.2).

    The ends count half in the sum, as of a path through the points; otherwise independent draws would be missed, which
    half a turn away from each other are as near as neighbours.
    """
    xp = backend.xp
    path = momenta - 0.5 * (first + last)
    return (xp.sum(first * path, axis=-1) <= 0.0) | (xp.sum(last * path, axis=-1) <= 0.0)


def at_depth(noise: Array, depth: Array, backend: Backend) -> Array:
    """Each chain's noise (chains, depths) of the doubling that it is at."""
    place = depth % noise.shape[1]  # a chain that has doubled for the last time reads no more
    return backend.xp.take_along_axis(noise, place[:, None], axis=1)[:, 0]


def chosen(take: Array, new: Tree, old: Tree, backend: Backend) -> Any:
    """Points or ends: the new ones where a chain takes them."""
    return type(old)(*(choose(take, a, b, backend) for a, b in zip(new, old, strict=True)))


def bind(block: ContinuousBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """NUTS over a block."""
    return NUTS(
        block,
        backend,
        schedule_of(options, warmup),
        first_step(options, block.size**-0.25),
        float(options.get("target_accept") or TARGET),
        int(options.get("max_depth") or MOST_DEPTH),
    )


KERNEL = Kernel(
    name="nuts",
    summary="the no-U-turn sampler: Hamiltonian trajectories that stop where they turn back",
    serves=frozenset({"continuous"}),
    bind=bind,
    options={
        "step": Option(None, "leapfrog step size; adapted where it is not given"),
        "target_accept": Option(TARGET, "the acceptance that the step size is adapted to"),
        "max_depth": Option(MOST_DEPTH, "doublings of a trajectory at most", "whole number"),
    },
    needs_gradient=True,
    at_shares=hmc.KERNEL.name,
)
