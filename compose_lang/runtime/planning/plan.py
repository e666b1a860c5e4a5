"""The plan: which variables are updated together, by which kernel, and why.

In: a factor graph, what the program or the command line asks for (`infer … by …`), and the backend's name. Out:
a `Plan`, which `compose explain` prints and the driver runs. The methods there are stand in `methods`, discrete
variables are planned by `plan_discrete`, levels of noise by `plan_levels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from compose_lang.compiler.analyses.potts import cluster_blocks
from compose_lang.compiler.analyses.relaxation import informed_block
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.constraints.moves import keeping_blocks
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable, moved_with
from compose_lang.runtime.backends import backend_names, has_gradient
from compose_lang.runtime.kernels import find_kernel
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.discrete import discrete_block
from compose_lang.runtime.planning.exact import choose
from compose_lang.runtime.planning.joining import with_joining
from compose_lang.runtime.planning.levels import (
    WALKS,
    Annealing,
    annealed_block,
    annealing,
    level_notes,
)
from compose_lang.runtime.planning.methods import assign, find_method
from compose_lang.runtime.planning.optimising import Optimising, optimising
from compose_lang.runtime.planning.tempering import Tempering, at_shares, tempering


@dataclass(frozen=True)
class Plan:
    """Blocks in the order a sweep visits them, and what else the user should know."""

    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    annealing: Annealing | None = None  #: how levels are walked, where the program has any
    #: what blocks of `exact` do, by variables
    exact: Mapping[tuple[str, ...], Exact] = field(default_factory=dict)
    tempering: Tempering | None = None  #: the shares of the energy that replicas are at, if asked for
    optimising: Optimising | None = None  #: how the best point is sought, if asked for

    @property
    def is_exact(self) -> bool:
        """Whether all is drawn exactly, from energies that are known before: draws are independent."""
        return len(self.blocks) == len(self.exact) == 1 and next(iter(self.exact.values())).is_known

    @property
    def told(self) -> tuple[Block, ...]:
        """All that there is to tell the user of."""
        if self.optimising is not None and self.optimising.is_exact:
            return (self.optimising.block,)
        return (*self.blocks, *(w.block for w in (self.tempering, self.optimising) if w is not None))


def plan(
    graph: FactorGraph, backend: str, requests: Sequence[Request] | None = None, exactly: bool = True
) -> Plan:
    """Choose a kernel for every variable.

    requests: what is asked for, later ones over earlier ones; by default the program's own. exactly: whether finite
    variables may be drawn exactly, or summed out, unasked. Raises a
    ComposeError (CG0601, CG0602) where a method cannot serve its variables.
    """
    free = [v for v in graph.variables if v.free_sites]
    chosen = assign(free, graph.requests if requests is None else requests, backend)
    walked = annealing(graph, chosen, backend)
    blocks: list[Block] = []
    if walked is not None:
        blocks.append(annealed_block(walked))
        free = [v for v in free if v.name not in walked.anneal.transported]
        chosen = {name: r for name, r in chosen.items() if r.method not in WALKS}
    tempered, chosen = tempering(graph, chosen)
    sought, chosen = optimising(graph, chosen)
    if sought is not None and exactly and not chosen and not sought.has_continuous:
        whole = choose(graph, free, {}, alone=True)
        found = Plan(tuple(whole.blocks), exact=whole.exact, optimising=replace(sought, is_exact=True))
        if found.is_exact:
            return found
    at_full = tempered is None and sought is None
    # Along levels of noise every particle has its own: there finite variables are drawn exactly only if asked for.
    asked = [v for v in free if v.name in chosen]
    eligible = free if walked is None and exactly and at_full else asked
    exact = choose(graph, eligible, chosen, alone=len(eligible) == len(free) and walked is None)
    continuous: dict[Any, list[Variable]] = {}
    for v in free:
        request = chosen.get(v.name)
        proposal = request.options.get("proposal") if request is not None else None
        if request is not None and proposal is not None:
            if v.name == proposal.names[0]:
                blocks.append(Block(proposal.names, request.method, dict(request.options), why="asked for"))
            continue
        if not v.is_discrete:
            key = None if request is None else (request.method, tuple(sorted(request.options.items())))
            continuous.setdefault(key, []).append(v)
            continue
        if v.name in exact.names:
            continue
        if request is None:
            informed = informed_block(graph, v, backend)
            if informed is not None:
                blocks.append(informed)
                continue
            blocks.extend(cluster_blocks(graph, v))
        blocks.append(discrete_block(graph, v, request, exact.refused.get(v.name, "")))
        if request is None:
            blocks.extend(keeping_blocks(graph, v))
    blocks = with_joining(graph, blocks, chosen)
    moving = []
    for key, members in continuous.items():
        names = tuple(v.name for v in members)
        if key is not None:
            block = Block(names, key[0], dict(key[1]), why="asked for")
        else:
            block = continuous_block(graph, names, backend)
        summed = exact.summed(moved_with(graph, names)) if walked is None else ()
        moving.append(summing(block, summed) if summed else block)
    if exact.blocks:
        # Partially collapsed Gibbs (van Dyk and Park 2008): what is summed out of a step has to be drawn anew before
        # any other step is taken given it.
        collapsed = [b for b in moving if b.summed]
        blocks = [*collapsed, *exact.blocks, *blocks, *(b for b in moving if not b.summed)]
    else:
        blocks += moving
    if not at_full:
        blocks = list(at_shares(blocks))
    notes = (*approximations(blocks), *coordinates(graph))
    if walked is not None:
        notes = (*notes, *level_notes(walked))
    return Plan(tuple(blocks), notes, walked, exact.exact, tempered, sought)


def summing(block: Block, summed: tuple[tuple[str, ...], ...]) -> Block:
    """A block that sees the energy with some finite variables summed out."""
    names = ", ".join(name for names in summed for name in names)
    return replace(block, summed=summed, why=f"{block.why}; {names} summed out")


def continuous_block(graph: FactorGraph, names: tuple[str, ...], backend: str) -> Block:
    """The block of continuous variables: by the kernel that asks most of the backend."""
    nuts = find_kernel("nuts")
    if nuts is not None and nuts.runs_on(backend):
        return Block(names, nuts.name, why="continuous with a gradient: trajectories tune their own length")
    if has_gradient(backend):
        why = "continuous with a gradient"
        if nuts is not None:
            why += f"; {nuts.name} runs on {', '.join(filter(nuts.runs_on, backend_names()))} only"
        return Block(names, "hmc", why=why)
    return Block(names, "mh", why=f"continuous; the {backend} backend has no gradients")


def approximations(blocks: Sequence[Block]) -> list[str]:
    """How the draws of some blocks fail to follow the density."""
    methods = [find_method(b.kernel) for b in blocks]
    return [
        f"{', '.join(b.variables)}: {method.approximate}"
        for b, method in zip(blocks, methods, strict=True)
        if method is not None and method.approximate
    ]


def coordinates(graph: FactorGraph) -> list[str]:
    """What is sampled in other coordinates than its own, and why."""
    return [
        f"{name} is sampled by its offset from its location in units of its scale, which are variables too: "
        "few factors hold each of its sites, and in its own coordinate it would be drawn into a funnel"
        for name in graph.offsets
    ]
