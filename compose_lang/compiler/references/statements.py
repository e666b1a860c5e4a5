"""Statements whose densities draw elements of the variables, and in which order they can.

In: the statements that elaboration kept (`DrawnStatements`), elaborated here. Out: `Statement`s, each with the groups
that it states and the elements that it draws, and of these as many as follow from one another in no circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import Drawn, DrawnStatements, FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import HOST
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of, reduction_of
from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.quadratic import read_by, work
from compose_lang.diagnostics import ComposeError

LOGSUMEXP = reduction_of("logsumexp")
MOST_STEPS = 300  #: of a recurrence that is drawn in order
NOISE = frozenset({"normal", "uniform"})


@dataclass(frozen=True, eq=False)
class Target:
    """A draw and what it is of: `places` are numbers into the variable laid flat, in the order of the draw's."""

    drawn: Drawn
    name: str
    places: np.ndarray
    numbers: np.ndarray  #: the number of the site of each


@dataclass(frozen=True, eq=False)
class Statement:
    """A `~` whose density is drawn outright, given the values of its inputs."""

    place: int  #: among the program's statements
    groups: tuple[FactorGroup, ...]
    targets: tuple[Target, ...]
    numbers: np.ndarray  #: of the sites that it draws
    edges: np.ndarray  #: (n, 2): a site that it draws, and one that the draw of it reads

    @property
    def inputs(self) -> frozenset[str]:
        """The variables that its draws read."""
        return frozenset().union(*(t.drawn.draw.variables for t in self.targets))

    @property
    def work(self) -> int:
        """How many numbers it takes to draw it and to see whether it is admitted; a recurrence goes step by step."""
        steps = len(self.numbers) if np.isin(self.edges[:, 1], self.numbers).any() else 1
        return steps * work(t.drawn.draw for t in self.targets) + work(g.energy for g in self.groups)

    @property
    def is_mixture(self) -> bool:
        """Whether it chooses among several densities."""
        return any(op_of(n).reduction is LOGSUMEXP for g in self.groups for n in postorder([g.energy]))

    def spread(self, count: int) -> dict[int, float] | None:
        """The interquartile range of some draws of each single number, by site; None where it reads variables."""
        if self.inputs:
            return None
        rng = np.random.default_rng(5)
        noise = {
            id(slot): noise_of(kind, slot, count, rng) for t in self.targets for kind, slot in t.drawn.noise
        }
        found: dict[int, float] = {}
        for t in self.targets:
            with np.errstate(all="ignore"):
                (draws,) = interpret(HOST, [t.drawn.draw], noise)
            draws = np.broadcast_to(draws, (count, *t.drawn.subject.shape)).reshape((count, -1))
            low, high = np.quantile(draws, [0.25, 0.75], axis=0)
            found.update(zip(map(int, t.numbers), high - low, strict=True))
        return found


def noise_of(kind: str, slot: Node, count: int, rng: np.random.Generator) -> np.ndarray:
    """An array for a slot of noise, (count, *axes, *shape)."""
    shape = (count, *(a.size for a in slot.axes), *slot.shape)
    return rng.standard_normal(shape) if kind == "normal" else rng.random(shape)


def statements_of(graph: FactorGraph, elements: Elements) -> list[Statement]:
    """All statements whose elements are free and each drawn once by it."""
    fact = graph.fact(DrawnStatements)
    groups: dict[int, list[FactorGroup]] = {}
    for g in graph.groups:
        if g.statement is not None:
            groups.setdefault(g.statement, []).append(g)
    found: list[Statement] = []
    if fact is None:
        return found
    for place, of_place in sorted(groups.items()):
        try:
            drawn = fact.elaborations[place]()
        except ComposeError:
            continue  # its density does not say how it is drawn
        if (statement := statement_of(elements, place, of_place, drawn)) is not None:
            found.append(statement)
    return found


