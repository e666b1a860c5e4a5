"""What a search for the best point has found, for the screen and for the run's document.

In: the draws of a run by `map`, in which each chain has one draw, the point it came to. Out: the best of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.runtime.planning.optimising import METHOD as MAP
from compose_lang.runtime.results.draws import StoredDraws

if TYPE_CHECKING:
    from rich.console import Group

SAME = 1e-6  #: energies that are as near, in their size, are of points that are as good


def is_search(run: StoredDraws) -> bool:
    """Whether a run looked for a best point, so that its draws are none."""
    return any(block["kernel"] == MAP.name for block in run.manifest.plan)


def optimum(run: StoredDraws) -> dict[str, Any] | None:
    """The best point: its `energy` in nats, minus the log of its weight; `values` by name; `energies` of all chains."""
    if not is_search(run) or not run.draws:
        return None
    energies = run.statistics["energy"][:, -1]
    best = int(energies.argmin())
    values = {column.name: run.values(column)[best, -1].tolist() for column in run.columns}
    return {"energy": float(energies[best]), "values": values, "energies": energies.tolist()}


def table(run: StoredDraws, best: Mapping[str, Any], most: int | None) -> Group:
    """The best point as a table for the screen, at most so many rows, with how many chains came to it."""
    from rich.console import Group
    from rich.table import Table

    energies = np.array(best["energies"])
    reached = int((energies - best["energy"] <= SAME * (1.0 + abs(best["energy"]))).sum())
    rows = [
        (name, value)
        for column in sorted(run.columns, key=lambda column: column.is_let)
        for name, value in zip(
            column.element_names(column.free),
            np.asarray(best["values"][column.name]).reshape(-1)[column.free],
            strict=True,
        )
    ]
    hidden = 0 if most is None else max(0, len(rows) - most)
    note = (
        f"the best point found, of energy {best['energy']:.6g} nats, to which {reached} of {len(energies)} chains "
        "came; not a draw, and no proof that there is no better"
    )
    if all(block["exact"] for block in run.manifest.plan):
        note = f"the best point, of energy {best['energy']:.6g} nats, by elimination; not a draw"
    note += f"\n{hidden} more rows: --all shows them" if hidden else ""
    result = Table(box=None, pad_edge=False, collapse_padding=True)
    result.add_column("", no_wrap=True)
    result.add_column("value", justify="right", no_wrap=True)
    for name, value in rows[: len(rows) - hidden]:
        result.add_row(name, shown(value))
    return Group(result, note)


def shown(value: Any) -> str:
    """A number of a point."""
    if isinstance(value, np.bool_ | bool):
        return str(bool(value)).lower()
    return f"{value:.6g}" if math.isfinite(value) else str(value)
