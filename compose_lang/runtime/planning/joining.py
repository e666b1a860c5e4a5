"""Small sets of sites that are drawn jointly where a plan's other moves may not reach every solution of constraints.

Before: `plan` with a kernel for every variable. After: the same with blocks of the kernel `blocks` beside them.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.constraints.site_sets import MOST_SITES, sizes
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.irreducibility import Disconnected, MoveSet, gaps

ENOUGH = 4  #: sites, of which a table has a minor


def with_joining(graph: FactorGraph, blocks: Sequence[Block], asked: Container[str]) -> list[Block]:
    """Blocks, and after those of a variable its small sets, where that may join solutions that lie apart.

    asked: the variables for which another method is asked for.
    """
    made, hard = list(blocks), graph.fact(HardConstraints)
    able = [
        v for v in graph.variables if v.is_discrete and v.name not in asked and v.free_sites <= MOST_SITES
    ]
    if hard is None or not able:
        return made
    found = gaps(graph, blocks)
    for v in able:
        mine = [gap for gap in found if v.name in gap.part.names(hard)]
        if mine:
            block = joining_block(graph, v, mine, made)
            if block is not None:
                last = max(place for place, b in enumerate(made) if v.name in b.variables)
                made.insert(last + 1, block)
    return made


def joining_block(
    graph: FactorGraph, v: Variable, mine: Sequence[Disconnected], blocks: Sequence[Block]
) -> Block | None:
    """The smallest sets of a variable's sites that join the solutions of some parts, or as large ones as are cheap.

    Where solutions are too many to be listed, sets of `ENOUGH` sites, or the next larger that there are.
    """
    best: Block | None = None
    is_listed = all(gap.states is not None for gap in mine)
    for size, found in sizes(graph, v):
        if found.size == 1:
            continue
        best = Block(
            (v.name,), "blocks", {"size": size}, why=f"what single sites may not reach: {found.told}"
        )
        is_enough = all(joins(graph, gap, [*blocks, best]) for gap in mine) if is_listed else size >= ENOUGH
        if is_enough:
            return best
    return best


def joins(graph: FactorGraph, gap: Disconnected, blocks: Sequence[Block]) -> bool:
    """Whether the solutions of a part are known to be joined by the kernels of blocks."""
    hard = graph.fact(HardConstraints)
    assert hard is not None
    moves = MoveSet(graph, hard, blocks)
    return gap.states is not None and moves.pieces(gap.part, gap.states) in (0, 1)
