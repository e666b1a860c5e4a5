"""A program over one or two real numbers integrated on a grid, so that its probabilities are known.

In: a graph whose free variables are one or two real coordinates. Out: the mass of each cell of a grid over all that
matters: a coarse look over the whole line (by the map x = s tan) finds where the density is, a fine grid covers that.
Learned densities are taken at the finest noise they know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.runtime.backends import DEFAULT, load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part, obtain
from compose_lang.runtime.views.coordinates import Coordinates

Numbers = NDArray[np.float64]

COARSE, FINE = {1: 20_001, 2: 401}, {1: 20_001, 2: 701}
"""Points along an axis, by how many axes there are."""
NEGLIGIBLE = 25.0  #: nats above the lowest energy
CHUNK = 2**14


@dataclass(frozen=True)
class Integrated:
    """names: the variable of each coordinate and its site. axes: cells' middles. mass: of each cell, it sums to 1."""

    sites: tuple[tuple[str, int], ...]
    axes: tuple[Numbers, ...]
    mass: Numbers

    def marginal(self, axis: int) -> Numbers:
        other = tuple(k for k in range(self.mass.ndim) if k != axis)
        found: Numbers = self.mass.sum(axis=other)
        return found


def is_flat(graph: FactorGraph) -> bool:
    """Whether a program's free variables are one or two real numbers, each without a bound that another sets."""
    free = [v for v in graph.variables if v.free_sites]
    plain = all(
        v.type.domain.kind == "real" and v.lower is None and v.upper is None and not v.is_discrete
        for v in free
    )
    return plain and 1 <= sum(v.free_sites for v in free) <= 2


def integrate(graph: FactorGraph) -> Integrated:
    """The program on a grid; a program that `is_flat`."""
    names = tuple(v.name for v in graph.variables if v.free_sites)
    sites = tuple((v.name, k) for v in graph.variables for k in range(v.free_sites))
    density = Density(graph, load_backend(DEFAULT), by_part(obtain(used_by(graph))))
    d = len(sites)
    turns = (np.arange(COARSE[d]) + 0.5) / COARSE[d] - 0.5
    axes = (np.tan(math.pi * turns),) * d
    for _ in range(3):  # each look is finer about what the one before found
        energy = energies(density, names, axes)
        bounds = [matters(energy, axis, axes[axis]) for axis in range(d)]
        if not all(np.isfinite(b).all() for b in bounds):
            break
        axes = tuple(middles(low, high, FINE[d]) for low, high in bounds)
    energy = energies(density, names, axes)
    mass = np.exp(np.nanmin(energy) - energy)
    block = Coordinates(density, names)
    values = in_values(density, block, axes)
    return Integrated(sites, values, mass / mass.sum())


def middles(low: float, high: float, count: int) -> Numbers:
    return low + (high - low) * (np.arange(count) + 0.5) / count


def matters(energy: Numbers, axis: int, places: Numbers) -> tuple[float, float]:
    """The range of an axis outside of which every energy is NEGLIGIBLE."""
    lowest = energy.min(axis=tuple(k for k in range(energy.ndim) if k != axis))
    kept = np.flatnonzero(lowest < lowest.min() + NEGLIGIBLE)
    first, last = max(kept[0] - 1, 0), min(kept[-1] + 1, len(places) - 1)
    return float(places[first]), float(places[last])


def energies(density: Density, names: tuple[str, ...], axes: tuple[Numbers, ...]) -> Numbers:
    """The energy at each point of a grid over unconstrained coordinates, Jacobians included; infinite for none."""
    b = density.backend
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    block = Coordinates(density, names)
    found = []
    with b.scope():
        weigh = b.compile(lambda constants, u: density.with_constants(constants).energy(block.unravel({}, u)))
        for first, last in pairwise([*range(0, len(points), CHUNK), len(points)]):
            chunk = points[first:last]
            padded = np.concatenate([chunk, np.repeat(chunk[-1:], CHUNK - len(chunk), axis=0)])
            found.append(
                np.asarray(b.to_numpy(weigh(density.constants, b.asarray(padded, b.real))))[: len(chunk)]
            )
    energy = np.concatenate(found).reshape([len(a) for a in axes])
    return np.where(np.isnan(energy), np.inf, energy)


def in_values(density: Density, block: Coordinates, axes: tuple[Numbers, ...]) -> tuple[Numbers, ...]:
    """The variables' values along each axis."""
    b = density.backend
    found: list[Numbers] = []
    with b.scope():
        for axis, places in enumerate(axes):
            u = np.zeros((len(places), len(axes)))
            u[:, axis] = places
            values, _ = density.constrain(block.unravel({}, b.asarray(u, b.real)))
            flat = []
            for name in block.names:
                v = density.variables[name]
                array = np.asarray(b.to_numpy(values[name])).reshape(len(places), -1)
                flat.append(array[:, v.free.reshape(-1)])
            found.append(np.concatenate(flat, axis=1)[:, axis])
    return tuple(found)
