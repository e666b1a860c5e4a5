"""Whether transitions of gradient kernels diverged too often, where, and what fits the program.

A single one in thousands comes of the step size's own error, and tells nothing; a region that chains miss gives more
the more they come near it. Trajectories that end at a wall of hard constraints are no divergences: kernels count them
apart, as `at_wall`.

In: the draws of a run with its kernels' statistics, and its factor graph where it is at hand. Out: a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, LocationScales
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.results.draws import StoredDraws

LEAST_COUNT = 3
LEAST_SHARE = 0.001  #: of all transitions
MOST_ELEMENTS = 500  #: that are looked through for where they come
CLEAR = 5.0  #: standard deviations that the ranks of draws after divergences lie off
MANY_AT_WALLS = 0.05


def divergent(run: StoredDraws, graph: FactorGraph | None) -> Iterator[Diagnostic]:
    """CG0704 where more transitions diverged than a step size's own error explains."""
    each = [v for name, v in run.statistics.items() if name.startswith("diverging")]
    count, total = sum(int(v.sum()) for v in each), run.chains * run.draws
    if count < max(LEAST_COUNT, LEAST_SHARE * total):
        return
    place = where(run, np.any(each, axis=0))
    text = f"{count} of {total} transitions diverged: the draws miss where the density bends sharply"
    text += f", which is where `{place[0]}` is {place[1]}" if place else ""
    yield Diagnostic("CG0704", text, severity="warning", help=advice(graph, place[0] if place else ""))


def where(run: StoredDraws, diverging: NDArray[np.bool_]) -> tuple[str, str] | None:
    """The element that is most clearly small or large in draws that divergences (chains, draws) gave."""
    best: tuple[float, str, str] | None = None
    count, looked = int(diverging.sum()), 0
    for column in run.columns:
        if column.is_let or column.type.domain.is_discrete or looked >= MOST_ELEMENTS or not column.free.size:
            continue
        free = column.free[: MOST_ELEMENTS - looked]
        looked += len(free)
        values = run.values(column).reshape((run.chains, run.draws, -1))[:, :, free]
        ranks = values.reshape((-1, len(free))).argsort(axis=0).argsort(axis=0) / values[..., 0].size
        off = (ranks[diverging.reshape(-1)].mean(axis=0) - 0.5) * math.sqrt(12.0 * count)
        worst = int(np.abs(off).argmax())
        if abs(off[worst]) > max(CLEAR, best[0] if best else 0.0):
            (name,) = column.element_names(free[worst : worst + 1])
            best = abs(float(off[worst])), name, "small" if off[worst] < 0 else "large"
    return None if best is None else best[1:]


def advice(graph: FactorGraph | None, place: str) -> str:
    """What to try. place: the element that is small or large where transitions diverged, if one is."""
    steps = "take smaller steps: `infer by nuts(target_accept=0.95)`"
    stated = None if graph is None else graph.fact(LocationScales)
    if graph is None or stated is None:
        return steps
    for s in stated.statements:
        subjects = s.subject.variables - graph.offsets.keys()
        if place.partition("[")[0] in s.scale.variables and subjects:
            name = ", ".join(sorted(subjects))
            return (
                f"`{name}` is held to its location by a scale that comes near 0: write it by offsets "
                f"(location + scale * z with z ~ Normal(0, 1)), or {steps}"
            )
    return steps


def walls_met(run: StoredDraws) -> float:
    """The share of transitions that ended at a wall of hard constraints."""
    each = [float(v.mean()) for name, v in run.statistics.items() if name.startswith("at_wall")]
    return max(each, default=0.0)


def on_walls(run: StoredDraws) -> str:
    """What to try where trajectories often end at walls; nothing where they do not."""
    share = walls_met(run)
    if share < MANY_AT_WALLS:
        return ""
    return (
        f"{100 * share:.0f} % of transitions ended at a wall of hard constraints, where trajectories are turned down: "
        "try --method smc, or mh"
    )
