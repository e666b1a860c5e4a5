"""Every bad program in `golden/bad` gives the text beside it, and shows the code it is named after.

Where a text lists all methods, `{methods}` stands for them, so that a new kernel changes none.
After a change of messages: `python -m tests.test_golden_bad` writes the texts anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compose_lang.api.check import check
from compose_lang.codes import CODES
from compose_lang.diagnostics import Diagnostic
from compose_lang.report.render import render
from compose_lang.runtime.kernels import discover
from compose_lang.runtime.planning.methods import method_names

FOLDER = Path(__file__).parent / "golden" / "bad"
PROGRAMS = sorted(FOLDER.glob("CG*.cg"))


def found_in(program: Path) -> list[Diagnostic]:
    """What checking a program finds, seen from its own folder, so that no path of this machine shows."""
    before = Path.cwd()
    os.chdir(program.parent)
    try:
        return check(Path(program.name))
    finally:
        os.chdir(before)


def lists() -> dict[str, str]:
    """What stands in a text for a list of methods."""
    kernels = {
        f"{{kernels of {kind} variables}}": ", ".join(n for n, k in discover().items() if kind in k.serves)
        for kind in ("continuous", "finite")
    }
    return {"{methods}": ", ".join(method_names()), **kernels}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_bad_program_is_told_so(program: Path) -> None:
    found = found_in(program)
    assert program.name[:6] in {diagnostic.code for diagnostic in found}
    text = program.with_suffix(".txt").read_text(encoding="utf-8")
    for place, names in lists().items():
        text = text.replace(place, names)
    assert render(found) == text


def test_every_text_has_its_program() -> None:
    texts = {text.stem for text in FOLDER.glob("*.txt")}
    assert texts == {program.stem for program in PROGRAMS}


#: what only a run, a flag or a finished folder can show; tests/test_bad_input.py, tests/cli and tests/results do
BEYOND_CHECK = {
    "CG0307", "CG0417", "CG0418", "CG0603", "CG0604", "CG0605", "CG0701", "CG0702", "CG0703", "CG0704",
    "CG0705", "CG0706", "CG0707", "CG0708", "CG0709", "CG0710", "CG0711", "CG0712", "CG0713", "CG0714",
    "CG0715", "CG0716", "CG0717", "CG0802",
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_every_code_that_check_can_show_has_a_program(code: str) -> None:
    assert any(program.name.startswith(code) for program in PROGRAMS) != (code in BEYOND_CHECK)


if __name__ == "__main__":
    for program in PROGRAMS:
        text = render(found_in(program))
        for place, names in lists().items():
            text = text.replace(names, place)
        program.with_suffix(".txt").write_text(text, encoding="utf-8")
