"""The house: rooms in their order, no import upwards, no circle, nothing too large for one reading.

All imports count: those inside functions and those under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

import compose_lang

ROOT = Path(compose_lang.__file__).parent
TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"

#: the rooms, lowest first; each file imports from its own room and from those before it
ROOMS = (
    *("diagnostics", "codes", "installed", "discovery", "grammar"),
    *(
        f"compiler.{room}"
        for room in (
            *("ir", "names", "sources", "graph", "analyses", "references", "constraints", "rewrites"),
            *("elaborate", "likelihood", "passes"),
        )
    ),
    *(
        f"runtime.{room}"
        for room in (
            *("arrays", "backends", "learned", "density", "elimination", "kernels", "planning"),
            *("views", "runs", "chains", "populations", "annealing", "learning", "results"),
        )
    ),
    *("report", "api", "validation", "repl", "cli"),
)
#: array libraries are imported in these rooms and files alone
HEAVY = frozenset({"jax", "jaxlib", "numpyro", "torch", "optax"})
SLOW = (*sorted(HEAVY), "xarray")  #: libraries that take half a second or more to import
WRAPPERS = (
    "runtime.backends.",
    "runtime.learned.foreign.",
    "runtime.learning.trainer",  # wraps optax
)
#: rooms whose verbs import what they need when they are called, so that a command starts fast
LATE = ("api.", "cli.", "repl.")

#: files that are read only where something has failed: a parse that succeeds does not pay for them
AFTER_FAILURE = {("grammar.parser", "grammar.failure"), ("grammar.parser", "grammar.syntax_errors")}

MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_FILES = 400, 60, 16
#: what is larger and why; this may only shrink
EXCEPTIONS: dict[str, str] = {}
#: internal modules that tests import, those of populations among them; this may only shrink
MOST_IMPORTED_BY_TESTS = 180
#: modules of the package that `compose check` imports on a program without faults; this may only shrink
MOST_IMPORTED_BY_CHECK = 140


@cache
def nodes(text: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(text)))


def name_of(path: Path, root: Path) -> str:
    """A file's module, without the package's name."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def modules(root: Path) -> dict[str, Path]:
    return {name_of(path, root): path for path in sorted(root.rglob("*.py"))}


