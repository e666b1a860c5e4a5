"""Whether the moves of a plan lead from every solution of its hard discrete constraints to every other.

In: a graph with `hard`, and its plan. Out: warnings where they do not, or where that cannot be told. Sites that
constraints tie together form a part. The solutions of a small part are listed, and the moves between them followed.
Of a large part it is known that moves join its solutions where every site has a value that never hurts, where values
must differ and are more than neighbours, and where one sum is all there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from compose_lang.compiler.graph import FactorGraph, FactorGroup
from compose_lang.compiler.keeping import differing, leaves_room, peels, sums
from compose_lang.compiler.plan import Plan
from compose_lang.compiler.propagate import rows_of
from compose_lang.compiler.relations import Allowed, Different, Hard, Relation, Total
from compose_lang.diagnostics import Diagnostic

MOST_SITES = 400  #: of a part whose solutions are listed
MOST_STATES = 2**16  #: solutions of a part that are listed
MOST_PARTS = 1000  #: that are looked at; where there are more the others are taken to be like them
MOST_ALIKE = 50  #: parts of the same constraints that are looked at
MOST_FOLLOWED = 2**22  #: solutions times moves whose ends are looked up
SINGLE = frozenset({"gibbs", "mh", "kempe", "exchange"})
"""Kernels whose moves are followed; what another one draws is taken to be joined."""


@dataclass(frozen=True, eq=False)
class Part:
    """Sites that constraints tie together, and the rows of each relation that do."""

    sites: np.ndarray
    rows: tuple[tuple[Relation, np.ndarray], ...]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(r.group.label for r, _ in self.rows))


def unreached(graph: FactorGraph, plan: Plan) -> list[Diagnostic]:
    """CG0713 for each combination of constraints whose solutions the plan's moves do not, or may not, all reach."""
    hard = graph.hard
    if hard is None or not hard.relations:
        return []
    kernels: dict[str, set[str]] = {}
    for b in plan.blocks:
        for name in b.variables:
            kernels.setdefault(name, set()).add("proposal" if "proposal" in b.options else b.kernel)
    moves = Moves(graph, hard, kernels)
    found: dict[tuple[str, ...], Diagnostic] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    for part in parts(hard):
        names = {hard.numbering.owner(int(s)).name for s in part.sites[:1000]}
        key = tuple(part.labels)
        if key in found or any(not kernels.get(n, {"exact"}) <= SINGLE for n in names):
            continue
        seen[key] += 1
        if seen[key] > MOST_ALIKE or moves.surely_join(part):
            continue
        states = solutions(hard, part)
        if states is None:
            found[key] = warning(part, moves, "may fall into groups that no move joins")
        elif (apart := moves.pieces(part, states)) > 1:
            found[key] = warning(part, moves, f"fall into {apart} groups that no move joins")
    return list(found.values())


def warning(part: Part, moves: Moves, how: str) -> Diagnostic:
    first: FactorGroup = part.rows[0][0].group
    names = list(dict.fromkeys(moves.hard.numbering.owner(int(s)).name for s in part.sites[:1000]))
    kernels = sorted(set().union(*(moves.kernels[n] for n in names)))
    labels = [f"`{label}`" for label in part.labels]
    shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    text = (
        f"the solutions of {shown} {how} ({', '.join(kernels)}): a chain may stay in the group it starts in"
    )
    help = (
        "compare chains (R-hat), start more of them, or let a constraint be broken at a price: `prefer … weight 5`; "
        "orderings are better written as `permutation(n)`"
    )
    beside = {
        "kempe": any(moves.differing(n) for n in names),
        "exchange": any(moves.sums(n) for n in names),
    }
    left_out = [k for k, is_there in beside.items() if is_there and k not in kernels]
    if left_out and any(len(moves.kernels[n]) == 1 for n in names) and "kempe" not in kernels:
        help = (
            f"leave the method to the planner: it adds moves that keep such constraints where it can; {help}"
        )
    return Diagnostic("CG0713", text, first.span, severity="warning", help=help)


