"""Which finite variables are drawn exactly, and out of which continuous ones they are summed.

In: what is left to plan. Out: blocks of the kernel `exact`, each with what it needs to know of the program (`Exact`),
and for variables that it might have served why it does not.

Before: `levels`. After: `discrete`, `continuous`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable, connected
from compose_lang.diagnostics import fail
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.common.structure import Match, Structure
from compose_lang.runtime.kernels.exact import KERNEL
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.discrete import LARGEST_LISTED
from compose_lang.runtime.planning.draft import Draft

MOST_ALONE = 2.0**24
"""Entries of all joint tables that are computed unasked, once for a run,"""
MOST_EACH_TIME, MORE_THAN_TABLES = 2.0**16, 8
"""and for each step of a sweep: so many, or so many times as many as the factors' own tables have."""


def plan_exact(draft: Draft) -> None:
    """Finite variables that are drawn exactly, for the asking, or unasked where that is cheap.

    Along levels of noise every particle has its own, at shares of the energy every replica: there only for the asking.
    """
    asked = [v for v in draft.left if v.name in draft.requests]
    eligible = draft.left if draft.exactly and draft.is_plain else asked
    is_all = len(eligible) == len(draft.left) and not draft.walking
    draft.exact += asked_blocks(draft.graph, eligible, draft.requests)
    # what others are measured by stays put while these move
    measures = frozenset().union(*(read_by_bounds(draft.graph, v) for v in draft.graph.variables))
    unasked = [v for v in eligible if v.name not in draft.requests.keys() | measures and is_listed(v)]
    whole = exact(draft.graph, unasked, MOST_ALONE) if is_all and unasked and unasked == eligible else None
    if isinstance(whole, Exact) and whole.is_known:
        draft.exact.append(exact_block(whole, "independent draws"))
    else:
        for variables in components(draft.graph, unasked):
            part = (
                exact(draft.graph, variables, MOST_ALONE)
                if whole is None or len(variables) < len(unasked)
                else whole
            )
            if isinstance(part, Exact) and is_cheap(part):
                draft.exact.append(exact_block(part, "drawn jointly given all else"))
            else:
                why = part if isinstance(part, str) else f"{part.words}, too much for each step"
                draft.not_exact.update((v.name, why) for v in variables)
    draft.take(name for block in draft.exact for name in block.variables)


def is_listed(v: Variable) -> bool:
    """Whether a variable has so few values that they are listed unasked."""
    return v.kind == "finite" and len(v.type.domain.values) <= LARGEST_LISTED


def is_cheap(part: Exact) -> bool:
    """Whether joint tables can be filled at each step."""
    return part.order.entries <= max(MOST_EACH_TIME, MORE_THAN_TABLES * part.table_entries)


def asked_blocks(
    graph: FactorGraph, variables: Sequence[Variable], requests: Mapping[str, Request]
) -> list[Block]:
    """The variables of each request for exact draws; CG0601 where tables would have too many entries."""
    of_request: dict[int, list[Variable]] = {}
    for v in variables:
        if v.name in requests and requests[v.name].method == KERNEL.name:
            of_request.setdefault(id(requests[v.name]), []).append(v)
    blocks = []
    for members in of_request.values():
        request = requests[members[0].name]
        most = float(request.options.get("max_cost", KERNEL.options["max_cost"].default))
        part = exact(graph, members, most)
        if isinstance(part, str):
            names = ", ".join(f"`{v.name}`" for v in members)
            help = f"`{KERNEL.at_shares}` does; `exact(max_cost=…)` allows more entries"
            span = request.span or members[0].span
            fail("CG0601", f"`exact` does not serve {names}: {part}", span, help=help)
        blocks.append(replace(exact_block(part, "asked for"), options=dict(request.options), is_asked=True))
    return blocks


def exact_block(part: Exact, what: str = "drawn jointly") -> Block:
    """A block of what is drawn exactly."""
    return Block(part.names, KERNEL.name, exact=True, why=f"{what}: {part.words}", structure=part)


def collapsible(blocks: Sequence[Block], moved: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """The exact blocks whose tables some variables change, and that share no factor with another exact block.

    Those that do are drawn given each other, and what is summed out in one step is stale for the other.
    """
    drawn = frozenset(name for b in blocks for name in b.variables)
    parts = [b.structure for b in blocks if isinstance(b.structure, Exact)]
    return tuple(part.names for part in parts if part.read & moved and not part.read & drawn)


def read_by_bounds(graph: FactorGraph, v: Variable) -> frozenset[str]:
    """The variables that a variable's bounds and offset read."""
    nodes = [v.lower, v.upper]
    if v.name in graph.offsets:
        nodes += [graph.offsets[v.name].location, graph.offsets[v.name].scale]
    return frozenset().union(*(n.variables for n in nodes if n is not None))


def components(graph: FactorGraph, variables: Sequence[Variable]) -> list[list[Variable]]:
    """Variables that hang together by the factors that read several of them."""
    names = frozenset(v.name for v in variables)
    scopes = [*(frozenset({v.name}) for v in variables), *(g.variables & names for g in graph.groups)]
    ordered = [[v for v in variables if v.name in component] for component in connected(scopes)]
    return sorted(ordered, key=lambda members: variables.index(members[0]))


def on_graph(blocks: Sequence[Block], graph: FactorGraph) -> list[Block]:
    """The same blocks for another graph of the same variables, in which their structure is found anew."""
    return [b if b.structure is None else replace(b, structure=structure_on(b, graph)) for b in blocks]


def structure_on(block: Block, graph: FactorGraph) -> Structure | None:
    if isinstance(block.structure, Exact):
        found = exact(graph, [graph.variable(name) for name in block.variables], math.inf)
        assert isinstance(found, Exact), found
        return found
    finds = load_kernel(block.kernel).finds
    match = finds(graph, graph.variable(block.variables[0]), block.options) if finds is not None else None
    assert isinstance(match, Match), match
    return match.structure
