"""`compose check --format`: one program that shows every shape of a diagnostic, in each of the four forms.

After a change of messages: `python -m tests.test_formats` writes the texts anew; read the difference.
"""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from compose_lang.api.check import check
from compose_lang.cli import main
from compose_lang.report.render import Format, render
from compose_lang.report.screen import in_colour

FOLDER = Path(__file__).parent / "golden" / "formats"
FORMATS: tuple[Format, ...] = ("full", "concise", "json", "github")


def rendered(form: Format, colour: bool = False) -> str:
    with chdir(FOLDER):
        return render(check(Path("program.cg")), form, colour)


@pytest.mark.parametrize("form", FORMATS)
def test_a_form_is_as_written(form: Format) -> None:
    assert rendered(form) == (FOLDER / f"{form}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_prints_the_form(form: Format, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["compose", "check", "-q", "program.cg", "--format", form])
    with chdir(FOLDER), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert capsys.readouterr().out == rendered(form)


def test_json_is_one_form_by_two_names(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["compose", "check", "program.cg", "--json"])
    with chdir(FOLDER), pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out) == json.loads(rendered("json"))


def test_every_form_tells_every_diagnostic() -> None:
    found = json.loads(rendered("json"))
    places = [(d["line"], d["column"], d["severity"], d["code"]) for d in found]
    assert {d["severity"] for d in found} == {"error", "warning", "note"}
    concise = [
        re.match(r"program.cg:(\d+):(\d+): (\w+)\[(\w+)\]: ", row) for row in rendered("concise").splitlines()
    ]
    assert [(int(m[1]), int(m[2]), m[3], m[4]) for m in concise if m] == places
    marks = re.compile(r"::(\w+) file=program.cg,line=(\d+),col=(\d+),.*title=(\w+)::")
    github = [marks.match(row) for row in rendered("github").splitlines()]
    assert [(int(m[2]), int(m[3]), m[1].replace("notice", "note"), m[4]) for m in github if m] == places
    heads = re.findall(r"^(\w+)\[(\w+)\]: .*\n *--> program.cg:(\d+):(\d+)$", rendered("full"), re.MULTILINE)
    assert [(int(line), int(column), severity, code) for severity, code, line, column in heads] == places


def test_no_line_is_wider_than_a_screen_can_show() -> None:
    """Of a long line a part is shown; messages and advice are whole."""
    excerpts = [row for row in rendered("full").splitlines() if re.match(r" *\d* \|", row)]
    assert len(excerpts) > 30 and max(map(len, excerpts)) < 175


# --- colours only on a terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals(monkeypatch: Any) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert in_colour(Terminal()) and not in_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not in_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not in_colour(Terminal())


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_check_colours_what_goes_to_a_terminal(stream: type[io.StringIO], monkeypatch: Any) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "argv", ["compose", "check", "-q", "program.cg"])
    monkeypatch.setattr(sys, "stdout", stream())
    with chdir(FOLDER), pytest.raises(SystemExit):
        main()
    shown = sys.stdout.getvalue()
    assert ("\033[" in shown) == (stream is Terminal)
    assert re.sub(r"\033\[[0-9;]*m", "", shown) == rendered("full")


if __name__ == "__main__":
    for form in FORMATS:
        (FOLDER / f"{form}.txt").write_text(rendered(form), encoding="utf-8")
