"""What is said of one thing stands in one place: an operation's in its `Op`, a backend's in its file."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from compose_lang.compiler.ir.ops import OPS
from compose_lang.runtime.backends import Facts, backend_names, facts, load_backend
from compose_lang.runtime.kernels import discover, kernel_names
from compose_lang.runtime.views.views import kinds

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


# --- backends -------------------------------------------------------------------------------------------


def decisions_by_backend(text: str) -> list[str]:
    """Comparisons with a backend's name, and sets and tables that hold some."""
    found = []
    for node in ast.walk(ast.parse(text)):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            parts = [p for side in (node.left, *node.comparators) for p in getattr(side, "elts", [side])]
        elif isinstance(node, ast.Set | ast.Dict):
            items = node.elts if isinstance(node, ast.Set) else node.keys
            parts = [] if len(items) > 2 * len(backend_names()) else list(items)  # names of other languages
        if any(isinstance(p, ast.Constant) and p.value in backend_names() for p in parts):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")  # type: ignore[attr-defined]
    return found


def test_nobody_decides_by_the_name_of_a_backend() -> None:
    """But what reads other people's code, which is written for a library."""
    exempt = (PACKAGE / "runtime" / "backends", PACKAGE / "runtime" / "learned" / "foreign")
    files = [p for p in PACKAGE.rglob("*.py") if not any(p.is_relative_to(folder) for folder in exempt)]
    found = {str(p.relative_to(PACKAGE)): decisions_by_backend(p.read_text(encoding="utf-8")) for p in files}
    assert {name: places for name, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "planted",
    ['if backend == "jax": pass', 'b.name not in ("x", "jax") or b.name != "numpy"', '{"torch": 1}'],
)
def test_a_planted_decision_is_found(planted: str) -> None:
    assert decisions_by_backend(planted)


@pytest.mark.parametrize("name", backend_names())
def test_what_a_backend_states_is_read_without_its_library(name: str) -> None:
    pytest.importorskip(name)
    backend = load_backend(name)
    assert facts(name) == Facts(**{field.name: getattr(backend, field.name) for field in fields(Facts)})


# --- views ----------------------------------------------------------------------------------------------


def test_what_kernels_see_of_a_discrete_variable_is_exported_by_a_file() -> None:
    """But joint draws and proposals, which see several variables."""
    discrete = {"finite", "counts", "permutation"}
    asked = {k.view for k in discover().values() if k.serves & discrete}
    assert set(kinds()) == asked - {"joint"}
    assert all(kind.name == name for name, kind in kinds().items())


# --- kernels --------------------------------------------------------------------------------------------

KERNELS = PACKAGE / "runtime" / "kernels"
#: where the name of a kernel is another word's too; this may only shrink
OTHER_WORDS = {
    # the moves at one level of noise, which are named after the kernels
    "runtime/planning/moves.py": {"hmc", "mala", "ula"},
    "runtime/kernels/common/rearrangement.py": {"exchange"},  # the noise of a move that exchanges two places
    # a field of the documents: whether a block is drawn exactly, what a share is exactly
    "runtime/planning/block.py": {"exact"},
    "report/explain.py": {"exact"},
    "runtime/results/optimum.py": {"exact"},
    "validation/verify.py": {"exact"},
}


def names_of_kernels(text: str) -> set[str]:
    """The kernels whose names stand in a file as strings; `slice` is an operation of expressions too."""
    named = set(kernel_names()) - set(OPS)
    return {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)} & named


def test_a_kernel_s_name_stands_in_its_own_file() -> None:
    found = {
        str(p.relative_to(PACKAGE)): names_of_kernels(p.read_text(encoding="utf-8"))
        - ({p.stem} if p.parent == KERNELS else set())
        for p in PACKAGE.rglob("*.py")
    }
    assert {name: names for name, names in found.items() if names} == OTHER_WORDS


def test_a_planted_name_is_found() -> None:
    assert names_of_kernels('if block.kernel in ("nuts", "other"): pass') == {"nuts"}
