"""Parts of a mixture that no chain visited, with the weight that they probably have.

At the draws each part of a mixture has a responsibility, its share of the sum of weights. A part whose responsibility
is next to none everywhere either weighs nothing, for the rest of the program speaks against it, or was never found. So
its weight is estimated beside those of the parts that were visited, by Laplace's method on the whole energy with the
mixture held to the part: exp(-E) (2π)^(d/2) |∇²E|^(-1/2) at the minimum that descent comes to.

In: the draws of a run and its factor graph. Out: a warning that names the parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import constant, node, transform
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.planning.populations import choices, is_logsumexp
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.views.coordinates import Coordinates

if TYPE_CHECKING:
    from compose_lang.runtime.learned.energy import Learned

MOST_DRAWS = 1000
UNVISITED = 1e-3  #: of a part's mean responsibility
LEAST_WEIGHT = 0.01  #: that is worth telling
MOST_PARTS = 8  #: of a program, whose weights are looked for
MOST_TOLD = 4
MOST_COORDINATES = 40
MOST_STEPS = 200
STEP = 1e-4
LEAST_CURVATURE = 1e-8
AWAY = -1e6  #: what is added to the log weight of a part that is left out


@dataclass(frozen=True, eq=False)
class Choice:
    """A mixture: the sum of weights in its group's energy, and the responsibilities (draws, instances, parts)."""

    group: FactorGroup
    sum: Node
    shares: NDArray[np.float64]

    @property
    def logs(self) -> Node:
        """The parts' log weights, less their energies."""
        return self.sum.args[0]

    @property
    def axis(self) -> int:
        """The axis of the log weights that their parts are along, the draws' counted."""
        logs = self.logs
        if self.sum.op == "reduce_axis":
            return 1 + logs.axes.index(self.sum.attrs[1])
        return 1 + len(logs.axes) + len(logs.shape) + int(self.sum.attrs[0])


def unvisited(run: StoredDraws, graph: FactorGraph, learned: Learned | None = None) -> list[Diagnostic]:
    """CG0717 for each mixture of which no chain visited a part that probably weighs something."""
    mixtures = [(g, total) for g in choices(graph) if (total := top_sum(g.energy)) is not None]
    free = [v for v in graph.variables if v.free_sites]
    columns = {column.name: column for column in run.columns}
    if not mixtures or not run.draws or any(v.name not in columns for v in free):
        return []
    places = np.linspace(0, run.chains * run.draws - 1, min(MOST_DRAWS, run.chains * run.draws)).astype(int)
    place = np.unravel_index(places, (run.chains, run.draws))
    backend = load_backend("numpy")
    with backend.scope(), np.errstate(all="ignore"):
        density = Density(graph, backend, learned)
        values = {v.name: backend.asarray(run.values(columns[v.name])[place]) for v in free}
        position = density.position_of(values)
        found = [choice_of(g, total, density, values, len(places)) for g, total in mixtures]
        return [told for choice in found for told in warnings(choice, density, position)]


def top_sum(energy: Node) -> Node | None:
    """The sum of weights that an energy is minus the log of."""
    return energy.args[0] if energy.op == "neg" and is_logsumexp(energy.args[0]) else None


def choice_of(
    group: FactorGroup, total: Node, density: Density, values: dict[str, Any], draws: int
) -> Choice:
    """A mixture with its responsibilities at draws."""
    bare = Choice(group, total, np.zeros(0))
    (logs,) = interpret(density.backend, [bare.logs], density.bindings(values))
    logs = np.moveaxis(np.asarray(logs), bare.axis, -1)
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    shares = weights / weights.sum(axis=-1, keepdims=True)
    shares = np.broadcast_to(shares, (draws, *shares.shape[1:])).reshape((draws, -1, shares.shape[-1]))
    return replace(bare, shares=shares)


def warnings(choice: Choice, density: Density, position: dict[str, Any]) -> Iterator[Diagnostic]:
    """CG0717 where parts of a mixture are missing from its draws."""
    means = choice.shares.mean(axis=0)
    missing = [(i, part) for i, part in np.argwhere(~(means > UNVISITED))[:MOST_PARTS].tolist()]
    told: list[str] = []
    for instance in dict.fromkeys(i for i, _ in missing):
        parts = [part for i, part in missing if i == instance]
        where = f" of instance {instance}" if len(means) > 1 else ""
        told += [
            f"{part + 1}{where} (about {weight:.2f})"
            for part, weight in zip(
                parts, probable_weights(choice, instance, parts, density, position), strict=True
            )
            if weight > LEAST_WEIGHT
        ]
    if told:
        more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        names = ", ".join(sorted(choice.group.variables))
        yield Diagnostic(
            "CG0717",
            f"no chain visited part {', '.join(told[:MOST_TOLD])}{more} of the {means.shape[1]} of a mixture over "
            f"{names}; in brackets the weight that it probably has",
            choice.group.span,
            severity="warning",
            help="the draws leave it out: take a method that goes between parts, as `infer by smc` does",
        )


