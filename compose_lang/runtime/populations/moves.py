"""What moves a population at a place on its path: trajectories, single objects, and the kernels of discrete variables.

A sweep is one sweep over objects, some trajectories of all continuous coordinates where there is a force, and one step
of every other kernel. All of it leaves the density at the place invariant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import BoundKernel
from compose_lang.runtime.populations import fitted, trajectories
from compose_lang.runtime.populations.fitted import Gaussian
from compose_lang.runtime.populations.objects import ObjectMoves
from compose_lang.runtime.populations.path import START, Place
from compose_lang.runtime.populations.trajectories import Energy, Point, Scale
from compose_lang.runtime.views.views import Views

TRAJECTORIES = 3  #: a sweep
FORCE_PRICE = 1e4  #: nats for a unit of violation, at most, in the force at walls
COUNTERS = 16  #: numbers of a sweep's noise
PARTICLES_A_COORDINATE = 5  #: of those that tell a covariance; fewer tell deviations only
MOST_DENSE = 200  #: coordinates
LEAST_SHARE = 5e-3  #: of each coordinate's variance that no other explains


class Moving(NamedTuple):
    """What the moves of a population have learned; states of kernels are its particles' own."""

    scale: Scale
    objects: Tree
    states: Tree
    accepted: Array  #: (1,): the mean acceptance of the last trajectories


