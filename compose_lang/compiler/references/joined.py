"""Which groups are Gaussians together: energies of degree two, choices among such, and bounds on single elements.

In: a factor graph. Out: its `QuadraticGroup`s; the limits of each element, by its type and by groups that say no more
than that; and a Gaussian for each connected component of groups that has one. After: `parts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.references.blocks import Gaussian
from compose_lang.compiler.references.choices import ChoiceScope, choice_scope_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Scope, elements_of, scope_of
from compose_lang.compiler.references.gaussian import gaussian_of
from compose_lang.compiler.references.pieces import roots_of
from compose_lang.compiler.references.quadratic import Bound, quadratic_of

MOST_LEFT_OUT = 8  #: groups of which one at a time is tried to be left out

Joined = tuple[Gaussian, tuple[FactorGroup, ...]]
"""A Gaussian, and the groups that it is made of."""


@dataclass(frozen=True, eq=False)
class BoundedElements:
    """Sites by number, and what each lies above or below."""

    numbers: np.ndarray
    edges: np.ndarray
    is_lower: np.ndarray


@dataclass(frozen=True, eq=False)
class QuadraticGroup:
    """A group whose energy is of degree two, and what it reads."""

    group: FactorGroup
    scopes: tuple[Scope, ...]
    mixtures: tuple[ChoiceScope, ...]
    bounds: tuple[BoundedElements, ...]
    reads: np.ndarray  #: the numbers of all sites that it reads

    @property
    def is_flat(self) -> bool:
        """Whether it bounds elements, and is constant within."""
        return bool(self.bounds) and not self.mixtures and not any(s.names for s in self.scopes)


@dataclass(frozen=True, eq=False)
class Limits:
    """What each element (count,) lies between. groups: those that say no more; each has a constant energy within."""

    low: np.ndarray
    high: np.ndarray
    groups: tuple[tuple[FactorGroup, float], ...]


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


def limits_of(elements: Elements, quadratics: Sequence[QuadraticGroup]) -> Limits:
    """The limits of all elements by their types and by groups that are flat between bounds."""
    low, high = elements.bounds()
    flat = [q for q in quadratics if q.is_flat]
    for bound in (b for q in flat for b in q.bounds):
        tighten(bound, low, high)
    nowhere = np.zeros((1, elements.count))
    energies = [
        sum(s.term.weight * float(elements_of(s.term.node, elements, (), nowhere).sum()) for s in q.scopes)
        for q in flat
    ]
    return Limits(low, high, tuple((q.group, e) for q, e in zip(flat, energies, strict=True)))


def tighten(bound: BoundedElements, low: np.ndarray, high: np.ndarray) -> None:
    below = bound.is_lower
    np.maximum.at(low, bound.numbers[below], bound.edges[below])
    np.minimum.at(high, bound.numbers[~below], bound.edges[~below])


def gaussians_of(elements: Elements, quadratics: Sequence[QuadraticGroup], limits: Limits) -> list[Joined]:
    """A Gaussian for each component of the groups that has one, and the groups that it is made of."""
    found = []
    for component in connected(elements, quadratics):
        for groups in candidates(component):
            gaussian = gaussian_within(elements, groups, limits)
            if gaussian is not None:
                found.append((gaussian, tuple(g.group for g in groups)))
                break
    return found


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


def gaussian_within(elements: Elements, groups: Sequence[QuadraticGroup], limits: Limits) -> Gaussian | None:
    """The Gaussian of some groups, within the types and what their own conditions bound."""
    low, high = limits.low.copy(), limits.high.copy()
    for bound in (b for g in groups for b in g.bounds):
        tighten(bound, low, high)
    scopes, mixtures = [s for g in groups for s in g.scopes], [m for g in groups for m in g.mixtures]
    gaussian = gaussian_of(elements, scopes, mixtures, low, high)
    if gaussian is None or not all(
        np.isin(b.numbers, gaussian.numbers).all() for g in groups for b in g.bounds
    ):
        return None
    return gaussian


def bounded(elements: Elements, bound: Bound) -> BoundedElements | None:
    """A bound as numbers of sites; None where it is not of single elements, each with a number for its edge."""
    roots = roots_of(elements, bound.left, bound.right)
    if roots is None:
        return None
    # a bound on what is observed holds or the program is impossible, which its energy says
    free = roots.numbers >= 0
    rising = roots.slopes[free] > 0
    return BoundedElements(roots.numbers[free], roots.edges[free], rising == bound.is_lower)
