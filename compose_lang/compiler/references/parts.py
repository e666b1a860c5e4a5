"""Which groups of a program are drawn together, and how: Gaussians first, then densities in order, then boxes.

In: a factor graph. Out: its `ReferenceParts`, or None where some free variable is drawn by nothing. An element has
one part. A density whose inputs are no constants of a Gaussian (a scale that is a variable) draws its elements itself,
and what else is Gaussian in them stays outside; elsewhere all energies of degree two are joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, once
from compose_lang.compiler.references.boxes import Box, box_of
from compose_lang.compiler.references.choices import ChoiceScope, choice_scope_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Scope, scope_of
from compose_lang.compiler.references.gaussian import Gaussian, gaussian_of
from compose_lang.compiler.references.quadratic import Bound, quadratic_of, read_by
from compose_lang.compiler.references.statements import Statement, in_order, statements_of

MOST_LEFT_OUT = 8  #: groups of which one at a time is tried to be left out
WIDTH_DRAWS = 400  #: draws that widths are compared by


@dataclass(frozen=True, eq=False)
class BoundedElements:
    """Sites by number, and what each lies above or below."""

    numbers: np.ndarray
    edges: np.ndarray
    is_lower: bool


@dataclass(frozen=True, eq=False)
class QuadraticGroup:
    """A group whose energy is of degree two, and what it reads."""

    group: FactorGroup
    scopes: tuple[Scope, ...]
    mixtures: tuple[ChoiceScope, ...]
    bounds: tuple[BoundedElements, ...]
    reads: np.ndarray  #: the numbers of all sites that it reads


@dataclass(frozen=True, eq=False)
class ReferenceParts:
    """What a program's reference is made of: the parts, and the groups that they are the densities of."""

    elements: Elements
    gaussians: tuple[Gaussian, ...]
    statements: tuple[Statement, ...]
    boxes: tuple[Box, ...]
    groups: tuple[FactorGroup, ...]

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
    statements = [s for s in statements_of(graph, elements) if s.place not in without]
    reserved = frozenset(s.place for s in statements if s.inputs)
    while True:
        left, apart = split(elements, quadratics, statements, reserved)
        found = gaussians_of(elements, left)
        better = frozenset(s.place for s in statements if s.place not in reserved and is_better(s, found))
        if not better:
            break
        reserved |= better
    parts = assembled(graph, elements, found, apart_first(statements, apart))
    if parts is None:  # what a Gaussian took of a statement's elements may have left the others to nothing
        left, apart = split(elements, quadratics, statements, None)
        parts = assembled(graph, elements, gaussians_of(elements, left), apart)
    return parts


def gaussians_of(
    elements: Elements, quadratics: Sequence[QuadraticGroup]
) -> list[tuple[Gaussian, tuple[FactorGroup, ...]]]:
    """A Gaussian for each component of the groups that has one, and the groups that it is made of."""
    low, high = elements.bounds()
    found = []
    for component in connected(elements, quadratics):
        for groups in candidates(component):
            gaussian = gaussian_within(elements, groups, low, high)
            if gaussian is not None:
                found.append((gaussian, tuple(g.group for g in groups)))
                break
    return found


def is_better(s: Statement, found: Sequence[tuple[Gaussian, tuple[FactorGroup, ...]]]) -> bool:
    """Whether elements are better drawn by their statement than by a Gaussian that leaves it out.

    They are where the Gaussian has but some of them, or is wider, and is no mixture, whose parts would be lost.
    """
    for gaussian, groups in found:
        shared = np.isin(s.numbers, gaussian.numbers)
        if not shared.any() or any(g is h for g in s.groups for h in groups):
            continue
        if not shared.all():
            return True
        if any(len(b.means) > 1 and np.isin(b.numbers, s.numbers).any() for b in gaussian.blocks):
            continue
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
    found: Sequence[tuple[Gaussian, tuple[FactorGroup, ...]]],
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
            if (box := box_of(v, sites)) is None:
                return None
            boxes.append(box)
    ids = {id(g) for _, groups in found for g in groups} | {id(g) for s in chosen for g in s.groups}
    drawn = tuple(g for g in graph.groups if id(g) in ids)
    return ReferenceParts(elements, tuple(g for g, _ in found), tuple(chosen), tuple(boxes), drawn)


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


def quadratic_groups(graph: FactorGraph, elements: Elements) -> list[QuadraticGroup]:
    reals = frozenset(
        v.name
        for v in elements.variables.values()
        if v.type.domain.kind == "real" and v.lower is None and v.upper is None
    )
    found = []
    for group in graph.groups:
        quadratic = quadratic_of(group, reals)
        if quadratic is None:
            continue
        scopes = tuple(filter(None, (scope_of(elements, term) for term in quadratic.terms)))
        mixtures = tuple(filter(None, (choice_scope_of(elements, m) for m in quadratic.mixtures)))
        if (len(scopes), len(mixtures)) != (len(quadratic.terms), len(quadratic.mixtures)):
            continue
        bounds = [bounded(elements, b) for b in quadratic.bounds]
        held = tuple(b for b in bounds if b is not None)
        if len(held) < len(bounds):
            continue
        read = [
            np.zeros(0, int),
            *(s.reads.ravel() for s in (*scopes, *(m.scope for m in mixtures))),
            *(b.numbers for b in held),
        ]
        reads = np.unique(np.concatenate(read))
        found.append(QuadraticGroup(group, scopes, mixtures, held, reads[reads >= 0]))
    return found


