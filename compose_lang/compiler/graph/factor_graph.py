"""The factor graph: variables, and groups of factors that are instances of one template.

In: what elaboration states. Out: what passes, the planner, the views and the drawings read. A `FactorGroup` is
one energy expression and the axes it is repeated over; its index arrays are the constants along those axes, so a
plate of a million factors is one group.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np

from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.types import Domain, Type
from compose_lang.diagnostics import Span

Asked = ParamSpec("Asked")
Found = TypeVar("Found")
Fact = TypeVar("Fact")

Kind = Literal["continuous", "finite", "counts", "permutation"]
"""What methods serve: continuous variables, discrete ones whose values are listed, other integers, orderings."""
MOST_LISTED = 10_000
"""Values of a site that can be weighed at once."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A random array. `free` is a mask of the sites that are sampled; the others hold `observed`.

    observed: (*shape, *event) of the type, arbitrary where free. lower, upper: bounds that depend on other
    variables, broadcastable to the shape; None where the domain's numbers hold.
    """

    name: str
    type: Type
    node: Node
    free: np.ndarray
    observed: np.ndarray
    span: Span
    lower: Node | None = None
    upper: Node | None = None
    tightened: Domain | None = (
        None  #: the part of the type's domain that constraints leave, see tighten_bounds
    )
    allowed: np.ndarray | None = (
        None  #: (free sites, values): which values they leave each, see filter_domains
    )
    is_param: bool = False  #: whether it is a param, which is a variable only until it is fitted

    @property
    def support(self) -> Domain:
        """Where a sampler moves each site: the type's domain, less what constraints take from it."""
        return self.tightened or self.type.domain

    @property
    def is_discrete(self) -> bool:
        return self.type.domain.is_discrete

    @property
    def kind(self) -> Kind:
        """Which methods of inference can serve it."""
        if not self.is_discrete:
            return "continuous"
        if self.type.domain.kind == "permutation":
            return "permutation"
        is_listed = self.support.is_finite and len(self.support.values) <= MOST_LISTED
        return "finite" if is_listed else "counts"

    @property
    def site_numbers(self) -> np.ndarray:
        """The number of the site of each of its elements, (*shape, *event)."""
        sites = np.arange(self.type.sites).reshape(
            (*self.type.shape, *(1,) * len(self.type.domain.event_shape))
        )
        return np.broadcast_to(sites, self.type.full_shape)

    @property
    def free_sites(self) -> int:
        return int(self.free.sum())

    @property
    def fixed(self) -> np.ndarray:
        """Which free sites (sites,) constraints leave a single value."""
        if self.allowed is None:
            return np.zeros(self.free_sites, dtype=bool)
        return self.allowed.sum(axis=1) == 1


@dataclass(frozen=True)
class Term:
    """A contribution to the energy: the sum of `energy` over `axes`.

    `violation` (nats of 1 a unit, see language.md) is there for constraints, whose energy is 0 or infinite.
    is_prior: the term holds a factor's own variables to a density also where the factor does not count (under a
    gate, or while a mixture chooses another part), so that they sum out to 1 there.
    """

    energy: Node
    axes: tuple[Axis, ...]
    kind: str  # energy, factor, require, prefer
    label: str
    span: Span
    violation: Node | None = None
    is_prior: bool = False
    statement: int | None = None  #: the place in `DrawnStatements` of the statement it is all of, or a part


@dataclass(frozen=True, eq=False)
class FactorGroup:
    """All instances of one factor: the energy of the program is the sum over groups, over their axes."""

    energy: Node
    axes: tuple[Axis, ...]
    kind: str  #: energy, factor, require or prefer
    label: str
    span: Span
    violation: Node | None = None
    statement: int | None = None  #: the place in `DrawnStatements` of the statement it is all of, or a part

    @property
    def instances(self) -> int:
        return math.prod(a.size for a in self.axes)

    @property
    def variables(self) -> frozenset[str]:
        return self.energy.variables

    @staticmethod
    def of(term: Term) -> FactorGroup:
        return FactorGroup(
            term.energy, term.axes, term.kind, term.label, term.span, term.violation, term.statement
        )


@dataclass(frozen=True)
class Offset:
    """A variable is sampled by z where it is location + scale * z; both broadcast to its shape."""

    location: Node
    scale: Node


@dataclass(frozen=True)
class LocationScale:
    """`subject ~ F(location, scale)` with a location-scale density, as it is stated."""

    subject: Node
    location: Node
    scale: Node


@dataclass(frozen=True)
class LocationScales:
    """A fact of elaboration: all such statements of a program, for `noncentre`."""

    statements: tuple[LocationScale, ...]


