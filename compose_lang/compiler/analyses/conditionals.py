"""Conditional energies: what new values of a few sites do, from the factors that read these and no others.

In: a variable of a graph, and what of it is drawn at once: a site or an ordering, two sites of a set whose sum stays,
all sites of a small set, an object of a continuous variable. Out: `Conditionals`: each factor group that reads the
variable, restricted to the instances around what is drawn, with its sites replaced by candidates. What may be drawn
side by side stands in classes that share no factor. Which instances those are stands in plain arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.colouring import colour, distinct
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import once_each, places_scope, scope
from compose_lang.compiler.ir.build import constant, node, reindex, slot, transform
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.diagnostics import fail

MOST_ENTRIES = 5 * 10**8
EXCHANGED = 2  #: candidates of an ordering: as it is, and as it is proposed
COMPARISONS = 8  #: so many comparisons of two numbers cost about as much as one instance of a factor


@dataclass(frozen=True, eq=False)
class Around:
    """A group's energy over the axes `member` (of a class), `touch` (an instance) and `choice` (a candidate).

    It reads the slots `instance` (member, touch), and for each site that is drawn of a member its number among all,
    `sites` (member), and its candidates, `values` (member, choice).
    """

    energy: Node
    member: Axis
    touch: Axis
    choice: Axis
    instance: Node
    sites: tuple[Node, ...]
    values: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class ConditionalGroup:
    """One group, and the instances around what is drawn, (…, degree), -1 for none.

    instances: of each member of a class (classes, width, degree); of pairs, of each site (sites + 1, degree), the last
    row for none; of small sets, of each set (sets, degree). is_whole: whether every site is read by all instances.
    is_bound: whether it is what a variable's bounds are to whom moves it in values.
    pair, of_place: of orderings, where it saves much: the group around two places that are exchanged, and the instances
    that read each place (classes, width, n, degree).
    """

    around: Around
    instances: np.ndarray
    is_whole: bool
    pair: Around | None = None
    of_place: np.ndarray | None = None
    is_bound: bool = False

    @property
    def tables(self) -> dict[str, np.ndarray]:
        place = {} if self.of_place is None else {"place": self.of_place}
        return {"instances": self.instances, **place}


@dataclass(frozen=True, eq=False)
class Conditionals:
    """All groups around a variable. `members`: sites by class (classes, width), or sets of k sites by class
    (classes, width, k), or sets (sets, k); padded with the number of free sites.
    """

    variable: Variable
    members: np.ndarray
    candidates: int  #: weighed at a time
    groups: tuple[ConditionalGroup, ...]

    @property
    def energies(self) -> list[Node]:
        return [a.energy for g in self.groups for a in (g.around, g.pair) if a is not None]

    @property
    def tables(self) -> dict[str, Any]:
        """The arrays of integers that a backend holds; full: a free site's number among all, -1 for padding."""
        full = np.append(np.flatnonzero(self.variable.free.reshape(-1)), -1)
        return {"members": self.members, "full": full, "groups": [g.tables for g in self.groups]}


# --- by what is drawn at once ---------------------------------------------------------------------------


def of_sites(graph: FactorGraph, v: Variable, candidates: int = EXCHANGED) -> Conditionals:
    """Single sites, each with a number of candidates at a time; of orderings, each with what may become of it."""
    touching, scopes = groups_around(graph, v)
    classes = padded_classes(colour(v.free_sites, scopes), v.free_sites, ~v.fixed)
    pairs = zip(touching, scopes, strict=True)
    groups = tuple(around_sites(g, v, read, classes, candidates) for g, read in pairs)
    return Conditionals(v, classes, candidates, groups)


