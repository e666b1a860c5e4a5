"""Which variables clusters can be flipped of: finite ones whose sites meet in pairs that agree or differ.

Every pair of sites must have an energy f(a) + g(b) - J [a = b + offset] with J ≥ 0: for two values that is any pair,
offset 1 where it prefers to differ; for more, pairs that prefer to agree, as in Potts models. What reads one site is a
field, and may depend on other variables as it likes. Then a pair whose preference is met is bound with probability
1 - exp(-J), and what is bound changes its value together (Swendsen and Wang 1987; Edwards and Sokal 1988).

In: a factor graph and one of its variables, told apart by `tables`. Out: `Clusters`, or why there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.analyses.colouring import components
from compose_lang.compiler.analyses.tables import Sites, Table, tabulate
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable, once
from compose_lang.compiler.ir.node import Node

TOLERANCE = 1e-9  #: of energies that should add up, in their own size


@dataclass(frozen=True, eq=False)
class Clusters:
    """A variable as pairs and fields. Values are counted from 0, in the order of the type."""

    variable: Variable
    ends: np.ndarray  #: (pairs, 2): free sites
    couplings: np.ndarray  #: (pairs,): J above 0, in nats
    offsets: np.ndarray  #: (pairs,): 0 where a pair prefers to agree, 1 where it prefers to differ
    field: np.ndarray | None  #: (sites, values): the energy of each value, None where all are alike
    loose: tuple[Table, ...]  #: fields that depend on other variables: a site for each instance, -1 for none

    @property
    def energies(self) -> list[Node]:
        """What is evaluated along the way."""
        return [table.energy for table in self.loose]

    @property
    def tables(self) -> dict[str, object]:
        """The arrays that a backend holds."""
        field = {} if self.field is None else {"field": self.field}
        loose = [t.sites[:, 0] for t in self.loose]
        return {
            "ends": self.ends, "couplings": self.couplings, "offsets": self.offsets, "loose": loose, **field,
        }  # fmt: skip

    @property
    def influence(self) -> float:
        """How much of a site its neighbours decide at most: below 1 single sites mix fast (Dobrushin 1968)."""
        each = np.tanh(0.5 * self.couplings)
        total = np.bincount(self.ends.reshape(-1), np.repeat(each, 2), self.variable.free_sites)
        return float(total.max(initial=0.0))

    @property
    def is_frustrated(self) -> bool:
        """Whether not all pairs can be as they prefer at once: then clusters grow over everything, and do not help."""
        if not self.offsets.any():
            return False
        sites = self.variable.free_sites
        a, b = self.ends.T
        # every site twice, as it is and flipped
        rows = np.concatenate([a, a + sites])
        columns = np.concatenate([b + sites * self.offsets, b + sites * (1 - self.offsets)])
        component = components(2 * sites, np.column_stack([rows, columns]))
        return bool((component[:sites] == component[sites:]).any())


@once
def clusters(graph: FactorGraph, v: Variable) -> Clusters | str:
    """The clusters of a variable, or why it has none."""
    domain = v.type.domain
    if not domain.is_finite or domain.kind == "permutation" or len(domain.values) < 2:
        return "its values cannot be listed"
    sites, values = Sites((v,)), len(domain.values)
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    field = np.zeros((v.free_sites, values))
    loose = []
    for group in graph.groups:
        if v.name not in group.variables:
            continue
        table = tabulate(group, sites)
        if table is None or table.sites.shape[1] > 2:
            return f"{group.label or group.kind} reads more than two of its sites at once"
        if table.sites.shape[1] == 0:
            continue
        if not table.is_known:
            if table.sites.shape[1] == 2:
                return f"how its sites meet in {group.label or group.kind} depends on other variables"
            loose.append(table)
            continue
        if table.sites.shape[1] == 1:
            add_field(field, table.sites[:, 0], table.values)
            continue
        found = split(table.values)
        if isinstance(found, str):
            return f"{group.label or group.kind} {found}"
        coupling, first, second = (np.broadcast_to(x, (len(table.sites), *x.shape[1:])) for x in found)
        add_field(field, table.sites[:, 0], first)
        add_field(field, table.sites[:, 1], second)
        real = (table.sites >= 0).all(axis=1) & (coupling != 0.0)
        offset = (coupling[real] < 0.0).astype(np.int64)
        pairs.append((table.sites[real], np.abs(coupling[real]), offset))
    if not pairs or not sum(len(ends) for ends, _, _ in pairs):
        return "none of its sites meet"
    ends, couplings, offsets = (np.concatenate(part) for part in zip(*pairs, strict=True))
    is_flat = not np.isinf(field).any() and bool(np.ptp(field, axis=1).max(initial=0.0) <= TOLERANCE)
    return Clusters(v, ends, couplings, offsets, None if is_flat else field, tuple(loose))


def add_field(field: np.ndarray, sites: np.ndarray, energies: np.ndarray) -> None:
    """Add energies (instances or 1, values) to those of the sites (instances,) they are of, -1 for none."""
    real = sites >= 0
    np.add.at(field, sites[real], np.broadcast_to(energies, (len(sites), energies.shape[-1]))[real])


def split(energies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    """Energies (n, values, values) as J (n,), f and g (n, values): f(a) + g(b) - J [a = b]; or why they are not."""
    if not np.isfinite(energies).all():
        return "forbids some pairs of values"
    if energies.shape[1] == 2:
        coupling = 0.5 * (energies[:, 0, 1] + energies[:, 1, 0] - energies[:, 0, 0] - energies[:, 1, 1])
    else:
        coupling = energies[:, 1, 0] - energies[:, 1, 2] - energies[:, 0, 0] + energies[:, 0, 2]
    size = TOLERANCE * (1.0 + np.abs(energies).max(axis=(1, 2)))
    coupling = np.where(np.abs(coupling) <= size, 0.0, coupling)
    rest = energies + coupling[:, None, None] * np.eye(energies.shape[1])
    first, second = rest[:, :, 0], rest[:, 0, :] - rest[:, :1, 0]
    if (np.abs(first[:, :, None] + second[:, None, :] - rest) > 4.0 * size[:, None, None]).any():
        return "tells more of two values than whether they are equal"
    if energies.shape[1] > 2 and (coupling < 0.0).any():
        return "prefers values that differ"
    return coupling, first, second
