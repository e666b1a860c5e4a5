"""Constraints on single variables become their bounds, and the density stays what it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density


def domains(text: str) -> dict[str, tuple[float, float]]:
    graph = compile_program(Source("<text>", text)).graph
    return {v.name: (v.support.lower, v.support.upper) for v in graph.variables}


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("var x: real ~ Uniform(-1, 2)", (-1, 2)),
        ("var x: real[3] ~ Uniform(-1, 2)", (-1, 2)),
        ("var x: real ~ HalfNormal(1)", (0, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire 0.5 <= x and x < 3", (0.5, 3)),
        ("var x: real[4] ~ Normal(0, 1)\nrequire x >= 0.5", (0.5, math.inf)),
        ("var x: real[4] ~ Normal(0, 1)\nfor i in range(4) { require x[i] > 0 }", (0, math.inf)),
        ("var x: unit\nrequire x > 0.25\nrequire x > 0.5", (0.5, 1)),
        ("var x: real[4] ~ Normal(0, 1)\nrequire all(x >= 0.5)", (0.5, math.inf)),
        ("var x: real[2, 3] ~ Normal(0, 1)\nrequire all(x[:, 0] > 1) and all(x > 0)", (0, math.inf)),
        # a straight function of it
        ("var x: real ~ Normal(0, 1)\nlet y = 2 * x\nrequire y >= 1", (0.5, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire 2 * x + 1 >= 0", (-0.5, math.inf)),
        ("var x: real[3] ~ Normal(0, 1)\nrequire 1 >= (3 - x) / 4", (-1, math.inf)),
        ("var x: real[3] ~ Normal(0, 1)\nrequire 4 >= -2 * (x - 1) > -6", (-1, 4)),
        # what does not bound every site, or not by a number, stays a wall
        ("var x: real[4] ~ Normal(0, 1)\nfor i in range(3) { require x[i] > 0 }", (-math.inf, math.inf)),
        ("var x: real[4] ~ Normal(0, 1)\nrequire x[0] >= 0.5", (-math.inf, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire x >= 1 or x <= -1", (-math.inf, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire x^2 >= 1", (-math.inf, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire x * x >= 1", (-math.inf, math.inf)),
        ("var x: real ~ Normal(0, 1)\nrequire 2 / x >= 1", (-math.inf, math.inf)),
        ("var z: bool\nvar x: real ~ Normal(0, 1)\nif z { require x >= 1 }", (-math.inf, math.inf)),
        ("var x: real ~ 0.5 * Uniform(0, 1) + 0.5 * Uniform(2, 3)", (-math.inf, math.inf)),
    ],
)
def test_bounds(text: str, bounds: tuple[float, float]) -> None:
    assert domains(text)["x"] == bounds


def test_energy_is_that_of_the_constraint_and_the_jacobian() -> None:
    text = "var x: real ~ Normal(0, 1)\nrequire x >= 0.5"
    graph = compile_program(Source("<text>", text)).graph
    density = Density(graph, load_backend("numpy"))
    x = np.array([0.6, 1.0, 3.0])
    with density.backend.scope():
        moved = density.energy(density.position_of({"x": x}))
    expected = 0.5 * x**2 + 0.5 * math.log(2 * math.pi) - np.log(x - 0.5)
    np.testing.assert_allclose(moved, expected, rtol=1e-12)
