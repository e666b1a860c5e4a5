"""Variable elimination as rounds of like work, from the sites that hang deepest to the roots.

In: the sites' sizes, the scopes of tables, an order (`elimination_order`). Out: an `Elimination`, which the passes of
`runtime/elimination` carry out on numbers.

A site's *bucket* is the site and its separator: axes in the order of elimination, so that the message of a child, over
the child's separator, needs axes put in and never a transpose. A *round* is all buckets of one depth below the roots,
in *batches* of one shape. Messages are read in the round after the one that sends them, and so no round needs more than
the one before. Neighbouring rounds of like batches make a *run*, which is one scan: the inside of a chain, of a
hundred chains side by side, of a grid's rows. Where a bucket of a run lacks a table or a child that another has, it
reads zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from compose_lang.compiler.analyses.elimination_order import Buckets

Shape = tuple[int, ...]
Places = tuple[int, ...]

COMPILED = 4.0
"""How many times the entries, and batches, of its rounds by themselves a run may hold where it is compiled, so that
there are few of them; where it is not, 1.0 wastes nothing."""
SPARE_ENTRIES, SPARE_BATCHES = 1024, 4  #: that a round of a compiled run may hold at any rate


class Kind(NamedTuple):
    """What the buckets of a batch have in common: their shape, and roughly how many children."""

    shape: Shape  #: of the bucket: the site, then its separator
    degree: int


@dataclass(frozen=True, eq=False)
class Own:
    """What one table gives to the buckets of a batch. rows (rounds, width, k): instances of the table, -1 for none.

    columns: the table's columns that stand for a site, in the order of the bucket's axes `places`.
    """

    table: int
    columns: Places
    places: Places
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Children:
    """Messages of one shape that come in at the same axes of the buckets of a batch.

    rows (rounds, width, k): places in the array of messages; back (rounds, room): for each such place the bucket of
    the batch that reads it, from 1. 0 is nothing in both.
    """

    shape: Shape
    places: Places
    rows: np.ndarray
    back: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """Buckets of one kind in the rounds of a run: sites (rounds, width), -1 for padding.

    first: where their messages stand in the array of messages of that shape.
    """

    kind: Kind
    sites: np.ndarray
    first: int
    own: tuple[Own, ...]
    children: tuple[Children, ...]

    @property
    def shape(self) -> Shape:
        return self.kind.shape

    @property
    def width(self) -> int:
        return int(self.sites.shape[1])


@dataclass(frozen=True, eq=False)
class Run:
    """Rounds of like batches. room: by shape, the rows of the arrays of messages; row 0 holds zeros."""

    rounds: int
    batches: tuple[Batch, ...]
    room: Mapping[Shape, int]


@dataclass(frozen=True, eq=False)
class Elimination:
    """All of it: runs from the deepest to the roots, whose messages stand in `roots` of the last run's scalars."""

    sites: int
    width: int
    entries: float
    runs: tuple[Run, ...]
    roots: np.ndarray
    place: np.ndarray  #: (sites,): where each site stands among those of all batches, padding counted
    cells: tuple[
        np.ndarray, ...
    ]  #: by table, where each instance's part stands among those of all batches, or -1

    @property
    def steps(self) -> int:
        """How many parts a compiled program of it has."""
        return sum(1 + len(b.own) + len(b.children) for run in self.runs for b in run.batches)

    @property
    def index(self) -> dict[str, Any]:
        """The index arrays, by run and batch and by table, that a backend holds."""
        runs = [
            [
                {
                    "sites": np.maximum(b.sites, 0),
                    "own": [o.rows for o in b.own],
                    "children": [c.rows for c in b.children],
                    "back": [c.back for c in b.children],
                }
                for b in run.batches
            ]
            for run in self.runs
        ]
        return {"runs": runs, "cells": list(self.cells)}


def elimination(
    sizes: np.ndarray, scopes: Sequence[np.ndarray], order: Buckets, padding: float = COMPILED
) -> Elimination:
    """Lay out the elimination of sites in an order.

    scopes: for each table the sites (instances, columns) that its instances read, -1 for none. padding: how many times
    its own entries a run may hold, so that it is one scan.
    """
    separators = order.separators
    parent = separators[:, 0] if separators.shape[1] else np.full(len(sizes), -1)
    depth = depths(parent)
    kinds, kind = kinds_of(sizes, separators, parent)
    by_depth = np.lexsort((kind, -depth))
    ends = np.searchsorted(-depth[by_depth], np.arange(-int(depth.max(initial=0)), 1), side="right")
    layout = Layout(split(np.split(by_depth, ends[:-1]), kind, kinds, padding), kind, kinds)
    own = [layout.placed(read) for read in own_reads(scopes, order)]
    children = [layout.placed(read) for read in child_reads(sizes, separators, parent)]
    runs: list[Run] = []
    before: Mapping[Shape, int] = {}
    for run in layout.runs:
        room = dict(run.room)
        for read in children:
            shape = read.key[0]
            if any(b in read.by_batch for b in run.batches):
                room[shape] = max(room.get(shape, 1), before.get(shape, 1))
        batches = []
        for b in run.batches:
            mine = [layout.own(read, b) for read in own if b in read.by_batch]
            sent = [layout.children(read, b, room) for read in children if b in read.by_batch]
            batches.append(Batch(layout.kind[b], layout.sites[b], layout.first[b], tuple(mine), tuple(sent)))
        runs.append(Run(run.rounds, tuple(batches), room))
        before = run.room
    roots = layout.row[np.flatnonzero(parent < 0)]
    cells = tuple(cells_of(runs, t, len(scope)) for t, scope in enumerate(scopes))
    return Elimination(len(sizes), order.width, order.entries, tuple(runs), roots, layout.place, cells)


