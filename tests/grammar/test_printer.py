"""Printing and parsing again gives the same tree, with no parenthesis too many."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from compose_lang.diagnostics import Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse, parse_expression
from compose_lang.grammar.printer import print_expr, print_module
from tests.grammar.strategies import exprs, modules

thorough = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@thorough
@given(exprs)
def test_an_expression_survives_printing(expr: ast.Expr) -> None:
    assert parse_expression(Source("<printed>", print_expr(expr))) == expr


@thorough
@given(modules)
def test_a_module_survives_printing(module: ast.Module) -> None:
    assert parse(Source("<printed>", print_module(module))) == module
