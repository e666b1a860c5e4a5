"""The plan: which variables are updated together, by which kernel, and why.

In: a factor graph, what the program or the command line asks for (`infer … by …`), and the backend's name. Out:
a `Plan`, which `compose explain` prints and the driver runs. `PLANNERS` take variables out of those that are left, one
after another; what they have made is put in order, and the solutions of hard constraints that its moves may not reach
are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.backends import has_gradient
from compose_lang.runtime.kernels import find_kernel
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.continuous import plan_continuous, plan_parts
from compose_lang.runtime.planning.discrete import plan_discrete, plan_proposals
from compose_lang.runtime.planning.draft import Draft
from compose_lang.runtime.planning.exact import plan_exact
from compose_lang.runtime.planning.irreducibility import gaps_of, warnings_of
from compose_lang.runtime.planning.joining import with_joining
from compose_lang.runtime.planning.levels import WALKS, Annealing, annealed_block, annealing, level_notes
from compose_lang.runtime.planning.methods import assign, assign_parts
from compose_lang.runtime.planning.optimising import Optimising, optimising
from compose_lang.runtime.planning.populations import Populations, beginning, can_serve, populations
from compose_lang.runtime.planning.tempering import Tempering, at_shares, tempering


@dataclass(frozen=True)
class Plan:
    """Blocks in the order a sweep visits them, and what else the user should know.

    warnings: of solutions of hard constraints that its moves do not, or may not, all reach.
    """

    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    annealing: Annealing | None = None  #: how levels are walked, where the program has any
    populations: Populations | None = None  #: how they walk from a reference, where they do
    tempering: Tempering | None = None  #: the shares of the energy that replicas are at, if asked for
    optimising: Optimising | None = None  #: how the best point is sought, if asked for
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def exact(self) -> Mapping[tuple[str, ...], Exact]:
        """What is drawn exactly or summed out, by the variables of its block."""
        return {b.variables: b.structure for b in self.blocks if isinstance(b.structure, Exact)}

    @property
    def is_exact(self) -> bool:
        """Whether all is drawn exactly, from energies that are known before: draws are independent."""
        return len(self.blocks) == len(self.exact) == 1 and next(iter(self.exact.values())).is_known

    @property
    def described(self) -> tuple[Block, ...]:
        """All that the user is told of."""
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
    asked = assign(free, graph.requests if requests is None else requests, backend)
    parts = assign_parts(free, graph.requests if requests is None else requests, backend)
    draft = Draft(graph, backend, free, asked, exactly, parts=parts)
    for planner in PLANNERS:
        planner(draft)
    return finished(draft)


def by_populations(graph: FactorGraph, chosen: Plan, backend: str) -> Plan | None:
    """The plan by populations for what another drew by chains; None where they cannot serve it."""
    free = [v for v in graph.variables if v.free_sites]
    is_walked = chosen.annealing or chosen.tempering or chosen.optimising or chosen.is_exact
    if is_walked or not has_gradient(backend) or not can_serve(graph):
        return None
    walk = Populations(tuple(v.name for v in free), why=f"chains had not mixed; {beginning(graph)}")
    return Plan((walk.block,), populations=walk)


def plan_levels(draft: Draft) -> None:
    """Variables that carry noise, where levels of it are walked."""
    walked = annealing(draft.graph, draft.requests, draft.backend)
    if walked is not None:
        draft.annealing = walked
        draft.walking.append(annealed_block(walked))
        draft.requests = {name: r for name, r in draft.requests.items() if r.method not in WALKS}
        draft.take(walked.anneal.transported)


def plan_populations(draft: Draft) -> None:
    """All variables, where populations walk from a reference to the program."""
    if draft.annealing is not None or draft.parts:
        return
    draft.populations, draft.requests = populations(draft.graph, draft.requests, draft.backend)
    if draft.populations is not None:
        draft.walking.append(draft.populations.block)
        draft.take(draft.populations.variables)


def plan_shares(draft: Draft) -> None:
    """No variable, unless elimination finds the best point of all: then the shares of the energy that blocks run at."""
    draft.tempering, draft.requests = tempering(draft.graph, draft.requests)
    sought, draft.requests = optimising(draft.graph, draft.requests)
    if sought is not None and draft.exactly and not draft.requests and not sought.has_continuous:
        alone = Draft(draft.graph, draft.backend, draft.left, {}, exactly=True)
        plan_exact(alone)
        if Plan(tuple(alone.exact)).is_exact and not alone.left:
            draft.exact, draft.left, sought = alone.exact, [], replace(sought, is_exact=True)
    draft.optimising = sought


PLANNERS: tuple[Callable[[Draft], None], ...] = (
    plan_levels,  # first: what carries noise moves along its levels alone
    plan_populations,  # before kernels are chosen for what they move
    plan_shares,  # before kernels are chosen, of which some run at the full energy only
    plan_exact,  # before the others, which take what costs too much; and while all variables are there to tell
    plan_proposals,  # of variables of any kind, so before those are told apart
    plan_discrete,
    plan_parts,
    plan_continuous,
)


def finished(draft: Draft) -> Plan:
    """The plan of a draft: its blocks in order, with those that join solutions, at the shares that they run at."""
    place = {v.name: number for number, v in enumerate(draft.graph.variables)}
    local = [*draft.walking, *sorted(draft.local, key=lambda b: place[b.variables[0]])]
    gaps = gaps_of(draft.graph, local)
    joined = with_joining(draft.graph, local, gaps, draft.requests)
    if len(joined) > len(local):
        gaps = gaps_of(draft.graph, joined)
    # Partially collapsed Gibbs (van Dyk and Park 2008): what is summed out of a step has to be drawn anew before
    # any other step is taken given it.
    collapsed = [b for b in draft.continuous if b.summed]
    blocks = [*collapsed, *draft.exact, *joined, *(b for b in draft.continuous if not b.summed)]
    is_shared = draft.tempering is not None or draft.optimising is not None
    if is_shared and not (draft.optimising is not None and draft.optimising.is_exact):
        blocks = list(at_shares(blocks))
    notes = [*approximations(blocks), *coordinates(draft.graph)]
    if draft.annealing is not None:
        notes += level_notes(draft.annealing)
    return Plan(
        tuple(blocks),
        tuple(notes),
        draft.annealing,
        draft.populations,
        draft.tempering,
        draft.optimising,
        tuple(warnings_of(draft.graph, joined, gaps)),
    )


def approximations(blocks: Sequence[Block]) -> list[str]:
    """How the draws of some blocks fail to follow the density."""
    kernels = [find_kernel(b.kernel) for b in blocks]
    return [
        f"{', '.join(b.variables)}: {kernel.approximate}"
        for b, kernel in zip(blocks, kernels, strict=True)
        if kernel is not None and kernel.approximate
    ]


def coordinates(graph: FactorGraph) -> list[str]:
    """What is sampled in other coordinates than its own, and why."""
    return [
        f"{name} is sampled by its offset from its location in units of its scale, which are variables too: "
        "few factors hold each of its sites, and in its own coordinate it would be drawn into a funnel"
        for name in graph.offsets
    ]