def cells_of(runs: Sequence[Run], table: int, instances: int) -> np.ndarray:
    """Where the part of each instance of a table stands, counted through runs, batches, rounds and buckets."""
    found = np.full(instances, -1, dtype=np.int64)
    before = 0
    for run in runs:
        for own in (o for b in run.batches for o in b.own if o.table == table):
            bucket = before + np.arange(own.rows[..., 0].size).reshape(own.rows.shape[:2])
            real = own.rows >= 0
            found[own.rows[real]] = np.broadcast_to(bucket[..., None], own.rows.shape)[real]
            before += bucket.size
    return found


class Laid(NamedTuple):
    """A run before it is known what its batches read: the batches' numbers, and the rows of their messages by shape."""

    rounds: int
    batches: range
    room: dict[Shape, int]


class Placed(NamedTuple):
    """A `Read`, sorted by the batches of the buckets."""

    key: tuple[Any, ...]
    by_batch: dict[int, tuple[np.ndarray, np.ndarray]]  #: buckets and sources


class Layout:
    """Where every site stands: which batch, round and rank, and the row of its message."""

    def __init__(self, rounds: list[list[np.ndarray]], kind: np.ndarray, kinds: list[Kind]) -> None:
        count = len(kind)
        self.batch, self.turn, self.rank, self.row, self.place = (
            np.zeros(count, dtype=np.int64) for _ in range(5)
        )
        self.kind: list[Kind] = []
        self.sites: list[np.ndarray] = []
        self.first: list[int] = []
        self.runs: list[Laid] = []
        before = 0
        for chosen in rounds:
            members = np.concatenate(chosen)
            self.turn[members] = np.repeat(np.arange(len(chosen)), [len(c) for c in chosen])
            room: dict[Shape, int] = {}
            start = len(self.kind)
            for k in np.unique(kind[members]):
                mine = members[kind[members] == k]
                turn, rank = self.turn[mine], ranks(self.turn[mine])
                sites = np.full((len(chosen), int(rank.max()) + 1), -1, dtype=np.int64)
                sites[turn, rank] = mine
                shape = kinds[k].shape[1:]
                first = room.get(shape, 1)
                room[shape] = first + sites.shape[1]
                self.rank[mine], self.row[mine], self.batch[mine] = rank, first + rank, len(self.kind)
                self.place[mine] = before + turn * sites.shape[1] + rank
                before += sites.size
                self.kind.append(kinds[k])
                self.sites.append(sites)
                self.first.append(first)
            self.runs.append(Laid(len(chosen), range(start, len(self.kind)), room))

    def placed(self, read: Read) -> Placed:
        batch = self.batch[read.bucket]
        order = np.argsort(batch, kind="stable")
        present, starts = np.unique(batch[order], return_index=True)
        parts = np.split(order, starts[1:])
        found = {int(b): (read.bucket[w], read.source[w]) for b, w in zip(present, parts, strict=True)}
        return Placed(read.key, found)

    def rows(self, read: Placed, b: int, values: np.ndarray, nothing: int) -> np.ndarray:
        """What each bucket of a batch reads, (rounds, width, k)."""
        bucket, _ = read.by_batch[b]
        nth = ranks(bucket)
        found = np.full((*self.sites[b].shape, int(nth.max()) + 1), nothing, dtype=np.int64)
        found[self.turn[bucket], self.rank[bucket], nth] = values
        return found

    def own(self, read: Placed, b: int) -> Own:
        table, columns, places = read.key
        return Own(table, columns, places, self.rows(read, b, read.by_batch[b][1], -1))

    def children(self, read: Placed, b: int, room: Mapping[Shape, int]) -> Children:
        shape, places = read.key
        bucket, sender = read.by_batch[b]
        back = np.zeros((len(self.sites[b]), room[shape]), dtype=np.int64)
        back[self.turn[bucket], self.row[sender]] = 1 + self.rank[bucket]
        return Children(shape, places, self.rows(read, b, self.row[sender], 0), back)


def depths(parent: np.ndarray) -> np.ndarray:
    """How many sites stand between each and its root, by doubling the steps upwards."""
    up = parent.copy()
    depth = (up >= 0).astype(np.int64)
    while (up >= 0).any():
        real = up >= 0
        depth = depth + np.where(real, depth[up], 0)
        up = np.where(real, up[up], -1)
    return depth


