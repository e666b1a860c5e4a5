"""Which kernel updates a discrete variable, and why.

Before: `methods`. After: `plan`.
"""

from __future__ import annotations

from compose_lang.compiler.analyses.gibbs_form import gibbs_form
from compose_lang.compiler.analyses.potts import clusters
from compose_lang.compiler.analyses.tree_cover import forests, told
from compose_lang.compiler.constraints.moves import require_structure
from compose_lang.compiler.constraints.site_sets import size_of, subsets
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable
from compose_lang.diagnostics import fail
from compose_lang.runtime.planning.block import Block

LARGEST_LISTED = 100  #: values of a site that are listed unasked


def discrete_block(graph: FactorGraph, v: Variable, request: Request | None, refused: str = "") -> Block:
    """The block of a discrete variable. refused: why it is not drawn exactly, where it might have been."""
    if request is not None:
        if request.method == "swendsen_wang":
            require_clusters(graph, v, request)
        if request.method == "trees":
            return trees_block(graph, v, request)
        if request.method == "blocks":
            return small_sets_block(graph, v, request)
        require_structure(graph, v, request)
        if request.method == "gibbs":
            return gibbs_block(graph, v, "asked for")
        return Block((v.name,), request.method, dict(request.options), why="asked for")
    domain = v.support
    if domain.kind == "permutation":
        return Block(
            (v.name,), "mh", why="an ordering: two places are swapped, or what lies between reversed"
        )
    if not domain.is_finite:
        return Block((v.name,), "mh", why="an unbounded count: its values cannot be listed")
    if len(domain.values) > LARGEST_LISTED:
        return Block(
            (v.name,), "mh", why=f"{len(domain.values)} values a site are too many to weigh each time"
        )
    why = f"finite ({len(domain.values)} values a site): each site is drawn from its exact conditional"
    why += f"; not jointly by `exact`: {refused}" if refused else ""
    return gibbs_block(graph, v, why)


def gibbs_block(graph: FactorGraph, v: Variable, why: str) -> Block:
    """A block that gibbs updates, in the fastest form there is for it."""
    form, how = gibbs_form(graph, v)
    return Block((v.name,), "gibbs", why=f"{why}; {how}" if how else why, form=form)


def require_clusters(graph: FactorGraph, v: Variable, request: Request) -> None:
    """CG0601 where a variable cannot be moved by clusters."""
    found = clusters(graph, v)
    if isinstance(found, str):
        text = (
            f"`swendsen_wang` flips clusters of sites that prefer to agree, but `{v.name}` has none: {found}"
        )
        fail("CG0601", text, request.span or v.span, help="gibbs draws any finite variable")


def trees_block(graph: FactorGraph, v: Variable, request: Request) -> Block:
    """A block whose trees are drawn jointly; CG0601 where a variable has none to speak of."""
    found = forests(graph, v)
    if isinstance(found, str):
        text = f"`trees` draws sites of `{v.name}` jointly that hang together as trees, but {found}"
        fail("CG0601", text, request.span or v.span, help="gibbs draws any finite variable")
    return Block((v.name,), request.method, dict(request.options), why=f"asked for: {told(v, found)}")


def small_sets_block(graph: FactorGraph, v: Variable, request: Request) -> Block:
    """A block whose small sets of sites are drawn jointly; CG0601 where a variable has none."""
    size = size_of(graph, v, request.options)
    found = subsets(graph, v, size)
    if isinstance(found, str):
        text = f"`blocks` draws small sets of sites of `{v.name}` jointly, but {found}"
        help = "take another `size`; gibbs draws any finite variable"
        fail("CG0601", text, request.span or v.span, help=help)
    return Block((v.name,), request.method, {"size": size}, why=f"asked for: {found.told}")
