"""Which kernels update a discrete variable, or what a proposal of the program's moves, and why.

Before: `exact`, which takes what can be drawn jointly. After: `joining`.
"""

from __future__ import annotations

from compose_lang.compiler.analyses.colouring import LARGEST_CLIQUE
from compose_lang.compiler.analyses.potts import clusters
from compose_lang.compiler.analyses.relaxation import wide_smooth_groups
from compose_lang.compiler.constraints.moves import differing, leaves_room, sums
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable
from compose_lang.diagnostics import fail
from compose_lang.runtime.backends import has_gradient
from compose_lang.runtime.kernels import (
    exchange,
    gibbs,
    gwg,
    kempe,
    load_kernel,
    mh,
    swendsen_wang,
)
from compose_lang.runtime.kernels.common.kernel import Kernel
from compose_lang.runtime.kernels.common.structure import Match
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.draft import Draft

LARGEST_LISTED = 100  #: values of a site that are listed unasked
LARGEST_CLUSTERED = 20_000
"""Sites that are moved by clusters unasked: labelling them takes as long as some hundred sweeps of lattices by bits."""


def plan_proposals(draft: Draft) -> None:
    """Variables for which the program gives a density to propose from."""
    proposals = {name: r.options["proposal"] for name, r in draft.requests.items() if "proposal" in r.options}
    for v in draft.left:
        if v.name in proposals and v.name == proposals[v.name].names[0]:
            request = draft.requests[v.name]
            names, options = proposals[v.name].names, dict(request.options)
            draft.local.append(Block(names, request.method, options, why="asked for", is_asked=True))
    draft.take(proposals)


def plan_discrete(draft: Draft) -> None:
    """Discrete variables, by single sites, and by moves beside these where sites hang together."""
    for v in draft.left:
        request = draft.requests.get(v.name)
        if v.is_discrete and request is not None:
            draft.local.append(asked_block(draft.graph, v, request))
        elif v.is_discrete:
            draft.local += unasked_blocks(draft.graph, v, draft.backend, draft.not_exact.get(v.name, ""))
    draft.take(v.name for v in draft.left if v.is_discrete)


def asked_block(graph: FactorGraph, v: Variable, request: Request) -> Block:
    """A discrete variable by the kernel that is asked for; CG0601 where it lacks the structure for it."""
    kernel = load_kernel(request.method)
    match = kernel.finds(graph, v, request.options) if kernel.finds is not None else Match(None)
    if isinstance(match, str):
        others = "".join(f"take another `{name}`; " for name in kernel.options)
        help = f"{others}{gibbs.KERNEL.name} draws any finite variable"
        fail("CG0601", match, request.span or v.span, help=help)
    why = f"asked for; {match.description}" if match.description else "asked for"
    options = {**request.options, **match.options}
    return Block((v.name,), kernel.name, options, why=why, is_asked=True, structure=match.structure)


def unasked_blocks(graph: FactorGraph, v: Variable, backend: str, not_exact: str) -> list[Block]:
    """The blocks of a discrete variable. not_exact: why it is not drawn exactly, where it might have been."""
    informed = informed_block(graph, v, backend)
    if informed is not None:
        return [informed]
    return [*cluster_blocks(graph, v), site_block(graph, v, not_exact), *keeping_blocks(graph, v)]


def block_of(kernel: Kernel, graph: FactorGraph, v: Variable, why: str) -> Block:
    """A block of a kernel that has what it needs."""
    match = kernel.finds(graph, v, {}) if kernel.finds is not None else Match(None)
    assert not isinstance(match, str), match
    why = f"{why}; {match.description}" if match.description else why
    return Block((v.name,), kernel.name, match.options, why=why, structure=match.structure)


def site_block(graph: FactorGraph, v: Variable, not_exact: str) -> Block:
    """A discrete variable site by site."""
    domain = v.support
    if domain.kind == "permutation":
        why = "an ordering: two places are swapped, or what lies between reversed"
        return block_of(mh.KERNEL, graph, v, why)
    if not domain.is_finite:
        return block_of(mh.KERNEL, graph, v, "an unbounded count: its values cannot be listed")
    if len(domain.values) > LARGEST_LISTED:
        why = f"{len(domain.values)} values a site are too many to weigh each time"
        return block_of(mh.KERNEL, graph, v, why)
    why = f"finite ({len(domain.values)} values a site): each site is drawn from its exact conditional"
    why += f"; not jointly by `exact`: {not_exact}" if not_exact else ""
    return block_of(gibbs.KERNEL, graph, v, why)


def informed_block(graph: FactorGraph, v: Variable, backend: str) -> Block | None:
    """The block of a variable whose sites all hang together through something smooth, or None for any other."""
    domain = v.type.domain
    is_listed = domain.is_finite and domain.kind != "permutation" and len(domain.values) <= LARGEST_LISTED
    if not has_gradient(backend) or v.free_sites <= LARGEST_CLIQUE or not is_listed:
        return None
    groups = wide_smooth_groups(graph, v)
    if not groups:
        return None
    names = ", ".join(dict.fromkeys(g.label or g.kind for g in groups))
    why = (
        f"{names} reads so many of its sites that one at a time would cost {v.free_sites:,} energies a sweep: "
        "many change at once, chosen by the energy's gradient, and are accepted or rejected together"
    )
    # measured: as good as paths for each energy, and three times as fast, for it sorts nothing (benchmarks/discs.json)
    return Block((v.name,), gwg.KERNEL.name, {"propose": "langevin"}, why=why)


def cluster_blocks(graph: FactorGraph, v: Variable) -> list[Block]:
    """The block of cluster flips that goes before single sites where these alone would mix badly, or none."""
    if v.kind == "permutation" or v.free_sites > LARGEST_CLUSTERED or v.allowed is not None:
        return []
    pairs = clusters(graph, v)
    if isinstance(pairs, str) or pairs.influence < 1.0 or pairs.is_frustrated:
        return []
    prefer = "prefer to agree" if not pairs.offsets.any() else "can all be as they prefer at once"
    why = (
        f"its {len(pairs.ends):,} pairs {prefer}, and so strongly that single sites alone may hardly mix "
        f"(neighbours decide up to {pairs.influence:.2f} of a site): what hangs together changes as one"
    )
    return [block_of(swendsen_wang.KERNEL, graph, v, why)]


def keeping_blocks(graph: FactorGraph, v: Variable) -> list[Block]:
    """Blocks of moves beside single sites that keep constraints, where these ask for them."""
    blocks = []
    edges = differing(graph, v)
    if edges is not None and not leaves_room(edges):
        why = "sites that must differ, with few values to choose from: two values are turned round in a component"
        blocks.append(block_of(kempe.KERNEL, graph, v, why))
    if sums(graph, v) is not None:
        why = "a sum that must stay: two sites of it are drawn together"
        blocks.append(block_of(exchange.KERNEL, graph, v, why))
    return blocks
