"""Which terms of a program are flows, families, tempered or steady, and which variables carry noise."""

from __future__ import annotations

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.analyses.noise_levels import Anneal, anneal
from compose_lang.diagnostics import ComposeError

from .conftest import program


def kinds(statements: str, form: str = "energy") -> Anneal:
    found = anneal(cg.compile(program(statements, form)).program.graph)
    assert found is not None
    return found


def counts(found: Anneal) -> tuple[int, int, int, int]:
    return len(found.flows), len(found.families), len(found.tempered), len(found.steady)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("var x: real ~ A * C", (2, 0, 0, 0)),
        ("var x: real ~ 0.5 * A + 0.5 * C", (1, 0, 0, 0)),
        ("var x: real ~ contrast(A, C)", (1, 0, 0, 0)),
        ("var x: real ~ A\nx ~ Normal(0, 1)", (1, 0, 1, 0)),
        ("var x: real ~ A\nvar y: real ~ Normal(x, 1)", (1, 0, 0, 1)),
        ("var x: real ~ 0.5 * A + 0.5 * Normal(0, 1)", (0, 1, 0, 0)),
        ("var x: real ~ A\nvar y: real ~ C\nrequire x < y", (2, 0, 1, 0)),
        ("var x: real ~ A\nenergy noise_level * x", (1, 1, 0, 0)),
        ("var x: real[2] ~ A\nobserve x[0] = 1.0\nvar y: real ~ Normal(x[0], 1)", (1, 1, 0, 1)),
    ],
)
def test_kinds_of_terms(statements: str, expected: tuple[int, int, int, int]):
    assert counts(kinds(statements)) == expected


def test_variables_are_transported_as_they_are():
    """Neither by an offset nor through a bound that constraints put on them."""
    found = kinds(
        "var m: real ~ Normal(0, 1)\nvar s: positive ~ HalfNormal(1)\nvar x: real[3] ~ Normal(m, s)\nx ~ A"
    )
    assert found.transported == ("x",) and "x" not in found.graph.offsets
    bounded = kinds("var x: real ~ A\nrequire x > 0")
    assert bounded.transported == ("x",) and bounded.graph.variable("x").support.lower == float("-inf")


def test_a_choice_of_scores_has_no_weights():
    with pytest.raises(ComposeError, match="no energy"):
        kinds("var x: real ~ contrast(A, C)", "score")


@pytest.mark.parametrize(
    ("statements", "weights"),
    [
        ("var x: real ~ 0.2 * A + 0.8 * C", [0.2, 0.8]),
        ("var x: real[3] ~ 0.5 * (A * C) + 0.5 * C", [[0.5, 0.5]] * 3),
        ("var x: real ~ mixture([0.1, 0.9][k] * A for k in range(2))", [0.1, 0.9]),
    ],
)
def test_a_mixture_is_a_choice_of_its_parts(statements: str, weights: object):
    for form in ("energy", "score"):
        found = kinds(statements, form)
        (choice,) = found.choices
        np.testing.assert_allclose(choice.weights, weights)
        assert all(f.linear for f in found.flows) and not found.families


def test_weights_that_vary_are_no_choice():
    found = kinds("var w: unit ~ Beta(1, 1)\nvar x: real ~ w * A + (1 - w) * C")
    assert not found.choices and not found.flows[0].linear


def test_nothing_is_walked_without_levels():
    assert anneal(cg.compile("var x: real ~ Normal(0, 1)").program.graph) is None
