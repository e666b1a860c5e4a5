"""Factors whose gradient is not a number, or infinite, where chains stand: their trajectories fail at every step.

In: the draws of a run of which most transitions diverged, and its factor graph. Out: a warning that names the factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.views.coordinates import Coordinates

if TYPE_CHECKING:
    from compose_lang.runtime.learned.energy import Learned

MOSTLY = 0.5
"""Transitions that diverged, as a share: fewer leave chains that move, and so gradients that are numbers."""


def undefined_slopes(
    run: StoredDraws, graph: FactorGraph, learned: Learned | None = None
) -> list[Diagnostic]:
    """CG0701, a warning, for each group whose gradient is not finite at the last draw of some chain."""
    diverged = [v.mean() for name, v in run.statistics.items() if name.startswith("diverging") and v.size]
    backend = load_backend(run.manifest.settings["backend"])
    free = [v for v in graph.variables if v.free_sites]
    columns = {column.name: column for column in run.columns}
    names = tuple(v.name for v in free if not v.is_discrete)
    if (
        max(diverged, default=0.0) < MOSTLY
        or not backend.has_gradient
        or any(v.name not in columns for v in free)
    ):
        return []
    with backend.scope():
        density = Density(graph, backend, learned)
        position = density.position_of({v.name: run.values(columns[v.name])[:, -1] for v in free})
        block = Coordinates(density, names)
        groups = [g for g in graph.groups if g.variables & set(names)]

        def slopes(u: Array) -> list[Array]:
            def energy_of(group: Any) -> Any:
                return lambda w: density.energy_of(block.unravel(position, w), [group], ())

            return [backend.value_and_grad(energy_of(g))(u)[1] for g in groups]

        run_all = backend.compile(slopes) if backend.compiles_whole else slopes
        found = [np.asarray(backend.to_numpy(x)) for x in run_all(block.ravel(position))]
    help = (
        "a sqrt at 0, a norm of nothing, or a branch that is no number though it is not taken: write it so that it is "
        "smooth there, or take a method without gradients (mh)"
    )
    return [
        Diagnostic(
            "CG0701",
            f"the gradient is not a number where chains stand, so they do not move: `{shortened(g.span.text)}`",
            g.span,
            severity="warning",
            help=help,
        )
        for g, x in zip(groups, found, strict=True)
        if not np.isfinite(x).all()
    ]


def shortened(text: str, most: int = 60) -> str:
    """A statement in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 2] + " …"
