"""Which groups of a program are drawn together, and how: Gaussians first, then densities in order, then boxes.

In: a factor graph. Out: its `ReferenceParts`, or None where some free variable is drawn by nothing. An element has
one part. A density whose inputs are no constants of a Gaussian (a scale that is a variable) draws its elements itself,
and what else is Gaussian in them stays outside; elsewhere all energies of degree two are joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, once
from compose_lang.compiler.references.blocks import Gaussian
from compose_lang.compiler.references.boxes import Box, box_of, in_pieces
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.joined import (
    Joined,
    Limits,
    QuadraticGroup,
    gaussians_of,
    limits_of,
    quadratic_groups,
)
from compose_lang.compiler.references.pieces import pieces_of
from compose_lang.compiler.references.statements import Statement, in_order, statements_of

WIDTH_DRAWS = 400  #: draws that widths are compared by


@dataclass(frozen=True, eq=False)
class ReferenceParts:
    """What a program's reference is made of: the parts, and the groups that they are the densities of."""

    elements: Elements
    gaussians: tuple[Gaussian, ...]
    statements: tuple[Statement, ...]
    boxes: tuple[Box, ...]
    groups: tuple[FactorGroup, ...]
    limits: Limits
    constant: float  #: the energy of the groups that say no more than the limits

    @property
    def log_z(self) -> float:
        """The log of the integral of the groups, before any whole draw is refused."""
        return sum(g.log_z for g in self.gaussians) + sum(b.log_volume for b in self.boxes) - self.constant

    @property
    def log_z_error(self) -> float:
        return math.sqrt(sum(g.log_z_error**2 for g in self.gaussians))

    def log_z_from(self, rng: np.random.Generator) -> float:
        """`log_z` as other draws estimate it."""
        return self.log_z + sum(g.log_share(rng)[0] - g.log_cut for g in self.gaussians)

    @property
    def work(self) -> int:
        """How many numbers it takes to draw all variables once."""
        products = sum(len(b.numbers) ** 2 for g in self.gaussians for b in g.blocks)
        return sum(s.work for s in self.statements) + products // 8 + 4 * self.elements.count

    @property
    def description(self) -> str:
        """What is drawn how, in words."""
        drawn: dict[str, str] = {}
        words = []
        for what, numbers in self.by_kind():
            names = [
                name
                for name in self.elements.variables
                if len(np.intersect1d(numbers, np.arange(self.elements.count)[self.elements.owner(name)]))
                and drawn.setdefault(name, what) == what
            ]
            if names:
                words.append(f"{', '.join(names)} {what}")
        return "; ".join(words)

    def by_kind(self) -> Iterator[tuple[str, np.ndarray]]:
        """Words, and the numbers of the sites that they are true of."""
        none = np.zeros(0, dtype=int)
        blocks = [b for g in self.gaussians for b in g.blocks]
        plain = [b.numbers for b in blocks if len(b.means) == 1]
        yield "as a Gaussian", np.concatenate([none, *(g.singles.numbers for g in self.gaussians), *plain])
        yield (
            "as a mixture of Gaussians",
            np.concatenate([none, *(b.numbers for b in blocks if len(b.means) > 1)]),
        )
        yield "from its density", np.concatenate([none, *(s.numbers for s in self.statements)])
        boxes = [b.sites + self.elements.first[b.variable.name] for b in self.boxes]
        yield "uniformly", np.concatenate([none, *boxes])


@once
def reference_parts(graph: FactorGraph, without: frozenset[int] = frozenset()) -> ReferenceParts | None:
    """What of a program can be drawn exactly, together; without: statements, by place, not to be drawn in order."""
    elements = Elements.of(graph)
    quadratics = quadratic_groups(graph, elements)
    limits = limits_of(elements, quadratics)
    flat = {id(g) for g, _ in limits.groups}
    quadratics = [q for q in quadratics if id(q.group) not in flat]
    statements = [
        s
        for s in statements_of(graph, elements)
        if s.place not in without and not all(id(g) in flat for g in s.groups)
    ]
    preferred: frozenset[int] = frozenset()
    while True:
        left, apart = split(elements, quadratics, statements, preferred)
        found = gaussians_of(elements, left, limits)
        better = frozenset(s.place for s in statements if s.place not in preferred and is_better(s, found))
        if not better:
            break
        preferred |= better
    parts = assembled(graph, elements, limits, found, apart_first(statements, apart))
    if parts is None:  # what a Gaussian took of a statement's elements may have left the others to nothing
        left, apart = split(elements, quadratics, statements, frozenset(s.place for s in statements))
        parts = assembled(graph, elements, limits, gaussians_of(elements, left, limits), apart)
    return parts


