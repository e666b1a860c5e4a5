"""Local energies: what a change of one site does, from the factors that read it and no others.

In: a discrete variable of a graph. Out: `LocalEnergy`: colour classes, and for each factor group that reads the
variable the group's expression restricted to the instances around one class, with the sites of the class replaced
by candidate values. The tables of instances are plain arrays, indexed by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.colouring import colour, distinct
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.compiler.ir.build import constant, node, reindex, slot, transform
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.diagnostics import fail

MOST_ENTRIES = 5 * 10**8


@dataclass(frozen=True, eq=False)
class LocalGroup:
    """One group around the sites of a class: `degree` instances a site.

    `instances` (classes, width, degree) lists them, -1 for padding. `energy` varies over `touch`
    (width · degree) and reads the slots `instance` and `site` (along touch: which instance, and the full number
    of the site it is evaluated for) and `candidate` (along touch and the candidates' axis).
    """

    energy: Node
    touch: Axis
    candidates: Axis
    instance: Node
    site: Node
    candidate: Node
    instances: np.ndarray

    @property
    def degree(self) -> int:
        return int(self.instances.shape[2])


@dataclass(frozen=True, eq=False)
class LocalEnergy:
    """All groups around a variable. `classes` (classes, width) lists free sites, `sites` for padding."""

    variable: Variable
    sites: int
    classes: np.ndarray
    full_sites: np.ndarray  #: (sites + 1,): a free site's number among all; the padding's is 0
    groups: tuple[LocalGroup, ...]

    @property
    def energies(self) -> list[Node]:
        return [g.energy for g in self.groups]

    @property
    def tables(self) -> dict[str, Any]:
        """The arrays of integers that a backend holds."""
        instances = [g.instances for g in self.groups]
        return {"classes": self.classes, "full": self.full_sites, "instances": instances}


def local_energy(graph: FactorGraph, variable: Variable, candidates: int) -> LocalEnergy:
    """The local energies of a discrete variable, for a number of candidate values at a time."""
    touching = [g for g in graph.groups if variable.name in g.variables]
    moving = ~variable.fixed
    scopes = [without(scope(g, variable), moving) for g in touching]
    sites = variable.free_sites
    colours = colour(sites, scopes)
    classes = padded_classes(colours, sites, moving)
    full = np.append(np.flatnonzero(variable.free.reshape(-1)), 0)
    groups = tuple(
        restrict(g, variable, s, classes, sites, candidates) for g, s in zip(touching, scopes, strict=True)
    )
    return LocalEnergy(variable, sites, classes, full, groups)


def without(sites: np.ndarray | None, moving: np.ndarray) -> np.ndarray | None:
    """A scope that leaves out the sites that do not move."""
    if sites is None or moving.all():
        return sites
    return np.where(np.append(moving, False)[sites], sites, -1)


def padded_classes(colours: np.ndarray, sites: int, moving: np.ndarray | None = None) -> np.ndarray:
    """Sites by colour, (classes, width), padded with `sites`; of those that move, if some do not."""
    order = np.argsort(colours, kind="stable")
    if moving is not None and not moving.all():
        order = order[moving[order]]
        colours = np.unique(colours[order], return_inverse=True)[1] if len(order) else colours[:0]
        return padded(order, colours, sites)
    return padded(order, colours[order], sites)


def padded(order: np.ndarray, colours: np.ndarray, sites: int) -> np.ndarray:
    """Sites in order of their colours, a row for each."""
    counts = np.bincount(colours, minlength=1)
    table = np.full((len(counts), max(1, int(counts.max(initial=1)))), sites, dtype=np.int64)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[colours, rank] = order
    return table


def restrict(
    group: FactorGroup,
    variable: Variable,
    sites: np.ndarray | None,
    classes: np.ndarray,
    count: int,
    candidates: int,
) -> LocalGroup:
    """One group around the sites of a class."""
    instances = instances_of(group, sites, count)[classes]
    touch = Axis(instances.shape[1] * instances.shape[2], "touch")
    choice = Axis(candidates, "candidate")
    instance = slot("instance", (), (touch,), "int")
    site = slot("site", (), (touch,), "int")
    leaf = variable.node
    candidate = slot("candidate", (), (touch, choice), leaf.dtype)
    numbers = constant(np.arange(variable.type.sites).reshape(variable.type.shape), dtype="int")
    replaced = node("where", node("eq", numbers, site), candidate, leaf)
    (energy,) = transform([group.energy], lambda n: replaced if n is leaf else None)
    energy = at_instances(energy, group, instance)
    return LocalGroup(energy, touch, choice, instance, site, candidate, instances)


def at_instances(energy: Node, group: FactorGroup, instance: Node) -> Node:
    """A group's energy at the instances of these numbers, in place of all along its axes."""
    columns: dict[Axis, Node] = {}
    stride = 1
    for axis in reversed(group.axes):
        place = instance if stride == 1 else node("floordiv", instance, constant(stride))
        stride *= axis.size
        columns[axis] = place if stride == group.instances else node("mod", place, constant(axis.size))
    return reindex(energy, columns)


def instances_of(group: FactorGroup, sites: np.ndarray | None, count: int) -> np.ndarray:
    """The instances that read each of `count` sites, (count + 1, degree), padded with -1; the last row is padding."""
    if sites is None:
        degree = group.instances
        limit((count + 1) * degree, group)
        table = np.broadcast_to(np.arange(degree), (count + 1, degree)).copy()
        table[-1] = -1
        return table
    rows = np.repeat(np.arange(len(sites)), sites.shape[1])
    flat = sites.reshape(-1)
    real = flat >= 0
    pairs = distinct(flat[real] * np.int64(max(len(sites), 1)) + rows[real])
    site, row = pairs // max(len(sites), 1), pairs % max(len(sites), 1)
    degrees = np.bincount(site, minlength=count)
    degree = int(degrees.max(initial=0))
    limit((count + 1) * degree, group)
    table = np.full((count + 1, max(degree, 1)), -1, dtype=np.int64)
    rank = np.arange(len(site)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    table[site, rank] = row
    return table


def limit(entries: int, group: FactorGroup) -> None:
    if entries > MOST_ENTRIES:
        text = f"updating sites one at a time would need {entries:.2g} factor evaluations tabled"
        fail("CG0801", text, group.span, help="use another method, or fewer or smaller factors")
