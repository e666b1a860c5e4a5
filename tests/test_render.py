"""How diagnostics look: the full form as in rustc, and the forms for programs."""

from __future__ import annotations

import json
import re

import pytest

from compose_lang.diagnostics import Diagnostic, Label, Source, Span
from compose_lang.report.render import as_json, render


def mark(source: Source, text: str, after: int = 0) -> Span:
    """The span of a piece of the source."""
    start = source.text.index(text, after)
    return Span(source, start, start + len(text))


SCHOOLS = Source("schools.cg", "\n" * 8 + "y ~ Normal(theta, sigma)\n")
SHAPES = Diagnostic(
    "CG0203",
    "shapes do not match: theta is real[8], but sigma is positive[7]",
    mark(SCHOOLS, "theta"),
    labels=(Label(mark(SCHOOLS, "sigma"), "real[8] against positive[7]"),),
    help='sigma was read from schools.csv, column "stderr": 7 rows',
)


def test_the_example_of_the_language_design() -> None:
    assert render([SHAPES]) == (
        "error[CG0203]: shapes do not match: theta is real[8], but sigma is positive[7]\n"
        "  --> schools.cg:9:12\n"
        "   |\n"
        " 9 | y ~ Normal(theta, sigma)\n"
        "   |            ^^^^^  ^^^^^ real[8] against positive[7]\n"
        '   = help: sigma was read from schools.csv, column "stderr": 7 rows\n'
    )


def test_labels_on_other_lines_and_in_other_files() -> None:
    here = Source("main.cg", "var x: real\n" + "\n" * 8 + "let x = 3 + yy\n")
    there = Source("part.cg", "let yy = 2\n")
    found = Diagnostic(
        "CG0202",
        "`x` is declared twice",
        mark(here, "x", 20),
        label="again",
        labels=(
            Label(mark(here, "x"), "first declared here"),
            Label(mark(here, "yy"), "this is 2"),
            Label(mark(there, "yy"), "here"),
        ),
        notes=("one name, one value",),
    )
    assert render([found]).splitlines() == [
        "error[CG0202]: `x` is declared twice",
        "   --> main.cg:10:5",
        "    |",
        "  1 | var x: real",
        "    |     - first declared here",
        "...",
        " 10 | let x = 3 + yy",
        "    |     ^       ^^ this is 2",
        "    |     |",
        "    |     again",
        "   ::: part.cg:1:5",
        "    |",
        "  1 | let yy = 2",
        "    |     -- here",
        "    = note: one name, one value",
    ]


@pytest.mark.parametrize(
    ("text", "shown", "underline"),
    [
        ("\tlet a = bad", "    let a = bad", "            ^^^"),
        ("let 变量 = bad", "let 变量 = bad", "           ^^^"),
        ("let x\u0302 = bad", "let x\u0302 = bad", "        ^^^"),
        ("let a = bad # \x1b[31m", "let a = bad # �[31m", "        ^^^"),
        ("let a = bad\r", "let a = bad", "        ^^^"),
        ("a, " * 100 + "bad" + ", b" * 100, "…" + "a, " * 20 + "bad" + ", b" * 32 + ",…", " " * 61 + "^^^"),
    ],
)
def test_marks_stand_under_what_they_mark(text: str, shown: str, underline: str) -> None:
    found = Diagnostic("CG0101", "wrong", mark(Source("test.cg", text + "\n"), "bad"))
    lines = render([found]).splitlines()
    assert lines[3:5] == [f" 1 | {shown}", f"   | {underline}"]


def test_a_span_over_several_lines_marks_the_first_and_the_last() -> None:
    source = Source("test.cg", "let a = (1 +\n  2 +\n    3)\n")
    found = Diagnostic("CG0101", "wrong", mark(source, "(1 +\n  2 +\n    3)"), label="here")
    assert render([found]).splitlines()[3:] == [
        " 1 | let a = (1 +",
        "   |         ^^^^",
        "...",
        " 3 |     3)",
        "   |     ^^ here",
    ]


def test_a_label_over_several_lines_ends_with_its_text() -> None:
    source = Source("test.cg", "factor F(\n  x\n)\nbad\n")
    labels = (Label(mark(source, "factor F(\n  x\n)"), "declared here"),)
    assert render([Diagnostic("CG0101", "wrong", mark(source, "bad"), labels=labels)]).splitlines()[3:] == [
        " 1 | factor F(",
        "   | ---------",
        "...",
        " 3 | )",
        "   | - declared here",
        " 4 | bad",
        "   | ^^^",
    ]


def test_a_long_line_is_shown_around_the_primary_span() -> None:
    source = Source("test.cg", "far" + " + 1" * 200 + " + bad\n")
    labels = (Label(mark(source, "far"), "there"),)
    lines = render([Diagnostic("CG0101", "wrong", mark(source, "bad"), labels=labels)]).splitlines()
    assert lines[3].startswith(" 1 | …") and lines[3].endswith(" + bad")
    column = lines[3].index("bad")
    assert lines[4][column : column + 3] == "^^^" and lines[4][5] == "^"


def test_the_end_of_a_text_can_be_marked() -> None:
    for text in ("", "let a ="):
        source = Source("test.cg", text)
        found = Diagnostic("CG0101", "wrong", Span(source, len(text), len(text)))
        assert render([found]).splitlines()[4] == "   | " + " " * len(text) + "^"


def test_a_diagnostic_may_have_no_place() -> None:
    found = Diagnostic("CG0801", "too large", severity="warning", help="one line\nand another")
    assert render([found]) == "warning[CG0801]: too large\n   = help: one line\n           and another\n"
    assert render([found], "concise") == "warning[CG0801]: too large\n"
    assert render([found], "github") == "::warning title=CG0801::too large%0Aone line%0Aand another\n"
    assert as_json(found)["line"] is None


def test_several_diagnostics_are_apart_and_none_is_nothing() -> None:
    assert render([SHAPES, SHAPES]) == render([SHAPES]) + "\n" + render([SHAPES])
    assert render([]) == ""


def test_colour_changes_nothing_but_colour() -> None:
    coloured = render([SHAPES], colour=True)
    assert coloured != render([SHAPES])
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == render([SHAPES])


def test_the_forms_for_programs() -> None:
    assert json.loads(render([SHAPES], "json")) == [
        {
            "code": "CG0203",
            "severity": "error",
            "message": SHAPES.message,
            "file": "schools.cg",
            "line": 9,
            "column": 12,
            "end_line": 9,
            "end_column": 17,
            "help": SHAPES.help,
        }
    ]
    assert render([SHAPES], "concise") == f"schools.cg:9:12: error[CG0203]: {SHAPES.message}\n"
    odd = Diagnostic("CG0101", "50 % of it\nis odd", Span(Source("a,b:c.cg", "x"), 0, 1), severity="note")
    assert render([odd], "github") == (
        "::notice file=a%2Cb%3Ac.cg,line=1,col=1,endLine=1,endColumn=2,title=CG0101::50 %25 of it%0Ais odd\n"
    )
