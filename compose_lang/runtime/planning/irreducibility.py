"""Whether the moves of a plan lead from every solution of its hard discrete constraints to every other.

In: a graph with hard constraints, and the blocks of its plan. Out: warnings where they do not, or where that cannot be
told. Sites that constraints tie together form a part. The solutions of a small part are listed, and the moves between
them followed. Of a large part it is known that moves join its solutions where every site has a value that never hurts,
where values must differ and are more than neighbours, where one sum is all there is, and where a table has margins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from compose_lang.compiler.constraints.moves import (
    ConservedSums,
    DisequalityGraph,
    differing,
    leaves_room,
    peels,
)
from compose_lang.compiler.constraints.propagation import rows_of
from compose_lang.compiler.constraints.relations import (
    AllDifferent,
    HardConstraints,
    LinearConstraint,
    Relation,
    TableConstraint,
)
from compose_lang.compiler.constraints.site_sets import Subsets
from compose_lang.compiler.constraints.solutions import (
    Component,
    are_joined_by_minors,
    components_of,
    solutions,
)
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.state_graph import Groups, Listed, turned

MOST_ALIKE = 50  #: parts of the same constraints that are looked at
MOST_FOLLOWED = 2**22  #: solutions times moves whose ends are looked up
MOST_JOINED = 2**24  #: solutions times sets that are drawn jointly
FOLLOWED = frozenset({"sites", "sums", "chains", "subsets"})
"""Views of kernels whose moves are followed; what another one draws is taken to be joined."""


@dataclass(frozen=True, eq=False)
class Disconnected:
    """A part whose solutions moves do not, or may not, all reach: the `states` where they are listed, and their pieces.

    pieces: how many groups they fall into; None where that is not known.
    """

    part: Component
    states: np.ndarray | None
    pieces: int | None


def gaps_of(graph: FactorGraph, blocks: Sequence[Block]) -> list[Disconnected]:
    """For each combination of constraints the first part whose solutions the kernels of blocks may not all reach."""
    hard = graph.fact(HardConstraints)
    if hard is None or not hard.relations:
        return []
    moves = MoveSet(graph, hard, blocks)
    gaps: dict[tuple[str, ...], Disconnected] = {}
    alike: Counter[tuple[str, ...]] = Counter()
    for part in components_of(hard):
        key = tuple(part.labels)
        if key in gaps or not moves.follow(part):
            continue
        alike[key] += 1
        says_all = moves.says_all(part)
        if alike[key] > MOST_ALIKE or (says_all and moves.surely_join(part)):
            continue
        states = solutions(hard, part) if says_all else None
        pieces = None if states is None else moves.pieces(part, states)
        if pieces is None or pieces > 1:
            gaps[key] = Disconnected(part, states, pieces)
    return list(gaps.values())


def warnings_of(
    graph: FactorGraph, blocks: Sequence[Block], gaps: Sequence[Disconnected]
) -> list[Diagnostic]:
    """CG0713 for each combination of constraints whose solutions moves do not, or may not, all reach."""
    hard = graph.fact(HardConstraints)
    return [] if hard is None else [warning(gap, hard, blocks) for gap in gaps]


def warning(gap: Disconnected, hard: HardConstraints, blocks: Sequence[Block]) -> Diagnostic:
    part = gap.part
    how = "may fall into groups" if gap.pieces is None else f"fall into {gap.pieces} groups"
    first: FactorGroup = part.rows[0][0].group
    names = set(part.names(hard))
    moving = [b for b in blocks if names.intersection(b.variables)]
    kernels = sorted({"proposal" if b.view == "proposal" else b.kernel for b in moving})
    labels = [f"`{label}`" for label in part.labels]
    shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    text = (
        f"the solutions of {shown} {how} that no move joins ({', '.join(kernels)}): "
        "a chain may stay in the group it starts in"
    )
    help = (
        "compare chains (R-hat), start more of them, or let a constraint be broken at a price: `prefer … weight 5`; "
        "orderings are better written as `permutation(n)`"
    )
    if any(b.is_asked for b in moving):
        help = (
            f"leave the method to the planner: it adds moves that keep such constraints where it can; {help}"
        )
    return Diagnostic("CG0713", text, first.span, severity="warning", help=help)


class MoveSet:
    """The moves that a plan's kernels make of a graph's sites."""

    def __init__(self, graph: FactorGraph, hard: HardConstraints, blocks: Sequence[Block]) -> None:
        self.graph = graph
        self.hard = hard
        self.views: dict[str, set[str]] = {}  # by variable, of the kernels that move it
        self.sums: dict[str, ConservedSums] = {}
        self.edges: dict[str, DisequalityGraph] = {}
        self.sets: dict[str, np.ndarray] = {}  # by variable those of its sites that are drawn jointly
        for b in blocks:
            for name in b.variables:
                self.views.setdefault(name, set()).add(b.view)
            match b.structure:
                case ConservedSums():
                    self.sums[b.variables[0]] = b.structure
                case DisequalityGraph():
                    self.edges[b.variables[0]] = b.structure
                case Subsets():
                    self.sets[b.variables[0]] = b.structure.sets
        self.leaves_room = cache(leaves_room)

    def follow(self, part: Component) -> bool:
        """Whether all kernels that move a part's sites are such as are followed."""
        return all(name in self.views and self.views[name] <= FOLLOWED for name in part.names(self.hard))

    def join(self, gap: Disconnected) -> bool:
        """Whether the solutions of a part are known to be joined."""
        return gap.states is not None and self.pieces(gap.part, gap.states) in (0, 1)

    def says_all(self, part: Component) -> bool:
        """Whether relations are all that constraints between finite variables say of a part."""
        names = set(part.names(self.hard))
        finite = {v.name for v in self.hard.numbering.variables}
        return not any(names & g.variables and g.variables <= finite for g in self.hard.missed)

    # --- small parts ---

    def pieces(self, part: Component, states: np.ndarray) -> int | None:
        """How many groups the solutions (n, sites) of a part fall into; None where there are too many moves to tell."""
        code, groups = Listed(states), Groups(len(states))
        if groups.number <= 1:
            return groups.number
        for goal in self.goals(part, code):
            if groups.number <= 1:
                return groups.number
            known = goal >= 0
            groups.join(np.flatnonzero(known), goal[known])
        sets = self.columns_of_sets(part)
        for hidden in sets[: MOST_JOINED // len(states)]:
            if groups.number <= 1:
                break
            groups.join(np.arange(len(states)), code.without(hidden))
        is_known = groups.number <= 1 or len(sets) * len(states) <= MOST_JOINED
        return groups.number if is_known else None

    def goals(self, part: Component, code: Listed) -> Iterator[np.ndarray]:
        """For each move of single sites, pairs and Kempe chains where it leads from each state, -1 for nowhere."""
        for hidden in self.hidden(part):
            yield code.without(hidden)
        for states in self.turned(part, code.states):
            yield code.find(states)

    def hidden(self, part: Component) -> list[list[int]]:
        """Sets of columns that some move draws anew together: single sites, and pairs of sums."""
        column = {int(s): k for k, s in enumerate(part.sites)}
        single = {name for name, views in self.views.items() if "sites" in views}
        hidden = [[k] for s, k in column.items() if self.hard.numbering.owner(s).name in single]
        for name, sums in self.sums.items():
            full = self.full_sites(name)
            meets = np.isin(full[sums.sets], part.sites).any(axis=1)
            for row in sums.sets[meets]:
                columns = [column[int(s)] for s in full[row[row >= 0]] if int(s) in column]
                hidden += [[a, b] for i, a in enumerate(columns) for b in columns[:i]]
        return hidden

    def columns_of_sets(self, part: Component) -> list[list[int]]:
        """The columns of small sets that are drawn jointly, in a random order: then few of them join most."""
        column = {int(s): k for k, s in enumerate(part.sites)}
        distinct: dict[tuple[int, ...], None] = {}
        for name, sets in self.sets.items():
            full = self.full_sites(name)[sets]
            for row in full[np.isin(full, part.sites).any(axis=1)].tolist():
                distinct[tuple(column[s] for s in row if s in column)] = None
        shuffled = [list(columns) for columns in distinct]
        np.random.default_rng(0).shuffle(shuffled)
        return shuffled

    def full_sites(self, name: str) -> np.ndarray:
        """Of each free site of a variable its number among all that relations know, and of the padding -1."""
        free = np.flatnonzero(self.graph.variable(name).free.reshape(-1))
        return np.append(self.hard.numbering.starts[name] + free, -1)

    def turned(self, part: Component, states: np.ndarray) -> list[np.ndarray]:
        """Where each Kempe chain of each value leads from each state."""
        after = []
        for name, apart in self.edges.items():
            here = self.hard.numbering.of(self.graph.variable(name))
            columns = [k for k, s in enumerate(part.sites) if here.start <= s < here.stop]
            values = self.hard.domains.shape[1]
            if len(states) * len(columns) * values > MOST_FOLLOWED:
                continue
            linked = np.zeros((len(part.sites), len(part.sites)), dtype=bool)
            place = {int(s - here.start): k for k, s in enumerate(part.sites)}
            stopped = np.zeros((len(part.sites), values), dtype=bool)
            touched = np.isin(apart.edges + here.start, part.sites).any(axis=1)
            for a, b in apart.edges[touched]:
                k, m = place.get(int(a)), place.get(int(b))
                if k is not None and m is not None:
                    linked[k, m] = linked[m, k] = True
                elif k is not None or m is not None:  # beside a site that stays: its value cannot be taken
                    inside, outside = (k, b) if k is not None else (m, a)
                    stopped[inside] |= self.hard.domains[here.start + outside]
            for k in columns:
                for value in range(values):
                    after.append(turned(states, linked, stopped, k, value))
        return after

    # --- large parts ---

    def surely_join(self, part: Component) -> bool:
        """Whether the solutions of a part are known to be joined."""
        return (
            self.has_harmless_values(part)
            or self.has_room(part)
            or self.is_one_sum(part)
            or self.is_table(part)
        )

    def is_table(self, part: Component) -> bool:
        """Whether a part is a table with fixed margins whose minors are drawn jointly."""
        (name, *others) = part.names(self.hard)
        if others or name not in self.sets:
            return False
        return are_joined_by_minors(
            part, set(map(frozenset, self.full_sites(name)[self.sets[name]].tolist()))
        )

    def draws_each(self, part: Component) -> bool:
        """Whether every site of a part is drawn anew by some kernel, by itself or among others."""
        for name in part.names(self.hard):
            if "sites" in self.views[name]:
                continue
            here = self.hard.numbering.of(self.graph.variable(name))
            sites = part.sites[(part.sites >= here.start) & (part.sites < here.stop)]
            if name not in self.sets or not np.isin(sites, self.full_sites(name)[self.sets[name]]).all():
                return False
        return True

    def has_harmless_values(self, part: Component) -> bool:
        """Whether each site has a value that it can always change to: all solutions lead to where all have it."""
        if not self.draws_each(part):
            return False
        harmless = self.hard.domains.copy()
        for r, rows in part.rows:
            safe = harmless_values(r, rows, self.hard.domains)
            scope = r.scope[rows]
            np.logical_and.at(harmless, scope.reshape(-1), safe.reshape(-1, safe.shape[-1]))
        return bool(harmless[part.sites].any(axis=1).all())

    def has_room(self, part: Component) -> bool:
        """Whether all that is asked is that values differ, and there are more than neighbours."""
        owner = self.hard.numbering.owner(int(part.sites[0]))
        apart = differing(self.graph, owner)
        tying = [r for r, rows in part.rows if r.scope.shape[1] > 1]
        if apart is None or any(r.group not in apart.kept for r in tying):
            return False
        if self.leaves_room(apart):
            return True
        v = apart.variable
        # with as many values as a site has neighbours in some order, and one more, Kempe chains join all colourings:
        # Las Vergnas and Meyniel, Kempe classes and the Hadwiger conjecture, 1981
        return v.name in self.edges and v.allowed is None and not apart.frozen.any() and peels(apart, 1)

    def is_one_sum(self, part: Component) -> bool:
        """Whether one sum of values that count alike is all that ties the sites."""
        tying = [(r, rows) for r, rows in part.rows if r.scope.shape[1] > 1]
        if len(tying) != 1 or len(tying[0][1]) != 1:
            return False
        r, row = tying[0]
        if not isinstance(r, LinearConstraint):
            return False
        weights = r.weights[0 if len(r.weights) == 1 else row[0]]
        steps = np.diff(weights, axis=1)
        free = self.hard.domains[part.sites][:, : weights.shape[1]].all()
        owners = {self.hard.numbering.owner(int(s)).name for s in part.sites}
        alike = bool(np.allclose(steps, steps[:1, :1])) and bool(free)
        return alike and len(owners) == 1 and owners.pop() in self.sums


def harmless_values(r: Relation, rows: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Values (n, k, K) that a site of each instance may always change to without breaking it."""
    held = domains[r.scope[rows]]
    safe = np.zeros_like(held)
    match r:
        case TableConstraint():
            allowed = rows_of(r.allowed, rows)
            for place, size in enumerate(r.allowed.shape[1:]):
                shape = [len(held), *(size if p == place else 1 for p in range(held.shape[1]))]
                allowed = allowed & held[:, place, :size].reshape(shape)
            for place, size in enumerate(r.allowed.shape[1:]):
                others = tuple(1 + p for p in range(held.shape[1]) if p != place)
                possible = allowed.any(axis=1 + place, keepdims=True)
                safe[:, place, :size] = (allowed | ~possible).all(axis=others)
        case LinearConstraint():
            weights = rows_of(r.weights, rows)
            mine = held[:, :, : weights.shape[2]]
            least = np.where(mine, weights, np.inf).min(axis=2, keepdims=True)
            most = np.where(mine, weights, -np.inf).max(axis=2, keepdims=True)
            is_low = (weights <= least) | np.isinf(r.high[rows])[:, None, None]
            is_high = (weights >= most) | np.isinf(r.low[rows])[:, None, None]
            safe[:, :, : weights.shape[2]] = is_low & is_high
        case AllDifferent():
            codes = np.broadcast_to(rows_of(r.codes, rows), held.shape)
            for place in range(held.shape[1]):
                taken = np.zeros_like(held[:, place])
                for other in range(held.shape[1]):
                    if other != place:
                        same = codes[:, place, :, None] == codes[:, other, None, :]
                        taken |= (same & held[:, other, None, :]).any(axis=2)
                safe[:, place] = ~taken
    return safe
