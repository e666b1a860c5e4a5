"""Hard constraints between sites of finite variables, as relations that can be propagated and searched.

In: a factor graph. Out: `HardConstraints`: one numbering of all sites of its finite variables, and what constraints
say of them. A relation holds the instances of one condition: which sites each reads, and as a `TableConstraint`
which tuples of values it allows, as `AllDifferent` codes that must differ, as a `LinearConstraint` bounds of a sum.
Conditions that fit none of these are named in `missed`. What a relation says is implied by the program; those not
missed say all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.constraints.conditions import Condition, compared, conditions, may_forbid
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import flatten, read_nodes
from compose_lang.compiler.ir.build import constant, node, transform
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.ir.sitewise import is_separable, site_of_each

MOST_VALUES = 256  #: values of a site that are listed
MOST_TUPLES, FEW_TUPLES = 4096, 64  #: of a table; beside a sum, which says less but is not as wide
MOST_ENTRIES = 2**25  #: of a table over all its instances, or of weights
SLACK = 1e-6  #: sums of reals are compared with this relative tolerance: rounding, in 32 bits too, loses no solution


@dataclass(frozen=True, eq=False)
class Numbering:
    """All sites of finite variables in one numbering, and the values of each: `domains` (sites, K), a mask.

    Value k of a site is `variable.support.values[k]`; observed sites have the one they hold.
    """

    variables: tuple[Variable, ...]
    starts: dict[str, int]
    domains: np.ndarray

    @property
    def sites(self) -> int:
        return len(self.domains)

    def of(self, v: Variable) -> slice:
        """The sites of a variable."""
        return slice(self.starts[v.name], self.starts[v.name] + v.type.sites)

    def owner(self, site: int) -> Variable:
        return next(v for v in self.variables if self.starts[v.name] <= site < self.of(v).stop)


@dataclass(frozen=True, eq=False)
class TableConstraint:
    """Which combinations of values the sites in `scope` (n, k) may have: `allowed` (n or 1, d_1, …, d_k)."""

    group: FactorGroup
    scope: np.ndarray
    allowed: np.ndarray

    @property
    def combinations(self) -> int:
        return self.allowed[0].size


@dataclass(frozen=True, eq=False)
class AllDifferent:
    """Sites `scope` (n, k) whose codes all differ; `codes` (n or 1, k, K): that of each site at each value."""

    group: FactorGroup
    scope: np.ndarray
    codes: np.ndarray

    @property
    def is_plain(self) -> bool:
        """Whether sites differ when the numbers of their values do."""
        return len(self.codes) == 1 and bool((self.codes == self.codes[:, :1]).all())


@dataclass(frozen=True, eq=False)
class LinearConstraint:
    """Sums of weights (n or 1, k, K) of the values of the sites in `scope` (n, k), from `low` to `high`, each (n,)."""

    group: FactorGroup
    scope: np.ndarray
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray


Relation = TableConstraint | AllDifferent | LinearConstraint


@dataclass(frozen=True, eq=False)
class HardConstraints:
    """What hard constraints say of the sites of finite variables; `domains` (sites, K) what they leave each."""

    numbering: Numbering
    relations: tuple[Relation, ...]
    missed: tuple[
        FactorGroup, ...
    ]  #: groups that no relation says all of: of other variables too, or too wide
    domains: np.ndarray


@dataclass(frozen=True, eq=False)
class VariableRead:
    """A place at which a condition reads a variable: its node, the sites' numbers over it, and its columns."""

    node: Node
    variable: Variable
    numbers: Node
    scope: np.ndarray  #: (instances, columns)


def hard_constraints(graph: FactorGraph) -> HardConstraints | None:
    """The relations of a graph, with domains not yet propagated; None where it has none."""
    finite = [v for v in graph.variables if is_listed(v)]
    names = {v.name for v in finite}
    groups = [g for g in graph.groups if g.variables & names and may_forbid(g)]
    touched = [v for v in finite if any(v.name in g.variables for g in groups)]
    if not touched:
        return None
    numbering = number(touched)
    relations: list[Relation] = []
    missed: list[FactorGroup] = []
    for g in groups:
        if not g.variables <= names:
            missed.append(g)
            continue
        for condition in conditions(g):
            of_condition = list(relations_of(condition, numbering))
            relations.extend(of_condition)
            if not of_condition and len(condition.kept):
                missed.append(g)
    return HardConstraints(numbering, tuple(relations), tuple(missed), numbering.domains)