def parts(hard: Hard) -> list[Part]:
    """Parts of two or more sites with more than one value left, the smallest first; of very many, some."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    moves = hard.domains.sum(axis=1) > 1
    starts, ends = [], []
    for r in hard.relations:
        scope = r.scope
        anchor = np.where(moves[scope], scope, -1).max(axis=1, initial=-1)
        for place in range(scope.shape[1]):
            both = (anchor >= 0) & moves[scope[:, place]] & (anchor != scope[:, place])
            starts.append(anchor[both])
            ends.append(scope[both, place])
    a, b = np.concatenate(starts), np.concatenate(ends)
    size = len(moves)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    number = connected_components(graph, directed=False)[1]
    number[~moves] = -1
    sizes = np.bincount(number[moves], minlength=1)
    several = np.flatnonzero(sizes > 1)
    chosen = (
        several[np.unique(np.linspace(0, len(several) - 1, MOST_PARTS).astype(np.int64))]
        if len(several)
        else several
    )
    listed = np.flatnonzero(np.isin(number, chosen))
    order = listed[np.argsort(number[listed], kind="stable")]
    edges = np.flatnonzero(np.diff(number[order])) + 1
    tied = {int(number[m[0]]): m for m in np.split(order, edges) if len(m)}
    by_part: dict[int, list[tuple[Relation, np.ndarray]]] = {n: [] for n in tied}
    for r in hard.relations:
        scope = r.scope
        if not len(scope):
            continue
        anchor = np.where(moves[scope], scope, -1).max(axis=1, initial=-1)
        of_row = np.where(anchor >= 0, number[anchor], -1)
        rows = np.flatnonzero(np.isin(of_row, chosen))
        rows = rows[np.argsort(of_row[rows], kind="stable")]
        cuts = np.flatnonzero(np.diff(of_row[rows])) + 1
        for some in np.split(rows, cuts):
            if len(some):
                by_part[int(of_row[some[0]])].append((r, some))
    found = [Part(tied[n], tuple(by_part[n])) for n in tied]
    return sorted(found, key=lambda p: len(p.sites))


class Moves:
    """The moves that a plan's kernels make of a graph's sites."""

    def __init__(self, graph: FactorGraph, hard: Hard, kernels: dict[str, set[str]]) -> None:
        self.graph = graph
        self.hard = hard
        self.kernels = kernels
        self.differing = cache(lambda name: differing(graph, graph.variable(name)))
        self.sums = cache(lambda name: sums(graph, graph.variable(name)))
        self.leaves_room = cache(leaves_room)

    # --- small parts ---

    def pieces(self, part: Part, states: np.ndarray) -> int:
        """How many groups the solutions (n, sites) of a part fall into."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if len(states) < 2:
            return len(states)
        code = Listed(states)
        starts, ends = [], []
        for hidden in self.hidden(part):
            same = code.without(hidden)
            starts.append(np.arange(len(states)))
            ends.append(same)
        for turned in self.turned(part, states):
            goal = code.find(turned)
            known = goal >= 0
            starts.append(np.flatnonzero(known))
            ends.append(goal[known])
        a, b = np.concatenate(starts), np.concatenate(ends)
        graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(len(states), len(states)))
        return int(connected_components(graph, directed=False)[0])

    def hidden(self, part: Part) -> list[list[int]]:
        """Sets of columns that some move draws anew together: single sites, and pairs of sums."""
        found = [[k] for k in range(len(part.sites))]
        column = {int(s): k for k, s in enumerate(part.sites)}
        for name, kernels in self.kernels.items():
            sets = self.sums(name) if "exchange" in kernels else None
            if sets is None:
                continue
            v = sets.variable
            full = self.hard.numbering.starts[name] + np.flatnonzero(v.free.reshape(-1))
            meets = np.isin(np.append(full, -1)[sets.sets], part.sites).any(axis=1)
            for row in sets.sets[meets]:
                mine = [column[int(s)] for s in full[row[row >= 0]] if int(s) in column]
                found += [[a, b] for i, a in enumerate(mine) for b in mine[:i]]
        return found

    def turned(self, part: Part, states: np.ndarray) -> list[np.ndarray]:
        """Where each Kempe chain of each value leads from each state."""
        found = []
        for name, kernels in self.kernels.items():
            apart = self.differing(name) if "kempe" in kernels else None
            if apart is None:
                continue
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
                    found.append(turned(states, linked, stopped, k, value))
        return found

    # --- large parts ---

    def surely_join(self, part: Part) -> bool:
        """Whether the solutions of a part are known to be joined."""
        return self.has_harmless_values(part) or self.has_room(part) or self.is_one_sum(part)

    def has_harmless_values(self, part: Part) -> bool:
        """Whether each site has a value that it can always change to: all solutions lead to where all have it."""
        harmless = self.hard.domains.copy()
        for r, rows in part.rows:
            safe = harmless_values(r, rows, self.hard.domains)
            scope = r.scope[rows]
            np.logical_and.at(harmless, scope.reshape(-1), safe.reshape(-1, safe.shape[-1]))
        return bool(harmless[part.sites].any(axis=1).all())

    def has_room(self, part: Part) -> bool:
        """Whether all that is asked is that values differ, and there are more than neighbours."""
        owner = self.hard.numbering.owner(int(part.sites[0]))
        apart = self.differing(owner.name)
        tying = [r for r, rows in part.rows if r.scope.shape[1] > 1]
        if apart is None or any(r.group not in apart.kept for r in tying):
            return False
        if self.leaves_room(apart):
            return True
        v = apart.variable
        # with as many values as a site has neighbours in some order, and one more, Kempe chains join all colourings:
        # Las Vergnas and Meyniel, Kempe classes and the Hadwiger conjecture, 1981
        return (
            "kempe" in self.kernels[v.name]
            and v.allowed is None
            and not apart.frozen.any()
            and peels(apart, 1)
        )

    def is_one_sum(self, part: Part) -> bool:
        """Whether one sum of values that count alike is all that ties the sites."""
        tying = [(r, rows) for r, rows in part.rows if r.scope.shape[1] > 1]
        if len(tying) != 1 or len(tying[0][1]) != 1:
            return False
        r, row = tying[0]
        if not isinstance(r, Total):
            return False
        weights = r.weights[0 if len(r.weights) == 1 else row[0]]
        steps = np.diff(weights, axis=1)
        free = self.hard.domains[part.sites][:, : weights.shape[1]].all()
        owners = {self.hard.numbering.owner(int(s)).name for s in part.sites}
        alike = bool(np.allclose(steps, steps[:1, :1])) and bool(free)
        return alike and len(owners) == 1 and "exchange" in self.kernels[owners.pop()]


