"""The best point of a program: chains that are annealed, then descend as far as they can.

In the warm-up every chain is moved by the plan's kernels at a share β of the energy that rises geometrically
(Kirkpatrick, Gelatt and Vecchi 1983), and keeps the best point it has seen. From there finite variables go downhill by
the same kernels at a share that leaves nothing else, continuous ones by L-BFGS on their coordinates without the
Jacobian (a maximum of the density does not depend on coordinates), in turn, until neither finds anything better. Each
chain has one draw: its point.

Before: `sweep`. After: the driver, and `optimum`, which tells what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.arrays.protocol import Array, Position, Tree
from compose_lang.runtime.chains.scattering import scattered
from compose_lang.runtime.chains.sweep import START_STREAM, Advance, Batch, LevelSweeper
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.metropolis import choose
from compose_lang.runtime.planning.optimising import Optimising
from compose_lang.runtime.views.coordinates import Coordinates
from compose_lang.runtime.views.views import Views

HOTTEST, COLDEST = 0.15, 6.0  #: shares of the energy, in units of what one site decides
CONTINUOUS_HOTTEST, CONTINUOUS_COLDEST = 0.2, 50.0  #: where a smaller share may hold nothing
FROZEN = 1e5  #: times the coldest: nothing goes uphill
DESCENT = 30  #: sweeps downhill at a time
MOST_TURNS = 10  #: of finite and continuous variables
PROBES = 64
WORTH = 1e-9  #: of the energy's size: the least gain that is worth another turn


class Found(NamedTuple):
    """The best point that each chain has seen."""

    energy: Array  #: (chains,)
    position: Position


class Optimiser(LevelSweeper):
    """A `Sampler` whose one draw of a chain is the best point that it comes to."""

    def __init__(self, views: Views, optimising: Optimising, **options: Any) -> None:
        super().__init__(views, **options)
        density = self.density
        self.optimising = optimising
        self.shares = self._range()
        names = tuple(v.name for v in density.graph.variables if v.free_sites and not v.is_discrete)
        self.block = Coordinates(density, names) if names else None
        self._slope = density.backend.compile(self._slope_of) if names else None

    def start(self, chains: Sequence[int]) -> Batch:
        return self.begun(
            chains,
            lambda batch: Found(self.energy(self.views.constants, batch.position), dict(batch.position)),
        )

    def advance(self, batch: Batch, done: int, draws: int, sweeps: int) -> Advance:
        """Anneal, or where that is over descend and keep where each chain comes to."""
        if done < self.warmup:
            return super().advance(batch, done, draws, sweeps)
        finite = self.optimising.has_finite
        for turn in range(MOST_TURNS):
            kernels, found = batch.states
            before = np.asarray(self.backend.to_numpy(found.energy))
            if self.block is not None:
                found = self._polished(found)
            batch = batch._replace(position=found.position, states=(kernels, found))
            if finite:
                batch = super().advance(batch, self.warmup + turn * DESCENT, 1, DESCENT).batch
            after = np.asarray(self.backend.to_numpy(batch.states[1].energy))
            if (
                not (finite and self.block is not None)
                or ((before - after) <= WORTH * (1.0 + np.abs(after))).all()
            ):
                break
        kernels, found = batch.states
        with self.backend.scope():
            recorded = self.record(self.views.constants, found.position)
            kept = {name: np.asarray(self.backend.to_numpy(x))[None] for name, x in recorded.items()}
            energy = np.asarray(self.backend.to_numpy(found.energy))
        kept[self.statistic("energy")] = energy[None]
        return Advance(batch._replace(position=found.position), kept, energy)

    # --- annealing ---

    def sweep(
        self, constants: Tree, keys: tuple[Array, ...], position: Position, states: Tree, t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        """A sweep at the share of its time; the best point that was seen is kept."""
        b, xp = self.backend, self.backend.xp
        kernels, found = states
        share = self._share(b.asarray(t)) + xp.zeros_like(found.energy)
        position, kernels, _ = self.moved(constants, keys, position, kernels, t, Level(share=share))
        energy = self.energy(constants, position)
        better = energy < found.energy
        best = {name: choose(better, x, found.position[name], b) for name, x in position.items()}
        return position, (kernels, Found(xp.where(better, energy, found.energy), best)), {}

    def _share(self, t: Array) -> Array:
        """The share of the energy in sweep t."""
        xp = self.backend.xp
        low, high = self.shares
        through = xp.clip(xp.astype(t, self.backend.real) / max(1, self.warmup - 1), 0.0, 1.0)
        return xp.where(t < self.warmup, low * (high / low) ** through, high * FROZEN)

    def _range(self) -> tuple[float, float]:
        """The first and the last share: where all is finite, in units of the energy that one site decides.

        The energy's deviation at random states is that unit times the root of the number of sites.
        """
        if self.optimising.has_continuous:
            return CONTINUOUS_HOTTEST, CONTINUOUS_COLDEST
        b = self.backend
        with b.scope():
            position = scattered(self.density, self.keys(np.arange(PROBES), START_STREAM), 1, {})
            energies = np.asarray(b.to_numpy(self.energy(self.views.constants, position)))
        energies = energies[np.isfinite(energies)]
        sites = sum(v.free_sites for v in self.density.graph.variables)
        unit = float(energies.std()) / np.sqrt(sites) if energies.size > 1 else 1.0
        unit = unit if np.isfinite(unit) and unit > 0.0 else 1.0
        return HOTTEST / unit, COLDEST / unit

    def energy(self, constants: Tree, position: Position) -> Array:
        return self.total_energy(constants, position)

    # --- descent of the continuous variables ---

    def _slope_of(self, constants: Tree, u: Array, position: Position) -> tuple[Array, Array]:
        """Energy (chains,) and gradient (chains, D) at coordinates, without the Jacobian."""
        density = self.density_on(constants)
        assert self.block is not None
        block = Coordinates(density, self.block.names)
        found: tuple[Array, Array] = density.backend.value_and_grad(
            lambda w: density.energy_without_jacobian(block.unravel(position, w))
        )(u)
        return found

    def _polished(self, found: Found) -> Found:
        """The points with their continuous variables as far down as a local minimiser comes."""
        from scipy.optimize import minimize

        assert self.block is not None
        b = self.backend
        with b.scope():
            start = np.asarray(b.to_numpy(self.block.ravel(found.position)), dtype=np.float64)
            energies = np.asarray(b.to_numpy(found.energy), dtype=np.float64).copy()
            ends = start.copy()
            for chain in range(len(start)):
                at = {name: x[chain : chain + 1] for name, x in found.position.items()}
                evaluate = self._evaluation(at)
                gradients = b.has_gradient
                result = minimize(
                    evaluate,
                    start[chain],
                    jac=gradients,
                    method="L-BFGS-B" if gradients else "Powell",
                    options={"maxiter": 2000} if gradients else {"xtol": 1e-8, "ftol": 1e-12},
                )
                if np.isfinite(result.fun) and result.fun < energies[chain]:
                    ends[chain], energies[chain] = result.x, result.fun
            position = self.block.unravel(found.position, b.asarray(ends, b.real))
            return Found(b.asarray(energies, b.real), position)

    def _evaluation(self, position: Position) -> Any:
        """The energy of one chain's coordinates as SciPy asks for it: a high wall where it is not finite."""
        b = self.backend

        def evaluate(u: NDArray[Any]) -> Any:
            w = b.asarray(u[None], b.real)
            if not b.has_gradient:
                assert self.block is not None
                energy = self.density.energy_without_jacobian(self.block.unravel(position, w))
                value = float(np.asarray(energy)[0])
                return value if np.isfinite(value) else np.inf
            assert self._slope is not None
            energy, gradient = self._slope(self.views.constants, w, position)
            value = float(np.asarray(b.to_numpy(energy))[0])
            slope = np.asarray(b.to_numpy(gradient), dtype=np.float64)[0]
            return (value, slope) if np.isfinite(value) else (np.inf, np.zeros_like(slope))

        return evaluate