def is_listed(v: Variable) -> bool:
    return v.is_discrete and v.support.is_finite and len(v.support.values) <= MOST_VALUES


def number(variables: Sequence[Variable]) -> Numbering:
    """The sites of variables in one numbering."""
    most = max(len(v.support.values) for v in variables)
    starts: dict[str, int] = {}
    masks: list[np.ndarray] = []
    for v in variables:
        starts[v.name] = sum(map(len, masks))
        values = np.array(v.support.values)
        mask = np.zeros((v.type.sites, most), dtype=bool)
        mask[:, : len(values)] = v.free.reshape(-1, 1) | (
            np.asarray(v.observed).astype(np.int64).reshape(-1, 1) == values
        )
        masks.append(mask)
    return Numbering(tuple(variables), starts, np.concatenate(masks))


def relations_of(c: Condition, numbering: Numbering) -> Iterator[Relation]:
    """The relations that say what a condition asks; none where it is too wide for a table and not recognised."""
    readings = reads_of(c, numbering)
    if not readings or not len(c.kept):
        return
    reads = {id(r.node): r.numbers for r in readings}
    kept = c.kept
    scope = np.concatenate([r.scope for r in readings], axis=1)[kept]
    sizes = [len(r.variable.support.values) for r in readings for _ in range(r.scope.shape[1])]
    differing = all_different(c, readings, reads, numbering)
    if differing is not None:
        yield differing
        return
    count = math.prod(sizes)
    is_small = count <= MOST_TUPLES and count * len(kept) <= MOST_ENTRIES
    summed = linear_constraint(c, readings, reads, scope, sizes)
    if summed is not None and len(sizes) == 2 and c.test.op != "eq" and is_small:
        summed = None  # a table says as much, and costs less
    if summed is not None:
        yield summed
    if is_small and (summed is None or count <= FEW_TUPLES):
        tuples = np.indices(sizes).reshape(len(sizes), -1).T
        values = at_tuples(c.test, c.axes, readings, tuples)
        if values is not None:
            allowed = values if c.test.dtype == "bool" else values != np.inf
            allowed = allowed if len(allowed) == 1 else allowed[kept]
            yield TableConstraint(c.group, scope, allowed.reshape(-1, *sizes))


def reads_of(c: Condition, numbering: Numbering) -> list[VariableRead] | None:
    """Where a condition reads variables; None where an instance reads too many sites to list."""
    readings = []
    for v in numbering.variables:
        if v.name not in c.test.variables:
            continue
        start = numbering.starts[v.name]
        numbers = np.arange(start, start + v.type.sites).reshape(v.type.shape)
        for read, ids in read_nodes(c.test, v, numbers):
            scope = flatten(ids, c.axes)
            if scope is None:
                return None
            readings.append(VariableRead(read, v, ids, scope))
    return readings


def at_tuples(
    x: Node, axes: tuple[Axis, ...], readings: Sequence[VariableRead], tuples: np.ndarray
) -> np.ndarray | None:
    """The values (instances or 1, T, *shape) of x where the columns read have the values of numbers `tuples` (T, k)."""
    choice = Axis(len(tuples), "tuple")
    replaced: dict[int, Node] = {}
    column = 0
    for r in readings:
        width = r.scope.shape[1]
        numbered = tuples[:, column : column + width]
        column += width
        values = np.array(r.variable.support.values)[numbered]
        inner = [a for a in r.numbers.axes if a not in axes]
        values = values.reshape((len(tuples), *(a.size for a in inner), *r.numbers.shape))
        replaced[id(r.node)] = constant(values, (choice, *inner), r.node.dtype)
    (folded,) = transform([x], lambda n: replaced.get(id(n)))
    if folded.value is None or not set(folded.axes) <= {*axes, choice}:
        return None
    rank = len(folded.axes) - (choice in folded.axes)
    value = folded.value if choice in folded.axes else np.expand_dims(folded.value, rank)
    value = np.broadcast_to(value, (*value.shape[:rank], len(tuples), *folded.shape))
    present = [a for a in axes if a in folded.axes]
    if not present:
        return value[None]
    order = [folded.axes.index(a) for a in present]
    value = np.transpose(value, (*order, *range(rank, value.ndim)))
    value = value.reshape((*(a.size if a in present else 1 for a in axes), *value.shape[rank:]))
    full = np.broadcast_to(value, (*(a.size for a in axes), *value.shape[len(axes) :]))
    return full.reshape((-1, *full.shape[len(axes) :]))