class Moves:
    """Moves of all variables of a program on a path.

    views: of a path's density, first the block of its continuous variables, `names`. objects: moves of single objects,
    if any are to be made. fit: the reference, where it is no product of factors. has_force: whether anything but walls
    and bounds acts on the variables.
    """

    def __init__(
        self,
        views: Views,
        names: tuple[str, ...],
        objects: ObjectMoves | None,
        has_force: bool,
        fit: Gaussian | None = None,
    ) -> None:
        self.views = views
        self.names = names
        self.objects = objects
        self.fit = fit
        self.has_force = has_force
        self.backend: Backend = views.density.backend
        compiled = self.backend.compile if self.backend.compiles_whole else lambda function: function
        self._begin, self._swept = compiled(self._begin_of), compiled(self._swept_of)

    @property
    def constants(self) -> Tree:
        """The arrays that compiled functions take as an argument."""
        b = self.backend
        objects = {} if self.objects is None else self.objects.constants
        fit = () if self.fit is None else tuple(b.asarray(a, b.real) for a in self.fit.arrays)
        return {"views": self.views.constants, "objects": objects, "fit": fit}

    def about(self, fit: Gaussian) -> Moves:
        """The same moves with another fitted reference."""
        other = copy(self)
        other.fit = fit
        return other

    def begin(self, keys: Array, values: Mapping[str, NDArray[Any]]) -> tuple[Position, Moving]:
        """Positions at values (n, …) of all variables, and what is known before the first move."""
        b = self.backend
        given = {
            v.name: b.asarray(values[v.name]) for v in self.views.density.graph.variables if v.free_sites
        }
        begun: tuple[Position, Moving] = self._begin(self.constants, keys, given, self.level(START))
        return begun

    def _begin_of(
        self, constants: Tree, keys: Array, values: Mapping[str, Array], level: Level
    ) -> tuple[Position, Moving]:
        b, xp = self.backend, self.backend.xp
        views, objects = self.on(constants)
        position = views.density.position_of(values)
        size = views.coordinates(self.names).size
        states = tuple(k.init(position, keys) for k in self._kernels(views, level))
        scales = {} if objects is None else objects.begin(position)
        log_step = b.asarray([np.log(0.5 * max(size, 1) ** -0.25)], b.real)
        one = xp.ones((1,), dtype=b.real)
        # of the shape that it comes to have, so that nothing is compiled twice
        factor = xp.ones((size, size) if size <= MOST_DENSE else (size,), dtype=b.real)
        return position, Moving(Scale(factor, log_step), scales, states, one)

    def on(self, constants: Tree) -> tuple[Views, ObjectMoves | None]:
        """The views and the moves of objects on arrays that may be traced."""
        objects = None if self.objects is None else self.objects.on(constants["objects"])
        return self.views.on(constants["views"]), objects

    def swept(
        self, keys: Array, position: Position, moving: Moving, place: Place, begun: int, sweeps: int
    ) -> tuple[Position, Moving]:
        """Positions after some sweeps at a place, the sweeps before it being counted by `begun`."""
        b = self.backend
        moving = moving._replace(scale=moving.scale._replace(factor=self.factor(position)))
        levels = self.level(place), self.level(place.softer(FORCE_PRICE))
        counted = (b.asarray(begun), b.asarray(sweeps)) if b.compiles_whole else (begun, sweeps)
        found: tuple[Position, Moving] = self._swept(
            self.constants, keys, position, moving, *levels, *counted
        )
        return found

    def coordinates(self, position: Position) -> NDArray[np.float64]:
        """The continuous coordinates (n, D) of positions."""
        arrays = [np.asarray(self.backend.to_numpy(position[n]), dtype=np.float64) for n in self.names]
        return np.concatenate([a.reshape((len(a), -1)) for a in arrays], axis=1)

    def position(self, u: NDArray[np.float64]) -> Position:
        """The position of continuous coordinates (n, D), where no variable is discrete."""
        position, start = {}, 0
        for name, shape in self.views.coordinates(self.names).shapes.items():
            stop = start + math.prod(shape)
            position[name] = self.backend.asarray(
                u[:, start:stop].reshape((len(u), *shape)), self.backend.real
            )
            start = stop
        return position

    def factor(self, position: Position) -> Array:
        """L of the population's covariance L Lᵀ (D, D), or its deviations (D,) where it tells no more."""
        b, u = self.backend, self.coordinates(position)
        n, size = u.shape
        deviations = np.maximum(u.std(axis=0), 1e-6)
        if size > MOST_DENSE or n < PARTICLES_A_COORDINATE * size:
            return b.asarray(np.diag(deviations) if size <= MOST_DENSE else deviations, b.real)
        scaled = (u - u.mean(axis=0)) / deviations
        covariance = (scaled.T @ scaled + LEAST_SHARE * n * np.eye(size)) / n
        return b.asarray(deviations[:, None] * np.linalg.cholesky(covariance), b.real)

    def level(self, place: Place) -> Level:
        b = self.backend
        return Level(progress=b.asarray([place.progress], b.real), price=b.asarray([place.price], b.real))

    # --- a sweep ---

    def _kernels(self, views: Views, level: Level) -> list[BoundKernel]:
        return views.kernels(0, level)[1:]

    def _swept_of(
        self,
        constants: Tree,
        keys: Array,
        position: Position,
        moving: Moving,
        level: Level,
        soft: Level,
        begun: Any,
        sweeps: Any,
    ) -> tuple[Position, Moving]:
        views, objects = self.on(constants)

        def sweep(i: Any, carry: Tree) -> Tree:
            position, moving = carry
            t = (begun + i) * COUNTERS
            if objects is not None:
                drawn = noise.draw(objects.noise, keys, t, self.backend)
                position, scales, _ = objects.sweep(position, moving.objects, drawn, level)
                moving = moving._replace(objects=scales)
            if self.has_force:
                hard, force = (self.energy(views, position, at, constants["fit"]) for at in (level, soft))
                position, moving = self.trajectories(hard, force, keys, position, moving, t + 1)
            return self.others(views, keys, position, moving, level, t + 1 + TRAJECTORIES)

        position, moving = self.backend.loop(0, sweeps, sweep, (position, moving))
        return position, moving

    def trajectories(
        self, hard: Energy, force: Energy, keys: Array, position: Position, moving: Moving, t: Any
    ) -> tuple[Position, Moving]:
        """Some trajectories of all continuous coordinates."""
        b, block = self.backend, self.views.coordinates(self.names)
        specs = trajectories.noise_of(block.size)

        def once(i: Any, carry: Tree) -> Tree:
            point, scale, _ = carry
            drawn = noise.draw(specs, keys, t + i, b)
            return trajectories.move(hard, force, Point(*point), scale, drawn, b)

        u = block.ravel(position)
        begin = (Point(u, hard.at(u)), moving.scale, moving.accepted)
        point, scale, accepted = b.loop(0, TRAJECTORIES, once, begin)
        return block.unravel(position, point[0]), moving._replace(scale=scale, accepted=accepted)

    def energy(self, views: Views, position: Position, level: Level, fit: Tree) -> Energy:
        """The energy of continuous coordinates at a level, with what is left there of a fitted reference."""
        block = views.coordinates(self.names, level)
        if not fit:
            return Energy(
                lambda u: block.energy(u, position), lambda u: block.energy_and_gradient(u, position)
            )
        b = self.backend
        zero = b.asarray([0.0], b.real)
        start = views.coordinates(self.names, Level(progress=zero, price=zero))
        assert level.progress is not None
        left = 1.0 - level.progress

        def both(u: Array) -> tuple[Array, Array]:
            # the graph's energy at the start is minus the log Jacobian of the coordinates alone
            parts = block.energy_and_gradient(u, position), start.energy_and_gradient(u, position)
            (energy, gradient), (jacobian, slope) = parts
            held, pull = fitted.energy_and_gradient(u, fit, b)
            return energy + left * (held - jacobian), gradient + left[:, None] * (pull - slope)

        return Energy(lambda u: both(u)[0], both)

    def others(
        self, views: Views, keys: Array, position: Position, moving: Moving, level: Level, t: Any
    ) -> tuple[Position, Moving]:
        """One step of every kernel of discrete variables."""
        states = []
        for k, kernel in enumerate(self._kernels(views, level)):
            drawn = noise.draw(kernel.noise, keys, t + k, self.backend)
            position, state, _ = kernel.step(position, moving.states[k], drawn, t)
            states.append(state)
        return position, moving._replace(states=tuple(states))