def split(
    elements: Elements,
    quadratics: Sequence[QuadraticGroup],
    statements: Sequence[Statement],
    reserved: frozenset[int] | None,
) -> tuple[list[QuadraticGroup], list[Statement]]:
    """Groups for Gaussians, and the statements that draw other elements: no element is touched by both.

    reserved: statements, by place, that draw their elements themselves unless another does that a Gaussian can absorb;
    None: all draw theirs themselves.
    """
    joined = {id(q.group) for q in quadratics}
    is_joined = {s.place: all(id(g) in joined for g in s.groups) for s in statements}
    if reserved is None:
        is_joined = dict.fromkeys(is_joined, False)
    claimed = np.zeros(elements.count, dtype=bool)
    for s in statements:
        if is_joined[s.place]:
            claimed[s.numbers] = True
    apart: list[Statement] = []
    for s in statements:
        if (
            (reserved is None or s.place in reserved)
            and not is_joined[s.place]
            and not claimed[s.numbers].any()
        ):
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


def connected(elements: Elements, quadratics: Sequence[QuadraticGroup]) -> list[list[QuadraticGroup]]:
    """Groups by connected components: groups that read a site in common are in one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(quadratics)
    rows = np.concatenate([np.zeros(0, int), *(np.full(len(q.reads), k) for k, q in enumerate(quadratics))])
    columns = np.concatenate([np.zeros(0, int), *(q.reads for q in quadratics)])
    whole = count + elements.count
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns + count)), shape=(whole, whole))
    labels = connected_components(graph, directed=False)[1][:count]
    return [[q for q, of in zip(quadratics, labels, strict=True) if of == k] for k in dict.fromkeys(labels)]


def candidates(groups: Sequence[QuadraticGroup]) -> Iterator[list[QuadraticGroup]]:
    """Sets of groups to make a Gaussian of: all, without the widest mixtures, all but one, statements alone."""
    yield list(groups)
    kept = list(groups)
    for widest in sorted((g for g in groups if g.mixtures), key=parts_in, reverse=True):
        kept = [g for g in kept if g is not widest]
        if kept:
            yield list(kept)
    if 1 < len(groups) <= MOST_LEFT_OUT:
        for k in reversed(range(len(groups))):
            yield [g for j, g in enumerate(groups) if j != k]
    stated = [g for g in groups if g.group.statement is not None]
    if 0 < len(stated) < len(groups) - 1:
        yield stated


def parts_in(group: QuadraticGroup) -> int:
    """How many parts the mixtures of a group have, at the most."""
    return max(m.places.shape[1] for m in group.mixtures)


def gaussian_within(
    elements: Elements, groups: Sequence[QuadraticGroup], low: np.ndarray, high: np.ndarray
) -> Gaussian | None:
    """The Gaussian of some groups, within the types and what their own conditions bound."""
    low, high = low.copy(), high.copy()
    for bound in (b for g in groups for b in g.bounds):
        if bound.is_lower:
            np.maximum.at(low, bound.numbers, bound.edges)
        else:
            np.minimum.at(high, bound.numbers, bound.edges)
    scopes, mixtures = [s for g in groups for s in g.scopes], [m for g in groups for m in g.mixtures]
    gaussian = gaussian_of(elements, scopes, mixtures, low, high)
    if gaussian is None or not all(
        np.isin(b.numbers, gaussian.numbers).all() for g in groups for b in g.bounds
    ):
        return None
    return gaussian


def bounded(elements: Elements, bound: Bound) -> BoundedElements | None:
    """A bound as numbers of sites; None where it is not of single elements, each with a number for its edge."""
    edge, subject = bound.edge, bound.subject
    read = read_by(subject, elements.all_numbers(subject.variables))
    assert edge.value is not None
    if read is None or read.shape[1] != 1 or set(edge.axes) - set(subject.axes):
        return None
    sizes = (*(a.size for a in subject.axes), *subject.shape)
    if len(edge.shape) > len(subject.shape):
        return None
    axes = [a.size if a in edge.axes else 1 for a in subject.axes]
    pad = [1] * (len(subject.shape) - len(edge.shape))
    value = edge.value.astype(float).reshape((*axes, *pad, *edge.shape))
    if any(n not in (1, m) for n, m in zip(value.shape, sizes, strict=True)):
        return None
    numbers, edges = read[:, 0], np.broadcast_to(value, sizes).reshape(-1)
    # a bound on what is observed holds or the program is impossible, which its energy says
    return BoundedElements(numbers[numbers >= 0], edges[numbers >= 0], bound.is_lower)
