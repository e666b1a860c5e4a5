"""The modules taken in by `use`: functions and factors against NumPy, planar densities by quadrature."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import compose_lang as cg

LIBRARY = Path(cg.__file__).parent / "stdlib"
EXAMPLES = [
    (path.stem, *found)
    for path in sorted(LIBRARY.glob("*.cg"))
    if path.stem not in ("distributions", "discrete")
    for found in re.findall(r"^# example: (\w+)(\(.*\)) -> (.*)$", path.read_text(encoding="utf-8"), re.M)
]
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


@pytest.mark.parametrize(("module", "name", "call", "energy"), EXAMPLES, ids=lambda text: text[:12])
def test_the_example_in_the_comment_is_right(module, name, call, energy):
    assert value(module, name, f"-log_weight({name}{call})") == pytest.approx(float(energy), rel=1e-11)


def test_factors_of_planning_and_images_have_examples():
    for module in ("planning", "image"):
        text = (LIBRARY / f"{module}.cg").read_text(encoding="utf-8")
        names = re.findall(r"^(?:factor|density) (\w+)", text, re.M)
        assert sorted(names) == sorted(name for m, name, *_ in EXAMPLES if m == module)


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


PATH = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
PICTURE = np.random.default_rng(0).normal(size=(5, 7))


def blurred(x: np.ndarray, width: float) -> np.ndarray:
    """A Gaussian blur that leaves out what is outside, from SciPy's, which counts it as 0."""

    def with_zeros(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, width, mode="constant", radius=10)

    return with_zeros(x) / with_zeros(np.ones_like(x))


@pytest.mark.parametrize(
    ("module", "name", "expression", "expected"),
    [
        ("planning", "steps", "sum(steps(p) * [1, 10])", 15),
        ("planning", "path_length", "path_length(p)", 6),
        ("planning", "within_speed", "if within_speed(p, 5) then 3 else 5", 3),
        ("planning", "within_speed", "if within_speed(p, 4.9) then 3 else 5", 5),
        ("planning", "clearances", "clearances(p, [0, 5])[0]", 3),
        ("planning", "clear_of_ball", "if clear_of_ball(p, [1.5, 0], 1.2) then 3 else 5", 3),
        ("planning", "clear_of_ball", "if clear_of_ball(p, [1.5, 2], 0.1) then 3 else 5", 5),
        ("planning", "clear_of_ball", "if clear_of_ball(0 * p, [3, 4], 5) then 3 else 5", 3),
    ],
)
def test_paths(module, name, expression, expected):
    text = f"use std.{module} ({name})\ndata p: real[_, 2]\nvar u: unit\nenergy {expression}"
    assert cg.compile(text, data={"p": PATH}).energy({"u": 0.5}) == pytest.approx(expected)


def test_images():
    text = """
    use std.image (blur, shrink)
    data x: real[_, _]
    data narrow: real[_, _]
    data small: real[_, _]
    var u: unit
    energy sum((blur(x, 1.5) - narrow)^2) + sum((shrink(x, 2) - small)^2)
    """
    small = PICTURE[:4, :6].reshape(2, 2, 3, 2).mean(axis=(1, 3))
    data = {"x": PICTURE, "narrow": blurred(PICTURE, 1.5), "small": small}
    assert cg.compile(text, data=data).energy({"u": 0.5}) == pytest.approx(0, abs=1e-20)


@pytest.mark.slow
def test_a_path_is_planned_around_an_obstacle():
    """No draw cuts into the ball, and all end where they should."""
    text = """
    use std.planning (SmoothPath, Goal, clear_of_ball)
    var path: real[6, 2]
    observe path[0] = [-2, 0]
    path ~ SmoothPath(sd=0.5)
    Goal(path[5] | [2, 0], sd=0.05)
    require "clear": clear_of_ball(path, [0, 0], 1)
    """
    run = cg.sample(text, seed=1, chains=1, warmup=100, draws=50, backend="jax")
    path = np.asarray(run.posterior["path"])
    a, b = path[..., :-1, :], path[..., 1:, :]
    legs = a[..., None, :] + np.linspace(0, 1, 101)[:, None] * (b - a)[..., None, :]
    assert np.linalg.norm(legs, axis=-1).min() > 1 - 1e-3
    assert np.abs(path[..., -1, :] - [2, 0]).max() < 0.3
    assert (path[..., 0, :] == [-2, 0]).all()
