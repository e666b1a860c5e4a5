"""The grammar: LALR(1) without conflicts, and its tables as lark computes them today."""

from __future__ import annotations

import json
import logging

import pytest
from lark import logger

from compose_lang.grammar.automaton import load_tables
from compose_lang.grammar.build_ast import Builder
from compose_lang.grammar.make_tables import TABLES, build_lark, tables


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        build_lark()
    finally:
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)
    assert [record.message for record in caplog.records if "onflict" in record.message] == []


def test_the_tables_are_those_of_the_grammar() -> None:
    assert json.loads(TABLES.read_text(encoding="utf-8")) == tables(), (
        "run python -m compose_lang.grammar.make_tables"
    )


def test_the_builder_has_a_method_for_each_rule_and_no_other() -> None:
    methods = {name for name in vars(Builder) if not name.startswith("_")}
    assert methods == {rule.method for rule in load_tables().rules} - {None}
