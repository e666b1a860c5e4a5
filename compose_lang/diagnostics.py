"""What can be wrong with a user's program, and where: sources, spans, diagnostics, and the error that carries them.

Every stage reports through `Diagnostic`; `render` (in `compose_lang.report.render`) turns one into text. Line and
column are computed only there. A `ComposeError` is the user's to mend and never shows a traceback; an
`InternalError` is ours.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NoReturn

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Source:
    """A program's text and the name it is shown under (a path as the user gave it, or `<text>`)."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> list[int]:
        starts = [0]
        starts.extend(i + 1 for i, c in enumerate(self.text) if c == "\n")
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (counted from 1), without its newline."""
        start = self.line_starts[number - 1]
        end = self.line_starts[number] if number < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")


@dataclass(frozen=True)
class Span:
    """A half-open range of a source's characters."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The range from the start of this span to the end of another."""
        return Span(self.source, self.start, max(self.end, other.end))


@dataclass(frozen=True)
class Label:
    """A second place that matters to a diagnostic, and what it has to do with it."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One thing to tell the user. `code` is a key of `compose_lang.codes.CODES`."""

    code: str
    message: str
    span: Span | None = None
    severity: Severity = "error"
    label: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    notes: tuple[str, ...] = ()


class ComposeError(Exception):
    """The user's program, data or settings are wrong: carries the diagnostics that say how.

    `exit_code` is that of the command line: 1 program, 4 infeasible, 5 a limit.
    """

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic], exit_code: int = 1) -> None:
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in found))
        self.diagnostics: tuple[Diagnostic, ...] = found
        self.exit_code = exit_code


class InternalError(Exception):
    """A state that our own code must never reach."""


MOST_LETTERS = 80  #: of a name that is looked for among the known ones


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A help text that offers the nearest known name, or nothing where none is near: a letter in three may differ."""
    if len(name) > MOST_LETTERS:
        return ""
    near = min(((edits(name.lower(), c.lower()), c) for c in candidates), default=None)
    allowed = max(len(name), 3) // 3 if len(name) > 1 else 0
    return f"did you mean `{near[1]}`?" if near is not None and near[0] <= allowed else ""


def edits(one: str, two: str) -> int:
    """How many letters to insert, drop, replace or exchange with the next make one text the other."""
    before: list[int] = []
    row = list(range(len(two) + 1))
    for i, a in enumerate(one):
        older, before, row = before, row, [i + 1]
        for j, b in enumerate(two):
            cost = min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1)
            if i and j and a == two[j - 1] and one[i - 1] == b:
                cost = min(cost, older[j - 1] + 1)
            row.append(cost)
    return row[-1]


def fail(
    code: str,
    message: str,
    span: Span | None,
    help: str = "",
    labels: tuple[Label, ...] = (),
    label: str = "",
) -> NoReturn:
    """Report an error of the user's program; a limit (CG08) ends with exit code 5."""
    exit_code = 5 if code.startswith("CG08") else 1
    raise ComposeError(Diagnostic(code, message, span, help=help, labels=labels, label=label), exit_code)