def statement_of(
    elements: Elements, place: int, groups: Sequence[FactorGroup], drawn: Sequence[Drawn]
) -> Statement | None:
    """A statement with the elements that it draws; None where these are not free elements, each drawn once."""
    noise = {id(slot) for d in drawn for kind, slot in d.noise if kind in NOISE}
    below = postorder([d.draw for d in drawn])
    if any(op_of(n).learned or (n.op == "slot" and id(n) not in noise) for n in below):
        return None
    targets, sites, edges = [], [], []
    for d in drawn:
        if len(d.subject.variables) != 1:
            return None
        (name,) = d.subject.variables
        v = elements.variables.get(name)
        if v is None or v.node.dtype != d.draw.dtype:
            return None
        full = np.arange(np.prod(v.type.full_shape, dtype=int)).reshape(v.type.full_shape)
        places = read_by(d.subject, {name: full})
        if places is None or places.shape[1] != 1:
            return None
        numbers = np.broadcast_to(
            elements.numbers(name).reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape))),
            full.shape,
        ).reshape(-1)
        of_elements = numbers[places[:, 0]]
        targets.append(Target(d, name, places[:, 0], of_elements))
        sites.append(of_elements)
        read = parents_of(elements, d, of_elements)
        if read is None:
            return None
        edges.append(read)
        if len(np.unique(places)) != len(places):
            return None
    numbers, counts = np.unique(np.concatenate(sites), return_counts=True)
    sizes = np.concatenate(
        [
            np.full(len(s), np.prod(elements.variables[t.name].type.domain.event_shape, dtype=int))
            for t, s in zip(targets, sites, strict=True)
        ]
    )
    expected = np.zeros(elements.count + 1, dtype=int)
    expected[np.concatenate(sites)] = sizes
    if numbers[0] < 0 or (counts != expected[numbers]).any():
        return None
    statement = Statement(place, tuple(groups), tuple(targets), numbers, np.concatenate(edges))
    known = statement.inputs | {t.name for t in targets}
    return statement if all(g.variables <= known for g in groups) else None


def parents_of(elements: Elements, drawn: Drawn, children: np.ndarray) -> np.ndarray | None:
    """(n, 2): each site drawn, with each site that its draw reads; None where they are too many to list."""
    numbers = {
        name: np.broadcast_to(
            elements.numbers(name).reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape))),
            v.type.full_shape,
        )
        for name, v in elements.variables.items()
        if name in drawn.draw.variables
    }
    if set(numbers) != set(drawn.draw.variables):
        return None
    reads = read_by(drawn.draw, numbers)
    if reads is None:
        return None
    rows, columns = np.nonzero(reads >= 0)
    return np.unique(np.stack([children[rows], reads[rows, columns]], axis=1), axis=0)


def in_order(statements: Iterable[Statement], count: int) -> list[Statement]:
    """Of some statements, as many from the first on as draw no site by way of itself."""
    chosen = list(statements)
    if is_acyclic(chosen, count):
        return chosen
    kept: list[Statement] = []
    for s in chosen:
        if is_acyclic([*kept, s], count):
            kept.append(s)
    return kept


def is_acyclic(statements: Sequence[Statement], count: int) -> bool:
    """Whether no site is drawn from itself: sites without parents that are still to be drawn go first, and so on.

    A recurrence of very many steps counts as none: each step is drawn by a pass over all.
    """
    edges = np.concatenate([s.edges for s in statements]) if statements else np.zeros((0, 2), int)
    waiting = np.zeros(count, dtype=bool)
    for s in statements:
        waiting[s.numbers] = True
    edges = edges[waiting[edges[:, 1]]]
    for _ in range(MOST_STEPS):
        if not len(edges):
            return True
        blocked = np.zeros(count, dtype=bool)
        blocked[edges[:, 0]] = True
        left = edges[blocked[edges[:, 1]]]
        if len(left) == len(edges):
            return False
        edges = left
    return False


def stages(statements: Sequence[Statement], count: int) -> list[tuple[list[Statement], bool]]:
    """Statements in an order of their draws: those of a stage, and whether they draw from what they draw themselves."""
    waiting, found = list(statements), []
    while waiting:
        undrawn = np.zeros(count, dtype=bool)
        for s in waiting:
            undrawn[s.numbers] = True
        own = {s.place: np.isin(s.edges[:, 1], s.numbers) for s in waiting}
        ready = [s for s in waiting if not undrawn[s.edges[~own[s.place], 1]].any()] or waiting
        once = [s for s in ready if not undrawn[s.edges[:, 1]].any()]
        again = [s for s in ready if not any(s is o for o in once)]
        found += [(group, repeats) for group, repeats in ((once, False), (again, True)) if group]
        waiting = [s for s in waiting if not any(s is r for r in ready)]
    return found