def imported(path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules of the package that a file imports, each with the column it is imported at."""
    for node in nodes(path.read_text(encoding="utf-8")):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            of_names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names = [full if strip(full) in known else node.module for full in of_names.values()]
        for name in names:
            if strip(name) in known:
                yield strip(name), node.col_offset  # type: ignore[attr-defined]


def strip(module: str) -> str:
    return module.removeprefix("compose_lang").removeprefix(".") if module.startswith("compose_lang") else "?"


def imports(root: Path) -> nx.DiGraph:
    known = modules(root)
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    graph.add_edges_from(
        (module, other)
        for module, path in known.items()
        for other, _ in imported(path, known)
        if other != module
    )
    return graph


def room_of(module: str) -> int:
    """A room's place in the order; a package without a room of its own (`compiler`) imports nothing, so is lowest."""
    places = [k for k, room in enumerate(ROOMS) if module == room or module.startswith(f"{room}.")]
    if not places and module:
        assert any(room.startswith(f"{module}.") for room in ROOMS), f"{module} stands in no room"
    return places[-1] if places else -1 if module else len(ROOMS)


def upward(root: Path) -> list[tuple[str, str]]:
    return [(a, b) for a, b in imports(root).edges if room_of(a) < room_of(b)]


def circles(root: Path) -> list[list[str]]:
    return [sorted(c) for c in nx.strongly_connected_components(imports(root)) if len(c) > 1]


def too_large(root: Path) -> set[str]:
    large = set()
    for module, path in modules(root).items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            large.add(module)
        for node in nodes(text):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    large.add(f"{module}.{node.name}")
    files = Counter(path.parent for path in root.rglob("*.py") if path.name != "__init__.py")
    return large | {str(folder.relative_to(root)) for folder, count in files.items() if count > MOST_FILES}


def wraps_a_slow_library(path: Path) -> bool:
    """Whether a file imports a library that is slow to load whenever it is imported itself."""
    text = path.read_text(encoding="utf-8")
    return any(re.match(rf"(?:import|from) (?:{'|'.join(SLOW)})\b", line) for line in text.splitlines())


def late(root: Path) -> list[tuple[str, str]]:
    """Modules of the package that a file imports inside a function, but for those that wrap a slow library."""
    known = modules(root)
    return [
        (module, other)
        for module, path in known.items()
        if not module.startswith(LATE)
        for other, column in imported(path, known)
        if column and not under_type_checking(path, other) and not wraps_a_slow_library(known[other])
    ]


def under_type_checking(path: Path, module: str) -> bool:
    for node in nodes(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and strip(inner.module or "") in (
                    module,
                    module.rpartition(".")[0],
                ):
                    return True
    return False


def heavy(root: Path) -> set[tuple[str, str]]:
    users = set()
    for module, path in modules(root).items():
        for node in nodes(path.read_text(encoding="utf-8")):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            users |= {(module, name.split(".")[0]) for name in names if name.split(".")[0] in HEAVY}
    return {
        (module, name)
        for module, name in users
        if not f"{module}.".startswith(WRAPPERS) and module not in WRAPPERS
    }


# --- the house as it stands -------------------------------------------------------------------------------


def test_no_import_runs_upwards() -> None:
    assert upward(ROOT) == []


def test_no_imports_run_in_a_circle() -> None:
    assert circles(ROOT) == []


def test_files_functions_and_folders_have_one_idea() -> None:
    assert too_large(ROOT) == set(EXCEPTIONS)


def test_what_is_imported_inside_a_function_is_a_library() -> None:
    assert set(late(ROOT)) == AFTER_FAILURE


def test_array_libraries_stay_where_they_are_wrapped() -> None:
    assert heavy(ROOT) == set()


def test_every_room_says_what_goes_in_and_out() -> None:
    for folder in {path.parent for path in ROOT.rglob("*.py")}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert len(text) > 40, folder


def test_the_page_on_the_architecture_names_what_exists() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    stems = {str(path.relative_to(ROOT).with_suffix("")) for path in ROOT.rglob("*.*")}
    stems |= {str(path.relative_to(ROOT)) for path in ROOT.rglob("*")}
    named = re.findall(
        r"(?:^|`)(?:compose_lang/)?((?:[a-z_0-9]+/)+[a-z_0-9]+(?:\.\w+)?)(?:`|  )", text, re.MULTILINE
    )
    assert len(named) > 20
    missing = [n for n in named if not any(s == n or s.endswith(f"/{n}") for s in stems)]
    assert [n for n in missing if not (ROOT.parent / n).exists()] == []


def test_the_picture_of_the_rooms_is_of_these_imports() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        from make_rooms import rooms, svg  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    drawn = (DOCS / "rooms.svg").read_text(encoding="utf-8")
    assert drawn == svg(rooms()), "run: python docs/make_rooms.py"


def test_tests_see_the_package_from_outside() -> None:
    known = modules(ROOT)
    seen = {module for path in TESTS.rglob("*.py") for module, _ in imported(path, known) if module}
    assert len(seen) <= MOST_IMPORTED_BY_TESTS, sorted(seen)


def test_check_imports_what_it_needs_and_no_more() -> None:
    script = (
        "import sys; sys.argv = ['compose', 'check', '-q', 'examples/schools/schools.cg']\n"
        "from compose_lang.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*(m for m in sys.modules if m.split('.')[0] in ('compose_lang', 'jax', 'torch', 'scipy', 'xarray')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    names = done.stdout.split()
    assert [name for name in names if not name.startswith("compose_lang")] == []
    assert len(names) <= MOST_IMPORTED_BY_CHECK, sorted(names)


# --- planted faults ---------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for room in ("compiler/ir", "compiler/graph", "runtime/chains"):
        (tmp_path / room).mkdir(parents=True)
    (tmp_path / "compiler/ir/node.py").write_text("")
    (tmp_path / "compiler/graph/scopes.py").write_text("from compose_lang.compiler.ir import node\n")
    (tmp_path / "runtime/chains/driver.py").write_text("")
    return tmp_path


def test_a_sound_house_is_sound(house: Path) -> None:
    assert (upward(house), circles(house), too_large(house), late(house), heavy(house)) == (
        [],
        [],
        set(),
        [],
        set(),
    )


UPWARD = "from compose_lang.runtime.chains.driver import Driver"


@pytest.mark.parametrize(
    "text",
    [
        UPWARD,
        "from compose_lang.runtime.chains import driver",
        "import compose_lang.runtime.chains.driver",
        f"def late():\n    {UPWARD}",
        f"if TYPE_CHECKING:\n    {UPWARD}",
    ],
)
def test_an_import_that_runs_upwards_is_seen(house: Path, text: str) -> None:
    (house / "compiler/ir/bad.py").write_text(text)
    assert upward(house) == [("compiler.ir.bad", "runtime.chains.driver")]


def test_a_circle_is_seen(house: Path) -> None:
    (house / "compiler/ir/node.py").write_text(
        "def f():\n    from compose_lang.compiler.graph import scopes\n"
    )
    assert circles(house) == [["compiler.graph.scopes", "compiler.ir.node"]]


def test_what_is_too_large_is_seen(house: Path) -> None:
    (house / "compiler/ir/long.py").write_text("def f():\n" + "    pass\n" * 61)
    (house / "compiler/ir/longer.py").write_text("x = 1\n" * 401)
    for k in range(17):
        (house / f"compiler/graph/f{k}.py").write_text("")
    assert too_large(house) == {"compiler.ir.long.f", "compiler.ir.longer", "compiler/graph"}


def test_an_import_inside_a_function_is_seen(house: Path) -> None:
    (house / "runtime/chains/bad.py").write_text("def f():\n    from compose_lang.compiler.ir import node\n")
    assert late(house) == [("runtime.chains.bad", "compiler.ir.node")]


def test_an_array_library_in_the_wrong_room_is_seen(house: Path) -> None:
    (house / "runtime/chains/bad.py").write_text("def f():\n    import torch.nn\n")
    assert heavy(house) == {("runtime.chains.bad", "torch")}