def probable_weights(
    choice: Choice, instance: int, parts: Sequence[int], density: Density, position: dict[str, Any]
) -> NDArray[np.float64]:
    """The weights of some parts beside each other and the visited ones of an instance; 0 where that is not known."""
    nothing = np.zeros(len(parts))
    if any(v.free_sites and v.is_discrete for v in density.graph.variables):
        return nothing
    means = choice.shares[:, instance].mean(axis=0)
    visited = np.flatnonzero(means > UNVISITED).tolist()
    known = [laplace(choice, instance, part, density, position) for part in visited]
    if any(x is None for x in known):
        return nothing
    found = [laplace(choice, instance, part, density, position) for part in parts]
    logs = np.array([-np.inf if x is None else x for x in (*found, *known)])
    weights = np.exp(logs - logs.max())
    return weights[: len(parts)] / weights.sum()


def laplace(
    choice: Choice, instance: int, part: int, density: Density, position: dict[str, Any]
) -> float | None:
    """The log of the integral of exp(-energy) with a mixture held to a part, about the minimum near the draws."""
    from scipy.optimize import minimize

    graph = held_to(choice, instance, part, density.graph)
    soft = replace(graph, groups=tuple(g for g in graph.groups if g.kind != "require"))
    held = Density(soft, density.backend, density.weights)
    names = tuple(v.name for v in density.graph.variables if v.free_sites)
    block = Coordinates(held, names, alone=True)
    if block.size > MOST_COORDINATES:
        return None
    start = int(choice.shares[:, instance, part].argmax())
    first = {name: array[start : start + 1] for name, array in position.items()}

    def energies(points: NDArray[np.float64]) -> NDArray[np.float64]:
        others = {name: np.repeat(array, len(points), axis=0) for name, array in first.items()}
        return np.asarray(block.energy_at(points, others))

    def slope(u: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        both = energies(np.concatenate([u[None], around(u)]))
        return float(both[0]), (both[1 : 1 + len(u)] - both[1 + len(u) :]) / (2 * STEP)

    u = minimize(slope, block.ravel(first)[0], jac=True, method="BFGS", options={"maxiter": MOST_STEPS}).x
    rows = around(u)
    slopes = [slope(row)[1] for row in rows]
    curvature = np.array(
        [(a - b) / (2 * STEP) for a, b in zip(slopes[: len(u)], slopes[len(u) :], strict=True)]
    )
    whole = Density(graph, density.backend, density.weights)
    least = float(np.asarray(Coordinates(whole, names, alone=True).energy_at(u[None], first))[0])
    spread = (
        np.linalg.eigvalsh(0.5 * (curvature + curvature.T)) if np.isfinite(curvature).all() else np.zeros(1)
    )
    if not math.isfinite(least) or spread.min() < LEAST_CURVATURE:
        return None
    return -least + 0.5 * (len(u) * math.log(2 * math.pi) - float(np.log(spread).sum()))


def around(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (2 d, d) a step ahead of and behind u (d,) in each coordinate."""
    steps = STEP * np.eye(len(u))
    return np.concatenate([u + steps, u - steps])


def held_to(choice: Choice, instance: int, part: int, graph: FactorGraph) -> FactorGraph:
    """The graph in which one instance of a mixture has one part only."""
    logs, axis = choice.logs, choice.axis - 1
    sizes = [*(a.size for a in logs.axes), *logs.shape]
    mask = np.zeros((math.prod(sizes[:axis] + sizes[axis + 1 :]), sizes[axis]))
    mask[instance] = np.where(np.arange(sizes[axis]) == part, 0.0, AWAY)
    whole = np.moveaxis(mask.reshape((*sizes[:axis], *sizes[axis + 1 :], sizes[axis])), -1, axis)
    masked = node("add", logs, constant(whole, logs.axes))
    (energy,) = transform([choice.group.energy], lambda n: masked if n is logs else None)
    held = replace(choice.group, energy=energy)
    return replace(graph, groups=tuple(held if g is choice.group else g for g in graph.groups))
