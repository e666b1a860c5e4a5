"""What the kernels of a plan see of its variables: for each block a structure, made once for a density.

A `View` has the expressions that it evaluates and the arrays that it reads, which the density holds among its
constants, and shows itself to a kernel as the block that the kernel asks for (`Kernel.view`, see `kernel.py`).

Before: the plan, and the analyses of the compiler. After: `density`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.analyses.elimination import COMPILED
from compose_lang.compiler.analyses.local import local_energy
from compose_lang.compiler.analyses.local_pairs import local_pairs
from compose_lang.compiler.analyses.local_permutations import local_permutations
from compose_lang.compiler.analyses.local_subsets import local_subsets
from compose_lang.compiler.analyses.potts import clusters
from compose_lang.compiler.analyses.relaxation import changes
from compose_lang.compiler.analyses.sum_out import Exact, exact
from compose_lang.compiler.analyses.tree_cover import forests
from compose_lang.compiler.constraints.moves import differing, sums
from compose_lang.compiler.constraints.site_sets import size_of, subsets
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.arrays.protocol import Backend, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.elimination.summed_out import Joint, Summed
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.common.proposing import Proposed
from compose_lang.runtime.kernels.pairwise.forms import tables_of
from compose_lang.runtime.kernels.pairwise.held import PairwiseBlock, on_backend
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.views.agreements import Bonds
from compose_lang.runtime.views.arrangements import OrderingView
from compose_lang.runtime.views.differences import Chains
from compose_lang.runtime.views.pairs import Pairs
from compose_lang.runtime.views.single_changes import Changing
from compose_lang.runtime.views.sites import Sites
from compose_lang.runtime.views.subsets import SiteSetView
from compose_lang.runtime.views.trees import TreeView, planted

if TYPE_CHECKING:
    from compose_lang.runtime.density.density import Density

Key = tuple[tuple[str, ...], str]
"""The variables of a block, and what its kernel sees of them."""


@dataclass(frozen=True, eq=False)
class View:
    """energies: expressions it evaluates; tables: a tree of arrays on the backend; show: the block on such tables.

    loops: whether it goes round in loops, which a compiler of PyTorch would unroll.
    """

    energies: Sequence[Node]
    tables: Tree
    show: Callable[[Density, Tree], Any]
    loops: bool = False


def views_of(graph: FactorGraph, plan: Plan, backend: Backend) -> dict[Key, View]:
    """What there is to see of a plan's blocks; a block of continuous variables needs nothing but their names."""
    found: dict[Key, View] = {}
    for block in plan.blocks:
        for names in block.summed:
            if (names, "joint") not in found:
                found[names, "joint"] = joint(graph, plan, names, backend)
        sees = load_kernel(block.kernel).view
        if (block.variables, sees) in found:
            continue
        first = graph.variable(block.variables[0])
        if "proposal" in block.options:
            found[block.variables, sees] = proposed(block)
        elif sees == "joint":
            found[block.variables, sees] = joint(graph, plan, block.variables, backend)
        elif first.is_discrete:
            found[block.variables, sees] = OF_ONE[sees](graph, first, block, backend)
    return found


def proposed(block: Block) -> View:
    """Variables that a density of the program proposes for."""
    proposal = block.options["proposal"]
    return View(proposal.roots, {}, lambda density, tables: Proposed(density, proposal))


def joint(graph: FactorGraph, plan: Plan, names: tuple[str, ...], backend: Backend) -> View:
    """Variables to be summed out or drawn jointly, of a graph which may not be the one that was planned for."""
    found: Exact | str | None = plan.exact.get(names)
    if found is None or isinstance(found, str) or found.graph is not graph:
        found = exact(graph, [v for v in graph.variables if v.name in names], math.inf)
        if isinstance(found, str):
            raise InternalError(f"{', '.join(names)} cannot be summed out: {found}")
    summed = Summed(found, found.elimination(COMPILED if backend.whole_programs else 1.0))
    return View(
        [t.energy for t in found.tables],
        integers(summed.index, backend),
        lambda density, tables: Joint(density, summed, tables),
        any(run.rounds > 1 for run in summed.elimination.runs),
    )


def sites(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """A variable site by site: in the form the planner chose, or by the energies of as many values as are weighed."""
    form = block.form
    if form is not None:
        tables = on_backend(tables_of(form), backend)
        return View([], tables, lambda density, t: PairwiseBlock(v.name, v.type.domain.values, form, t))
    if v.type.domain.kind == "permutation":
        orderings = local_permutations(graph, v)
        held = integers(orderings.tables, backend)
        return View(orderings.energies, held, lambda density, t: OrderingView(density, orderings, t))
    local = local_energy(graph, v, load_kernel(block.kernel).candidates or len(v.support.values))
    held = integers(local.tables, backend)
    return View(local.energies, held, lambda density, t: Sites(density, local, t))


def groves(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Classes of sites that hang together as trees."""
    found = forests(graph, v)
    assert not isinstance(found, str), found
    padding = COMPILED if backend.whole_programs else 1.0
    classes = [planted(v, part, padding) for part in found]
    return View(
        [t.energy for part in found for t in part.tables],
        integers([c.tables for c in classes], backend),
        lambda density, t: TreeView(density, v, classes, t),
        any(run.rounds > 1 for c in classes for run in c.summed.elimination.runs),
    )


def bonds(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Pairs that prefer to agree or to differ, in fields."""
    found = clusters(graph, v)
    assert not isinstance(found, str), found
    tables = tree_map(backend.asarray, found.tables)
    return View(found.energies, tables, lambda density, t: Bonds(density, found, t))


def changing(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """All changes of single sites at once."""
    found = changes(graph, v, backend.has_gradient)
    tables = None if found.local is None else integers(found.local.tables, backend)
    return View(found.energies, tables, lambda density, t: Changing(density, found, t))


def pairs(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Pairs of sites whose sum must stay."""
    found = sums(graph, v)
    assert found is not None
    local = local_pairs(graph, found)
    return View(local.energies, integers(local.tables, backend), lambda density, t: Pairs(density, local, t))


def chains(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Sites that must differ."""
    found = differing(graph, v)
    assert found is not None
    return View([], integers(found.tables, backend), lambda density, t: Chains(density, found, t))


def small_sets(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Small sets of sites that are drawn jointly."""
    found = subsets(graph, v, size_of(graph, v, block.options))
    assert not isinstance(found, str), found
    local = local_subsets(graph, found)
    return View(
        local.energies, integers(local.tables, backend), lambda density, t: SiteSetView(density, local, t)
    )


OF_ONE: dict[str, Callable[[FactorGraph, Variable, Block, Backend], View]] = {
    "sites": sites,
    "forests": groves,
    "bonds": bonds,
    "changes": changing,
    "sums": pairs,
    "chains": chains,
    "subsets": small_sets,
}
"""By `Kernel.view`, what is made of one discrete variable."""


def integers(tables: Tree, backend: Backend) -> Tree:
    """Trees of index arrays on the backend."""
    return tree_map(lambda t: backend.asarray(t, backend.integer), tables)
