"""Every code block of the documentation is checked, every recipe followed, every link resolved."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compose_lang as cg
from compose_lang.api.check import check
from compose_lang.compiler.elaborate.expressions.builtins import BUILTINS, CONSTANTS
from compose_lang.compiler.elaborate.standard_library import known_names
from compose_lang.diagnostics import Source
from compose_lang.discovery import LEARNERS, NETS
from compose_lang.grammar.parser import parse

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)( fragment)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str, fragment: bool) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for n, block in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            if block[1] == kind and bool(block[2]) == fragment:
                found.append((f"{page.relative_to(ROOT)}:{n}", block[3]))
    return found


@pytest.mark.parametrize(("place", "program"), blocks("cg", False), ids=lambda value: value.split("\n")[0])
def test_programs_are_without_faults(place, program):
    """Only what a file beside the program would hold may be missing."""
    told = [d for d in check(Source("<text>", program)) if d.code != "CG0302"]
    assert [d for d in told if d.severity != "note"] == []


@pytest.mark.parametrize(("place", "program"), blocks("cg", True), ids=lambda value: value.split("\n")[0])
def test_fragments_parse(place, program):
    parse(Source("<text>", program))


def expectations(text: str) -> list[tuple[str, float, float]]:
    found = re.findall(r"<!-- expect: (\S+) mean (\S+) sd (\S+) -->", text)
    return [(name, float(mean), float(sd)) for name, mean, sd in found]


def test_what_the_tutorial_states_comes_out():
    text = (DOCS / "tutorial.md").read_text()
    *stated, _ = text.split("<!-- expect: ")
    assert len(stated) == len(expectations(text)) == 4
    for before, (name, mean, sd) in zip(stated, expectations(text), strict=True):
        program = re.findall(r"```cg\n(.*?)```", before, re.DOTALL)[-1]
        run = cg.compile(program).sample(seed=1, draws=1500, warmup=500)
        assert [d["message"] for d in run.diagnostics if d["severity"] == "warning"] == []
        row = run.summary()[name]
        assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"] + 0.005
        assert row["sd"] == pytest.approx(sd, rel=0.1)


# --- recipes ---------------------------------------------------------------------------------------------

STEP = re.compile(
    r"<!-- (?P<what>append|create|replace): (?P<path>\S+) -->\n```\w+(?: fragment)?\n(?P<text>.*?)^```"
    r"(?:\n<!-- by -->\n```\w+\n(?P<new>.*?)^```)?",
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize("page", sorted((DOCS / "recipes").glob("*.md")), ids=lambda page: page.stem)
def test_recipes_can_be_followed(page, tmp_path):
    """In a copy of the package: what the recipe adds works as it shows."""
    shutil.copytree(
        ROOT / "compose_lang", tmp_path / "compose_lang", ignore=shutil.ignore_patterns("__pycache__")
    )
    text = page.read_text(encoding="utf-8")
    for step in STEP.finditer(text):
        path = tmp_path / step["path"]
        old = path.read_text() if path.exists() else ""
        if step["what"] == "create":
            assert not path.exists()
            path.write_text(step["text"])
        elif step["what"] == "append":
            path.write_text(f"{old}\n{step['text']}")
        else:
            assert old.count(step["text"].strip("\n")) == 1
            path.write_text(old.replace(step["text"].strip("\n"), step["new"].strip("\n")))
    stated = re.search(r"<!-- cost: (\d+) files? -->", text)
    changed = {step["path"] for step in STEP.finditer(text) if step["path"].startswith("compose_lang/")}
    assert stated is None or int(stated[1]) == len(changed)
    shown = ""
    for command in re.findall(r"<!-- run: (.*?) -->", text):
        program, *rest = command.split()
        start = ["-c", "from compose_lang.cli import main; main()"] if program == "compose" else []
        done = subprocess.run(
            [sys.executable, *start, *rest],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = done.stdout
    expected = re.findall(r"<!-- shows: (.*?) -->", text)
    assert all(part in shown for part in expected)
    for name, mean, sd in expectations(text):
        row = json.loads(shown)["summary"][name]
        assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"] + 0.005
        assert row["sd"] == pytest.approx(sd, rel=0.12)
    assert expected or expectations(text)


# --- what must not drift ----------------------------------------------------------------------------------


def test_the_pages_of_the_library_are_those_of_its_sources():
    sys.path.insert(0, str(DOCS))
    try:
        from make_stdlib import pages  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    made = pages()
    kept = {str(p.relative_to(DOCS / "stdlib")): p.read_text() for p in (DOCS / "stdlib").rglob("*.md")}
    assert made == kept, "run: python docs/make_stdlib.py"


def test_the_reference_names_every_function_and_density():
    text = (DOCS / "language.md").read_text()
    words = set(re.findall(r"\w+", text))
    library = {name for name, kind in known_names().items() if kind == "factor"}
    assert {*BUILTINS, *CONSTANTS, *library} - words - {"list"} == set()


def test_the_methods_are_those_of_the_planner():
    sys.path.insert(0, str(DOCS))
    try:
        from make_methods import PAGE, page  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_methods.py"


def test_every_flag_of_every_verb_is_in_its_page():
    import typer.main

    from compose_lang.cli import EVERY_VERB, app

    text = (DOCS / "command_line.md").read_text()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        own = [p for p in command.params if p.name not in EVERY_VERB and p.param_type_name == "option"]
        flags = {o for p in own for o in p.opts if o.startswith("--")} - {"--help"}
        if not flags:
            assert f"`{name}" in text
            continue
        row = re.search(rf"^\| `{name}\b.*\|(.*)\|$", text, re.MULTILINE)
        assert row is not None, name
        assert set(re.findall(r"--[\w-]+", row[1])) == flags, name


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_examples_of_the_library_are_energies():
    assert math.isclose(
        cg.compile("var x: real ~ Normal(1, 2)").energy({"x": 0.3}), 1.67333571376, rel_tol=1e-9
    )


def test_the_options_of_learning_are_those_of_the_learners():
    """Each option of each method with its default, each net of each method, and no others."""
    text = (DOCS / "learning.md").read_text(encoding="utf-8")

    def cells(line: str) -> list[str]:
        return [cell.strip() for cell in line.strip("|\n").split("|")]

    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("| option |"))
    methods = [name.strip("`") for name in cells(lines[start])[1:-1]]
    shown: dict[str, dict[str, str]] = {method: {} for method in methods}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        option, *defaults, _ = cells(line)
        for method, default in zip(methods, defaults, strict=True):
            if default:
                shown[method][option.strip("`")] = default
    known = {}
    for method, learner in LEARNERS.items():
        net = {} if learner.net is None else {"net": str(learner.net)}
        options = {
            name: "adapted" if value is None else str(value) for name, value in learner.options.items()
        }
        known[method] = {**net, **options}
    assert shown == known
    for method, learner in LEARNERS.items():
        (row,) = (line for line in lines if line.startswith(f"| `{method}` |"))
        assert set(re.findall(r"`(\w+)`", cells(row)[2])) == set(learner.nets)
    assert set(re.findall(r"^\| `(\w+)\([\d, ]+\)` \|", text, re.MULTILINE)) == set(NETS)
