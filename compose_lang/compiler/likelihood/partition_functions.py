"""The part of a program whose total is not known and varies with the params that are fitted.

In: a program elaborated by `Unclamped`, in which its data and what it observes are variables. Out: the factor graphs
whose totals Z(params) the likelihood of the data is divided by.

A program denotes the product of its factors, w(data, x; params). The likelihood of the data is that product summed over
the variables x, divided by its sum over x and data. Densities sum to 1 by themselves: whatever only densities follow is
left out, from the last variable backwards. What remains, with the densities of what is in it, is summed in `Z`.

Before: `faults`, by which there is such a part. After: `fitting`, and `runtime/learning`, which computes the totals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.forward import outcome
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, connected
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.likelihood.addends import addends
from compose_lang.compiler.likelihood.faults import cut_off, repeated
from compose_lang.compiler.likelihood.isomorphic import copies
from compose_lang.compiler.likelihood.likelihood import FactorStatement, Likelihood, requests_for
from compose_lang.diagnostics import Span

MOST_ENTRIES = 2.0**24
"""Of all joint tables of a total that is summed exactly; one that would take more is estimated from draws."""


@dataclass
class Unclamped(Likelihood):
    """A reading of a program for its total: what it says of data and observes of variables is all free."""

    is_unclamped: ClassVar[bool] = True
    outcomes: frozenset[str] = field(default_factory=frozenset)

    def datum(self, ctx: Context, name: str, value: Node, domain: Domain, span: Span) -> Node:
        return outcome(ctx, name, value, domain, span) if name in self.outcomes and not ctx.calls else value


@dataclass(frozen=True)
class TiedPart:
    """What is in a total that varies with the params: the names of its variables, all free, and its groups.

    spans: of the statements of these, and of others whose total is a constant.
    """

    names: frozenset[str]
    groups: tuple[FactorGroup, ...]
    spans: frozenset[Span]


@dataclass(frozen=True, eq=False)
class LogPartition:
    """log Z of a graph over params and variables, `count` times.

    exact: how the variables are summed out; why: or why they are not, and are drawn by chains.
    """

    graph: FactorGraph
    names: tuple[str, ...]  #: of the variables
    count: int
    exact: Exact | None = None
    why: str = ""

    @property
    def is_drawn(self) -> bool:
        return bool(self.names) and self.exact is None


def tied_part(graph: FactorGraph, reading: Unclamped, observed: frozenset[str]) -> TiedPart:
    """What of a program is in a total that varies with the params, and is tied to what was observed.

    What is not tied to it has the same total with and without the data.
    """
    params = reading.names
    contributions = [c for c in contributions_of(graph, reading) if c.reads - params]
    remaining = without_densities(contributions)
    of_data = frozenset[str]().union(
        *(names for names in connected(c.reads - params for c in contributions) if names & observed)
    )
    tied, spans = frozenset[str](), frozenset[Span]()
    for names in connected(c.reads - params for c in remaining):
        inside = [c for c in remaining if c.reads & names]
        if names & of_data and not all(c.is_density for c in inside):
            spans |= {c.span for c in inside}
            if any(c.reads & params for c in inside):  # else the total is a constant
                tied |= names
    return TiedPart(tied, tuple(g for c in remaining if c.reads & tied for g in c.groups), spans)


@dataclass(frozen=True, eq=False)
class Contribution:
    """All groups of one statement. over: the variables that it is a density of, where it is one."""

    span: Span
    groups: tuple[FactorGroup, ...]
    over: frozenset[str]
    is_density: bool

    @property
    def reads(self) -> frozenset[str]:
        return self.over.union(*(g.variables for g in self.groups))


def contributions_of(graph: FactorGraph, reading: Unclamped) -> list[Contribution]:
    """A program's groups by the statements that they come from."""
    of_span: dict[Span, FactorStatement] = {t.span: s for s in reading.stated for t in s.terms}
    groups: dict[Span, list[FactorGroup]] = {}
    for g in graph.groups:
        span = of_span[g.span].span if g.span in of_span else g.span
        groups.setdefault(span, []).append(g)
    counted: dict[str, np.ndarray] = {}
    faulty: set[Span] = set()
    for s in reading.stated:
        # of data it is what stands left of `~` that has been seen, whatever it is computed from
        is_of_data = s.over <= reading.outcomes
        if s.factor.normalised and not is_of_data and any([*repeated(graph, s, counted), *cut_off(graph, s)]):
            faulty |= {other.span for other in reading.stated if other.over & s.over}
    by_span = {s.span: s for s in reading.stated}
    densities = {span: s.over for span, s in by_span.items() if s.factor.normalised and span not in faulty}
    return [
        Contribution(span, tuple(members), densities.get(span, frozenset()), span in densities)
        for span, members in groups.items()
    ]


def without_densities(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Those that do not sum to 1: less densities of variables that nothing else reads, again and again."""
    remaining = list(contributions)
    while True:
        for names in connected(c.over for c in remaining if c.is_density):
            readers = [c for c in remaining if c.reads & names]
            if all(c.is_density and c.over <= names and c.over for c in readers):
                remaining = [c for c in remaining if c not in readers]
                break
        else:
            return remaining


def log_partitions(graph: FactorGraph, reading: Unclamped, part: TiedPart) -> tuple[LogPartition, ...]:
    """The totals of a part, each distinct copy once."""
    variables = [v for v in graph.variables if v.name in part.names]
    params = tuple(v for v in graph.variables if v.name in reading.names)
    requests = requests_for(graph, part.names)
    groups = [addend for g in part.groups for addend in addends(g, part.names)]
    totals = []
    for copy in copies(variables, [g for g in groups if g.variables & part.names]):
        total = FactorGraph((*params, *copy.variables), copy.groups, requests=requests)
        names = tuple(v.name for v in copy.variables)
        order = summed_out(total, copy.variables)
        if isinstance(order, Exact):
            totals.append(LogPartition(total, names, copy.count, order))
        else:
            totals.append(LogPartition(total, names, copy.count, why=order))
    rest = tuple(g for g in groups if not g.variables & part.names)
    if rest:  # addends that read params alone, as in the log of a density's own total
        totals.append(LogPartition(FactorGraph(params, rest), (), 1))
    return tuple(totals)


def summed_out(graph: FactorGraph, variables: Sequence[Variable]) -> Exact | str:
    """How some variables of a graph are summed out, or why they cannot be."""
    endless = [v.name for v in variables if v.kind != "finite" or not v.type.domain.is_finite]
    if endless:
        return f"the values of {', '.join(endless)} cannot be listed"
    return exact(graph, variables, MOST_ENTRIES)