@dataclass(frozen=True)
class Drawn:
    """One `~`: the elements it is about, and a draw of them over noise; both with the plates as leading axes."""

    subject: Node
    draw: Node
    noise: tuple[tuple[str, Node], ...]  #: (kind, slot)
    span: Span


@dataclass(frozen=True)
class DrawnStatements:
    """A fact of elaboration: what elaborates the draw of each statement whose density may be drawn outright.

    A group is marked by its statement's place here. What it calls raises a ComposeError where no draw is known.
    """

    elaborations: tuple[Callable[[], list[Drawn]], ...]


@dataclass(frozen=True)
class Derived:
    """A `let` that is recorded with the draws."""

    name: str
    node: Node
    span: Span


@dataclass(frozen=True, eq=False)
class Proposal:
    """A density over some variables, given the state.

    draws: new values over `noise` and the variables, each in its variable's shape; energy: minus the log of the
    density of what the slots `proposed` hold.
    """

    names: tuple[str, ...]
    draws: tuple[Node, ...]
    noise: tuple[tuple[str, Node], ...]  #: (kind, slot)
    proposed: tuple[Node, ...]
    energy: Node
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def roots(self) -> tuple[Node, ...]:
        """All that a step by it computes."""
        return (*self.draws, self.energy)


class Part(NamedTuple):
    """Some sites of a variable, by their numbers among all or, of a block, among the free ones; text: `x[0]`."""

    text: str
    sites: tuple[int, ...]


@dataclass(frozen=True)
class Request:
    """An `infer` statement: what the program asks of the planner. No targets means all variables.

    parts: of those targets of which only some sites are meant.
    """

    targets: tuple[str, ...]
    method: str
    options: Mapping[str, Any]
    span: Span | None
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FactorGraph:
    """A program's variables and the groups of factors whose energies add up to its own.

    A pass that rewrites it passes its facts on; what `once` has kept holds of this graph alone, and is left behind.
    """

    variables: tuple[Variable, ...]
    groups: tuple[FactorGroup, ...]
    derived: tuple[Derived, ...] = ()
    requests: tuple[Request, ...] = ()
    data: Mapping[str, Node] = field(default_factory=dict)
    offsets: Mapping[str, Offset] = field(default_factory=dict)  #: by variable, see noncentre
    facts: Mapping[type, Any] = field(default_factory=dict)  #: what passes found out, by type
    analyses: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)  #: what `once` has kept

    def variable(self, name: str) -> Variable:
        return next(v for v in self.variables if v.name == name)

    def fact(self, kind: type[Fact]) -> Fact | None:
        """What a pass found out of a kind; None where none did."""
        return self.facts.get(kind)

    def with_fact(self, fact: object) -> FactorGraph:
        """The graph with one more fact, in place of an earlier one of its type."""
        return replace(self, facts={**self.facts, type(fact): fact})


def once(
    analysis: Callable[Concatenate[FactorGraph, Asked], Found],
) -> Callable[Concatenate[FactorGraph, Asked], Found]:
    """An analysis of a graph, made when it is first asked for: the planner asks, and so do the kernels' views."""

    @functools.wraps(analysis)
    def memoised(graph: FactorGraph, *of: Asked.args, **options: Asked.kwargs) -> Found:
        key = (analysis, *of, *options.items())
        if key not in graph.analyses:
            graph.analyses[key] = analysis(graph, *of, **options)
        found: Found = graph.analyses[key]
        return found

    return memoised


def groups_of(graph: FactorGraph, names: frozenset[str]) -> list[FactorGroup]:
    """The groups that read some variables."""
    return [g for g in graph.groups if names & g.variables]


def moved_with(graph: FactorGraph, names: Iterable[str]) -> frozenset[str]:
    """Some variables, and those whose bounds or offsets move with them."""
    moved = set(names)
    for v in graph.variables:
        tied = [b.variables for b in (v.lower, v.upper) if b is not None]
        if v.name in graph.offsets:
            tied += [graph.offsets[v.name].location.variables, graph.offsets[v.name].scale.variables]
        if any(moved & names for names in tied):
            moved.add(v.name)
    return frozenset(moved)


def connected(scopes: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """The names of scopes by connected components: scopes that share a name are in one."""
    components: dict[frozenset[str], None] = {}
    of_name: dict[str, frozenset[str]] = {}
    for scope in scopes:
        touched = {of_name[name] for name in scope if name in of_name}
        joined = scope.union(*touched)
        if joined and joined not in touched:
            for component in touched:
                del components[component]
            components[joined] = None
            of_name.update(dict.fromkeys(joined, joined))
    return list(components)
