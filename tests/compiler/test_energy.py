"""A program's energy on every backend against the reference interpreter, and its gradient against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import compose_lang as cg
from compose_lang.runtime.views.coordinates import Coordinates
from tests.compiler import program_strategies, reference
from tests.compiler.points import Values, density_of, energies, graph_of, random_values
from tests.compiler.programs import PROGRAMS
from tests.once import once

POINTS = 6


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")


def program(name: str) -> tuple[str, dict[str, Any]]:
    held = PROGRAMS[name]
    return held if isinstance(held, tuple) else (held, {})


def brute_force(text: str, values: Values, data: dict[str, Any]) -> np.ndarray:
    points = len(next(iter(values.values())))
    return np.array(
        [reference.energy(text, {n: v[i] for n, v in values.items()}, data) for i in range(points)]
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_energy_is_the_reference(name: str) -> None:
    text, data = program(name)
    graph = graph_of(text, data)
    values = random_values(graph, np.random.default_rng(0), POINTS)
    expected = brute_force(text, values, data)
    assert np.isfinite(expected).any() and not np.isnan(expected).any()
    for backend in ("numpy", "jax", "torch"):
        found = energies(density_of(graph, backend), values)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10, err_msg=backend)


def test_a_wrong_sign_or_a_dropped_factor_is_seen() -> None:
    """The comparison above can fail."""
    text, data = program("garch")
    graph = graph_of(text, data)
    values = random_values(graph, np.random.default_rng(0), POINTS)
    found = energies(density_of(graph), values)
    for wrong in (text.replace("+ a1 *", "- a1 *"), text.replace("mu ~ Normal(0, 1);", "")):
        assert not np.allclose(found, brute_force(wrong, values, data), equal_nan=True)


CI = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
FEW = settings(CI, max_examples=8)


def check_random_program(text: str, seed: int, backend: str) -> None:
    try:
        graph = graph_of(text)
    except cg.ComposeError as wrong:  # nothing satisfies its constraints: no program to weigh
        assume(any(d.code != "CG0502" for d in wrong.diagnostics if d.severity == "error"))
        raise
    values = random_values(graph, np.random.default_rng(seed), 3)
    expected = brute_force(text, values, {})
    found = energies(density_of(graph, backend), values)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=text)


@CI
@given(program_strategies.programs(), st.integers(0, 2**31))
def test_random_programs_on_numpy(text: str, seed: int) -> None:
    check_random_program(text, seed, "numpy")


@FEW
@given(program_strategies.programs(), st.integers(0, 2**31))
def test_random_programs_on_jax(text: str, seed: int) -> None:
    check_random_program(text, seed, "jax")


@settings(CI, max_examples=30)
@given(program_strategies.programs(), st.integers(0, 2**31))
def test_random_programs_on_torch(text: str, seed: int) -> None:
    check_random_program(text, seed, "torch")


SMOOTH = (
    "data and a regression", "leading axes", "user's factors", "comprehensions", "discrete indices",
    "constrained vectors", "products and quotients", "mixtures", "contrast", "gates", "guarded branches", "garch",
    "functions", "recurrences that feed each other", "a recurrence of lag 2", "a recurrence of two indices",
    "a recurrence of vectors", "a recurrence in a factor", "observations", "log_weight", "repeated plates",
)  # fmt: skip


def within_bounds(values: Values, name: str) -> Values:
    """Values that keep to the one bound which depends on another variable."""
    if name != "garch":
        return values
    share = values["b1"] / (1.0 + values["b1"])
    return {**values, "b1": share * (1.0 - values["a1"])}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_is_that_of_differences(name: str) -> None:
    """Gradients are finite, those of branches not taken among them, and agree on torch and jax with differences."""
    text, data = program(name)
    graph = graph_of(text, data)
    values = within_bounds(random_values(graph, np.random.default_rng(1), 2), name)
    exact = density_of(graph)
    position = exact.position_of(values)
    names = tuple(v.name for v in graph.variables if v.free_sites and not v.is_discrete)
    rng = np.random.default_rng(2)
    block = Coordinates(exact, names)
    u = np.asarray(block.ravel(position))
    direction = rng.normal(size=u.shape)
    step = 1e-6
    ahead, behind = (np.asarray(block.energy(u + s * direction, position)) for s in (step, -step))
    for backend in ("torch", "jax") if name in ("garch", "guarded branches") else ("torch",):
        density = density_of(graph, backend)
        with density.backend.scope():
            there = {n: density.backend.asarray(x) for n, x in position.items()}
            of = Coordinates(density, names)

            def slopes(there: Any, of: Any = of) -> Any:
                return of.energy_and_gradient(of.ravel(there), there)[1]

            slope = density.backend.to_numpy(once(density.backend, slopes)(there))
        assert np.isfinite(slope).all()
        found = np.sum(slope * direction, axis=1)
        np.testing.assert_allclose(
            found, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6, err_msg=backend
        )


@pytest.mark.parametrize("name", ["garch", "constrained vectors", "data and a regression", "observations"])
def test_position_has_the_energy_of_its_values_less_the_jacobian(name: str) -> None:
    text, data = program(name)
    graph = graph_of(text, data)
    density = density_of(graph)
    values = within_bounds(random_values(graph, np.random.default_rng(3), POINTS), name)
    position = density.position_of(values)
    back, jacobians = density.constrain(position)
    for v in graph.variables:
        if v.free_sites:
            np.testing.assert_allclose(back[v.name], values[v.name], rtol=1e-10, atol=1e-12)
    expected = energies(density, values) - sum(jacobians.values())
    np.testing.assert_allclose(density.energy(position), expected, rtol=1e-12)


def test_a_named_type_brings_its_axes():
    program = "type V = real[2]\nfactor F(x: V) { energy norm(x) }\nvar y: V[3] ~ F"
    y = np.arange(6.0).reshape(3, 2)
    assert cg.compile(program).energy({"y": y}) == pytest.approx(np.linalg.norm(y, axis=1).sum(), rel=1e-12)


def test_a_composition_can_be_applied_like_a_factor():
    program = "var x: real\n(Normal(0, 1) * Normal(2, 1))(x |)\nlet P = Normal(1, 1)\n(P ^ 2)(x |)"
    normal = lambda x, m: 0.5 * (x - m) ** 2 + 0.5 * np.log(2 * np.pi)  # noqa: E731
    wanted = normal(0.3, 0) + normal(0.3, 2) + 2 * normal(0.3, 1)
    assert cg.compile(program).energy({"x": 0.3}) == pytest.approx(wanted, rel=1e-12)


def test_factors_can_be_inputs_of_factors():
    program = """
factor Blend(x: real | P, Q, w: unit) = w * P + (1 - w) * Q
factor Twice(x: real | P) {
  x ~ P
  x ~ P
}
var x: real ~ Blend(Normal(0, 1), Normal(3, 1), 0.2)
var y: real ~ Twice(Normal(1, 1))
"""
    density = lambda v, m: np.exp(-0.5 * (v - m) ** 2) / np.sqrt(2 * np.pi)  # noqa: E731
    wanted = -np.log(0.2 * density(0.3, 0) + 0.8 * density(0.3, 3)) - 2 * np.log(density(0.7, 1))
    assert cg.compile(program).energy({"x": 0.3, "y": 0.7}) == pytest.approx(wanted, rel=1e-12)
