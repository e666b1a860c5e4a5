"""The least that energies can be, whatever the variables: what a rejection sampler must know of them.

In: groups, and limits of the variables. Out: a number that the energy of all instances is surely not below, by
interval arithmetic over the terms that it is the sum of; minus infinity where that does not tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.intervals import ANYTHING, TRUTH
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import Range, op_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.quadratic import size, summands


def floor_of(group: FactorGroup, variables: Mapping[str, Range]) -> float:
    """What a group's energy is surely not below."""
    energy = group.energy
    if energy.op == "where" and energy.args[2].value is not None and (energy.args[2].value == np.inf).all():
        energy = energy.args[1]
    repeats = math.prod(a.size for a in group.axes if a not in energy.axes)
    terms = list(summands(energy, float(repeats)))
    ranges = ranges_of([t.node for t in terms], variables)
    floor = 0.0
    for t in terms:
        if t.node.value is not None:
            whole = np.broadcast_to(t.node.value, (*(a.size for a in t.node.axes), *t.node.shape))
            floor += t.weight * float(whole.sum())
            continue
        low, high = ranges[id(t.node)]
        least = t.weight * (low if t.weight > 0 else high) * size(t.node)
        floor += least if not math.isnan(least) else -math.inf
    return floor


def ranges_of(roots: Sequence[Node], variables: Mapping[str, Range]) -> dict[int, Range]:
    """The least and the greatest value of each node below roots, by its id, given those of variables."""
    ranges: dict[int, Range] = {}
    for n in postorder(roots):
        bounds = op_of(n).bounds
        if n.value is not None:
            ranges[id(n)] = (float(n.value.min()), float(n.value.max())) if n.value.size else ANYTHING
        elif n.op == "var":
            ranges[id(n)] = variables.get(n.attrs[0], ANYTHING)
        elif bounds is None or not n.args:
            ranges[id(n)] = TRUTH if n.dtype == "bool" else ANYTHING
        else:
            ranges[id(n)] = bounds(n, [ranges[id(a)] for a in n.args])
    return ranges


def variable_ranges(elements: Elements, low: np.ndarray, high: np.ndarray) -> dict[str, Range]:
    """The limits of each variable, those that are observed in part included."""
    found = {}
    for name, v in elements.variables.items():
        own = elements.owner(name)
        values = v.observed[~v.free].astype(float).ravel()
        found[name] = (
            float(min(low[own].min(), values.min(initial=np.inf))),
            float(max(high[own].max(), values.max(initial=-np.inf))),
        )
    return found
