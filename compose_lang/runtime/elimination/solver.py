"""Solutions of hard discrete constraints by OR-tools' CP-SAT, where it is installed (the extra `search`).

In: `HardConstraints`, relations over sites, and a seed for each solution wanted. Out: the number of a value for
every site; or which groups of factors cannot hold together, as the solver has proved; or nothing, where it is not
installed, the program too large, or its time over. Seeds make solutions differ; the same seed gives the same one: a
single worker whose time is counted in steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import Any

import numpy as np

from compose_lang.compiler.constraints.relations import (
    AllDifferent,
    HardConstraints,
    LinearConstraint,
    Relation,
    TableConstraint,
)
from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.diagnostics import ComposeError, Diagnostic, Label

MOST_READS = 300_000  #: sites read by all instances: what Python states to the solver one by one
MOST_STEPS = 20.0  #: of deterministic time a solution: about seconds
FEW_STEPS = (
    1.0  #: of a search that takes sites and values at random: solutions are spread out, but harder to find
)
CORE_STEPS = 2.0


@dataclass(frozen=True, eq=False)
class Impossible:
    """Groups of factors that nothing satisfies together; without any of them something might."""

    groups: tuple[FactorGroup, ...]


class Ended(Enum):
    """How a search ends that finds no solution."""

    INFEASIBLE = 1
    UNKNOWN = 2


def solve(hard: HardConstraints, seeds: Sequence[int]) -> np.ndarray | Impossible | None:
    """Value numbers (seeds, sites) that satisfy all relations, one solution a seed."""
    reads = sum(r.scope.size for r in hard.relations)
    if find_spec("ortools") is None or reads > MOST_READS:
        return None
    found = []
    for seed in seeds:
        one = attempt(hard.domains, hard.relations, seed, FEW_STEPS, is_scattered=True)
        if one is Ended.UNKNOWN:
            one = attempt(hard.domains, hard.relations, seed, MOST_STEPS)
        if one is Ended.INFEASIBLE:
            return Impossible(core(hard))
        if one is Ended.UNKNOWN:
            return None
        found.append(one)
    return np.array(found).reshape(len(found), len(hard.domains))


def impossible(proof: Impossible) -> ComposeError:
    """CG0502 for constraints that are proved to exclude each other."""
    first, *others = proof.groups
    rest = ", ".join(f"`{g.label}`" for g in others)
    text = f"no point satisfies the constraints: `{first.label}` "
    text += f"cannot hold together with {rest}" if others else "cannot hold"
    labels = tuple(Label(g.span, "one of them") for g in others if g.span != first.span)
    remedy = "leave one out, or weaken it to a `prefer`"
    if not others:
        remedy = "its instances exclude each other, or the bounds of its variables do"
    help = f"this is proved, not only searched: {remedy}"
    return ComposeError(Diagnostic("CG0502", text, first.span, labels=labels, help=help), exit_code=4)


def core(hard: HardConstraints) -> tuple[FactorGroup, ...]:
    """Groups that are infeasible together: each is left out if the rest are so without it."""
    kept = list(dict.fromkeys(r.group for r in hard.relations))
    for group in list(kept):
        rest = [r for r in hard.relations if r.group in kept and r.group is not group]
        if attempt(hard.numbering.domains, rest, 0, CORE_STEPS) is Ended.INFEASIBLE:
            kept.remove(group)
    return tuple(kept)


def attempt(
    domains: np.ndarray, relations: Sequence[Relation], seed: int, steps: float, is_scattered: bool = False
) -> np.ndarray | Ended:
    """A solution's value numbers (sites,), or how the search for one ended."""
    from ortools.sat.python import cp_model

    rng = np.random.default_rng(seed)
    statement = Statement(domains, rng)
    for relation in relations:
        statement.state(relation)
    solver = cp_model.CpSolver()
    chosen = solver.parameters
    chosen.num_workers = 1
    chosen.random_seed = seed
    chosen.randomize_search = True
    chosen.symmetry_level = 0  # breaking symmetries would leave whole families of solutions out
    chosen.max_deterministic_time = steps
    if is_scattered:
        chosen.search_branching = chosen.FIXED_SEARCH
        order = [statement.sites[k] for k in rng.permutation(len(domains))]
        statement.model.add_decision_strategy(order, cp_model.CHOOSE_FIRST, cp_model.SELECT_RANDOM_HALF)
    status = solver.solve(statement.model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return np.array([solver.value(x) for x in statement.sites])
    return Ended.INFEASIBLE if status == cp_model.INFEASIBLE else Ended.UNKNOWN


class Statement:
    """A CP-SAT model of relations: an integer a site, the number of its value, with a random one as a hint."""

    def __init__(self, domains: np.ndarray, rng: np.random.Generator) -> None:
        from ortools.sat.python import cp_model

        self.domains = domains
        self.model = cp_model.CpModel()
        self.sites: list[Any] = []
        for mask in domains:
            values = np.flatnonzero(mask).tolist()
            if len(values) == 1:
                self.sites.append(self.model.new_constant(values[0]))
                continue
            domain = cp_model.Domain.from_values(values)
            x = self.model.new_int_var_from_domain(domain, "")
            self.model.add_hint(x, int(rng.choice(values)))
            self.sites.append(x)
        self.held: dict[tuple[int, int], Any] = {}

    def state(self, relation: Relation) -> None:
        match relation:
            case TableConstraint():
                self.state_table(relation)
            case AllDifferent():
                self.state_difference(relation)
            case LinearConstraint():
                self.state_total(relation)

    def state_table(self, r: TableConstraint) -> None:
        for row, scope in enumerate(r.scope):
            allowed = r.allowed[0 if len(r.allowed) == 1 else row]
            for place, site in enumerate(scope):
                held = self.domains[site, : allowed.shape[place]]
                allowed = allowed & held.reshape([-1 if p == place else 1 for p in range(len(scope))])
            xs = [self.sites[s] for s in scope]
            self.model.add_allowed_assignments(xs, np.argwhere(allowed).tolist())

    def state_difference(self, r: AllDifferent) -> None:
        for row, scope in enumerate(r.scope):
            codes = r.codes[0 if len(r.codes) == 1 else row]
            coded = [self.function(int(s), c) for s, c in zip(scope, codes, strict=True)]
            self.model.add_all_different(coded)

    def state_total(self, r: LinearConstraint) -> None:
        for row, scope in enumerate(r.scope):
            weights = r.weights[0 if len(r.weights) == 1 else row]
            if not np.array_equal(weights, np.round(weights)):
                continue  # only integers are exact: what rounding might decide is left to be tried
            sums = sum(self.function(int(s), w.astype(np.int64)) for s, w in zip(scope, weights, strict=True))
            if np.isfinite(r.low[row]):
                self.model.add(sums >= int(np.ceil(r.low[row])))
            if np.isfinite(r.high[row]):
                self.model.add(sums <= int(np.floor(r.high[row])))

    def function(self, site: int, values: np.ndarray) -> Any:
        """A function of a site: `values` (K,) by the number of its value."""
        possible = np.flatnonzero(self.domains[site, : len(values)])
        first, last = int(possible[0]), int(possible[-1])
        slope = (int(values[last]) - int(values[first])) // max(last - first, 1)
        line = int(values[first]) + slope * (possible - first)
        if np.array_equal(values[possible], line):
            return int(values[first]) - slope * first + slope * self.sites[site]
        key = (site, hash(values.tobytes()))
        if key not in self.held:
            from ortools.sat.python import cp_model

            pairs = [(int(k), int(values[k])) for k in possible]
            y = self.model.new_int_var_from_domain(cp_model.Domain.from_values([p[1] for p in pairs]), "")
            self.model.add_allowed_assignments([self.sites[site], y], pairs)
            self.held[key] = y
        return self.held[key]