@dataclass(frozen=True, eq=False)
class Listed:
    """States (n, k), to be looked up."""

    states: np.ndarray

    def without(self, hidden: Sequence[int]) -> np.ndarray:
        """For each state the first that agrees with it outside the hidden columns."""
        seen = self.states.copy()
        seen[:, hidden] = 0
        _, first, inverse = np.unique(seen, axis=0, return_index=True, return_inverse=True)
        return np.asarray(first[inverse.reshape(-1)])

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """The numbers of states, -1 of what is none."""
        both = np.concatenate([self.states, wanted])
        _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
        found = first[inverse.reshape(-1)[len(self.states) :]]
        return np.where(found < len(self.states), found, -1)


def solutions(hard: Hard, part: Part) -> np.ndarray | None:
    """All joint values (n, sites) of a part that its relations allow; None where they are too many to list.

    Sites get values one after another, and what breaks a relation whose sites all have theirs is left out at once.
    """
    if len(part.sites) > MOST_SITES:
        return None
    column = {int(s): k for k, s in enumerate(part.sites)}
    states = np.broadcast_to(hard.domains[part.sites].argmax(axis=1), (1, len(part.sites))).copy()
    asked: list[list[tuple[Relation, int]]] = [[] for _ in part.sites]
    for r, rows in part.rows:
        for row in rows:
            mine = [column[int(s)] for s in r.scope[row] if int(s) in column]
            asked[max(mine)].append((r, int(row)))
            if isinstance(r, Different):
                for k in set(mine) - {max(mine)}:
                    asked[k].append((r, int(row)))
    for k, site in enumerate(part.sites):
        values = np.flatnonzero(hard.domains[site])
        if len(states) * len(values) > MOST_STATES:
            return None
        states = np.repeat(states, len(values), axis=0)
        states[:, k] = np.tile(values, len(states) // len(values))
        for r, row in asked[k]:
            places = [p for p, s in enumerate(r.scope[row]) if column.get(int(s), -1) <= k]
            columns = [
                states[:, column[int(s)]]
                if int(s) in column
                else np.full(len(states), hard.domains[s].argmax())
                for s in r.scope[row][places]
            ]
            states = states[holds(r, row, np.array(places), np.stack(columns, axis=1))]
    return states


def holds(r: Relation, row: int, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which value numbers (n, k) an instance of a relation allows at some of its places, at all if not `Different`."""
    match r:
        case Allowed():
            allowed = r.allowed[0 if len(r.allowed) == 1 else row]
            return np.asarray(allowed[tuple(values.T)])
        case Different():
            codes = np.sort(r.codes[0 if len(r.codes) == 1 else row][places, values], axis=1)
            return np.asarray((codes[:, 1:] != codes[:, :-1]).all(axis=1))
        case Total():
            total = r.weights[0 if len(r.weights) == 1 else row][places, values].sum(axis=1)
            return np.asarray((total >= r.low[row]) & (total <= r.high[row]))


def turned(states: np.ndarray, linked: np.ndarray, stopped: np.ndarray, site: int, value: int) -> np.ndarray:
    """States after the Kempe chain through a site turns its value to another; as they were where it is stopped."""
    here = states[:, site : site + 1]
    member = (states == here) | (states == value)
    reached = np.zeros_like(member)
    reached[:, site] = True
    while True:
        grown = reached | (member & (reached.astype(np.float32) @ linked.astype(np.float32) > 0))
        if np.array_equal(grown, reached):
            break
        reached = grown
    after = np.where(reached, here + value - states, states)
    is_stopped = (reached & stopped[np.arange(states.shape[1]), after]).any(axis=1)
    return np.where(is_stopped[:, None], states, after)


def harmless_values(r: Relation, rows: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Values (n, k, K) that a site of each instance may always change to without breaking it."""
    held = domains[r.scope[rows]]
    safe = np.zeros_like(held)
    match r:
        case Allowed():
            allowed = rows_of(r.allowed, rows)
            for place, size in enumerate(r.allowed.shape[1:]):
                shape = [len(held), *(size if p == place else 1 for p in range(held.shape[1]))]
                allowed = allowed & held[:, place, :size].reshape(shape)
            for place, size in enumerate(r.allowed.shape[1:]):
                others = tuple(1 + p for p in range(held.shape[1]) if p != place)
                possible = allowed.any(axis=1 + place, keepdims=True)
                safe[:, place, :size] = (allowed | ~possible).all(axis=others)
        case Total():
            weights = rows_of(r.weights, rows)
            mine = held[:, :, : weights.shape[2]]
            least = np.where(mine, weights, np.inf).min(axis=2, keepdims=True)
            most = np.where(mine, weights, -np.inf).max(axis=2, keepdims=True)
            is_low = (weights <= least) | np.isinf(r.high[rows])[:, None, None]
            is_high = (weights >= most) | np.isinf(r.low[rows])[:, None, None]
            safe[:, :, : weights.shape[2]] = is_low & is_high
        case Different():
            codes = np.broadcast_to(rows_of(r.codes, rows), held.shape)
            for place in range(held.shape[1]):
                taken = np.zeros_like(held[:, place])
                for other in range(held.shape[1]):
                    if other != place:
                        same = codes[:, place, :, None] == codes[:, other, None, :]
                        taken |= (same & held[:, other, None, :]).any(axis=2)
                safe[:, place] = ~taken
    return safe
