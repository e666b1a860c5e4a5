"""The programs in `explanations.md` show their code, and those that cure it do not."""

from __future__ import annotations

import re

import pytest

from compose_lang.api import compile
from compose_lang.codes import CODES
from compose_lang.compiler.pipeline import check
from compose_lang.explanation import PROGRAM, explanations

PROGRAMS = [
    (code, kind, program)
    for code, text in explanations().items()
    for kind, program in re.findall(PROGRAM, text, flags=re.DOTALL)
]


def test_every_code_has_a_section_and_no_other():
    assert list(explanations()) == list(CODES)


@pytest.mark.parametrize(("code", "kind", "program"), PROGRAMS, ids=lambda value: value[:6])
def test_programs_show_what_they_should(code, kind, program, tmp_path):
    path = tmp_path / "program.cg"
    path.write_text(program, encoding="utf-8")
    found = check(path)
    if code.startswith("CG06") and kind == "bad":
        with pytest.raises(Exception, match=code):
            compile(program).explain()
        return
    if kind == "bad":
        assert code in [diagnostic.code for diagnostic in found]
    else:
        assert [diagnostic for diagnostic in found if diagnostic.severity == "error"] == []
        assert code not in [diagnostic.code for diagnostic in found]
