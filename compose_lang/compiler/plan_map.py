"""How a program's best point is looked for, where `map` asks for it.

Before: `methods`. After: `plan`, and `runtime/optimising.py`, which looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compose_lang.compiler.block import Block
from compose_lang.compiler.context import fail
from compose_lang.compiler.graph import FactorGraph, Request
from compose_lang.compiler.methods import FULL_ENERGY, MAP


@dataclass(frozen=True)
class Optimising:
    """Which variables are sought a best point of: all that are free.

    is_exact: whether elimination finds it, as for exact draws, so that there is no better one.
    """

    variables: tuple[str, ...]
    has_finite: bool
    has_continuous: bool
    is_exact: bool = False

    @property
    def block(self) -> Block:
        """How the plan tells of it."""
        if self.is_exact:
            return Block(self.variables, MAP, exact=True, why="by elimination: no point has less energy")
        ways = ["annealed by the kernels above as the energy's share rises"]
        if self.has_finite:
            ways.append("then greedily, site by site")
        if self.has_continuous:
            ways.append("then L-BFGS over the coordinates, without their Jacobian")
        why = f"{'; '.join(ways)}: the point of least energy that was found, which is no draw"
        return Block(self.variables, MAP, why=why)


def optimising(
    graph: FactorGraph, chosen: Mapping[str, Request]
) -> tuple[Optimising | None, dict[str, Request]]:
    """How the best point is sought, if it is asked for, and the requests that are left for what moves the chains."""
    asked = [r for r in chosen.values() if r.method == MAP]
    rest = {name: r for name, r in chosen.items() if r.method != MAP}
    if not asked:
        return None, rest
    for r in rest.values():
        if r.method in FULL_ENERGY:
            text = f"`{r.method}` does not run at shares of the energy"
            fail(
                "CG0601", text, r.span, help=f"{FULL_ENERGY[r.method]} does, and needs no `infer` beside map"
            )
    free = [v for v in graph.variables if v.free_sites]
    found = Optimising(
        tuple(v.name for v in free), any(v.is_discrete for v in free), any(not v.is_discrete for v in free)
    )
    return found, rest
