"""How far a constraint is from holding: language.md's rules, also where a function of the user's states it."""

from __future__ import annotations

import pytest

import compose_lang as cg

PROGRAM = """
var x: real[2] ~ Normal(0, 1)
var z: int(0, 3)
fn box(a: real[d], lo: real, hi: real) -> bool = all(lo <= a) and all(a <= hi)
fn far(a: real[d]) -> bool { let r = norm(a); r > 2 }
"""


@pytest.mark.parametrize(
    ("condition", "x", "expected"),
    [
        ("x[0] <= x[1]", [2, -3], 5),
        ("x[0] == x[1]", [2, -3], 5),
        ("x[0] != x[1]", [2, 2], 1),
        ("x < 1", [2, 4], 4),
        ("not (x[0] > 1 or x[1] > 1)", [2, 4], 4),
        ("not (x[0] > 1 and x[1] > 1)", [2, 4], 1),
        ("z == 2", [0, 0], 1),
        ("z == 2 or x[0] > 1", [0.5, 0], 0.5),
        ("box(x, -1, 1)", [2, -3], 3),
        ("not box(x, -1, 1)", [0.5, -0.8], 0.2),
        ("box(x, -1, 1) and z == 2", [2, -3], 4),
        ("far(x)", [0.6, 0.8], 1),
        ("all(x[i] < x[j] for i in range(1), j in range(1, 2))", [2, -3], 5),
        ("all(x[i] > k for i in range(2), k in range(2) if k != 0)", [0.5, -3], 4.5),
        ("all(x[i] > 1 for i in range(2) if z == i)", [0.5, -3], 4),
        ("all([z == 1, x[0] > 1])", [0.5, -3], 0.5),
        ("any(x[i] > 1 for i in range(2))", [0.5, -3], 0.5),
        ("any(x > 1)", [0.5, -3], 0.5),
        ("any(x[0:0] > 1)", [0.5, -3], 1),
        ("implies(x[0] > 0, x[1] > 1)", [0.5, -3], 0.5),
        ("implies(z == 1, x[1] > 1)", [0.5, -3], 1),
        ("implies(z == 2, x[1] > 1)", [0.5, -3], 0),
    ],
)
def test_violation(condition, x, expected):
    point = {"x": x, "z": 1}
    base = cg.compile(PROGRAM).energy(point)
    assert cg.compile(f"{PROGRAM}prefer {condition}").energy(point) - base == pytest.approx(expected)
