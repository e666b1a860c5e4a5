"""Why no start was found: a proof that constraints exclude each other, or what still fails at the nearest point.

A proof is a linear program over the straight inequalities (see `polyhedron`): the least excess that they can be left
with is positive. The groups that it needs are found by leaving them out one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from compose_lang.compiler.constraints.polyhedron import LinearRows, Polyhedron, polyhedron
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node, leaves
from compose_lang.compiler.ir.operation import Host, op_of
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.elimination.solver import Impossible

LEAST_EXCESS = 1e-6
"""Of rows whose largest coefficient is 1: what the program's tolerances do not explain."""
MOST_GROUPS = 200
MOST_SITES = 512
STEP = 1e-3


def excluded(graph: FactorGraph) -> Impossible | None:
    """Groups whose straight inequalities are proved to exclude each other, each of them needed; None without proof."""
    system = polyhedron(graph)
    kept = list(dict.fromkeys(r.group for r in system.rows))
    if not kept or len(kept) > MOST_GROUPS or least_excess(system, kept) <= LEAST_EXCESS:
        return None
    for group in list(kept):
        rest = [g for g in kept if g is not group]
        if rest and least_excess(system, rest) > LEAST_EXCESS:
            kept = rest
    return Impossible(tuple(kept))


def least_excess(system: Polyhedron, groups: Sequence[FactorGroup]) -> float:
    """The least s such that all inequalities of some groups hold but for s; 0 where that is not found."""
    from scipy.optimize import linprog

    rows = [scaled(r) for r in system.rows if r.group in groups]
    matrix = np.concatenate([a for a, _ in rows])
    limit = np.concatenate([b for _, b in rows])
    slack = np.full((len(matrix), 1), -1.0)
    cost = np.append(np.zeros(matrix.shape[1]), 1.0)
    bounds = [*zip(system.lower, system.upper, strict=True), (0.0, None)]
    found = linprog(cost, np.concatenate([matrix, slack], axis=1), limit, bounds=bounds, method="highs")
    return float(found.fun) if found.status == 0 else 0.0


def scaled(rows: LinearRows) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and limits of rows whose largest coefficient is 1; what reads no free site stays."""
    size = np.abs(rows.coefficients).max(axis=1, initial=0.0)
    size = np.where(size > 0.0, size, 1.0)
    return rows.coefficients / size[:, None], rows.limit / size


# --- what still fails ---


def failing(graph: FactorGraph, values: Mapping[str, np.ndarray]) -> list[Diagnostic]:
    """CG0502 for each constraint that fails where values (chains, *shape) violate constraints least, and by how much.

    None where no constraint says how far it is from holding.
    """
    groups = [g for g in graph.groups if g.kind == "require" and is_plain(g.violation)]
    if not groups:
        return []
    chains = len(next(iter(values.values())))
    bindings = {id(v.node): values[v.name] for v in graph.variables if v.name in values}
    roots = [elements(g.violation) for g in groups if g.violation is not None]
    away = [np.broadcast_to(x, (chains, *x.shape[1:])) for x in interpret(Host(), roots, bindings)]
    totals = sum(x.reshape((chains, -1)).sum(axis=1) for x in away)
    best = int(np.argmin(np.where(np.isfinite(totals), totals, np.inf)))
    at_best = {name: array[best : best + 1] for name, array in values.items()}
    return [
        told(graph, g, root, x[best], at_best)
        for g, root, x in zip(groups, roots, away, strict=True)
        if (x[best] > 0.0).any()
    ]


def told(
    graph: FactorGraph, g: FactorGroup, root: Node, away: np.ndarray, values: Mapping[str, np.ndarray]
) -> Diagnostic:
    """CG0502 for a constraint whose elements are violated by `away` where values (1, *shape) are."""
    worst = int(away.argmax())
    text = f"no point was found that satisfies the constraints: `{g.label}` still fails by {away.max():.3g}"
    if away.size > 1:
        text += f" (in {int((away > 0.0).sum())} of {away.size} places)"
    read = [v for v in graph.variables if v.name in root.variables]
    free = hangs_on(root, worst, [(v, v.free) for v in read], values)
    observed = hangs_on(root, worst, [(v, ~v.free) for v in read], values)
    if observed and not any(free.values()):
        text += f", with {listed(graph, observed)} as observed"
    return Diagnostic(
        "CG0502", text, g.span, help="not proved: this is the nearest of all points that were tried"
    )


def is_plain(x: Node | None) -> bool:
    """Whether an expression reads variables and constants only."""
    return x is not None and all(n.is_const or n.op == "var" for n in leaves(x))


def elements(violation: Node | None) -> Node:
    """The elements that a violation is the sum of."""
    assert violation is not None
    while op_of(violation).reduction is not None and is_sum(violation):
        violation = violation.args[0]
    return violation


def is_sum(x: Node) -> bool:
    return (x.attrs[0] if x.op == "reduce_axis" else x.op) == "sum"


def hangs_on(
    root: Node, element: int, asked: Iterable[tuple[Variable, np.ndarray]], values: Mapping[str, np.ndarray]
) -> dict[str, list[int]]:
    """The sites of some masks whose change changes an element of an expression at values (1, *shape), by variable."""
    found = {}
    for v, mask in asked:
        sites = np.flatnonzero(mask.reshape(-1))[:MOST_SITES]
        if not sites.size or v.is_discrete or v.type.domain.event_shape:
            continue
        moved = np.repeat(values[v.name].reshape((1, -1)), 1 + len(sites), axis=0)
        moved[1 + np.arange(len(sites)), sites] += STEP * (1.0 + np.abs(moved[0, sites]))
        bindings = {id(leaf): values[leaf.attrs[0]] for leaf in leaves(root) if leaf.op == "var"}
        bindings[id(v.node)] = moved.reshape((len(moved), *v.type.shape))
        (x,) = interpret(Host(), [root], bindings)
        each = np.broadcast_to(x, (len(moved), *x.shape[1:])).reshape((len(moved), -1))[:, element]
        found[v.name] = sites[each[1:] != each[0]].tolist()
    return {name: sites for name, sites in found.items() if sites}


def listed(graph: FactorGraph, sites: Mapping[str, Sequence[int]]) -> str:
    """`q[0]`, `start`: sites by name, all of a row as the row."""
    names = []
    for name, places in sites.items():
        v = graph.variable(name)
        if len(places) == v.type.sites:
            names.append(f"`{name}`")
            continue
        index = np.stack(np.unravel_index(np.array(places), v.type.shape), axis=1)
        rows = np.unique(index[:, 0])
        width = v.type.sites // v.type.shape[0]
        is_rows = len(v.type.shape) > 1 and all((index[:, 0] == r).sum() == width for r in rows)
        shown = [[r] for r in rows] if is_rows else index.tolist()
        names += [f"`{name}[{','.join(map(str, place))}]`" for place in shown]
    most = 4
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
