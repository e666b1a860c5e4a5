"""Which finite variables are drawn exactly, and out of which continuous ones they are summed.

In: a graph and what is asked of its variables. Out: blocks of the kernel `exact` and what these need to know of the
program (`Exact`), and for variables that it might have served why it does not.

Before: `exact`, `methods`. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable, connected
from compose_lang.diagnostics import fail
from compose_lang.runtime.kernels.exact import KERNEL
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.discrete import LARGEST_LISTED

MOST_ALONE = 2.0**24
"""Entries of all joint tables that are computed unasked, once for a run,"""
MOST_EACH_TIME, MORE_THAN_TABLES = 2.0**16, 8
"""and for each step of a sweep: so many, or so many times as many as the factors' own tables have."""
MOST_ASKED = 1e9
"""Entries where `exact` is asked for without a `max_cost`."""


@dataclass
class Chosen:
    """What is drawn exactly: what each block needs to know, by its variables, and why other variables are not."""

    exact: dict[tuple[str, ...], Exact] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for names in self.exact for name in names)

    def summed(self, moved: frozenset[str]) -> tuple[tuple[str, ...], ...]:
        """The blocks whose tables some variables change, and that share no factor with another exact block.

        Those that do are drawn given each other, and what is summed out in one step is stale for the other.
        """
        return tuple(
            names for names, found in self.exact.items() if found.read & moved and not found.read & self.names
        )


def choose(graph: FactorGraph, free: Sequence[Variable], asked: Mapping[str, Request], alone: bool) -> Chosen:
    """Choose what is drawn exactly. alone: whether there is nothing else to sample than `free`."""
    found = Chosen()
    requested: dict[int, list[Variable]] = {}
    unasked = []
    coordinates = {name for v in graph.variables for name in moved_by(graph, v)}
    for v in free:
        request = asked.get(v.name)
        if request is not None and request.method == KERNEL.name:
            requested.setdefault(id(request), []).append(v)
        elif (
            request is None
            and v.kind == "finite"
            and len(v.type.domain.values) <= LARGEST_LISTED
            and v.name not in coordinates  # what others are measured by stays put while these move
        ):
            unasked.append(v)
    for variables in requested.values():
        request = asked[variables[0].name]
        most = float(request.options.get("max_cost", MOST_ASKED))
        whole = exact(graph, variables, most)
        if isinstance(whole, str):
            names = ", ".join(f"`{v.name}`" for v in variables)
            fail(
                "CG0601",
                f"`exact` does not serve {names}: {whole}",
                request.span or variables[0].span,
                help="`gibbs` does; `exact(max_cost=…)` allows more entries",
            )
        add(found, whole, "asked for", dict(request.options))
    parts = components(graph, unasked)
    tried: Exact | str | None = None
    if alone and unasked and len(unasked) == len(free):
        tried = exact(graph, unasked, MOST_ALONE)
        if isinstance(tried, Exact) and tried.is_known:
            add(found, tried, "independent draws", {})
            return found
    for variables in parts:
        part = exact(graph, variables, MOST_ALONE) if tried is None or len(parts) > 1 else tried
        if isinstance(part, Exact):
            limit = max(MOST_EACH_TIME, MORE_THAN_TABLES * part.table_entries)
            if part.order.entries <= limit:
                add(found, part, "drawn jointly given all else", {})
                continue
            part = f"{part.words}, too much for each step"
        for v in variables:
            found.refused[v.name] = part
    return found


def moved_by(graph: FactorGraph, v: Variable) -> frozenset[str]:
    """The variables that a variable's bounds and offset read."""
    nodes = [v.lower, v.upper]
    if v.name in graph.offsets:
        nodes += [graph.offsets[v.name].location, graph.offsets[v.name].scale]
    return frozenset().union(*(n.variables for n in nodes if n is not None))


def add(found: Chosen, whole: Exact, what: str, options: dict[str, float]) -> None:
    found.exact[whole.names] = whole
    found.blocks.append(Block(whole.names, KERNEL.name, options, exact=True, why=f"{what}: {whole.words}"))


def components(graph: FactorGraph, variables: Sequence[Variable]) -> list[list[Variable]]:
    """Variables that hang together by the factors that read several of them."""
    names = frozenset(v.name for v in variables)
    scopes = [*(frozenset({v.name}) for v in variables), *(g.variables & names for g in graph.groups)]
    ordered = [[v for v in variables if v.name in component] for component in connected(scopes)]
    return sorted(ordered, key=lambda members: variables.index(members[0]))
