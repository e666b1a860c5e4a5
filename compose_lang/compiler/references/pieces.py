"""Conditions on single elements: the intervals that they leave of each.

In: conditions whose comparisons are affine in one element each, joined in any way. Out: where the sides of comparisons
meet, and the intervals between such places in which all conditions hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import elements_of
from compose_lang.compiler.references.quadratic import degrees_of, read_by

MOST_PIECES = 64
MOST_INSTANCES = 20_000


@dataclass(frozen=True, eq=False)
class Roots:
    """Where the sides of a comparison are equal: an element each, -1 for none, and the slope of left less right."""

    numbers: np.ndarray
    edges: np.ndarray
    slopes: np.ndarray


def roots_of(elements: Elements, left: Node, right: Node) -> Roots | None:
    """Where left and right are equal; None where that is not affine in one element for each of theirs."""
    away = node("sub", left, right)
    degrees, names = degrees_of([away]), sorted(away.variables)
    if degrees[id(away)] > 1 or any(name not in elements.variables for name in names):
        return None
    read = read_by(away, elements.all_numbers(names))
    if read is None or read.shape[1] != 1:
        return None
    at_zero, at_one = elements_of(away, elements, names, np.array([[0.0], [1.0]]) * np.ones(elements.count))
    is_plain = right.is_const and all(op_of(n).selects for n in postorder([left]) if n.args)
    slopes = np.ones(len(read)) if is_plain else np.where(read[:, 0] >= 0, at_one - at_zero, 1.0)
    return None if (slopes == 0).any() else Roots(read[:, 0], -at_zero / slopes, slopes)


@dataclass(frozen=True, eq=False)
class Pieces:
    """The intervals (m, 2) that conditions leave of elements, by number, and the groups that state them."""

    intervals: Mapping[int, np.ndarray]
    groups: tuple[FactorGroup, ...]


def pieces_of(
    elements: Elements, groups: Sequence[FactorGroup], within: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Pieces:
    """What conditions on single elements leave of those `within` (count,), each between `low` and `high`."""
    stated = []
    for g in groups:
        read = elements_read(elements, g)
        if read is not None and within[read].all():
            found = [roots_of(elements, *c.args) for c in comparisons(g.energy.args[0])]
            known = [r for r in found if r is not None]
            if len(known) == len(found):
                stated.append((g, read, known))
    edges: dict[int, set[float]] = {}
    for _, read, roots in stated:
        for number in np.unique(read):
            edges.setdefault(int(number), {low[number], high[number]})
        for r in roots:
            for number, edge in zip(r.numbers, r.edges, strict=True):
                if number >= 0 and low[number] < edge < high[number]:
                    edges[int(number)].add(float(edge))
    if not edges or max(map(len, edges.values())) > MOST_PIECES:
        return Pieces({}, ())
    ends = {number: np.sort(list(of)) for number, of in edges.items()}
    holds = {number: np.ones(len(of) - 1, dtype=bool) for number, of in ends.items()}
    points = np.zeros((max(len(of) for of in ends.values()) - 1, elements.count))
    for number, of in ends.items():
        points[: len(of) - 1, number] = 0.5 * (of[1:] + of[:-1])
    for g, read, _ in stated:
        true = elements_of(g.energy.args[0], elements, sorted(g.variables), points)
        for number, column in zip(read, true.T, strict=True):
            holds[int(number)] &= column[: len(holds[int(number)])].astype(bool)
    left = {n: np.stack([ends[n][:-1], ends[n][1:]], axis=1)[holds[n]] for n in ends}
    if any(not len(intervals) for intervals in left.values()):
        return Pieces({}, ())  # where no room is left, the search for a start says so
    return Pieces(left, tuple(g for g, _, _ in stated))


def comparisons(condition: Node) -> list[Node]:
    """The comparisons below a condition that read variables."""
    return [n for n in postorder([condition]) if op_of(n).comparison is not None and not n.is_const]


def elements_read(elements: Elements, group: FactorGroup) -> np.ndarray | None:
    """The element that each instance of a plain constraint reads; None where they are more, or it does more."""
    energy = group.energy
    if (
        energy.op != "where"
        or energy.args[0].is_const
        or not all(a.is_static_scalar for a in energy.args[1:])
    ):
        return None
    if (energy.args[1].item(), energy.args[2].item()) != (0.0, np.inf):
        return None
    names = sorted(group.variables)
    if any(n not in elements.variables or elements.variables[n].type.domain.kind != "real" for n in names):
        return None
    compared = {id(a) for c in comparisons(energy.args[0]) for a in c.args}
    numbers = [
        n for n in postorder([energy.args[0]], inside=lambda n: id(n) not in compared) if n.dtype != "bool"
    ]
    if any(id(n) not in compared and not n.is_const for n in numbers):
        return None
    read = read_by(energy.args[0], elements.all_numbers(names))
    if read is None or not read.shape[1]:
        return None
    most = read.max(axis=1)
    return most if (most >= 0).all() and ((read == most[:, None]) | (read < 0)).all() else None