def around_sites(
    group: FactorGroup, v: Variable, read: np.ndarray | None, classes: np.ndarray, candidates: int
) -> ConditionalGroup:
    """One group around the sites of each class."""
    count, width = v.free_sites, classes.shape[1]
    of_site = instances_of(group, read, count)
    around = restrict(group, v, width, of_site.shape[1], candidates)
    found = ConditionalGroup(around, of_site[classes], read is None)
    places = places_scope(group, v) if v.type.domain.kind == "permutation" else None
    if places is None:
        return found
    n = v.type.domain.size
    of_place = instances_of(group, places, count * n)
    degree = of_place.shape[1]
    if 2 * degree + degree**2 // COMPARISONS >= of_site.shape[1]:
        return found
    table = np.concatenate([of_place[:-1].reshape(count, n, degree), np.full((1, n, degree), -1)])
    pair = restrict(group, v, width, 2 * degree, candidates)
    return ConditionalGroup(around, of_site[classes], read is None, pair, table[classes])


def of_pairs(graph: FactorGraph, v: Variable, sets: np.ndarray, candidates: int) -> Conditionals:
    """Two sites of each of some sets (n, k), padded with -1: classes of sets share no site and no factor."""
    sites = v.free_sites
    touching, scopes = groups_around(graph, v)
    belongs = sets_of(sets, sites)
    shared = [
        belongs[:-1],
        *(None if s is None else once_each(belongs[s].reshape(len(s), -1)) for s in scopes),
    ]
    classes = padded_classes(colour(len(sets), shared), len(sets))
    padded = np.concatenate([np.where(sets < 0, sites, sets), np.full((1, sets.shape[1]), sites)])
    groups = []
    for group, read in zip(touching, scopes, strict=True):
        of_site = instances_of(group, read, sites)
        degree = of_site.shape[1] * (1 if read is None else 2)
        around = restrict(group, v, classes.shape[1], degree, candidates, drawn=2)
        groups.append(ConditionalGroup(around, of_site, read is None))
    return Conditionals(v, padded[classes], candidates, tuple(groups))


def of_sets(
    graph: FactorGraph, v: Variable, sets: np.ndarray, candidates: int, kept: Collection[int]
) -> Conditionals:
    """All sites of one of some sets (n, k), padded with the number of sites, for each chain.

    kept: the ids of groups that hold whatever a set becomes.
    """
    groups = []
    for group, read in zip(*groups_around(graph, v, kept), strict=True):
        if read is None:
            limit(len(sets) * group.instances, group)
            instances = np.broadcast_to(np.arange(group.instances), (len(sets), group.instances)).copy()
        else:
            of_site = instances_of(group, read, v.free_sites)
            limit(sets.size * of_site.shape[1], group)
            instances = once_each(of_site[sets].reshape(len(sets), -1))
        around = restrict(group, v, 1, instances.shape[1], candidates, drawn=sets.shape[1])
        groups.append(ConditionalGroup(around, instances, read is None))
    return Conditionals(v, sets, candidates, tuple(groups))


def of_objects(
    graph: FactorGraph, v: Variable, objects: np.ndarray, candidates: int, bounds: Sequence[FactorGroup] = ()
) -> Conditionals:
    """All sites of each of some objects (n, k), padded with the number of free sites; no two share a site.

    bounds: of variables, as factors.
    """
    count, sites = len(objects), v.free_sites
    found = [
        (group, read, is_bound)
        for groups, is_bound in ((graph.groups, False), (bounds, True))
        for group, read in zip(*groups_around(graph, v, groups=groups), strict=True)
    ]
    belongs = sets_of(np.where(objects < sites, objects, -1), sites)
    shared = [None if r is None else once_each(belongs[r].reshape(len(r), -1)) for _, r, _ in found]
    classes = padded_classes(colour(count, shared), count)
    padded = np.concatenate([objects, np.full((1, objects.shape[1]), sites)])
    around = []
    for group, read, is_bound in found:
        of_site = instances_of(group, read, sites)
        of_object = of_site[objects[:, 0]] if read is None else once_each(of_site[objects].reshape(count, -1))
        degree = of_object.shape[1]
        if not degree:
            continue
        table = np.concatenate([of_object, np.full((1, degree), -1)])
        one = restrict(group, v, classes.shape[1], degree, candidates, drawn=objects.shape[1])
        around.append(ConditionalGroup(one, table[classes], read is None, is_bound=is_bound))
    return Conditionals(v, padded[classes], candidates, tuple(around))


# --- a group around what is drawn -----------------------------------------------------------------------


