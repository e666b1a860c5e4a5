"""Domains of finite variables, made smaller by what hard constraints leave of them.

Starts and proposals keep to what is left, a site with one value left is not updated, and an int whose values are all
in a smaller range is weighed over that range. The density is the same: what is taken away has weight 0.

In: a graph. Out: the same with its `HardConstraints` as a fact, and with each variable's `allowed`. CG0502 where a
site has no value left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compose_lang.compiler.constraints.propagation import Emptied, propagate
from compose_lang.compiler.constraints.relations import Numbering, hard_constraints
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.diagnostics import ComposeError, Diagnostic


def filter_domains(graph: FactorGraph) -> FactorGraph:
    """The graph with smaller domains where hard constraints between discrete sites allow it."""
    hard = hard_constraints(graph)
    if hard is None:
        return graph
    filtered = propagate(hard)
    if isinstance(filtered, Emptied):
        raise nothing_left(hard.numbering, filtered)
    names = {v.name for v in hard.numbering.variables}
    variables = tuple(
        narrowed(v, filtered.domains[hard.numbering.of(v)]) if v.name in names else v for v in graph.variables
    )
    return replace(graph, variables=variables).with_fact(filtered)


def narrowed(v: Variable, domains: np.ndarray) -> Variable:
    """A variable with what is left of its sites' values, (sites, K)."""
    values = v.support.values
    allowed = domains[v.free.reshape(-1), : len(values)]
    if allowed.all():
        return v
    if v.type.domain.kind == "int":
        used = np.flatnonzero(allowed.any(axis=0))
        low, high = values[int(used[0])], values[int(used[-1])]
        v = replace(v, tightened=replace(v.support, lower=low, upper=high))
        allowed = allowed[:, used[0] : used[-1] + 1]
    return replace(v, allowed=allowed)


def nothing_left(numbering: Numbering, emptied: Emptied) -> ComposeError:
    """CG0502 for the constraint that leaves a site no value, and those that took values before."""
    v = numbering.owner(emptied.site)
    place = np.unravel_index(emptied.site - numbering.starts[v.name], v.type.shape) if v.type.shape else ()
    element = v.name + (f"[{', '.join(map(str, map(int, place)))}]" if place else "")
    group = emptied.relation.group
    text = f"no point satisfies the constraints: `{group.label}` leaves no value for `{element}`"
    others = [f"`{label}`" for label in emptied.others[:3]]
    help = f"values were ruled out before by {', '.join(others)}" if others else ""
    return ComposeError(Diagnostic("CG0502", text, group.span, help=help), exit_code=4)
