"""Hand-written blocks with known answers, on any backend: what the kernels' tests run on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compose_lang.compiler.ir.types import Domain
from compose_lang.runtime.arrays import noise, transforms
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.kernels.common.kernel import BoundKernel


@dataclass(frozen=True)
class ToyContinuous:
    """A continuous block `x` with energy and gradient written by hand: both (chains, D) -> per chain."""

    backend: Backend
    size: int
    function: Callable[[Array, Any], Array]
    derivative: Callable[[Array, Any], Array]
    alone: bool = True
    has_walls: bool = False
    names: tuple[str, ...] = ("x",)

    def ravel(self, position: Position) -> Array:
        return position["x"]

    def unravel(self, position: Position, u: Array) -> Position:
        return {**position, "x": u}

    def energy(self, u: Array, position: Position) -> Array:
        return self.function(u, self.backend)

    def energy_and_gradient(self, u: Array, position: Position) -> tuple[Array, Array]:
        return self.function(u, self.backend), self.derivative(u, self.backend)


@dataclass(frozen=True)
class Target:
    """A density on R^D: its energy, gradient, and a way to draw from it with NumPy."""

    size: int
    energy: Callable[[Array, Any], Array]
    gradient: Callable[[Array, Any], Array]
    draw: Callable[[np.random.Generator, int], np.ndarray]

    def block(self, backend: Backend) -> ToyContinuous:
        return ToyContinuous(backend, self.size, self.energy, self.gradient)


def gaussian(covariance: np.ndarray) -> Target:
    """A Gaussian of mean 1 and this covariance."""
    precision = np.linalg.inv(covariance)
    size = len(covariance)

    def gradient(u: Array, backend: Any) -> Array:
        # a sum, not a matrix product: the same bits whatever the number of chains
        return backend.xp.sum(backend.asarray(precision) * (u - 1.0)[:, None, :], axis=-1)

    def energy(u: Array, backend: Any) -> Array:
        return 0.5 * backend.xp.sum((u - 1.0) * gradient(u, backend), axis=-1)

    return Target(
        size, energy, gradient, lambda rng, n: rng.multivariate_normal(np.ones(size), covariance, n)
    )


def correlated(size: int = 3) -> Target:
    """A Gaussian with correlations of 0.6 to the distance and standard deviations from 0.3 to 3."""
    scale = np.geomspace(0.3, 3.0, size) if size > 1 else np.ones(1)
    places = np.arange(size)
    correlation = 0.6 ** np.abs(places[:, None] - places)
    return gaussian(correlation * scale[:, None] * scale)


def gamma_on_log_scale(shape: float = 3.0) -> Target:
    """log of Gamma(shape, 1) variables, Jacobian included: skewed, and off in its mean without it."""

    def energy(u: Array, backend: Any) -> Array:
        return backend.xp.sum(backend.xp.exp(u) - shape * u, axis=-1)

    def gradient(u: Array, backend: Any) -> Array:
        return backend.xp.exp(u) - shape

    return Target(2, energy, gradient, lambda rng, n: np.log(rng.gamma(shape, size=(n, 2))))


def von_mises_fisher(kappa: float = 3.0) -> Target:
    """The coordinates behind a unit vector of three that leans to the last axis: direction, and a length of its own.

    Drawn by inversion (Ulrich 1984): cos θ = 1 + log(v + (1 - v) exp(-2 κ)) / κ.
    """
    domain = Domain("unit_vector", size=3)

    def energy(u: Array, backend: Any) -> Array:
        value, log_det = transforms.constrain(domain, u[:, None], -math.inf, math.inf, backend)
        return -kappa * value[:, 0, 2] - log_det

    def gradient(u: Array, backend: Any) -> Array:
        return backend.value_and_grad(lambda w: energy(w, backend))(u)[1]

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        v = rng.random(n)
        along = 1 + np.log(v + (1 - v) * np.exp(-2 * kappa)) / kappa
        turn, across = rng.uniform(0, 2 * np.pi, n), np.sqrt(1 - along**2)
        direction = np.stack([across * np.cos(turn), across * np.sin(turn), along], axis=1)
        return direction * np.sqrt(rng.chisquare(3, (n, 1)))

    return Target(3, energy, gradient, draw)


@dataclass(frozen=True)
class ToyDiscrete:
    """A discrete block `s` over a table of energies: `table` maps (chains, sites) of values to (chains,).

    Each site's energies are those of the whole state with that site changed: right for any classes whose
    sites share no factor, and for no others.
    """

    backend: Backend
    sites: int
    values: tuple[int, ...] | None
    table: Callable[[Array, Any], Array]
    members: tuple[tuple[int, ...], ...]
    lower: float = -math.inf
    upper: float = math.inf
    name: str = "s"
    padded: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width = max(map(len, self.members))
        padded = np.full((len(self.members), width), self.sites)
        for row, sites in zip(padded, self.members, strict=True):
            row[: len(sites)] = sites
        object.__setattr__(self, "padded", padded)

    @property
    def classes(self) -> int:
        return len(self.members)

    @property
    def width(self) -> int:
        return self.padded.shape[1]

    def sites_of(self, cls: Any) -> Array:
        return self.backend.asarray(self.padded)[cls]

    def _with_padding(self, position: Position) -> Array:
        s = position[self.name]
        return self.backend.xp.concat([s, s[:, :1]], axis=1)

    def current(self, position: Position, cls: Any) -> Array:
        return self._with_padding(position)[:, self.sites_of(cls)]

    def energies(self, position: Position, cls: Any, candidates: Array) -> Array:
        backend, sites = self.backend, self.sites_of(cls)
        full = self._with_padding(position)
        columns = []
        for i in range(self.width):
            choices = []
            for k in range(candidates.shape[-1]):
                changed = backend.set_at(full, (slice(None), sites[i]), candidates[:, i, k])
                choices.append(self.table(changed[:, : self.sites], backend))
            columns.append(backend.xp.stack(choices, axis=-1))
        return backend.xp.stack(columns, axis=1)

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        full = self.backend.set_at(self._with_padding(position), (slice(None), self.sites_of(cls)), values)
        return {**position, self.name: full[:, : self.sites]}


@dataclass(frozen=True)
class DiscreteTarget:
    """A discrete program: its sites, values, energy, and classes whose sites share no factor."""

    sites: int
    values: tuple[int, ...]
    table: Callable[[Array, Any], Array]
    members: tuple[tuple[int, ...], ...]

    def block(self, backend: Backend) -> ToyDiscrete:
        return ToyDiscrete(backend, self.sites, self.values, self.table, self.members)

    def states(self) -> np.ndarray:
        """All states (states, sites)."""
        return np.array(list(itertools.product(self.values, repeat=self.sites)))

    def probabilities(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            weights = np.exp(-self.table(self.states(), NUMPY))
        return weights / weights.sum()


@dataclass(frozen=True)
class ToyOrderings:
    """A block `s` of orderings over a table of energies: `table` maps (chains, sites, n) to (chains,).

    Candidates are weighed by the whole state with one ordering changed: right for classes that share no factor.
    """

    backend: Backend
    sites: int
    length: int
    table: Callable[[Array, Any], Array]
    members: tuple[tuple[int, ...], ...]
    name: str = "s"

    @property
    def classes(self) -> int:
        return len(self.members)

    @property
    def width(self) -> int:
        return max(map(len, self.members))

    def sites_of(self, cls: Any) -> Array:
        padded = [(*row, *(self.sites,) * (self.width - len(row))) for row in self.members]
        return self.backend.asarray(np.array(padded))[cls]

    def _with_padding(self, position: Position) -> Array:
        s = position[self.name]
        return self.backend.xp.concat([s, s[:, :1]], axis=1)

    def current(self, position: Position, cls: Any) -> Array:
        return self._with_padding(position)[:, self.sites_of(cls)]

    def weigh(self, position: Position, cls: Any) -> Callable[..., Array]:
        backend, sites, full = self.backend, self.sites_of(cls), self._with_padding(position)

        def energies(candidates: Array, places: Array | None = None) -> Array:
            columns = []
            for i in range(self.width):
                changed = [
                    backend.set_at(full, (slice(None), sites[i]), candidates[:, i, k])[:, : self.sites]
                    for k in range(2)
                ]
                columns.append(backend.xp.stack([self.table(c, backend) for c in changed], axis=-1))
            return backend.xp.stack(columns, axis=1)

        return energies

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        full = self.backend.set_at(self._with_padding(position), (slice(None), self.sites_of(cls)), values)
        return {**position, self.name: full[:, : self.sites]}


@dataclass(frozen=True)
class OrderingTarget:
    """A program over orderings: how many, of how many elements, its energy, and classes that share no factor."""

    sites: int
    length: int
    table: Callable[[Array, Any], Array]
    members: tuple[tuple[int, ...], ...]

    def block(self, backend: Backend) -> ToyOrderings:
        return ToyOrderings(backend, self.sites, self.length, self.table, self.members)

    def states(self) -> np.ndarray:
        """All states (states, sites, n)."""
        every = itertools.permutations(range(self.length))
        return np.array(list(itertools.product(every, repeat=self.sites)))

    def probabilities(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            weights = np.exp(-self.table(self.states(), NUMPY))
        return weights / weights.sum()


class _Numpy:
    xp = np


NUMPY = _Numpy()


def chain_of_spins(sites: int = 4, coupling: float = 0.6, field: float = 0.3) -> DiscreteTarget:
    """An Ising chain in a field: even sites and odd sites share no factor."""

    def table(s: Array, backend: Any) -> Array:
        xp = backend.xp
        return -coupling * xp.sum(s[:, 1:] * s[:, :-1] * 1.0, axis=-1) - field * xp.sum(s * 1.0, axis=-1)

    members = (tuple(range(0, sites, 2)), tuple(range(1, sites, 2)))
    return DiscreteTarget(sites, (-1, 1), table, members)


def coloured_path(sites: int = 3, colours: int = 4) -> DiscreteTarget:
    """A path whose neighbours must differ (a hard constraint), with a preference for larger colours."""

    def table(s: Array, backend: Any) -> Array:
        xp = backend.xp
        clash = xp.any(s[:, 1:] == s[:, :-1], axis=-1)
        return xp.where(clash, xp.inf, -0.4 * xp.sum(s * 1.0, axis=-1))

    members = (tuple(range(0, sites, 2)), tuple(range(1, sites, 2)))
    return DiscreteTarget(sites, tuple(range(colours)), table, members)


def fully_connected(sites: int = 5) -> DiscreteTarget:
    """Bits with a factor over all of them: a class for each, too many to unroll."""
    rng = np.random.default_rng(3)
    pull = rng.normal(size=sites)

    def table(s: Array, backend: Any) -> Array:
        total = backend.xp.sum(s * 1.0, axis=-1)
        weights = pull if backend is NUMPY else backend.asarray(pull)
        return 0.3 * (total - 2.0) ** 2 + backend.xp.sum(weights * s, axis=-1)

    return DiscreteTarget(sites, (0, 1), table, tuple((i,) for i in range(sites)))


def tour(length: int = 4) -> OrderingTarget:
    """A path through cities on a line that may not begin in the last."""

    def table(s: Array, backend: Any) -> Array:
        xp = backend.xp
        steps = xp.sum(xp.abs(s[:, 0, 1:] - s[:, 0, :-1]) * 0.7, axis=-1) + 0.4 * s[:, 0, 1]
        return xp.where(s[:, 0, 0] == length - 1, xp.inf, steps)

    return OrderingTarget(1, length, table, ((0,),))


def separate_orders() -> OrderingTarget:
    """Three orderings of three, each with a pull of its own: one class, and no factor over two of them."""

    def table(s: Array, backend: Any) -> Array:
        return backend.xp.sum(s[:, :, 0] * 0.9 + s[:, :, 2] * s[:, :, 1] * 0.3, axis=-1)

    return OrderingTarget(2, 3, table, ((0, 1),))


def facing_orders() -> OrderingTarget:
    """Two orderings of three that should agree place by place: a class for each."""

    def table(s: Array, backend: Any) -> Array:
        return -0.8 * backend.xp.sum((s[:, 0] == s[:, 1]) * 1.0, axis=-1) + 0.3 * s[:, 1, 0]

    return OrderingTarget(2, 3, table, ((0,), (1,)))


def counts(backend: Backend, rates: np.ndarray, lower: float = 0.0, upper: float = math.inf) -> ToyDiscrete:
    """Independent Poisson counts, cut at the bounds: one class of all sites."""

    def table(s: Array, backend: Any) -> Array:
        xp = backend.xp
        known = xp.clip(s * 1.0, 0.0, None)
        each = (
            backend.asarray(rates)
            + backend.special.gammaln(known + 1.0)
            - known * backend.asarray(np.log(rates))
        )
        return xp.sum(xp.where(s < 0, xp.inf, each), axis=-1)

    return ToyDiscrete(backend, len(rates), None, table, (tuple(range(len(rates))),), lower, upper)


@dataclass(frozen=True)
class Run:
    """Positions after each step, and each step's statistics: (steps, chains, ...) as NumPy arrays."""

    positions: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]

    @property
    def last(self) -> dict[str, np.ndarray]:
        return {name: values[-1] for name, values in self.positions.items()}


def run(
    kernel: BoundKernel,
    backend: Backend,
    start: dict[str, np.ndarray],
    steps: int,
    seed: int = 0,
    compiled: bool = True,
    first_chain: int = 0,
) -> Run:
    """Drive a kernel from a start (chains, ...) for a number of steps, with the noise of a seed."""
    with backend.scope():
        position: Any = {name: backend.asarray(value) for name, value in start.items()}
        chains = first_chain + np.arange(next(iter(start.values())).shape[0])
        keys = noise.chain_keys(seed, chains, 1, backend)
        state = kernel.init(position, noise.chain_keys(seed, chains, 0, backend))

        def advance(position: Position, state: Any, t: Array) -> Any:
            return kernel.step(position, state, noise.draw(kernel.noise, keys, t, backend), t)

        step = backend.compile(advance) if compiled else advance
        positions, statistics = [], []
        for t in range(steps):
            position, state, stats = step(position, state, backend.asarray(t))
            positions.append({name: backend.to_numpy(value) for name, value in position.items()})
            statistics.append({name: backend.to_numpy(value) for name, value in stats.items()})
    return Run(_stacked(positions), _stacked(statistics))


def _stacked(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
