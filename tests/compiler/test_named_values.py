"""A bare value's name is found by the type expected where it stands."""

from __future__ import annotations

import pytest

import compose_lang as cg
from compose_lang.diagnostics import ComposeError

TYPES = """
type A = {red, green}
type B = {green, blue, red}
factor F(x: real | c: B) { energy if c == red then 5 else 1 }
factor G(c: B) { energy if c == red then 7 else 2 }
fn w(c: B) -> real = if c == red then 3 else 4
var a: A
var b: B
var x: real
observe x = 0
"""


def energy(statements: str, a: int = 0, b: int = 0) -> float:
    return cg.compile(TYPES + statements).energy({"a": a, "b": b, "x": 0.0})


@pytest.mark.parametrize(
    ("statements", "values", "wanted"),
    [
        ("F(x | red)", {}, 5),
        ("F(x | B.red)", {}, 5),
        ("F(x | green)", {}, 1),
        ("energy w(red)", {}, 3),
        ("energy w(blue)", {}, 4),
        ("energy w(b)", {"b": 2}, 3),
        ("G(b)", {"b": 2}, 7),
        ("b ~ G", {"b": 1}, 2),
        ("require red == b", {"b": 2}, 0),
        ("require b in [red, blue]", {"b": 2}, 0),
        ("require not (b in [red, blue])", {"b": 0}, 0),
        ("energy if a == red and b == red then 1 else 0", {"a": 0, "b": 2}, 1),
        ("prefer b == red weight 2", {"b": 1}, 2),
        ("const d: B = red\nenergy w(d)", {}, 3),
        ("data h: B[2] = [red, blue]\nenergy w(h[0]) + sum(if h == blue then 1 else 0)", {}, 4),
        ("let blue = 2\nenergy blue", {}, 2),
        ("energy if blue == b then 1 else 0", {"b": 1}, 1),
    ],
)
def test_values_by_type(statements, values, wanted):
    assert energy(statements, **values) == wanted


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ("let k = red", "CG0215"),
        ("require red == green", "CG0215"),
        ("require a == b", "CG0204"),
        ("F(x | a)", "CG0204"),
        ("a ~ G", "CG0204"),
        ("energy w(A.red)", "CG0204"),
        ("observe b = A.red", "CG0204"),
        ("F(x | purple)", "CG0201"),
    ],
)
def test_mistakes(statements, code):
    with pytest.raises(ComposeError) as wrong:
        energy(statements)
    assert [d.code for d in wrong.value.diagnostics if d.severity == "error"] == [code]
