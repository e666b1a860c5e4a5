"""Finite variables whose factors are all over one site or two, reduced to fields and couplings.

In: a factor graph and a finite variable. Out: a `Pairwise`, or in words why it is none. Energies count relative to
each site's first value, so that the conditional of a site follows from a field and one coupling for each neighbour
(the interaction expansion about the first values; of a two-valued variable one number each):

    E(k) - E(0) = field[k] + sum over neighbours j of coupling_j[k, value of j],

where field and coupling are 0 for first values and left out. Before: `tables`. After: `lattice`, `neighbours`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.analyses.tables import Sites, Table, tabulate
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Node

MOST_VALUES = 8
"""Of a site: with more, comparing a neighbour with each value costs more than looking energies up."""
MOST_ENTRIES = 2**27
"""Of one factor group's table: 10^7 sites of two values on a square grid have 8 * 10^7."""
MOST_NATS = 60.0
"""By which one value may be preferred to another: ratios of weights stay within single precision's range."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of sites that share a factor; coupling (pairs or 1, K - 1, K - 1) in nats, by the values of a and b."""

    a: np.ndarray
    b: np.ndarray
    coupling: np.ndarray

    @property
    def both_ways(self) -> list[Pairs]:
        """The same seen from a and from b."""
        return [self, Pairs(self.b, self.a, np.swapaxes(self.coupling, 1, 2))]


@dataclass(frozen=True, eq=False)
class Pairwise:
    """A variable with K values a site; field is (sites, K - 1) in nats."""

    variable: Variable
    field: np.ndarray
    pairs: tuple[Pairs, ...]

    @property
    def sites(self) -> int:
        return len(self.field)

    @property
    def values(self) -> int:
        """K, the number of values of a site."""
        return self.field.shape[1] + 1


def pairwise(graph: FactorGraph, variable: Variable) -> Pairwise | str:
    """A variable's fields and couplings, or why it has none."""
    count = len(variable.type.domain.values)
    if count < 2 or count > MOST_VALUES:
        return f"it has {count} values a site"
    field = np.zeros((variable.free_sites, count - 1))
    pairs: list[Pairs] = []
    for group in graph.groups:
        if variable.name not in group.variables:
            continue
        if group.variables != {variable.name}:
            return f"`{group.label}` reads other variables too"
        for term in terms(group.energy):
            table = tabulate(replace(group, energy=term), Sites((variable,)), MOST_ENTRIES)
            if table is None:
                return f"`{group.label}` reads too many sites to list"
            if table.sites.shape[1] > 2:
                return f"`{group.label}` reads more than two sites at once"
            if not table.is_known or not np.isfinite(table.values).all():
                return f"`{group.label}` forbids values"
            if table.sites.shape[1] == 1:
                add(field, table.sites[:, 0], relative(table.values))
            elif table.sites.shape[1] == 2:
                pairs += joint(table, field)
    if strongest(field, pairs) > MOST_NATS:
        return f"values of a site can differ by more than {MOST_NATS:.0f} nats"
    return Pairwise(variable, field, tuple(p for p in pairs if len(p.a) and p.coupling.any()))


def terms(energy: Node) -> list[Node]:
    """What an energy is the sum of."""
    if energy.op == "add":
        return [t for a in energy.args for t in terms(a)]
    if energy.op == "sub" and len(energy.args) == 2:
        return [*terms(energy.args[0]), *(node("neg", t) for t in terms(energy.args[1]))]
    if energy.op == "neg":
        return [node("neg", t) for t in terms(energy.args[0])]
    return [energy]


def relative(energies: np.ndarray) -> np.ndarray:
    """Energies (instances, K) less those of the first value: (instances, K - 1)."""
    return energies[:, 1:] - energies[:, :1]


def add(field: np.ndarray, sites: np.ndarray, energies: np.ndarray) -> None:
    """Add energies (instances or 1, K - 1) to the fields of sites, where -1 is none."""
    real = sites >= 0
    for k in range(field.shape[1]):
        column = np.broadcast_to(energies[:, k], sites.shape)[real]
        if len(energies) == 1:
            field[:, k] += energies[0, k] * np.bincount(sites[real], minlength=len(field))
        else:
            field[:, k] += np.bincount(sites[real], column, minlength=len(field))


def joint(table: Table, field: np.ndarray) -> list[Pairs]:
    """The pairs of a table over two sites; what hangs on one of them alone goes to its field."""
    a, b = table.sites.T
    energies = table.values  # (instances or 1, K, K); the same over the choices of a site that is not there
    add(field, a, relative(energies[:, :, 0]))
    add(field, b, relative(energies[:, 0, :]))
    coupling = energies[:, 1:, 1:] - energies[:, 1:, :1] - energies[:, :1, 1:] + energies[:, :1, :1]
    both = (a >= 0) & (b >= 0)
    if both.all():
        return [Pairs(a, b, coupling)]
    return [Pairs(a[both], b[both], coupling if len(coupling) == 1 else coupling[both])]


def strongest(field: np.ndarray, pairs: list[Pairs]) -> float:
    """The most that a value of a site can differ from its first by, whatever its neighbours are."""
    if not len(field):
        return 0.0
    high, low = field.copy(), field.copy()
    for p in pairs:
        for here in p.both_ways:
            add(high, here.a, np.maximum(here.coupling, 0.0).max(axis=2))
            add(low, here.a, np.minimum(here.coupling, 0.0).min(axis=2))
    return float(np.maximum(np.abs(high), np.abs(low)).max())
