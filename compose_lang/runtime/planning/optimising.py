"""How the best point of a program is sought: by the kernels of its plan, annealed, then by descent; or by elimination.

Before: `methods`. After: `plan`, and `runtime/chains/optimise.py`, which runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compose_lang.compiler.graph.factor_graph import FactorGraph, Request
from compose_lang.runtime.kernels.common.method import Method
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.tempering import require_shares

METHOD = Method(
    name="map",
    summary="seeks the best point, by the kernels of the plan and by descent",
    serves=frozenset({"continuous", "finite", "counts", "permutation"}),
)


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
            return Block(
                self.variables, METHOD.name, exact=True, why="by elimination: no point has less energy"
            )
        ways = ["annealed by the kernels above as the energy's share rises"]
        if self.has_finite:
            ways.append("then greedily, site by site")
        if self.has_continuous:
            ways.append("then L-BFGS over the coordinates, without their Jacobian")
        why = f"{'; '.join(ways)}: the point of least energy that was found, which is no draw"
        return Block(self.variables, METHOD.name, why=why)


def optimising(
    graph: FactorGraph, chosen: Mapping[str, Request]
) -> tuple[Optimising | None, dict[str, Request]]:
    """How the best point is sought, if it is asked for, and the requests that are left for what moves the chains."""
    asked = [r for r in chosen.values() if r.method == METHOD.name]
    rest = {name: r for name, r in chosen.items() if r.method != METHOD.name}
    if not asked:
        return None, rest
    require_shares(rest, METHOD.name)
    free = [v for v in graph.variables if v.free_sites]
    found = Optimising(
        tuple(v.name for v in free), any(v.is_discrete for v in free), any(not v.is_discrete for v in free)
    )
    return found, rest
