"""Classes of a finite variable's sites that hang together as trees, each drawn exactly given all else.

In: a factor graph and one of its finite variables. Out: for each class what it takes to draw it jointly, or why the
variable is not split. A class induces a forest in the graph of which sites share a factor, so that its elimination has
width 1 however loopy the whole is (Hamze and de Freitas, From fields to trees, 2004). Classes are as large as a greedy
choice makes them, together hold all sites, and overlap.

Before: `tables`, `elimination_order`. After: the kernel `trees`, and `runtime/views/trees.py`, which draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from compose_lang.compiler.analyses.colouring import LARGEST_CLIQUE, adjacency, conflicts
from compose_lang.compiler.analyses.elimination_order import Buckets, buckets
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.analyses.tables import Sites, tabulate
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, once
from compose_lang.compiler.graph.factor_scopes import scope

MOST_SITES = 100_000  #: that are looked at one by one
MOST_CLASSES = (
    16  #: beyond that trees are so small that they help little, and each class reads the whole program
)


@once
def forests(graph: FactorGraph, v: Variable) -> tuple[Exact, ...] | str:
    """The classes of a variable, each with its tables given all else and its order; or why there are none."""
    if v.free_sites > MOST_SITES:
        return f"its {v.free_sites:,} sites are too many to split"
    groups = [g for g in graph.groups if v.name in g.variables]
    scopes = []
    for group in groups:
        read = scope(group, v)
        if read is None or read.shape[1] > LARGEST_CLIQUE:
            return f"`{group.label or group.kind}` reads too many of them at once"
        scopes.append(read)
    edges = conflicts(v.free_sites, scopes)
    classes = None if edges is None else classes_of(v.free_sites, edges)
    if classes is None:
        return f"so many of them share factors that no {MOST_CLASSES} sets of trees hold all"
    found = []
    for members in classes:
        part = drawn(graph, v, groups, members)
        if part is None:
            return "the joint values of what one factor reads are too many to list"
        found.append(part)
    return tuple(found)


def drawn(graph: FactorGraph, v: Variable, groups: list[FactorGroup], members: np.ndarray) -> Exact | None:
    """What it takes to draw a class given all else; None where a table is too large."""
    mask = np.zeros(v.type.sites, dtype=bool)
    mask[np.flatnonzero(v.free.reshape(-1))[members]] = True
    sites = Sites((replace(v, free=mask.reshape(v.free.shape)),))
    tables = []
    for group in groups:
        table = tabulate(group, sites, given=True)
        if table is None:
            return None
        if table.sites.shape[1]:
            tables.append(table)
    order = buckets(sites.sizes, [t.sites for t in tables], np.inf)
    assert isinstance(order, Buckets)
    return Exact(graph, sites, tuple(tables), order)


def classes_of(sites: int, edges: np.ndarray) -> list[np.ndarray] | None:
    """Sites (members,) of each class, in order: all are in some; None where that takes more than `MOST_CLASSES`.

    Each class takes what no class before it has, and then whatever else still fits, from the end on, so that its trees
    are others than those before.
    """
    starts, neighbours = (a.tolist() for a in adjacency(sites, edges))
    around = [neighbours[a:b] for a, b in pairwise(starts)]
    left = np.arange(sites)
    classes: list[np.ndarray] = []
    while len(left):
        if len(classes) == MOST_CLASSES:
            return None
        rest = np.setdiff1d(np.arange(sites), left)[::-1]
        members = forest((*left.tolist(), *rest.tolist()), around)
        classes.append(members)
        left = np.setdiff1d(left, members)
    return classes


def forest(order: Iterable[int], around: list[list[int]]) -> np.ndarray:
    """Sites that induce a forest, sorted: each in turn that does not meet one tree twice."""
    tree = list(range(len(around)))
    inside = [False] * len(around)

    def root(site: int) -> int:
        while tree[site] != site:
            tree[site] = tree[tree[site]]
            site = tree[site]
        return site

    for site in order:
        met = [root(n) for n in around[site] if inside[n]]
        if len(set(met)) == len(met):
            inside[site] = True
            for other in met:
                tree[other] = site
    return np.flatnonzero(inside)


def describe(v: Variable, classes: tuple[Exact, ...]) -> str:
    """How a variable is split, in words."""
    sizes = ", ".join(f"{c.sites.count:,}" for c in classes)
    sets = "one set of trees" if len(classes) == 1 else f"{len(classes)} sets of trees"
    return f"{sets}, of {sizes} of its {v.free_sites:,} sites, each drawn jointly given the rest"
