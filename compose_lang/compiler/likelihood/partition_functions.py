"""The part of a program whose total is not known and varies with the params that are fitted.

In: a program elaborated by `Unclamped`, in which its data and what it observes are variables. Out: the factor graphs
whose totals Z(params) the likelihood of the data is divided by.

A program denotes the product of its factors, w(data, x; params). The likelihood of the data is that product summed over
the variables x, divided by its sum over x and data. Densities sum to 1 by themselves: whatever only densities follow is
left out, from the last variable backwards. What remains, with the densities of what is in it, is summed in `Z`.

Before: `likelihood`, which finds that there is such a part. After: `fitting`, and `runtime/learning`, which computes
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.forward import outcome, outcomes_of
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.likelihood.addends import summands
from compose_lang.compiler.likelihood.isomorphic import copies
from compose_lang.compiler.likelihood.likelihood import Likelihood, Stated, cut, twice
from compose_lang.diagnostics import ComposeError, Span
from compose_lang.grammar import ast

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

    known: the statements of these, and of others whose total is a constant.
    """

    names: frozenset[str]
    groups: tuple[FactorGroup, ...]
    known: frozenset[Span]


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


def unclamped(
    module: ast.Module, elaborated: Callable[[Unclamped], FactorGraph]
) -> tuple[FactorGraph, Unclamped] | None:
    """A program with all that it says of data free; None where it needs to know them to be elaborated."""
    reading = Unclamped(outcomes=outcomes_of(module))
    try:
        return elaborated(reading), reading
    except ComposeError:
        return None


def part_of(graph: FactorGraph, reading: Unclamped, observed: frozenset[str]) -> TiedPart:
    """What of a program is in a total that varies with the params, and is tied to what was observed.

    What is not tied to it has the same total with and without the data.
    """
    params = frozenset(reading.params)
    weighed = [s for s in statements(graph, reading) if s.reads - params]
    left = without_densities(weighed)
    tied = [c for c in components([s.reads - params for s in weighed]) if c & observed]
    names, known = frozenset[str](), frozenset[Span]()
    for component in components([s.reads - params for s in left]):
        inside = [s for s in left if s.reads & component]
        if any(not s.is_density for s in inside) and any(component & c for c in tied):
            known |= {s.span for s in inside}
            if any(s.reads & params for s in inside):  # else the total is a constant
                names |= component
    return TiedPart(names, tuple(g for s in left if s.reads & names for g in s.groups), known)


@dataclass(frozen=True, eq=False)
class Statement:
    """All groups of one statement. over: the variables that it is a density of, where it is one."""

    span: Span
    groups: tuple[FactorGroup, ...]
    over: frozenset[str]
    is_density: bool

    @property
    def reads(self) -> frozenset[str]:
        return self.over.union(*(g.variables for g in self.groups))


def statements(graph: FactorGraph, reading: Unclamped) -> list[Statement]:
    """A program's groups by the statements that they come from."""
    of_span: dict[Span, Stated] = {t.span: s for s in reading.stated for t in s.terms}
    grouped: dict[Span, list[FactorGroup]] = {}
    for g in graph.groups:
        stated = of_span.get(g.span)
        grouped.setdefault(g.span if stated is None else stated.span, []).append(g)
    counted: dict[str, np.ndarray] = {}
    again = set()
    for s in reading.stated:
        # of data it is what stands left of `~` that has been seen, whatever it is computed from
        is_of_data = s.over <= reading.outcomes
        if s.factor.normalised and not is_of_data and any([*twice(graph, s, counted), *cut(graph, s)]):
            again |= {r.span for r in reading.stated if r.over & s.over}
    by_span = {s.span: s for s in reading.stated}
    found = []
    for span, groups in grouped.items():
        source = by_span.get(span)
        is_density = source is not None and source.factor.normalised and span not in again
        over = source.over if source is not None and is_density else frozenset()
        found.append(Statement(span, tuple(groups), over, is_density))
    return found


def without_densities(weighed: Sequence[Statement]) -> list[Statement]:
    """The statements less those that sum to 1: densities of variables that nothing else reads, again and again."""
    left = list(weighed)
    while True:
        for together in components([s.over for s in left if s.is_density]):
            reading = [s for s in left if s.reads & together]
            if all(s.is_density and s.over <= together and s.over for s in reading):
                left = [s for s in left if s not in reading]
                break
        else:
            return left


def components(scopes: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """The names that hang together by the scopes that hold several."""
    found: list[frozenset[str]] = []
    for scope in scopes:
        if scope:
            touched = [f for f in found if f & scope]
            found = [f for f in found if not f & scope] + [scope.union(*touched)]
    return found


def totals_of(graph: FactorGraph, reading: Unclamped, part: TiedPart) -> tuple[LogPartition, ...]:
    """The totals of a part, each distinct copy once."""
    variables = [v for v in graph.variables if v.name in part.names]
    params = tuple(v for v in graph.variables if v.name in reading.params)
    requests = tuple(
        replace(r, targets=targets)
        for r in graph.requests
        if (targets := tuple(t for t in r.targets if t in part.names)) or not r.targets
    )
    found = []
    pieces = [piece for g in part.groups for piece in summands(g, part.names)]
    for each in copies(variables, [g for g in pieces if g.variables & part.names]):
        whole = FactorGraph((*params, *each.variables), each.groups, requests=requests)
        names = tuple(v.name for v in each.variables)
        how = summed(whole, each.variables)
        if isinstance(how, Exact):
            found.append(LogPartition(whole, names, each.count, how))
        else:
            found.append(LogPartition(whole, names, each.count, why=how))
    rest = tuple(g for g in pieces if not g.variables & part.names)
    if rest:  # addends that read params alone, as in the log of a density's own total
        found.append(LogPartition(FactorGraph(params, rest), (), 1))
    return tuple(found)


def summed(graph: FactorGraph, variables: Sequence[Variable]) -> Exact | str:
    """How some variables of a graph are summed out, or why they cannot be."""
    endless = [v.name for v in variables if v.kind != "finite" or not v.type.domain.is_finite]
    if endless:
        return f"the values of {', '.join(endless)} cannot be listed"
    return exact(graph, variables, MOST_ENTRIES)