def all_different(
    c: Condition, readings: Sequence[VariableRead], reads: dict[int, Node], numbering: Numbering
) -> AllDifferent | None:
    """The relation of `all_different`, and of two numbers that must differ, each read off one site."""
    parts = list(c.test.args) if c.test.op == "ne" else [compared(c.test)]
    if any(p is None for p in parts):
        return None
    scopes, codes = [], []
    for part in parts:
        assert part is not None
        sites = site_of_each(part, reads)
        if sites is None or (sites.value is not None and (sites.value < 0).any()):
            return None
        if any(a not in c.axes for a in part.axes):
            return None
        scope = flatten(sites, c.axes)
        coded = codes_of(c, part, readings, numbering.domains.shape[1])
        if scope is None or coded is None:
            return None
        scopes.append(scope)
        codes.append(coded)
    n = max(len(x) for x in codes)
    joined = np.concatenate([np.broadcast_to(x, (n, *x.shape[1:])) for x in codes], axis=1)
    return AllDifferent(c.group, np.concatenate(scopes, axis=1)[c.kept], joined if n == 1 else joined[c.kept])


def codes_of(c: Condition, part: Node, readings: Sequence[VariableRead], most: int) -> np.ndarray | None:
    """What each element of a vector is where every site has its value k: integers (instances or 1, width, K)."""
    sizes = [len(r.variable.support.values) for r in readings for _ in range(r.scope.shape[1])]
    instances = math.prod(a.size for a in c.axes)
    if most * len(sizes) * instances > MOST_ENTRIES * 2 or not sizes:
        return None
    tuples = np.minimum(np.arange(most)[:, None], np.array(sizes) - 1)
    values = at_tuples(part, c.axes, readings, tuples)
    if values is None or not np.array_equal(values, np.round(values)):
        return None
    values = values.astype(np.int64)
    return np.moveaxis(values, 1, 2) if part.shape else values[:, None]


def linear_constraint(
    c: Condition,
    readings: Sequence[VariableRead],
    reads: dict[int, Node],
    scope: np.ndarray,
    sizes: Sequence[int],
) -> LinearConstraint | None:
    """The relation of a comparison of two sums over sites."""
    comparison = op_of(c.test).comparison
    if comparison is None or not (comparison.lower or comparison.upper):
        return None
    if len(sizes) < 2 or len(set(map(int, sizes))) > 1:
        return None
    left, right = c.test.args
    if not (is_separable(left, reads) and is_separable(right, reads)):
        return None
    k, values = len(sizes), sizes[0]
    rows = 1 + k * (values - 1)
    if rows * len(scope) * k > MOST_ENTRIES:
        return None
    tuples = np.zeros((rows, k), dtype=np.int64)
    places = np.repeat(np.arange(k), values - 1)
    tuples[1 + np.arange(k * (values - 1)), places] = np.tile(np.arange(1, values), k)
    exact = all(side.dtype != "real" for side in (left, right))
    sums = at_tuples(node("sub", left, right), c.axes, readings, tuples)
    if sums is None or not np.isfinite(sums).all():
        return None
    sums = sums if len(sums) == 1 else sums[c.kept]
    weights = np.zeros((len(sums), k, values))
    weights[:, :, 1:] = (sums[:, 1:] - sums[:, :1]).reshape(len(sums), k, values - 1)
    slack = 0.0 if exact else SLACK * (1.0 + np.abs(sums[:, 0]).max() + np.abs(weights).max(-1).sum(-1).max())
    edge = np.broadcast_to(-sums[:, 0].astype(np.float64), (len(scope),))
    step = 1.0 if exact else 0.0
    low, high = np.full(len(scope), -np.inf), np.full(len(scope), np.inf)
    if comparison.upper:
        high = edge + slack - (step if comparison.strict else 0.0)
    if comparison.lower:
        low = edge - slack + (step if comparison.strict else 0.0)
    return LinearConstraint(c.group, scope, weights, low, high)
