"""The programs in `explanations.md` show their code, and those that cure it do not."""

from __future__ import annotations

import re

import pytest

from compose_lang.api.check import check
from compose_lang.api.model import compile
from compose_lang.codes import CODES
from compose_lang.report.explain import PROGRAM, explanations

PROGRAMS = [
    (code, kind, program)
    for code, text in explanations().items()
    for kind, program in re.findall(PROGRAM, text, flags=re.DOTALL)
]
HEIGHTS = "group,height,weight\nadult,1.72,62\nadult,1.65,58\nchild,1.31,\n"  #: what the programs read

#: what no program alone can show: the state of files, flags, the machine, a run
WITHOUT_PROGRAMS = {
    "CG0104", "CG0106", "CG0302", "CG0306", "CG0307", "CG0308", "CG0310", "CG0417", "CG0418", "CG0603",
    "CG0604", "CG0605", "CG0802", "CG0901",
}  # fmt: skip


@pytest.mark.parametrize("code", [code for code in CODES if not code.startswith("CG07")])
def test_an_essay_shows_what_is_wrong_and_what_is_right(code):
    shown = {kind for each, kind, _ in PROGRAMS if each == code}
    assert shown == (set() if code in WITHOUT_PROGRAMS else {"bad", "good"})


def test_every_code_has_a_section_and_no_other():
    assert list(explanations()) == list(CODES)


@pytest.mark.parametrize(("code", "kind", "program"), PROGRAMS, ids=lambda value: value[:6])
def test_programs_show_what_they_should(code, kind, program, tmp_path):
    (tmp_path / "heights.csv").write_text(HEIGHTS, encoding="utf-8")
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
