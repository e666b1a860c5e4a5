"""What it takes to sum finite variables out exactly: their tables and the order, or why it is too much.

In: a graph, some of its finite variables, how many entries all joint tables may have. Out: `Exact`, or a reason.

Before: `tables`, `elimination`. After: `planning/exact`, and `runtime/elimination`, which carries it out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compose_lang.compiler.analyses.elimination import COMPILED, Elimination, elimination
from compose_lang.compiler.analyses.elimination_order import Buckets, TooCostly, buckets
from compose_lang.compiler.analyses.tables import Sites, Table, tabulate
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.compiler.ir.node import leaves


@dataclass(frozen=True, eq=False)
class Exact:
    """Finite variables of a graph with the tables of all factors that read them, and the order to sum them out."""

    graph: FactorGraph
    sites: Sites
    tables: tuple[Table, ...]
    order: Buckets

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.sites.variables)

    @property
    def groups(self) -> tuple[FactorGroup, ...]:
        """What the tables stand for."""
        return tuple(t.group for t in self.tables)

    @property
    def read(self) -> frozenset[str]:
        """The other variables that the tables depend on."""
        return frozenset().union(*(g.variables for g in self.groups)) - set(self.names)

    @property
    def is_known(self) -> bool:
        """Whether all energies can be computed before anything is sampled."""
        return all(n.op == "const" for t in self.tables for n in leaves(t.energy))

    @property
    def table_entries(self) -> float:
        """Energies that are evaluated each time."""
        return float(sum(t.group.instances * math.prod(a.size for a in t.choices) for t in self.tables))

    def elimination(self, padding: float = COMPILED) -> Elimination:
        """The rounds of the elimination."""
        return elimination(self.sites.sizes, [t.sites for t in self.tables], self.order, padding)

    @cached_property
    def words(self) -> str:
        """Width, order and size."""
        entries = f"{self.order.entries:,.0f}" if self.order.entries < 10**7 else f"{self.order.entries:.2g}"
        return f"{self.sites.count:,} sites of treewidth at most {self.order.width}, {entries} entries in all tables"


def exact(graph: FactorGraph, variables: Sequence[Variable], most: float) -> Exact | str:
    """Plan to sum out some finite variables with at most `most` entries, or say what is in the way."""
    sites = Sites(tuple(variables))
    groups = [g for g in graph.groups if g.variables & {v.name for v in variables}]
    scopes = []
    for g in groups:
        found = sites_read(g, sites, most)
        if found is None:
            return f"`{g.label or g.kind}` reads too many sites at once to list their joint values"
        scopes.append(found)
    order = buckets(sites.sizes, scopes, most)
    if isinstance(order, TooCostly):
        return too_much(order, most)
    tables = [tabulate(g, sites, int(min(max(most, 2.0**24), 2.0**62))) for g in groups]
    if any(t is None for t in tables):
        return "the joint values of what one factor reads are too many to list"
    return Exact(graph, sites, tuple(t for t in tables if t is not None), order)


def sites_read(group: FactorGroup, sites: Sites, most: float) -> np.ndarray | None:
    """The sites (instances, k) that a group reads, numbered through; None where their joint values are too many."""
    columns, entries = [], 1.0
    for v in sites.variables:
        if v.name not in group.variables:
            continue
        read = scope(group, v)
        if read is None:
            return None
        each = int((read >= 0).sum(axis=1).max(initial=0))
        entries *= float(len(v.type.domain.values)) ** min(each, 1000)
        if entries > most:
            return None
        columns.append(np.where(read >= 0, read + sites.start(v.name), -1))
    return np.concatenate(columns, axis=1)


def too_much(order: TooCostly, most: float) -> str:
    if math.isinf(order.entries):
        return f"{order.width:,} sites are joined in loops, too many to look for an order in which to sum them out"
    return (
        f"the best order found has a width of {order.width} or more, tables of over {order.entries:.2g} entries "
        f"where {most:.2g} are allowed"
    )