def kinds_of(sizes: np.ndarray, separators: np.ndarray, parent: np.ndarray) -> tuple[list[Kind], np.ndarray]:
    """The kinds there are, and each site's."""
    children = np.bincount(parent[parent >= 0], minlength=len(sizes))
    degree = np.floor(np.log2(np.maximum(children, 4)) / 2).astype(np.int64)
    shapes = np.where(separators >= 0, sizes[separators], 0)
    rows = np.concatenate([degree[:, None], sizes[:, None], shapes], axis=1)
    found, kind = np.unique(rows, axis=0, return_inverse=True)
    return [Kind(tuple(int(n) for n in r[1:] if n), int(r[0])) for r in found], kind.reshape(-1)


def split(
    rounds: list[np.ndarray], kind: np.ndarray, kinds: list[Kind], padding: float
) -> list[list[np.ndarray]]:
    """Neighbouring rounds together as far as what is alike in them goes."""
    found: list[list[np.ndarray]] = []
    most: dict[int, int] = {}
    entries = batches = 0.0
    for members in rounds:
        present, counts = np.unique(kind[members], return_counts=True)
        now = dict(zip(present.tolist(), counts.tolist(), strict=True))
        mine = float(sum(n * math.prod(kinds[k].shape) for k, n in now.items()))
        union = {k: max(most.get(k, 0), now.get(k, 0)) for k in most | now}
        length = len(found[-1]) + 1 if found else 1
        spare = length if padding > 1.0 else 0
        padded = length * sum(n * math.prod(kinds[k].shape) for k, n in union.items())
        fits = (
            padded <= max(padding * (entries + mine), spare * SPARE_ENTRIES)
            and length * len(union) <= max(padding * (batches + len(now)), spare * SPARE_BATCHES)
        )  # fmt: skip
        if found and fits:
            found[-1].append(members)
            most, entries, batches = union, entries + mine, batches + len(now)
        else:
            found.append([members])
            most, entries, batches = now, mine, float(len(now))
    return found


def ranks(groups: np.ndarray) -> np.ndarray:
    """Each element's number among those of its group before it."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.searchsorted(ordered, ordered)
    found = np.empty(len(groups), dtype=np.int64)
    found[order] = np.arange(len(groups)) - starts
    return found


class Read(NamedTuple):
    """Who reads what where: by pattern, the buckets and what each reads (instances of a table, or children)."""

    key: tuple[Any, ...]
    bucket: np.ndarray
    source: np.ndarray


def patterns(codes: np.ndarray) -> list[tuple[Places, np.ndarray]]:
    """The rows that occur, and where."""
    found, which = np.unique(codes, axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(found) + 1))
    return [(tuple(int(n) for n in row), order[bounds[k] : bounds[k + 1]]) for k, row in enumerate(found)]


def axes_in(sites: np.ndarray, bucket: np.ndarray, separators: np.ndarray) -> np.ndarray:
    """Which axis of a bucket each site is: (instances, columns), -1 for none. bucket: (instances,)."""
    found = np.full(sites.shape, -1, dtype=np.int64)
    for j in range(sites.shape[1]):
        found[sites[:, j] == bucket, j] = 0
        for k in range(separators.shape[1]):
            found[(sites[:, j] == separators[bucket, k]) & (sites[:, j] >= 0), j] = k + 1
    return found


def own_reads(scopes: Sequence[np.ndarray], order: Buckets) -> list[Read]:
    """Each instance of a table goes to the bucket of the first of its sites."""
    reads = []
    for t, sites in enumerate(scopes):
        if not sites.shape[1]:
            continue
        position = np.where(sites >= 0, order.position[sites], len(order.position))
        bucket = sites[np.arange(len(sites)), position.argmin(axis=1)]
        instances = np.flatnonzero(bucket >= 0)  # what reads only observed sites is a constant
        axes = axes_in(sites[instances], bucket[instances], order.separators)
        for pattern, where in patterns(axes):
            columns = sorted((c for c, a in enumerate(pattern) if a >= 0), key=pattern.__getitem__)
            places = tuple(pattern[c] for c in columns)
            reads.append(Read((t, tuple(columns), places), bucket[instances[where]], instances[where]))
    return reads


def child_reads(sizes: np.ndarray, separators: np.ndarray, parent: np.ndarray) -> list[Read]:
    """Each message goes to the bucket of the first site of its separator."""
    senders = np.flatnonzero(parent >= 0)
    if not len(senders):
        return []
    axes = axes_in(separators[senders], parent[senders], separators)
    shapes = np.where(separators[senders] >= 0, sizes[separators[senders]], 0)
    reads = []
    width = separators.shape[1]
    for pattern, where in patterns(np.concatenate([axes, shapes], axis=1)):
        places = tuple(a for a in pattern[:width] if a >= 0)
        shape = tuple(n for n in pattern[width:] if n)
        reads.append(Read((shape, places), parent[senders[where]], senders[where]))
    return reads