def groups_around(
    graph: FactorGraph, v: Variable, kept: Collection[int] = (), groups: Sequence[FactorGroup] | None = None
) -> tuple[list[FactorGroup], list[np.ndarray | None]]:
    """The groups (of some, or all) that read a variable, and which of its sites that move each instance reads."""
    among = graph.groups if groups is None else groups
    touching = [g for g in among if v.name in g.variables and id(g) not in kept]
    return touching, [without(scope(g, v), ~v.fixed) for g in touching]


def restrict(
    group: FactorGroup, v: Variable, width: int, instances: int, candidates: int, drawn: int = 1
) -> Around:
    """The group's energy at a number of instances for each member, the sites drawn of it replaced by candidates."""
    member, touch, choice = Axis(width, "member"), Axis(instances, "touch"), Axis(candidates, "candidate")
    instance = slot("instance", (), (member, touch), "int")
    sites = tuple(slot("site", (), (member,), "int") for _ in range(drawn))
    event = v.type.domain.event_shape
    values = tuple(slot("value", event, (member, choice), v.node.dtype) for _ in range(drawn))
    numbers = constant(np.arange(v.type.sites).reshape((*v.type.shape, *(1,) * len(event))), dtype="int")
    replaced = v.node if v.type.shape or not event else values[0]
    for site, value in reversed(list(zip(sites, values, strict=True))):
        if replaced is not value:
            replaced = node("where", node("eq", numbers, site), value, replaced)
    (energy,) = transform([group.energy], lambda n: replaced if n is v.node else None)
    return Around(at_instances(energy, group, instance), member, touch, choice, instance, sites, values)


def at_instances(energy: Node, group: FactorGroup, instance: Node) -> Node:
    """A group's energy at the instances of these numbers, in place of all along its axes."""
    columns: dict[Axis, Node] = {}
    stride = 1
    for axis in reversed(group.axes):
        place = instance if stride == 1 else node("floordiv", instance, constant(stride))
        stride *= axis.size
        columns[axis] = place if stride == group.instances else node("mod", place, constant(axis.size))
    return reindex(energy, columns)


# --- tables ---------------------------------------------------------------------------------------------


def without(sites: np.ndarray | None, moving: np.ndarray) -> np.ndarray | None:
    """A scope that leaves out the sites that do not move."""
    if sites is None or moving.all():
        return sites
    return np.where(np.append(moving, False)[sites], sites, -1)


def padded_classes(colours: np.ndarray, count: int, moving: np.ndarray | None = None) -> np.ndarray:
    """What is coloured, by colour, (classes, width), padded with its count; of what moves, if some does not."""
    order = np.argsort(colours, kind="stable")
    if moving is not None and not moving.all():
        order = order[moving[order]]
        colours = np.unique(colours[order], return_inverse=True)[1] if len(order) else colours[:0]
        return listed(colours, order, count, len(np.bincount(colours, minlength=1)))
    return listed(colours[order], order, count, len(np.bincount(colours, minlength=1)))


def sets_of(sets: np.ndarray, sites: int) -> np.ndarray:
    """The sets that each site is in, (sites + 1, m), padded with -1; the last row is padding."""
    number = np.broadcast_to(np.arange(len(sets))[:, None], sets.shape)[sets >= 0]
    site = sets[sets >= 0]
    order = np.argsort(site, kind="stable")
    return listed(site[order], number[order], -1, sites + 1)


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
    limit((count + 1) * int(np.bincount(site, minlength=1).max()), group)
    return listed(site, row, -1, count + 1)


def listed(keys: np.ndarray, items: np.ndarray, padding: int, rows: int) -> np.ndarray:
    """The items of each key 0 … rows - 1 as a row, (rows, most), padded; keys ascend."""
    counts = np.bincount(keys, minlength=rows)
    table = np.full((rows, max(1, int(counts.max(initial=0)))), padding, dtype=np.int64)
    table[keys, np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)] = items
    return table


def limit(entries: int, group: FactorGroup) -> None:
    if entries > MOST_ENTRIES:
        text = f"updating sites one at a time would need {entries:.2g} factor evaluations tabled"
        fail("CG0801", text, group.span, help="use another method, or fewer or smaller factors")
