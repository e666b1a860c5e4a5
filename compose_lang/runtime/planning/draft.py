"""A plan in the making: what planners, one after another, take variables out of and put blocks into.

Before: requests that are checked. After: `plan`, which puts the blocks in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.levels import Annealing
from compose_lang.runtime.planning.optimising import Optimising
from compose_lang.runtime.planning.populations import Populations
from compose_lang.runtime.planning.tempering import Tempering


@dataclass
class Draft:
    """The variables that are left to plan, what is asked for them, and the blocks of those that are planned.

    exactly: whether finite variables may be drawn exactly, or summed out, unasked. not_exact: why some are not.
    """

    graph: FactorGraph
    backend: str
    left: list[Variable]
    requests: dict[str, Request]
    exactly: bool
    annealing: Annealing | None = None  #: how levels of noise are walked
    populations: Populations | None = None  #: how they walk from a reference
    tempering: Tempering | None = None  #: the shares of the energy that replicas are at
    optimising: Optimising | None = None  #: how the best point is sought
    parts: list[Request] = field(default_factory=list)  #: what is asked for parts of variables
    moved: dict[str, set[int]] = field(default_factory=dict)  #: free sites of variables that parts have taken
    walking: list[Block] = field(default_factory=list)  #: along levels of noise, or from a reference
    exact: list[Block] = field(default_factory=list)
    local: list[Block] = field(default_factory=list)  #: of discrete variables and of proposals
    continuous: list[Block] = field(default_factory=list)
    not_exact: dict[str, str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether all is drawn at the full energy, and nothing along levels of noise."""
        return (
            self.annealing is None
            and self.populations is None
            and self.tempering is None
            and self.optimising is None
        )

    def take(self, names: Iterable[str]) -> None:
        """Leave variables out of those to plan."""
        taken = frozenset(names)
        self.left = [v for v in self.left if v.name not in taken]
