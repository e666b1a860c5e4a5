"""The modules taken in by `use`: functions and factors against NumPy, planar densities by quadrature."""

from __future__ import annotations

import numpy as np
import pytest

import compose_lang as cg

A, B, C = np.array([1.0, 2.0, -1.0]), np.array([0.5, -1.0, 2.0]), np.array([3.0, 0.0, 0.25])

TO_SEGMENT = np.linalg.norm(C - (A + np.linspace(0, 1, 100_001)[:, None] * (B - A)), axis=1).min()


def value(module: str, name: str, expression: str, **data: np.ndarray) -> float:
    """An expression over data, as the energy of a program whose one variable adds nothing."""
    declared = [f"data {k}: real[_]" for k in data]
    text = "\n".join([f"use std.{module} ({name})", *declared, "var u: unit", f"energy {expression}"])
    return float(cg.compile(text, data=data).energy({"u": 0.5}))


@pytest.mark.parametrize(
    ("name", "expression", "expected"),
    [
        ("distance", "distance(a, b)", np.linalg.norm(A - B)),
        ("distance_squared", "distance_squared(a, b)", ((A - B) ** 2).sum()),
        ("angle_between", "angle_between(a, b)", np.arccos(A @ B / np.linalg.norm(A) / np.linalg.norm(B))),
        ("angle_between", "angle_between(a, -2 * a)", np.pi),
        ("inside_box", "if inside_box(a, [0, 0, -1], [2, 2, 2]) then 3 else 5", 3),
        ("inside_box", "if inside_box(a, [0, 0, 0], [2, 2, 2]) then 3 else 5", 5),
        ("inside_ball", "if inside_ball(a, b, 4.3) then 3 else 5", 3),
        ("inside_ball", "if inside_ball(a, b, 4.2) then 3 else 5", 5),
        ("distance_to_segment", "distance_to_segment(c, a, b)", TO_SEGMENT),
        ("distance_to_segment", "distance_to_segment(2 * b - a, a, b)", np.linalg.norm(A - B)),
        ("distance_to_segment", "distance_to_segment(0.3 * a + 0.7 * b, a, b)", 0),
    ],
)
def test_geometry(name, expression, expected):
    assert value("geometry", name, expression, a=A, b=B, c=C) == pytest.approx(expected, abs=1e-6)


R = np.linalg.norm(A - B)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("Spring", "k=2, rest=0.5", (R - 0.5) ** 2),
        ("Spring", "", 0.5 * R**2),
        ("Coulomb", "strength=-3", -3 / R),
        ("LennardJones", "depth=2, rest=4", 2 * ((4 / R) ** 12 - 2 * (4 / R) ** 6)),
    ],
)
def test_physics(name, inputs, expected):
    assert value("physics", name, f"-log_weight({name}(a, b | {inputs}))", a=A, b=B) == pytest.approx(
        expected
    )


def test_gravity_pulls_down():
    energy = value("physics", "Gravity", "-log_weight(Gravity(a | [0, 0, 1], mass=2, g=9.81))", a=A)
    assert energy == pytest.approx(2 * 9.81 * A[2])


def test_graph_factors():
    text = """
    use std.graphs (Ising, Potts, Smooth)
    var s: spin[2]
    var c: category(3)[2]
    var x: real[2] ~ Normal(0, 1)
    Ising(s[0], s[1] | coupling=0.7)
    Potts(c[0], c[1] | 2)
    Smooth(x[0], x[1] | sd=0.5)
    """
    model = cg.compile(text)
    base = 0.5 * (0.3**2 + 0.9**2) + np.log(2 * np.pi) + 0.5 * (0.6 / 0.5) ** 2
    x = [0.3, 0.9]
    assert model.energy({"s": [1, 1], "c": [2, 2], "x": x}) == pytest.approx(base - 0.7 - 2)
    assert model.energy({"s": [1, -1], "c": [2, 0], "x": x}) == pytest.approx(base + 0.7)


EDGE = np.linspace(-7, 7, 281)
STEP = EDGE[1] - EDGE[0]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Ring", "radius=2, sd=0.3"),
        ("Ring", "radius=0.5, sd=1"),
        ("EightGaussians", "radius=2, sd=0.3"),
        ("Bar", "width=2.025, height=4.025"),
        ("Banana", "bend=0.3, sd=0.6"),
    ],
)
def test_planar_densities_are_normalised(name, inputs):
    """Summed on a grid whose cells the bar's edges cut in half."""
    points = np.stack(np.meshgrid(EDGE, EDGE, indexing="ij"), axis=-1).reshape(-1, 2)
    text = f"""
    use std.toy2d ({name})
    data points: real[_, 2]
    var u: unit
    energy logsumexp(log_weight({name}(points[i] | {inputs})) for i in range(len(points)))
    """
    total = cg.compile(text, data={"points": points}).energy({"u": 0.5})
    tolerance = 0.03 if name == "Bar" else 1e-3
    assert np.exp(total) * STEP**2 == pytest.approx(1, abs=tolerance)
