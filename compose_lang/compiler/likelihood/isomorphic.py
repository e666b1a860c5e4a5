"""Parts of a factor graph that are copies of each other, kept once with their number.

In: variables whose sites are all free, and the factor groups over them. Out: graphs with the sites and factors of one
copy of each kind. Rows of data are copies of one model: its total is one total, to the power of the rows.

Two parts are copies if an order-keeping map takes the sites of one to those of the other, and its factors too: the same
group at the mapped sites, with the same constants along the group's axes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.analyses.colouring import components
from compose_lang.compiler.graph.factor_graph import FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import flatten, read_nodes
from compose_lang.compiler.ir.build import constant, gather, reindex, slot, transform, variable
from compose_lang.compiler.ir.node import Axis, Node, leaves


@dataclass(frozen=True, eq=False)
class Copies:
    """One of each kind of part, of which there are `count`: its variables, free where it has sites, and its groups."""

    variables: tuple[Variable, ...]
    groups: tuple[FactorGroup, ...]
    count: int


@dataclass(frozen=True, eq=False)
class Instances:
    """What the instances of a group read. sites (instances, k): their numbers; alike (instances,): equal where all
    constants along the group's axes are."""

    group: FactorGroup
    sites: np.ndarray
    alike: np.ndarray


def copies(variables: Sequence[Variable], groups: Sequence[FactorGroup]) -> list[Copies]:
    """The distinct parts, by how many there are of each. Every group reads one of the variables."""
    undivided = [Copies(tuple(variables), tuple(groups), 1)]
    count = sum(v.type.sites for v in variables)
    listed = [instances(g, variables) for g in groups]
    read = [f for f in listed if f is not None]
    if len(read) < len(groups):
        return undivided
    part = parts(count, [f.sites for f in read])
    kind = kinds(part, variables, read)
    first, number = firsts(kind)
    if (number == 1).all():
        return undivided
    out = []
    for n in np.unique(number):
        chosen = np.zeros(len(kind), dtype=bool)
        chosen[first[number == n]] = True
        out.append(restricted(variables, read, chosen[part], int(n)))
    return out


def instances(group: FactorGroup, variables: Sequence[Variable]) -> Instances | None:
    """The instances of a group; None where one reads too many sites to list."""
    start, columns, reads = 0, [], []
    for v in variables:
        if v.name in group.variables:
            for read, ids in read_nodes(group.energy, v, v.site_numbers):
                flat = flatten(ids, group.axes)
                if flat is None:
                    return None
                columns.append(flat + start)
                reads.append(read)
        start += v.type.sites
    holes = {id(n): slot("read", n.shape, n.axes, n.dtype) for n in reads}
    (rest,) = transform([group.energy], lambda n: holes.get(id(n)))
    alike = np.zeros(group.instances, dtype=np.int64)
    for leaf in leaves(rest):
        if leaf.value is not None and set(leaf.axes) & set(group.axes):
            rows = flatten(leaf, group.axes)
            if rows is None:
                return None
            _, rank = np.unique(rows, axis=0, return_inverse=True)
            alike = np.unique(np.stack([alike, rank.reshape(-1)]), axis=1, return_inverse=True)[1].reshape(-1)
    return Instances(group, np.concatenate(columns, axis=1), alike)


def parts(count: int, scopes: Sequence[np.ndarray]) -> np.ndarray:
    """The part (count,) of each site: those that share an instance are of one."""
    pairs = [np.column_stack([np.repeat(s[:, 0], s.shape[1] - 1), s[:, 1:].reshape(-1)]) for s in scopes]
    return components(count, np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs]))


def kinds(part: np.ndarray, variables: Sequence[Variable], read: Sequence[Instances]) -> list[bytes]:
    """What makes two parts copies, by part: the variables of its sites in order, and its instances at their ranks."""
    owner = np.repeat(np.arange(len(variables)), [v.type.sites for v in variables])
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part)
    rank = np.empty(len(part), dtype=np.int64)
    rank[order] = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts)
    descriptions = [bytearray() for _ in counts]
    for p, owners in enumerate(np.split(owner[order], np.cumsum(counts)[:-1])):
        descriptions[p] += owners.tobytes()
    for number, r in enumerate(read):
        keys = np.concatenate([part[r.sites[:, :1]], r.alike[:, None], rank[r.sites]], axis=1)
        keys = keys[np.lexsort(keys.T[::-1])]
        places, starts = np.unique(keys[:, 0], return_index=True)
        for p, rows in zip(places, np.split(keys[:, 1:], starts[1:]), strict=True):
            descriptions[p] += f"|{number}|{len(rows)}|".encode() + rows.tobytes()
    return [bytes(f) for f in descriptions]


def firsts(kind: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The first part of each kind, and how many there are."""
    members: dict[bytes, list[int]] = defaultdict(list)
    for p, k in enumerate(kind):
        members[k].append(p)
    return np.array([m[0] for m in members.values()]), np.array([len(m) for m in members.values()])


def restricted(
    variables: Sequence[Variable], read: Sequence[Instances], kept: np.ndarray, count: int
) -> Copies:
    """The variables and groups with some sites (sites,) and the instances that read them."""
    groups = []
    for r in read:
        chosen = np.flatnonzero(kept[r.sites[:, 0]])
        if len(chosen):
            groups.append(at_instances(r.group, chosen))
    kept_variables, start = [], 0
    for v in variables:
        free = kept[start : start + v.type.sites].reshape(v.type.shape) & v.free
        start += v.type.sites
        if free.any():
            part = replace(v, free=free, allowed=None)
            if not v.type.domain.event_shape and v.lower is None and v.upper is None:
                part, groups = in_a_row(part, groups)
            kept_variables.append(part)
    return Copies(tuple(kept_variables), tuple(groups), count)


def in_a_row(v: Variable, groups: Sequence[FactorGroup]) -> tuple[Variable, list[FactorGroup]]:
    """A variable's free sites as an array of their own, and groups that read it there: what is held is left behind."""
    leaf = variable(v.name, (v.free_sites,), v.node.dtype, v.type.domain)
    row = replace(
        v,
        type=v.type.with_shape((v.free_sites,)),
        node=leaf,
        free=np.ones(v.free_sites, dtype=bool),
        observed=np.zeros(v.free_sites),
    )
    number = np.zeros(v.type.sites, dtype=np.int64)
    number[v.free.reshape(-1)] = np.arange(v.free_sites)
    places = np.arange(v.type.sites).reshape(v.type.shape)
    moved_groups = []
    for g in groups:
        moved: dict[int, Node] = {}
        for at, ids in read_nodes(g.energy, v, places):
            assert ids.value is not None
            moved[id(at)] = gather(leaf, [constant(number[ids.value], ids.axes, dtype="int")])
        (energy,) = transform([g.energy], lambda n, moved=moved: moved.get(id(n)))  # type: ignore[misc]
        moved_groups.append(replace(g, energy=energy))
    return row, moved_groups


def at_instances(group: FactorGroup, chosen: np.ndarray) -> FactorGroup:
    """A group with some of its instances, numbered through its axes in their order."""
    if len(chosen) == group.instances:
        return group
    axis = Axis(len(chosen), "instance")
    at = np.unravel_index(chosen, [a.size for a in group.axes])
    mapping = {a: constant(i, (axis,), dtype="int") for a, i in zip(group.axes, at, strict=True)}
    return replace(group, energy=reindex(group.energy, mapping), axes=(axis,), violation=None)
