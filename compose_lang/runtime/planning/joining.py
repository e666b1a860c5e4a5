"""Small sets of sites that are drawn jointly where a plan's other moves may not reach every solution of constraints.

Before: a block for every discrete variable. After: the same, with blocks of the kernel `blocks` beside them.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.constraints.site_sets import MOST_SITES, sizes
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.kernels import blocks as site_sets
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.irreducibility import Disconnected, MoveSet

ENOUGH = 4  #: sites, of which a table has a minor


def with_joining(
    graph: FactorGraph, blocks: Sequence[Block], gaps: Sequence[Disconnected], asked: Container[str]
) -> list[Block]:
    """Blocks, and after those of a variable its small sets, where that may join solutions that lie apart.

    gaps: the solutions that do. asked: the variables for which another method is asked for.
    """
    joined, hard = list(blocks), graph.fact(HardConstraints)
    if hard is None:
        return joined
    for v in graph.variables:
        if not v.is_discrete or v.name in asked or v.free_sites > MOST_SITES:
            continue
        apart = [gap for gap in gaps if v.name in gap.part.names(hard)]
        block = joining_block(graph, hard, v, apart, joined) if apart else None
        if block is not None:
            last = max(place for place, b in enumerate(joined) if v.name in b.variables)
            joined.insert(last + 1, block)
    return joined


def joining_block(
    graph: FactorGraph,
    hard: HardConstraints,
    v: Variable,
    gaps: Sequence[Disconnected],
    blocks: Sequence[Block],
) -> Block | None:
    """The smallest sets of a variable's sites that join the solutions of some parts, or as large ones as are cheap.

    Where solutions are too many to be listed, sets of `ENOUGH` sites, or the next larger that there are.
    """
    best: Block | None = None
    is_listed = all(gap.states is not None for gap in gaps)
    for size, sets in sizes(graph, v):
        if sets.size == 1:
            continue
        why = f"what single sites may not reach: {sets.description}"
        best = Block((v.name,), site_sets.KERNEL.name, {"size": size}, why=why, structure=sets)
        moves = MoveSet(graph, hard, [*blocks, best])
        is_enough = all(moves.join(gap) for gap in gaps) if is_listed else size >= ENOUGH
        if is_enough:
            return best
    return best
