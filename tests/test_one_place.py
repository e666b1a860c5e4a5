"""What is said of one thing stands in one place: an operation's in its `Op`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from compose_lang.compiler.ir.ops import OPS

PACKAGE = Path(__file__).parents[1] / "compose_lang"
OPERATIONS = {*OPS, "const", "var", "slot"}


def lists_of_operations(text: str) -> list[str]:
    """The sets, lists, tuples and tables in a file that consist of names of operations, two or more."""
    found = []
    for node in ast.walk(ast.parse(text)):
        for items in (getattr(node, "elts", ()), getattr(node, "keys", ()), getattr(node, "values", ())):
            names = (
                [item.value for item in items if isinstance(item, ast.Constant)]
                if isinstance(items, list)
                else []
            )
            if len(names) >= 2 and len(names) == len(items) and OPERATIONS.issuperset(names):
                found.append(f"line {node.lineno}: {', '.join(names)}")  # type: ignore[attr-defined]
    return found


def test_what_is_said_of_an_operation_stands_in_its_entry() -> None:
    files = [p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE / "compiler" / "ir" / "ops"]
    found = {str(p.relative_to(PACKAGE)): lists_of_operations(p.read_text(encoding="utf-8")) for p in files}
    assert {name: lists for name, lists in found.items() if lists} == {}


@pytest.mark.parametrize(
    "planted",
    ['SMOOTH = frozenset({"exp", "log"})', 'if n.op in ("add", "sub"): pass', 'X = {"+": "add", "-": "sub"}'],
)
def test_a_planted_list_of_operations_is_found(planted: str) -> None:
    assert lists_of_operations(planted)
