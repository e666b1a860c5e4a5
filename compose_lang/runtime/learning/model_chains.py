"""Chains that go on while params are fitted: of variables given the data, and of the model without its data.

The latter stand for a total that cannot be summed.

In: a `LogPartition` whose variables are drawn, not summed out. Out: its chains after some sweeps where the params
are, and the slopes of their energies by the params. The mean slope is minus the gradient of log Z, its covariance
over the chains a part of the second derivative (the part that is not the mean of the energies' own).

The chains persist: they go on from where they are when the params have moved a little, and are not started anew from
the data (Younes 1988; Tieleman 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.chains.sweep import Batch, Sweeper
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.views.coordinates import Coordinates
from compose_lang.runtime.views.views import views_of

if TYPE_CHECKING:
    from compose_lang.compiler.likelihood.partition_functions import LogPartition

MOST_JOINT = 500
"""Params whose slopes' covariance is kept whole; of more the variances are."""

FAR = 1e10
"""A chain whose coordinates lie farther out has run off: there is no total."""

Coordinate = NDArray[np.float64]


class PersistentChains:
    """Chains of a density's variables that go on while its params move. params: in the order of coordinates u (D,)."""

    sweeper: Sweeper
    batch: Batch

    def __init__(
        self, density: Density, walk: Plan, params: tuple[str, ...], chains: int, backend: Backend
    ) -> None:
        self.density = density
        self.views = views_of(density, walk.blocks, is_steady=False)
        self.params = params
        self.chains = chains
        self.backend = backend
        self.block = Coordinates(self.density, params)

    @property
    def position(self) -> Position:
        return self.batch.position

    def start(self, u: Coordinate, seed: int, warmup: int) -> None:
        """Put the chains at random where the energy is finite."""
        self.sweeper = Sweeper(
            self.views, seed=seed, warmup=warmup, chains=self.chains, keep=(), fixed=self.placed(u)
        )
        self.batch = self.sweeper.start(range(self.chains))

    def placed(self, u: Coordinate) -> Position:
        """The params' part of a position."""
        position = self.block.unravel({}, self.backend.asarray(np.tile(u, (self.chains, 1))))
        return {name: position[name] for name in self.params}

    def advance(self, u: Coordinate, done: int, sweeps: int) -> None:
        """Make some sweeps, after `done` of them, where the params are at u."""
        at = {**self.batch.position, **self.placed(u)}
        self.batch = self.sweeper.advance(self.batch._replace(position=at), done, 1, sweeps).batch

    def packed(self) -> Mapping[str, Any]:
        """The chains as the arrays of a checkpoint."""
        return self.sweeper.pack(self.batch)

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Put the chains where a checkpoint has them."""
        self.batch = self.sweeper.unpack(arrays, self.batch)


class ModelChains(PersistentChains):
    """Chains of one `LogPartition`."""

    def __init__(
        self,
        total: LogPartition,
        walk: Plan,
        params: tuple[str, ...],
        chains: int,
        backend: Backend,
        learned: Learned,
    ) -> None:
        density = Density(total.graph, backend, learned)
        super().__init__(density, walk, params, max(chains, 2), backend)  # one alone has no covariance
        self.count = total.count
        self.names = total.names
        self.slopes_at = backend.compile(self.slopes_of)

    @property
    def constants(self) -> dict[str, Any]:
        return self.density.constants

    @property
    def is_lost(self) -> bool:
        """Whether a chain has run off to where no total is."""
        return not all((np.abs(np.asarray(self.position[name])) < FAR).all() for name in self.names)

    def energies(self, constants: Mapping[str, Any], us: Array, position: Position) -> Array:
        """The energy (chains,) of each chain with the params at us (chains, D)."""
        density = self.density.with_constants(constants)
        return density.energy_of(self.block.unravel(position, us), density.graph.groups, ())

    def mean_energy(self, constants: Mapping[str, Any], us: Array, position: Position) -> Array:
        """What all copies have (1,), in the mean over the chains, with the params at us (1, D)."""
        xp = self.backend.xp
        wide = xp.broadcast_to(us, (self.chains, us.shape[1]))
        return self.count * xp.mean(self.energies(constants, wide, position), axis=0, keepdims=True)

    def slopes_of(self, constants: Any, u: Array, position: Position) -> Array:
        wide = self.backend.xp.broadcast_to(u[None], (self.chains, u.shape[0]))
        return self.backend.value_and_grad(lambda us: self.energies(constants, us, position))(wide)[1]

    def spread(self, u: Coordinate) -> NDArray[np.float64]:
        """The covariance (D, D) of the slopes of all copies over the chains, or of many params its diagonal (D,)."""
        slopes = np.asarray(self.slopes_at(self.constants, self.backend.asarray(u), self.position))
        away = slopes - slopes.mean(axis=0)
        scale = self.count / (self.chains - 1)
        if len(u) > MOST_JOINT:
            diagonal: NDArray[np.float64] = scale * (away**2).sum(axis=0)
            return diagonal
        whole: NDArray[np.float64] = scale * away.T @ away
        return whole


class Curvature:
    """What the covariance of the model's slopes has come to over the later half of all steps so far.

    Of few chains and steps it is of low rank: the correlations count by how many draws there are to a param.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.mean: Any = 0.0

    def add(self, spread: NDArray[np.float64]) -> None:
        self.steps += 1
        self.mean = self.mean + (spread - self.mean) * 2.0 / (self.steps + 1.0)

    def around(self, u: Coordinate, chains: int) -> Callable[[Coordinate], tuple[float, Coordinate]]:
        """Half of δᵀCδ and its gradient, where δ is how far a point lies from u."""
        whole = self.mean
        if whole.ndim == 1:
            return lambda x: (0.5 * float((x - u) @ (whole * (x - u))), whole * (x - u))
        draws = 0.5 * chains * (self.steps + 1)
        joint = draws / (draws + len(u))
        shrunk = joint * whole + (1.0 - joint) * np.diag(np.diag(whole))
        return lambda x: (0.5 * float((x - u) @ shrunk @ (x - u)), shrunk @ (x - u))
