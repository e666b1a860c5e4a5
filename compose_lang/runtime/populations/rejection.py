"""The factors that a reference leaves out, where its draws can be accepted or refused by them: the program's own draws.

A draw of the reference is kept with probability exp(floor - E), E being the energy of the other factors and `floor` a
number that it is never below: the draws that are kept are exact and independent (von Neumann 1951). In: a graph,
and what of it is drawn. Out: `Rest`, with the weight of each draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.references.elements import Values
from compose_lang.compiler.references.floors import floor_of, variable_ranges
from compose_lang.compiler.references.parts import ReferenceParts
from compose_lang.compiler.references.quadratic import work
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.backends import load_backend

MOST_ELEMENTS = 20_000  #: of the expressions that weigh a draw
ROUNDING = 1e-6  #: nats below its floor that an energy may come out


@dataclass(frozen=True, eq=False)
class Rest:
    """The groups that a reference leaves out, walls first. elements: how many numbers it takes to weigh a draw."""

    groups: tuple[FactorGroup, ...]
    floors: tuple[float, ...]
    elements: int

    def log_weights(self, leaves: Mapping[str, int], values: Values) -> NDArray[np.float64]:
        """floor - E (count,) at values of the variables, whose leaves have these ids; NaN where E is no number."""
        backend = load_backend("numpy")
        count = len(next(iter(values.values())))
        log_weights, left = np.zeros(count), np.arange(count)
        for group, floor in zip(self.groups, self.floors, strict=True):
            bindings = {key: values[name][left] for name, key in leaves.items()}
            energy = energy_of(group, bindings, backend)
            if (energy < floor - ROUNDING * (1 + abs(floor))).any():
                raise InternalError(f"the energy of {group.label} is below {floor}")
            log_weights[left] += floor - energy
            left = left[np.isfinite(log_weights[left])]
            if not len(left):
                break
        return log_weights


def energy_of(group: FactorGroup, bindings: dict[int, Any], backend: Any) -> NDArray[np.float64]:
    """A group's energy at values, (count or 1,)."""
    with np.errstate(all="ignore"):
        (energy,) = interpret(backend, [group.energy], bindings)
    repeats = group.instances / math.prod(a.size for a in group.energy.axes)
    total: NDArray[np.float64] = repeats * np.asarray(energy, dtype=float).reshape((len(energy), -1)).sum(
        axis=1
    )
    return total


def rest_of(graph: FactorGraph, parts: ReferenceParts) -> Rest | None:
    """What the parts leave of a graph; None where that is unbounded, learned, or takes too much to weigh a draw."""
    drawn = {id(g) for g in parts.groups}
    left = [g for g in graph.groups if id(g) not in drawn]
    below = postorder([g.energy for g in left])
    elements = work(g.energy for g in left)
    is_own = all(n.op == "var" or n.args or n.is_const for n in below)
    if elements > MOST_ELEMENTS or not is_own or any(op_of(n).learned for n in below):
        return None
    ranges = variable_ranges(parts.elements, parts.limits.low, parts.limits.high)
    floors = {id(g): floor_of(g, ranges) for g in left}
    if not all(math.isfinite(f) for f in floors.values()):
        return None
    left.sort(key=lambda g: g.kind != "require")
    return Rest(tuple(left), tuple(floors[id(g)] for g in left), elements)
