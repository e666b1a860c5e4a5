"""Printing and parsing again gives the same tree, with no parenthesis too many."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_lang.diagnostics import Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse, parse_expression
from compose_lang.grammar.printer import print_expr, print_module
from tests.grammar.strategies import NOWHERE, exprs, modules

thorough = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize(
    "text",
    [
        "-x^2",
        "(-x)^2",
        "2^-x",
        "a^b^c",
        "(a^b)^c",
        "a - (b - c)",
        "a - b - c",
        "a * (b + c)",
        "a / b * c",
        "a / (b * c)",
        "(a < b) < c",
        "a < b < c",
        "a not in b",
        "not a and b",
        "not (a and b)",
        "a or b and c",
        "(a or b) and c",
        "(a and b) and c",
        "1 + (if a then b else c)",
        "if a then b else if c then d else e",
        "(if a then b else c)[0]",
        "x[i, 2:8, :, ::2, -1]",
        "F(x | k=2)",
        "F(x |)",
        "F(| k=2)",
        "F(|)",
        "F()",
        "sum(x[i] for i in range(n), (j, k) in pairs(n) if i != j)",
        "[k(x[i]) for i in range(n)]",
        "(a,)",
        "(a, (b, c))",
        "[]",
        "arm.Part(x).y",
        "0.3 * P + 0.7 * Q^2 / R^0.5",
    ],
)
def test_what_needs_no_more_parentheses_gets_none(text: str) -> None:
    assert print_expr(parse_expression(Source("<text>", text))) == text


@thorough
@given(exprs)
def test_an_expression_survives_printing(expr: ast.Expr) -> None:
    assert parse_expression(Source("<printed>", print_expr(expr))) == expr


@thorough
@given(modules)
def test_a_module_survives_printing(module: ast.Module) -> None:
    assert parse(Source("<printed>", print_module(module))) == module


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_survives_printing(text: str) -> None:
    expr = ast.String(text, span=NOWHERE)
    assert parse_expression(Source("<printed>", print_expr(expr))) == expr


@given(st.integers(0) | st.floats(0, allow_nan=False, allow_infinity=False))
def test_a_number_survives_printing(value: float) -> None:
    expr = ast.Number(value, span=NOWHERE)
    parsed = parse_expression(Source("<printed>", print_expr(expr)))
    assert parsed == expr
    assert type(parsed.value) is type(value)