def is_better(s: Statement, found: Sequence[Joined]) -> bool:
    """Whether elements are better drawn by their statement than by a Gaussian that leaves it out.

    They are where the Gaussian has but some of them, or is wider; a mixture is not given up, its parts would be lost.
    """
    for gaussian, groups in found:
        shared = np.isin(s.numbers, gaussian.numbers)
        if not shared.any() or any(g is h for g in s.groups for h in groups):
            continue
        if not shared.all():
            return True
        if any(len(b.means) > 1 and np.isin(b.numbers, s.numbers).any() for b in gaussian.blocks):
            continue
        if s.is_mixture:
            return True
        widths = widths_of(gaussian.numbers, gaussian.draw(WIDTH_DRAWS, np.random.default_rng(3)))
        own = s.spread(WIDTH_DRAWS)
        return own is not None and bool(np.median([own[n] / widths[n] for n in own]) < 1)
    return False


def widths_of(numbers: np.ndarray, draws: np.ndarray) -> dict[int, float]:
    """The interquartile range of each column of draws, by number."""
    low, high = np.quantile(draws, [0.25, 0.75], axis=0)
    return dict(zip(map(int, numbers), high - low, strict=True))


def assembled(
    graph: FactorGraph,
    elements: Elements,
    limits: Limits,
    found: Sequence[Joined],
    statements: Sequence[Statement],
) -> ReferenceParts | None:
    """Gaussians, then statements for what they leave, then boxes; None where something is left to none."""
    taken = np.zeros(elements.count, dtype=bool)
    for gaussian, _ in found:
        taken[gaussian.numbers] = True
    chosen = in_order(untaken(taken, statements), elements.count)
    for s in chosen:
        taken[s.numbers] = True
    boxes = []
    for name, v in elements.variables.items():
        sites = np.flatnonzero(~taken[elements.owner(name)])
        if len(sites):
            numbers = sites + elements.first[name]
            if (box := box_of(v, sites, limits.low[numbers], limits.high[numbers])) is None:
                return None
            boxes.append(box)
        if v.lower is not None or v.upper is not None:
            taken[elements.owner(name)] = True  # no interval of its own
    known = {id(g) for g, _ in limits.groups}
    others = [g for g in graph.groups if id(g) not in known]
    pieces = pieces_of(elements, others, ~taken, limits.low, limits.high)
    boxes = [in_pieces(box, elements.first[box.variable.name], pieces.intervals) for box in boxes]
    absorbed = [*pieces.groups, *(g for _, of in found for g in of), *(g for s in chosen for g in s.groups)]
    ids = {id(g) for g in absorbed}
    constant = sum(energy for g, energy in limits.groups if id(g) not in ids)
    ids |= {id(g) for g, _ in limits.groups}
    drawn = tuple(g for g in graph.groups if id(g) in ids)
    gaussians = tuple(g for g, _ in found)
    return ReferenceParts(elements, gaussians, tuple(chosen), tuple(boxes), drawn, limits, constant)


def untaken(taken: np.ndarray, statements: Sequence[Statement]) -> list[Statement]:
    """The statements that draw nothing that is taken, or that one before draws."""
    taken, left = taken.copy(), []
    for s in statements:
        if not taken[s.numbers].any():
            taken[s.numbers] = True
            left.append(s)
    return left


def apart_first(statements: Sequence[Statement], apart: Sequence[Statement]) -> list[Statement]:
    """Those that were kept apart from Gaussians, then the others, which draw what no Gaussian could."""
    return [*apart, *(s for s in statements if not any(s is a for a in apart))]


def split(
    elements: Elements,
    quadratics: Sequence[QuadraticGroup],
    statements: Sequence[Statement],
    preferred: frozenset[int],
) -> tuple[list[QuadraticGroup], list[Statement]]:
    """Groups for Gaussians, and the statements that draw other elements: no element is touched by both.

    preferred: statements, by place, that draw their elements themselves. So do those whose inputs are variables and
    whose groups no Gaussian can absorb, unless another statement of the same elements is absorbed.
    """
    within = {id(q.group) for q in quadratics}
    claimed = np.zeros(elements.count, dtype=bool)
    apart = []
    for s in statements:
        if s.place in preferred and not claimed[s.numbers].any():
            claimed[s.numbers] = True
            apart.append(s)
    is_joined = {
        s.place: not claimed[s.numbers].any() and all(id(g) in within for g in s.groups) for s in statements
    }
    for s in statements:
        if is_joined[s.place]:
            claimed[s.numbers] = True
    for s in statements:
        if s.inputs and not is_joined[s.place] and not claimed[s.numbers].any():
            claimed[s.numbers] = True
            apart.append(s)
    left = list(quadratics)
    taken = np.zeros(elements.count, dtype=bool)
    while True:
        for s in apart:
            taken[s.numbers] = True
        dropped = {id(q.group) for q in left if taken[q.reads].any()}
        if not dropped:
            return left, apart
        left = [q for q in left if id(q.group) not in dropped]
        for s in statements:
            if is_joined[s.place] and any(id(g) in dropped for g in s.groups):
                is_joined[s.place] = False
                gone = {id(g) for g in s.groups}
                left = [q for q in left if id(q.group) not in gone]
                if not taken[s.numbers].any():
                    apart.append(s)
                    taken[s.numbers] = True
