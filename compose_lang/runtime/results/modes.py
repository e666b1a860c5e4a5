"""Whether chains sit in parts of the distribution that none of them leaves.

In: the draws of one element, a row a chain. Out: the groups of chains whose draws do not overlap, in words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.results.draws import StoredDraws

MASS = 0.98
"""The central share of a chain's draws that makes its interval."""
MOST_CHAINS = 6


def groups_apart(values: NDArray[np.float64]) -> list[list[int]]:
    """Chains (numbers) by parts of the line that they share, from the lowest, for draws (chains, draws)."""
    low, high = np.quantile(values, [(1 - MASS) / 2, (1 + MASS) / 2], axis=1)
    groups: list[list[int]] = []
    reach = -np.inf
    for chain in np.argsort(low).tolist():
        if low[chain] > reach:
            groups.append([])
        groups[-1].append(chain)
        reach = max(reach, high[chain])
    return [sorted(group) for group in groups]


def apart(run: StoredDraws, names: Sequence[str]) -> str:
    """Of the first of some elements whose chains lie apart: which chains lie where; nothing where none does."""
    wanted = {name.partition("[")[0] for name in names}
    for column in run.columns:
        if column.name not in wanted or column.type.domain.is_discrete or column.type.domain.kind == "angle":
            continue
        values = run.values(column).reshape((run.chains, run.draws, column.size))[:, :, column.free]
        for place, name in enumerate(column.element_names(column.free)):
            if name not in names or not np.ptp(values[:, :, place], axis=1).all():
                continue  # a chain that does not move is told otherwise
            groups = groups_apart(values[:, :, place])
            if len(groups) > 1:
                parts = (f"{np.median(values[g][:, :, place]):.3g} in {chains(g)}" for g in groups)
                return f"`{name}` is around {', '.join(parts)}"
    return ""


def chains(numbers: Sequence[int]) -> str:
    """`chain 2`, `chains 0, 3`, `chains 0, 1, 2, … (9)`"""
    if len(numbers) == 1:
        return f"chain {numbers[0]}"
    shown = ", ".join(map(str, numbers[:MOST_CHAINS]))
    return f"chains {shown}" + (f", … ({len(numbers)})" if len(numbers) > MOST_CHAINS else "")
