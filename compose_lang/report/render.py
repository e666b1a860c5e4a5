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
    beside = [f"{_place(label.span)}: {label.text}" for label in diagnostic.labels]
    text = "\n".join(filter(None, [diagnostic.message, *beside, diagnostic.help, *diagnostic.notes]))
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


class _Piece(NamedTuple):
    """What is marked of one line of source, from `start` up to `end`, both offsets in the source's text."""

    source: Source
    start: int
    end: int
    text: str
    is_primary: bool

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]


def _pieces(span: Span, text: str, is_primary: bool) -> Iterator[_Piece]:
    """A span's first line and, where it goes over lines, its last, which carries the text."""
    first, last = (span.source.position(offset)[0] for offset in (span.start, max(span.start, span.end - 1)))
    if first == last:
        yield _Piece(span.source, span.start, span.end, text, is_primary)
        return
    starts, line = span.source.line_starts, span.source.line(last)
    yield _Piece(span.source, span.start, starts[first - 1] + len(span.source.line(first)), "", is_primary)
    indent = len(line) - len(line.lstrip())
    yield _Piece(span.source, starts[last - 1] + indent, span.end, text, is_primary)


def _full(diagnostic: Diagnostic, paint: _Paint) -> Iterator[str]:
    head = paint(paint.marked, f"{diagnostic.severity}[{diagnostic.code}]")
    yield head + paint(BOLD, f": {_printable(diagnostic.message)}")
    pieces: list[_Piece] = []
    if diagnostic.span:
        pieces += _pieces(diagnostic.span, diagnostic.label, is_primary=True)
        for label in diagnostic.labels:
            pieces += _pieces(label.span, label.text, is_primary=False)
    margin = " " * len(str(max((piece.line for piece in pieces), default=0)))
    yield from _excerpts(pieces, margin, paint)
    for word, text in [("help", diagnostic.help), *(("note", note) for note in diagnostic.notes)]:
        if text:
            indent = "\n" + " " * (len(margin) + len(f"  = {word}: "))
            shown = _printable(text).replace("\n", indent)
            yield f"{margin}  {paint(BLUE, '=')} {paint(BOLD, word)}: {shown}"


def _excerpts(pieces: list[_Piece], margin: str, paint: _Paint) -> Iterator[str]:
    """The marked lines, file by file, that of the primary span first."""
    if not pieces:
        return
    primary = pieces[0]
    in_order = sorted(pieces, key=lambda p: (p.source is not primary.source, p.source.name, p.start))
    for source, group in groupby(in_order, key=lambda piece: piece.source):
        marked = list(group)
        is_here = source is primary.source
        arrow, first = ("-->", primary) if is_here else (":::", marked[0])
        yield f"{margin} {paint(BLUE, arrow)} {_place(Span(source, first.start, first.end))}"
        yield paint(BLUE, f"{margin}  |")
        shown = None
        for number, line in groupby(marked, key=lambda piece: piece.line):
            if shown is not None and number > shown + 1:
                yield paint(BLUE, "...")
            shown = number
            yield from _excerpt(source, number, list(line), margin, paint)


def _excerpt(source: Source, number: int, pieces: list[_Piece], margin: str, paint: _Paint) -> Iterator[str]:
    """One line of source, and under it its marks: `^` where the primary span is on it, else `-`.

    Of a very long line the part around the primary span is shown.
    """
    text = source.line(number)
    begin = source.line_starts[number - 1]
    is_primary = any(piece.is_primary for piece in pieces)
    cut, until = 0, len(text)
    if len(text) > LONGEST_LINE:
        main = next((piece for piece in pieces if piece.is_primary), pieces[0])
        cut = max(0, min(main.start - begin, len(text)) - CONTEXT)
        until = cut + LONGEST_LINE
    left, right = "…" if cut else "", "…" if until < len(text) else ""

    def column(offset: int) -> int:
        """The screen column of an offset; what is cut off counts as the `…` on its side."""
        inside = min(offset - begin, len(text))
        return _width(_printable(left + text[cut : min(inside, until)])) if inside >= cut else 0

    marks = [_Mark(column(p.start), max(column(p.end), column(p.start) + 1), p.text) for p in pieces]
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
