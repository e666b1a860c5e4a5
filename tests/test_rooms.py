"""Imports run one way: grammar ← compiler ← runtime ← api ← cli, and the compiler knows no array library but NumPy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import compose_lang

ROOT = Path(compose_lang.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

#: each folder may import from those before it, and from itself; what lies at the top stands above them all
LAYERS = ("grammar", "compiler", "runtime")
BELOW_ALL = ("diagnostics", "codes")
HEAVY = frozenset({"jax", "jaxlib", "numpyro", "torch", "arviz", "xarray"})


def imports(path: Path) -> Iterator[str]:
    """The modules a file imports, wherever it does so; those under TYPE_CHECKING are no imports."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offences(path: Path) -> list[str]:
    """The imports of a file that run against the order."""
    layer = path.relative_to(ROOT).parts[0]
    if layer not in LAYERS:
        return []
    allowed = (*LAYERS[: LAYERS.index(layer) + 1], *BELOW_ALL)
    found = []
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "compose_lang" and len(parts) > 1 and parts[1] not in allowed:
            found.append(module)
    return found


def test_there_are_files_in_every_layer() -> None:
    assert {p.relative_to(ROOT).parts[0] for p in FILES} >= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    assert offences(path) == []


@pytest.mark.parametrize("layer", ["grammar", "compiler"])
def test_no_heavy_library_below_the_runtime(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        assert not {m.split(".")[0] for m in imports(path)} & HEAVY, path


def test_array_libraries_stay_in_backends_and_wrapped_kernels() -> None:
    allowed = {"runtime/backends/jax.py", "runtime/backends/torch.py", "runtime/kernels/nuts.py"}
    allowed.add("runtime/learning/trainer.py")  # which wraps optax
    allowed |= {
        f"runtime/learned/foreign/{name}.py"
        for name in ("jax_code", "in_torch", "torch_code", "in_jax", "diffusion", "language_model")
    }
    users = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "runtime").rglob("*.py")
        if {m.split(".")[0] for m in imports(p)} & {"jax", "numpyro", "torch"}
    }
    assert users <= allowed


def test_an_import_against_the_order_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compiler").mkdir()
    bad = tmp_path / "compiler" / "bad.py"
    bad.write_text("def late():\n    from compose_lang.runtime import density\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert offences(bad)
