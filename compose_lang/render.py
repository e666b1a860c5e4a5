"""Diagnostics → text for people (`full`, in rustc's manner; `concise`) and for programs (`json`, `github`).

Columns are those of the screen: a tab is four wide, an East Asian wide character two, a combining mark none,
and a control character is shown as `�`, so that a program's text cannot drive the terminal.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Literal, NamedTuple

from compose_lang.diagnostics import Diagnostic, Source, Span

Format = Literal["full", "concise", "json", "github"]

TAB = 4
LONGEST_LINE = 160
CONTEXT = 60

RESET = "\033[0m"
BOLD = "\033[1m"
BLUE = "\033[1;34m"
COLOURS = {"error": "\033[1;31m", "warning": "\033[1;33m", "note": "\033[1;36m"}


def render(diagnostics: Iterable[Diagnostic], format: Format = "full", colour: bool = False) -> str:
    """All diagnostics as one text, in the order given; it ends in a newline unless it is empty."""
    match format:
        case "full":
            blocks = ["\n".join(_full(d, _Paint(colour, d.severity))) + "\n" for d in diagnostics]
            return "\n".join(blocks)
        case "concise":
            return "".join(_concise(d) + "\n" for d in diagnostics)
        case "json":
            return json.dumps([as_json(d) for d in diagnostics], ensure_ascii=False, indent=2) + "\n"
        case "github":
            return "".join(_github(d) + "\n" for d in diagnostics)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic as JSON knows it: lines and columns in characters from 1, the end just behind the last.

    The place is null where the diagnostic has none.
    """
    span = diagnostic.span
    line, column = span.source.position(span.start) if span else (None, None)
    end_line, end_column = span.source.position(span.end) if span else (None, None)
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": span.source.name if span else None,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "help": diagnostic.help,
    }


def _concise(diagnostic: Diagnostic) -> str:
    place = f"{_place(diagnostic.span)}: " if diagnostic.span else ""
    return f"{place}{diagnostic.severity}[{diagnostic.code}]: {_printable(diagnostic.message)}"


def _github(diagnostic: Diagnostic) -> str:
    """A workflow command, which GitHub shows beside the line."""
    shown = as_json(diagnostic)
    names = {
        "file": "file",
        "line": "line",
        "col": "column",
        "endLine": "end_line",
        "endColumn": "end_column",
    }
    fields = {theirs: shown[ours] for theirs, ours in names.items() if shown[ours] is not None}
    fields["title"] = diagnostic.code
    properties = ",".join(f"{k}={_escaped(str(v), ':,')}" for k, v in fields.items())
    command = "notice" if diagnostic.severity == "note" else diagnostic.severity
    text = f"{diagnostic.message}\n{diagnostic.help}" if diagnostic.help else diagnostic.message
    return f"::{command} {properties}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


# --- the full form


class _Paint(NamedTuple):
    """Colours for one diagnostic, or none."""

    enabled: bool
    severity: str

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self.enabled and text else text

    @property
    def marked(self) -> str:
        return COLOURS[self.severity]


class _Mark(NamedTuple):
    """An underlined range on one line of source, in screen columns from 0."""

    start: int
    end: int
    text: str


def _full(diagnostic: Diagnostic, paint: _Paint) -> Iterator[str]:
    head = paint(paint.marked, f"{diagnostic.severity}[{diagnostic.code}]")
    yield head + paint(BOLD, f": {_printable(diagnostic.message)}")
    spans = [(diagnostic.span, diagnostic.label)] if diagnostic.span else []
    spans += [(label.span, label.text) for label in diagnostic.labels]
    numbers = [span.source.position(span.start)[0] for span, _ in spans]
    margin = " " * len(str(max(numbers, default=0)))
    if diagnostic.span:
        yield from _excerpts(diagnostic.span, spans, margin, paint)
    for word, text in [("help", diagnostic.help), *(("note", note) for note in diagnostic.notes)]:
        if text:
            indent = "\n" + " " * (len(margin) + len(f"  = {word}: "))
            shown = _printable(text).replace("\n", indent)
            yield f"{margin}  {paint(BLUE, '=')} {paint(BOLD, word)}: {shown}"


