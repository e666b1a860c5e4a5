"""Every bad program in `golden/bad` gives the text beside it, and shows the code it is named after.

After a change of messages: `python -m tests.test_golden_bad` writes the texts anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compose_lang.codes import CODES
from compose_lang.compiler.pipeline import check
from compose_lang.diagnostics import Diagnostic
from compose_lang.render import render

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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_bad_program_is_told_so(program: Path) -> None:
    found = found_in(program)
    assert program.name[:6] in {diagnostic.code for diagnostic in found}
    assert render(found) == program.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_text_has_its_program() -> None:
    texts = {text.stem for text in FOLDER.glob("*.txt")}
    assert texts == {program.stem for program in PROGRAMS}


@pytest.mark.parametrize("code", [code for code in CODES if code < "CG0300"])
def test_every_code_of_syntax_and_names_has_a_program(code: str) -> None:
    assert any(program.name.startswith(code) for program in PROGRAMS)


if __name__ == "__main__":
    for program in PROGRAMS:
        program.with_suffix(".txt").write_text(render(found_in(program)), encoding="utf-8")
