"""Constraints between continuous variables that nothing satisfies: proved where they are straight, named where not."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import ComposeError, Source
from compose_lang.runtime.arrays.noise import chain_keys
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains import descent
from compose_lang.runtime.chains.infeasible import excluded
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import Density

CYCLE = """
var a: unit
var b: unit
var c: unit
require "ab": a + 0.1 <= b
require "bc": b + 0.1 <= c
require "ca": c + 0.1 <= a
require "middle": 0.2 <= a <= 0.8
require "sum": a + b + c <= 2.5
"""


def proved(text: str) -> list[str] | None:
    """The labels of the constraints that are proved to exclude each other."""
    proof = excluded(compile_program(Source("<text>", text)).graph)
    return None if proof is None else [g.label for g in proof.groups]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (CYCLE, ["ab", "bc", "ca"]),
        (CYCLE.replace('require "ca": c + 0.1 <= a', ""), None),
        # by the bounds of its variables alone
        ('var x: unit[3]\nrequire "much": sum(x) >= 3.1', ["much"]),
        ('var x: unit[3]\nrequire "much": sum(x) >= 2.9', None),
        # instances of one plate, with observed sites
        (
            'var x: unit[5]\nobserve x[4] = 0.3\nfor i in range(4) { require "up": x[i] + 0.1 <= x[i + 1] }',
            ["up"],
        ),
        (
            'var x: unit[5]\nobserve x[4] = 0.5\nfor i in range(4) { require "up": x[i] + 0.1 <= x[i + 1] }',
            None,
        ),
        # what is not straight proves nothing
        ('var x: unit\nvar y: unit\nrequire "in": x * y >= 0.9\nrequire x * x + y <= 0.5', None),
        ("var x: unit\nvar y: unit\nrequire x + y >= 1.9 or x - y >= 0.9\nrequire x <= 0.5", None),
    ],
)
def test_straight_constraints_that_exclude_each_other(text: str, labels: list[str] | None) -> None:
    assert proved(text) == labels


def test_what_a_point_satisfies_is_never_excluded() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        weights, point = rng.normal(size=(12, 4)), rng.uniform(size=4)
        rows = [
            f"require {' + '.join(f'({w:.6f}) * x[{i}]' for i, w in enumerate(row))} <= {row @ point + 1e-5:.6f}"
            for row in weights
        ]
        assert proved("\n".join(["var x: unit[4]", *rows])) is None


def refusal(text: str, monkeypatch: pytest.MonkeyPatch) -> ComposeError:
    monkeypatch.setattr(descent, "STEPS", 40)
    density = Density(compile_program(Source("<text>", text)).graph, load_backend("torch"))
    with density.backend.scope(), pytest.raises(ComposeError) as told:
        find_start(density, chain_keys(5, np.arange(2), 0, density.backend))
    return told.value


def test_an_observed_point_in_an_obstacle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
    use std.planning (clear_of_ball)
    var q: real(-2, 2)[5, 2]
    observe q[0] = [0.1, 0.0]
    observe q[4] = [1.5, 1.5]
    require "obstacle": clear_of_ball(q, [0, 0], 0.6)
    """
    told = refusal(text, monkeypatch)
    (d,) = told.diagnostics
    assert told.exit_code == 4 and d.code == "CG0502"
    assert "`obstacle` still fails by 0.5 (in 1 of 4 places), with `q[0]` as observed" in d.message


def test_how_much_still_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal('var x: unit[2]\nvar y: unit[2]\nrequire "far": norm(x - y) >= 2', monkeypatch)
    (d,) = told.diagnostics
    assert "`far` still fails by 0.58" in d.message and "observed" not in d.message
