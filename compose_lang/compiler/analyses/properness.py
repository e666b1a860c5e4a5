"""Variables that would be improper: unbounded, and held by no factor.

In: a factor graph as elaboration leaves it. Out: the same, or a ComposeError. Params are no random variables, and may
be unbounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.diagnostics import ComposeError, Diagnostic


def check_proper(graph: FactorGraph) -> FactorGraph:
    """The same graph. CG0402 where an unbounded variable, or a site of one, is touched by no factor."""
    diagnostics = []
    touching: dict[str, list[FactorGroup]] = {}
    for group in graph.groups:
        for name in group.variables:
            touching.setdefault(name, []).append(group)
    for v in graph.variables:
        if not v.free_sites or not is_unbounded(v) or v.is_param:
            continue
        loose = untouched(v, touching.get(v.name, []))
        if not loose.any():
            continue
        is_all = bool(loose.sum() == v.free_sites)
        place = ",".join(map(str, np.argwhere(loose)[0]))
        count = f", nor {loose.sum() - 1:,} more of its elements" if loose.sum() > 1 else ""
        what = f"`{v.name}`" if is_all else f"`{v.name}[{place}]`"
        kind = v.type if is_all else v.type.domain
        text = f"{what} is improper: it is {kind}, unbounded, and no factor touches it"
        help = f"give it a distribution ({v.name} ~ Normal(0, 1)), or a bounded type (real(0, 1))"
        diagnostics.append(Diagnostic("CG0402", text + (count if not is_all else ""), v.span, help=help))
    if diagnostics:
        raise ComposeError(diagnostics)
    return graph


def untouched(v: Variable, touching: Sequence[FactorGroup]) -> np.ndarray:
    """Which free sites of a variable no factor touches: a mask of its shape. A constraint may bound what it touches."""
    loose = v.free.copy().reshape(-1)
    if len(loose) == 1 and touching:  # the one site there is
        return np.zeros(v.type.shape, dtype=bool)
    places = np.flatnonzero(loose)
    for group in touching:
        sites = scope(group, v)
        if sites is None:
            return np.zeros(v.type.shape, dtype=bool)
        loose[places[sites[sites >= 0]]] = False
        if not loose.any():
            break
    return loose.reshape(v.type.shape)


def is_unbounded(v: Variable) -> bool:
    domain = v.type.domain
    if domain.kind == "real":
        low = domain.lower == -np.inf and v.lower is None
        high = domain.upper == np.inf and v.upper is None
        return low or high
    return domain.kind in ("ordered", "positive_ordered") or (domain.kind == "int" and not domain.is_finite)
