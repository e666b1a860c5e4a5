"""The sites an instance of a factor reads, against what changes its energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compose_lang.compiler.graph.factor_graph import FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.density.density import Density
from tests.compiler.discrete_programs import DISCRETE
from tests.compiler.points import density_of, graph_of, random_values


def instance_energies(density: Density, group: FactorGroup, values: dict[str, Any]) -> np.ndarray:
    """Energies (points, instances) of every instance by itself."""
    points = len(next(iter(values.values())))
    (energy,) = interpret(density.backend, [group.energy], density.bindings(values))
    shape = [a.size if a in group.energy.axes else 1 for a in group.axes]
    full = np.broadcast_to(energy.reshape((energy.shape[0], *shape)), (points, *(a.size for a in group.axes)))
    return full.reshape(points, -1)


def moved_by_site(density: Density, group: FactorGroup, variable: Variable) -> np.ndarray:
    """Which free sites (instances, sites) change an instance's energy, by changing each in turn."""
    rng = np.random.default_rng(0)
    values = {
        n: v for n, v in random_values(density.graph, rng, 40).items() if density.variables[n].free_sites
    }
    with np.errstate(invalid="ignore"):
        before = instance_energies(density, group, values)
        flat = np.flatnonzero(variable.free.reshape(-1))
        changed = np.zeros((before.shape[1], len(flat)), dtype=bool)
        for place, site in enumerate(flat):
            held = values[variable.name].copy()
            column = rng.choice(np.array(variable.type.domain.values), 40).astype(held.dtype)
            held.reshape(40, -1)[:, site] = column
            after = instance_energies(density, group, {**values, variable.name: held})
            changed[:, place] = ~np.isclose(after, before, atol=1e-12, equal_nan=True).all(axis=0)
    return changed


@pytest.mark.parametrize("name", DISCRETE)
def test_scopes_hold_every_site_that_matters(name: str) -> None:
    """Nothing outside its scope moves an instance; where scopes are narrow, most of what they hold does."""
    graph = graph_of(DISCRETE[name])
    density = density_of(graph)
    for variable in graph.variables:
        for group in graph.groups:
            if variable.name not in group.variables:
                continue
            found = scope(group, variable)
            if found is None:
                continue
            listed = np.zeros((group.instances, variable.free_sites + 1), dtype=bool)
            np.put_along_axis(listed, found, True, axis=1)
            changed = moved_by_site(density, group, variable)
            assert not (changed & ~listed[:, :-1]).any()


def test_a_pair_factor_reads_two_sites() -> None:
    graph = graph_of("var s: spin[4, 5]\nfor (p, q) in grid(4, 5) { energy -s[p] * s[q] }")
    found = scope(graph.groups[0], graph.variables[0])
    assert found is not None and found.shape == (31, 2)
    assert (np.abs(found[:, 0] - found[:, 1]) % 5 <= 1).all()


def test_observed_sites_are_left_out() -> None:
    text = "var s: spin[3]\nobserve s[1] = 1\nfor (i, j) in chain(3) { energy -s[i] * s[j] }"
    graph = graph_of(text)
    assert scope(graph.groups[0], graph.variables[0]).tolist() == [[0, -1], [-1, 1]]


def test_a_slice_reads_only_its_window() -> None:
    graph = graph_of("factor F(x: spin[n]) { energy sum(x) }\nvar s: spin[6]\ns[1:4] ~ F")
    assert scope(graph.groups[0], graph.variables[0]).tolist() == [[1, 2, 3]]