def _excerpts(primary: Span, spans: list[tuple[Span, str]], margin: str, paint: _Paint) -> Iterator[str]:
    """The marked lines, file by file, that of the primary span first."""
    in_order = sorted(spans, key=lambda marked: _order(primary, marked[0]))
    for source, group in groupby(in_order, key=lambda marked: marked[0].source):
        marked = list(group)
        first = primary if source is primary.source else marked[0][0]
        arrow = "-->" if source is primary.source else ":::"
        yield f"{margin} {paint(BLUE, arrow)} {_place(first)}"
        yield paint(BLUE, f"{margin}  |")
        shown = None
        for number, line in groupby(marked, key=lambda s: source.position(s[0].start)[0]):
            if shown is not None and number > shown + 1:
                yield paint(BLUE, "...")
            shown = number
            is_primary = source is primary.source and number == source.position(primary.start)[0]
            yield from _excerpt(source, number, list(line), is_primary, margin, paint)


def _order(primary: Span, span: Span) -> tuple[bool, str, int]:
    return span.source is not primary.source, span.source.name, span.start


def _excerpt(
    source: Source, number: int, spans: list[tuple[Span, str]], is_primary: bool, margin: str, paint: _Paint
) -> Iterator[str]:
    """One line of source, and under it its marks: `^` on the primary span's line, `-` on others."""
    text = source.line(number)
    begin = source.line_starts[number - 1]
    places = [(min(s.start - begin, len(text)), min(s.end - begin, len(text)), label) for s, label in spans]
    cut, until = 0, len(text)
    if len(text) > LONGEST_LINE:
        cut = max(0, places[0][0] - CONTEXT)
        until = cut + LONGEST_LINE
    left, right = "…" if cut else "", "…" if until < len(text) else ""

    def column(offset: int) -> int:
        return _width(_printable(left + text[cut : min(offset, until)]))

    marks = [_Mark(column(a), max(column(b), column(a) + 1), label) for a, b, label in places]
    gutter = f"{number:>{len(margin)}}"
    yield f" {paint(BLUE, f'{gutter} |')} {_printable(left + text[cut:until] + right)}".rstrip()
    for row in _underlines(marks, "^" if is_primary else "-"):
        yield f"{paint(BLUE, f'{margin}  |')} {paint(paint.marked if is_primary else BLUE, row)}"


def _underlines(marks: list[_Mark], sign: str) -> Iterator[str]:
    """The marks, the rightmost with its text beside it; the texts of the others hang below, right to left."""
    row = [" "] * max(mark.end for mark in marks)
    for mark in marks:
        row[mark.start : mark.end] = sign * (mark.end - mark.start)
    *others, last = sorted(marks)
    yield "".join(row) + (f" {_printable(last.text)}" if last.text else "")
    hanging = [mark for mark in others if mark.text]
    if hanging:
        yield _stems(hanging)
    while hanging:
        mark = hanging.pop()
        yield _stems(hanging).ljust(mark.start) + _printable(mark.text)


def _stems(marks: list[_Mark]) -> str:
    row = [" "] * max((mark.start + 1 for mark in marks), default=0)
    for mark in marks:
        row[mark.start] = "|"
    return "".join(row)


def _place(span: Span) -> str:
    line, column = span.source.position(span.start)
    return f"{_printable(span.source.name)}:{line}:{column}"


def _printable(text: str) -> str:
    text = text.replace("\t", " " * TAB)
    if text.isprintable():
        return text
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") and c != "\n" else c for c in text)


def _width(text: str) -> int:
    """Screen columns of a text without tabs."""
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
