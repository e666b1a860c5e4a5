"""Each pass keeps the density: energies at random points before and after it agree, in whatever coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compose_lang.compiler.elaborate.context import Session
from compose_lang.compiler.elaborate.program import elaborate
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.passes import PASSES
from compose_lang.diagnostics import Source
from compose_lang.grammar.parser import parse
from compose_lang.runtime.density.density import Density
from tests.compiler.points import Values, density_of, energies, random_values

FOLDER = Path(__file__).parents[1] / "golden" / "good"
TEXTS = {
    "a bound that an integer moves": "var n: int(1, 4)\nvar x: real(0, n)[3] ~ Uniform(0, 4)",
    "an upper and a lower one": "var k: bool[2]\nvar x: real(sum(k) - 1, 2 + k[0])\nx ~ Normal(0, 1)",
    "required bounds": "var x: real[4] ~ Normal(0, 1)\nrequire x >= -0.5 and x <= 1.5",
    "supports of densities": "var x: real[3] ~ HalfNormal(1)\nvar y: real\ny ~ Uniform(-1, 2)",
    "values ruled out": "var z: int(0, 5)[3]\nrequire all_different(z)\nrequire z[0] + z[1] <= 3\nobserve z[2] = 1",
    "a smaller range": "var z: int(0, 9)\nrequire z > 2\nrequire z < 7\nz ~ Poisson(3)",
    "a written sum": "var x: real\nenergy -log(0.3 * exp(-(x - 1)^2) + exp(-x^2) / 2)",
    "a hierarchy": "var tau: positive ~ HalfNormal(1)\nvar m: real ~ Normal(0, 1)\nvar x: real[3] ~ Normal(m, tau)",
    "one over plates": (
        "var tau: positive[2] ~ HalfNormal(1)\nvar x: real[2, 3]\n"
        "for i in range(2), j in range(3) { x[i, j] ~ Normal(0.5, tau[i]) }"
    ),
}
NAMES = (
    *("algebra_mixture", "factors_with_variables", "factors_over_simplices", "hierarchical_crossed"),
    *(
        "hierarchical_eight_schools",
        "hierarchical_growth",
        "language_constraints",
        "language_dependent_bounds",
    ),
    *("language_gates", "language_matrices", "language_observe", "language_orders", "language_permutations"),
    *("language_plates", "language_preferences", "language_programs_as_factors", "language_recurrences"),
    *("mixture_assignments", "puzzle_map", "puzzle_matching", "puzzle_subset_sum", "puzzle_sudoku"),
    *("regression_ordered", "regression_missing", "variance_components"),
)
POINTS, STATES, TRIES = 40, 5000, 8
STEP = 1e-6  #: of a coordinate, to see how fast others follow


@cache
def stages(name: str) -> tuple[FactorGraph, ...]:
    """A program's graph as elaboration leaves it, and after each pass."""
    text = TEXTS.get(name) or (FOLDER / f"{name}.cg").read_text(encoding="utf-8")
    graphs = [elaborate(parse(Source(f"{name}.cg", text)), Session(FOLDER, {}, {}))]
    for each in PASSES:
        graphs.append(each.function(graphs[-1]))
    return tuple(graphs)


