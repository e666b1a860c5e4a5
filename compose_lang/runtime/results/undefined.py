"""Looks for points near the draws where a program's energy is not a number.

Kernels never go to such a point: they take it for one of no weight, and the draws would quietly follow another
program. What the kernels meet is no evidence by itself, since a trajectory that diverges leaves the range of
numbers in healthy programs too; so points within a few standard deviations of the draws are tried, on NumPy.

In: the draws of a run and its factor graph. Out: an error that names the factors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.kernels import find_kernel
from compose_lang.runtime.results.draws import StoredDraws

if TYPE_CHECKING:
    from compose_lang.runtime.learned.energy import Learned

MOST_POINTS = 200
MOST_VALUES = 4_000_000  #: instances of factors evaluated, over all points
DEVIATIONS = 3.0  #: how far points are from draws, in robust standard deviations of each coordinate
IQR_OF_NORMAL = 1.349  #: its interquartile range over its standard deviation


def undefined_near(run: StoredDraws, graph: FactorGraph, learned: Learned | None = None) -> list[Diagnostic]:
    """CG0701 for each group of factors whose energy is not a number at a point near the draws.

    Continuous variables are moved only where their kernel gives cause: transitions that diverged, or rejections
    that it does not tell apart (mh). Nothing is tried where not every variable is stored.
    """
    free = [variable for variable in graph.variables if variable.free_sites]
    columns = {column.name: column for column in run.columns}
    instances = max(1, sum(group.instances for group in graph.groups))
    points = min(MOST_POINTS, MOST_VALUES // instances, run.chains * run.draws)
    if not points or any(variable.name not in columns for variable in free):
        return []
    diverged = any(values.any() for name, values in run.statistics.items() if name.startswith("diverging"))
    moved = {
        name
        for block in run.manifest.plan
        for name in block["variables"]
        if diverged or hides_divergence(block["kernel"]) or graph.variable(name).is_discrete
    }
    rng = np.random.default_rng(run.manifest.settings["seed"])
    chosen = rng.choice(run.chains * run.draws, points, replace=False)
    place = np.unravel_index(chosen, (run.chains, run.draws))
    backend = load_backend("numpy")
    with backend.scope():
        density = Density(graph, backend, learned)
        position = density.position_of({v.name: run.values(columns[v.name])[place] for v in free})
        for variable in free:
            if variable.name in moved:
                move = _other_values if variable.is_discrete else _further_out
                position[variable.name] = move(rng, variable, position[variable.name])
        values, _ = density.constrain(position)
        energies = density.group_energies(graph.groups, values)
    help = (
        "look for a log or sqrt of a negative number, or 0 / 0; a bounded type or a `require` keeps variables where "
        "the program has a meaning; the draws are stored, but may leave out a part of the distribution"
    )
    return [
        Diagnostic(
            "CG0701", f"the energy is not a number near the draws: {group.label}", group.span, help=help
        )
        for group, energy in zip(graph.groups, energies, strict=True)
        if np.isnan(energy).any()
    ]


def hides_divergence(method: str) -> bool:
    """Whether a kernel rejects where an energy is not a number, and does not say so."""
    kernel = find_kernel(method)
    return kernel is not None and not kernel.needs_gradient


def _further_out(rng: np.random.Generator, variable: Variable, u: NDArray[Any]) -> NDArray[Any]:
    """Coordinates (points, ...) moved at random, in proportion to their spread."""
    low, high = np.quantile(u, [0.25, 0.75], axis=0)
    return u + DEVIATIONS * (high - low) / IQR_OF_NORMAL * rng.normal(size=u.shape)


def _other_values(rng: np.random.Generator, variable: Variable, values: NDArray[Any]) -> NDArray[Any]:
    """Discrete values (points, sites), on average one site a point changed to any value of its domain."""
    domain = variable.type.domain
    if domain.kind == "permutation":
        return rng.permuted(values, axis=-1)
    if domain.is_finite:
        possible = domain.values
        drawn = possible.start + possible.step * rng.integers(len(possible), size=values.shape)
    else:
        drawn = np.clip(values + rng.integers(-3, 4, values.shape), domain.lower, domain.upper)
    change = rng.random(values.shape) < 1 / math.prod(values.shape[1:])
    return np.where(change, drawn, values).astype(values.dtype)
