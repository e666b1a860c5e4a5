"""Proposals that know what single changes would do, from one gradient for all of them, and are accepted or rejected.

A change by d of the energy is worth g(exp(-d)), with g(t) = t g(1/t): sqrt(t), or t / (1 + t) (Zanella, JASA 2020). The
differences come from a gradient of the energy (Gibbs with gradients: Grathwohl et al., ICML 2021), or from the factors
around each site. Three ways to propose by them:

- `path`: R different sites one after another, each drawn by its worth among those left, where R is uniform over
  1 … 2 length; backwards the same sites are drawn in the same order, by the worth at the end (as changes of
  different sites commute, that is as exact as the path turned round: path auxiliary, Sun et al., ICLR 2022);
- `site`: one of them;
- `langevin`: every site by itself, by its worth and by how far it goes, in units of the step (Zhang, Liu and Liu 2022).

Length and step adapt in the warm-up to an acceptance of 0.574 (Sun et al., NeurIPS 2022). All are Metropolis-Hastings
steps with the energy itself, so the differences need not be right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.runtime.arrays.categorical import place_of, softmax_weights
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ChangeBlock, Kernel, Option
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose

TARGET = 0.574
MOVES = 10
FIRST_LENGTH, FIRST_STEP = 2.0, 0.5
LARGEST_STEP = 100.0
SETTLING = 20.0  #: sweeps after which adaptation slows down


class Proposed(NamedTuple):
    """New places (chains, sites), their energy and differences, and log q(x | x') - log q(x' | x)."""

    places: Array
    energy: Array
    changes: Array
    correction: Array


@dataclass(frozen=True)
class Informed:
    """Some moves a step; the state is the log of length or step of each chain."""

    block: ChangeBlock
    backend: Backend
    way: str
    balance: str
    moves: int
    first: float
    adapts: bool
    warmup: int

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        sites = NoiseSpec("uniform", (self.moves, self.block.sites))
        one = NoiseSpec("uniform", (self.moves,))
        found = {"value": sites, "accept": one}
        return found if self.way == "langevin" else {"order": sites, "length": one, **found}

    def init(self, position: Position, keys: Array) -> Tree:
        start = self.backend.xp.zeros((keys.shape[0],), dtype=self.backend.real)
        return {"log_scale": start + math.log(self.first)}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        backend, xp = self.backend, self.backend.xp
        propose = self.langevin if self.way == "langevin" else self.path
        gain = 1.0 / (1.0 + xp.astype(backend.asarray(t), backend.real) / SETTLING) / self.moves
        gain = xp.where(backend.asarray(t) < self.warmup, gain, 0.0) if self.adapts else 0.0 * gain
        most = math.log(LARGEST_STEP if self.way == "langevin" else max(1.0, 0.5 * self.block.sites))

        def move(i: Any, carry: Tree) -> Tree:
            position, energy, changes, log_scale, accepted = carry
            at = {name: xp.take(array, index(i, backend), axis=1)[:, 0] for name, array in noise.items()}
            found = propose(position, changes, xp.exp(log_scale), at)
            probability = acceptance(energy, found.energy, backend, found.correction)
            accept = at["accept"] < probability
            new = choose(accept, found.places, self.block.places(position), backend)
            log_scale = xp.clip(log_scale + gain * (probability - TARGET), math.log(0.01), most)
            return (
                self.block.assign(position, new),
                choose(accept, found.energy, energy, backend),
                choose(accept, found.changes, changes, backend),
                log_scale,
                accepted + probability / self.moves,
            )

        energy, changes = self.block.energy_and_changes(position)
        carry = (position, energy, changes, state["log_scale"], xp.zeros_like(state["log_scale"]))
        position, _, _, log_scale, accepted = backend.loop(0, self.moves, move, carry)
        title = "step_size" if self.way == "langevin" else "length"
        return (
            position,
            {"log_scale": log_scale},
            {"accept_prob": accepted, title: xp.exp(state["log_scale"])},
        )

    def worth(self, changes: Array) -> Array:
        """The log of what changes are worth."""
        xp = self.backend.xp
        if self.balance == "sqrt":
            return -0.5 * changes
        return -(xp.clip(changes, 0.0, None) + xp.log1p(xp.exp(-xp.abs(changes))))

    def path(self, position: Position, changes: Array, scale: Array, noise: Mapping[str, Array]) -> Proposed:
        """Different sites one after another, by their worth at the start; back in that order, by that at the end."""
        block, backend, xp = self.block, self.backend, self.backend.xp
        places = block.places(position)
        log_worth = self.others(changes, places)
        by_site = logsumexp(log_worth, backend)
        gumbel = -xp.log(-xp.log(noise["order"]))
        order = xp.argsort(-(by_site + gumbel), axis=-1)  # so that each is drawn among those left
        longest = xp.clip(xp.floor(2.0 * scale + 0.5), 1.0, None) if self.way == "path" else 0.0 * scale + 1.0
        count = 1.0 + xp.floor(noise["length"] * longest)
        rank = xp.arange(block.sites, dtype=backend.real)
        on_path = rank[None] < count[:, None]

        drawn = self.drawn(log_worth, noise["value"])
        chosen_at_rank = xp.take_along_axis(drawn, order, axis=1)
        now = xp.take_along_axis(places, order, axis=1)
        new = xp.take_along_axis(xp.where(on_path, chosen_at_rank, now), xp.argsort(order, axis=-1), axis=1)
        energy, new_changes = block.energy_and_changes(block.assign(position, new))
        back_worth = self.others(new_changes, new)

        log_forth = self.along(log_worth, order, chosen_at_rank) - self.left(by_site, order)
        log_back = self.along(back_worth, order, now) - self.left(logsumexp(back_worth, backend), order)
        correction = xp.sum(xp.where(on_path, log_back - log_forth, 0.0), axis=1)
        return Proposed(new, energy, new_changes, correction)

    def left(self, log_worth: Array, order: Array) -> Array:
        """The log worth (chains, sites) of all sites that are left before each of a path is drawn."""
        xp = self.backend.xp
        top = xp.max(log_worth, axis=1, keepdims=True)
        weights = xp.flip(xp.exp(xp.take_along_axis(log_worth, order, axis=1) - top), axis=1)
        return xp.log(xp.flip(xp.cumulative_sum(weights, axis=1), axis=1)) + top

    def langevin(
        self, position: Position, changes: Array, scale: Array, noise: Mapping[str, Array]
    ) -> Proposed:
        """Every site by itself: the worth of its values, less half their squared distance in units of the step."""
        block, xp = self.block, self.backend.xp
        places = block.places(position)
        log_forth = self.logits(changes, places, scale)
        new = self.drawn(log_forth, noise["value"])
        energy, new_changes = block.energy_and_changes(block.assign(position, new))
        log_back = self.logits(new_changes, new, scale)
        forth = picked(log_forth, new, xp) - logsumexp(log_forth, self.backend)
        back = picked(log_back, places, xp) - logsumexp(log_back, self.backend)
        return Proposed(new, energy, new_changes, xp.sum(back - forth, axis=1))

    def logits(self, changes: Array, places: Array, scale: Array) -> Array:
        xp, backend = self.backend.xp, self.backend
        distance = xp.arange(changes.shape[-1], dtype=places.dtype) - places[:, :, None]
        if not self.block.ordered:
            distance = xp.clip(distance, -1, 1)
        square = xp.astype(distance * distance, backend.real)
        return self.worth(changes) - 0.5 * square / scale[:, None, None]

    def others(self, changes: Array, places: Array) -> Array:
        """The log worth of every value but the present one."""
        xp = self.backend.xp
        own = xp.arange(changes.shape[-1], dtype=places.dtype) == places[:, :, None]
        return xp.where(own | xp.isnan(changes), -xp.inf, self.worth(changes))

    def drawn(self, log_weights: Array, uniform: Array) -> Array:
        """A value (chains, sites) for each site, in proportion to weights (chains, sites, values)."""
        place, _ = place_of(softmax_weights(-log_weights, self.backend), uniform, self.backend)
        return place

    def along(self, log_worth: Array, order: Array, places: Array) -> Array:
        """The log worth of going to some values, in the order of the path: (chains, sites)."""
        xp = self.backend.xp
        ordered = xp.take_along_axis(log_worth, order[:, :, None], axis=1)
        return picked(ordered, places, xp)


def picked(array: Array, places: Array, xp: Any) -> Array:
    """The entries of (chains, sites, values) at places (chains, sites)."""
    return xp.take_along_axis(array, places[:, :, None], axis=2)[..., 0]


def logsumexp(log_weights: Array, backend: Backend) -> Array:
    """log Σ exp over the last axis: -inf where nothing has weight."""
    xp = backend.xp
    top = xp.max(log_weights, axis=-1, keepdims=True)
    safe = xp.where(xp.isfinite(top), top, 0.0)
    return xp.log(xp.sum(xp.exp(log_weights - safe), axis=-1)) + safe[..., 0]


def index(i: Any, backend: Backend) -> Array:
    return backend.asarray(i, backend.integer).reshape((1,))


def bind(block: ChangeBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Informed proposals over a finite block."""
    way = str(options.get("propose", "path"))
    given = options.get("step" if way == "langevin" else "length")
    first = FIRST_STEP if way == "langevin" else FIRST_LENGTH
    return Informed(
        block,
        backend,
        way,
        str(options.get("balance", "sqrt")),
        int(options.get("moves", MOVES)),
        float(first if given is None else given),
        given is None and way != "site",
        warmup,
    )


KERNEL = Kernel(
    name="gwg",
    summary="changes many sites at once, chosen by the energy's gradient or by the factors around them",
    serves=frozenset({"finite"}),
    bind=bind,
    options={
        "propose": Option("path", "which sites change together", "text", ("path", "site", "langevin")),
        "balance": Option(
            "sqrt", "what a change of ratio t is worth: its root, or t / (1 + t)", "text", ("sqrt", "barker")
        ),
        "moves": Option(MOVES, "proposals a sweep", "whole number"),
        "length": Option(
            None,
            "sites of a path in the mean; adapted where it is not given",
            counts_with=("propose", "path"),
        ),
        "step": Option(None, "its scale; adapted where it is not given", counts_with=("propose", "langevin")),
    },
    view="changes",
)
