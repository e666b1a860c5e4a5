"""A table holds an instance's energy for every joint value of what it reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compose_lang.compiler.analyses.tables import Sites, Table, tabulate
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.backends import load_backend
from tests.compiler.discrete_programs import DISCRETE
from tests.compiler.points import density_of, graph_of, random_values
from tests.compiler.test_scopes import instance_energies
from tests.work import calls

NUMPY = load_backend("numpy")


def entries(table: Table) -> np.ndarray:
    """Energies (instances, *choices)."""
    (array,) = interpret(NUMPY, [table.energy], {})
    found = np.asarray(table.arranged(NUMPY.xp, array))[0]
    return np.broadcast_to(found, (table.group.instances, *found.shape[1:]))


@pytest.mark.parametrize("name", DISCRETE)
def test_entries_are_the_energies_of_instances(name: str) -> None:
    graph = graph_of(DISCRETE[name])
    density = density_of(graph)
    finite = tuple(v for v in graph.variables if v.free_sites and v.type.domain.is_finite)
    sites = Sites(finite)
    rng = np.random.default_rng(1)
    values = random_values(graph, rng, 20)
    columns = []
    for v in finite:
        flat = values[v.name].reshape(20, -1)[:, v.free.reshape(-1)]
        columns.append(np.searchsorted(np.array(v.type.domain.values), flat.astype(np.int64)))
    digits = np.concatenate(columns, axis=1)
    free = {n: x for n, x in values.items() if density.variables[n].free_sites}
    compared = 0
    for group in graph.groups:
        table = tabulate(group, sites)
        if table is None:
            continue
        expected = instance_energies(density, group, free)
        instances = np.arange(group.instances)
        known = entries(table)
        for point in range(20):
            chosen = [np.where(s >= 0, digits[point][s], 0) for s in table.sites.T]
            np.testing.assert_allclose(known[(instances, *chosen)], expected[point], rtol=1e-12, atol=1e-12)
        compared += 1
    assert compared


def test_alike_instances_share_one_table() -> None:
    work = []
    for n in (30, 300):
        graph = graph_of(
            f"var s: spin[{n}, {n}]\nfor (p, q) in grid({n}, {n}) {{ energy -0.4 * s[p] * s[q] }}"
        )
        (group,), (s,) = graph.groups, graph.variables
        made: list[Any] = []
        work.append(calls(lambda group=group, s=s, made=made: made.append(tabulate(group, Sites((s,))))))  # type: ignore[misc]
        (table,) = made
        assert table is not None and table.is_known
        assert table.values.shape == (1, 2, 2)
        np.testing.assert_allclose(table.values[0], [[-0.4, 0.4], [0.4, -0.4]])
    assert work[1] < 1.01 * work[0]


def test_too_large_a_table_is_none() -> None:
    graph = graph_of("var z: category(10)[9]\nenergy 0.1 * sum(z)^2")
    assert tabulate(graph.groups[0], Sites(graph.variables), most=10**6) is None


def test_a_table_that_takes_too_much_on_the_way_is_none() -> None:
    """8^8 entries would do, but each compares all pairs of 8 sites."""
    graph = graph_of("var q: int(0, 7)[8]\nrequire all_different(q)")
    assert tabulate(graph.groups[0], Sites(graph.variables)) is None