def points_of(graph: FactorGraph, rng: np.random.Generator) -> Values:
    """Random values of all variables inside their types, with all joint values of their finite sites where few."""
    finite = [v for v in graph.variables if v.type.domain.is_finite and not v.type.domain.event_shape]
    counts = [len(v.type.domain.values) for v in finite for _ in range(v.free_sites)]
    states = math.prod(counts)
    if not counts or states > STATES:
        return random_values(graph, rng, POINTS)
    repeats = -(-POINTS // states)
    values = random_values(graph, rng, states * repeats)
    numbers = iter(np.tile(np.indices(counts).reshape(len(counts), -1), repeats))
    for v in finite:
        for site in np.argwhere(v.free):
            values[v.name][(slice(None), *site)] = np.array(v.type.domain.values)[next(numbers)]
    return values


def total_energy(graph: FactorGraph, values: Values) -> np.ndarray:
    """The energy (points,) of a graph, infinite where a variable lies outside what its type and passes leave it."""
    density = density_of(graph)
    total = np.array(energies(density, values))
    for v in graph.variables:
        if v.free_sites and not v.type.domain.event_shape:
            total[~is_inside(density, v, values)] = np.inf
    return total


def is_inside(density: Density, v: Variable, values: Values) -> np.ndarray:
    """Which points (points,) are inside a variable's bounds and among its values."""
    x = values[v.name]
    held = ~np.broadcast_to(v.free, x.shape)
    inside = held | ((x >= v.support.lower) & (x <= v.support.upper))
    for bound, holds in ((v.lower, np.greater_equal), (v.upper, np.less_equal)):
        if bound is not None:
            (edge,) = interpret(density.backend, [bound], density.bindings(values))
            inside &= held | holds(
                x, edge.reshape((len(edge), *(1,) * (x.ndim - edge.ndim), *edge.shape[1:]))
            )
    is_left = np.asarray(inside.reshape((len(x), -1)).all(axis=1))
    if v.allowed is not None:
        numbers = x.reshape((len(x), -1))[:, v.free.reshape(-1)].astype(int) - v.support.values[0]
        numbers = numbers.clip(0, v.allowed.shape[1] - 1)
        is_left &= np.take_along_axis(v.allowed[None], numbers[..., None], axis=2)[..., 0].all(axis=1)
    return is_left


def check_energies(before: FactorGraph, after: FactorGraph) -> None:
    """The weight of each point is the same."""
    values = points_of(before, np.random.default_rng(0))
    np.testing.assert_allclose(
        total_energy(after, values), total_energy(before, values), rtol=1e-9, atol=1e-9
    )


def check_coordinates(before: FactorGraph, after: FactorGraph) -> None:
    """A point in the coordinates of one has in those of the other the same density, less how these stretch it."""
    rng = np.random.default_rng(1)
    old, new = density_of(before), density_of(after)
    names = [v.name for v in before.variables if v.free_sites and not v.is_discrete]
    with np.errstate(invalid="ignore", divide="ignore"):
        positions = new.position_of(random_values(after, rng, TRIES))
    for k in range(TRIES if names else 0):
        at = {name: array[k : k + 1] for name, array in positions.items()}
        at.update({name: rng.normal(0.0, 0.7, at[name].shape) for name in names})
        point = np.concatenate([at[n].reshape(-1) for n in names])
        steps = STEP * np.eye(len(point))
        near = np.concatenate([[point], point + steps, point - steps])
        here = {name: np.repeat(array, len(near), axis=0) for name, array in at.items()}
        parts = np.split(near, np.cumsum([at[n].size for n in names])[:-1], axis=1)
        here.update({n: x.reshape((-1, *at[n].shape[1:])) for n, x in zip(names, parts, strict=True)})
        with np.errstate(invalid="ignore", divide="ignore"):
            there = old.position_of(new.constrain(here)[0])
        mapped = np.concatenate([there[n].reshape((len(near), -1)) for n in names], axis=1)
        energy = new.energy(here)[0]
        if not np.isfinite(mapped).all():
            assert energy == np.inf  # a bound that the other graph has as a constraint
            continue
        slopes = (mapped[1 : 1 + len(point)] - mapped[1 + len(point) :]) / (2 * STEP)
        expected = old.energy(there)[0] - np.linalg.slogdet(slopes)[1]
        assert energy == pytest.approx(expected, rel=1e-5, abs=1e-5) or energy == expected


@pytest.mark.parametrize("name", [*TEXTS, *NAMES])
def test_a_pass_keeps_the_density(name: str) -> None:
    graphs = stages(name)
    for before, after in pairwise(graphs):
        if after is not before:
            check_energies(before, after)
    if graphs[-1].variables is not graphs[0].variables or graphs[-1].offsets:
        check_coordinates(graphs[0], graphs[-1])


def test_every_rewrite_changes_some_of_these_programs() -> None:
    for k, each in enumerate(PASSES):
        if not each.name.startswith("check"):
            assert any(is_changed(*stages(name)[k : k + 2]) for name in TEXTS), each.name


def test_a_pass_is_named_after_its_function() -> None:
    assert [each.function.__name__ for each in PASSES] == [each.name for each in PASSES]
    assert len({each.name for each in PASSES}) == len(PASSES)


def is_changed(before: FactorGraph, after: FactorGraph) -> bool:
    return (
        before.groups != after.groups
        or before.variables != after.variables
        or before.offsets != after.offsets
    )


# --- planted wrong rewrites ---


def without_a_factor(graph: FactorGraph) -> FactorGraph:
    return replace(graph, groups=graph.groups[1:])


def with_a_factor_twice(graph: FactorGraph) -> FactorGraph:
    return replace(graph, groups=(*graph.groups, graph.groups[0]))


def with_a_constant(graph: FactorGraph) -> FactorGraph:
    first = graph.groups[0]
    group: FactorGroup = replace(first, energy=node("add", first.energy, constant(0.1)))
    return replace(graph, groups=(group, *graph.groups[1:]))


def without_dependent_bounds(graph: FactorGraph) -> FactorGraph:
    return replace(graph, variables=tuple(replace(v, lower=None, upper=None) for v in graph.variables))


def with_narrower_supports(graph: FactorGraph) -> FactorGraph:
    return replace(
        graph, variables=tuple(replace(v, tightened=replace(v.support, lower=0.4)) for v in graph.variables)
    )


def without_a_value(graph: FactorGraph) -> FactorGraph:
    (v,) = graph.variables
    allowed = (
        np.ones((v.free_sites, len(v.support.values)), dtype=bool) if v.allowed is None else v.allowed.copy()
    )
    allowed[:, allowed.shape[1] // 2] = False
    return replace(graph, variables=(replace(v, allowed=allowed),))


@pytest.mark.parametrize(
    ("name", "rewrite"),
    [
        ("required bounds", without_a_factor),
        ("a hierarchy", with_a_factor_twice),
        ("hierarchical_eight_schools", with_a_constant),
        ("a bound that an integer moves", without_dependent_bounds),
        ("an upper and a lower one", without_dependent_bounds),
        ("required bounds", with_narrower_supports),
        ("values ruled out", without_a_value),
        ("a smaller range", without_a_value),
    ],
)
def test_a_rewrite_that_changes_the_density_is_caught(
    name: str, rewrite: Callable[[FactorGraph], FactorGraph]
) -> None:
    for graph in (stages(name)[0], stages(name)[-1]):
        if rewrite is without_dependent_bounds and graph is stages(name)[-1]:
            continue  # its bounds are constraints by then
        with pytest.raises(AssertionError):
            check_energies(graph, rewrite(graph))


def test_coordinates_that_lose_their_stretch_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    before, *_, after = stages("a hierarchy")
    assert after.offsets
    check_coordinates(before, after)
    constrain = Density.constrain

    def unstretched(self: Density, *arguments: Any) -> tuple[Values, dict[str, np.ndarray]]:
        values, jacobians = constrain(self, *arguments)
        return values, {} if self.graph.offsets else jacobians

    monkeypatch.setattr(Density, "constrain", unstretched)
    with pytest.raises(AssertionError):
        check_coordinates(before, after)
