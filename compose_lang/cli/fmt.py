"""`compose fmt`: programs rewritten in canonical layout, each as a whole or not at all."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from compose_lang.diagnostics import ComposeError, Diagnostic, Source
from compose_lang.grammar.layout import format_source
from compose_lang.grammar.parser import read_source

STDIN = "-"


@dataclass(frozen=True)
class Formatted:
    """A program before and after."""

    path: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """What changes, as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            self.path,
            self.path,
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


def programs_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths, a folder as all programs below it."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*.cg") if p.is_file())
        else:
            yield path


def formatted(path: Path) -> Formatted:
    """A program in canonical layout; `-` is standard input. Nothing is written."""
    if str(path) == STDIN:
        text = sys.stdin.read()
        return Formatted("<stdin>", text, format_source(Source("<stdin>", text)))
    source = read_source(path)
    before = path.read_bytes().decode()  # with its line ends, and a byte-order mark if it has one
    return Formatted(str(path), before, format_source(source))


def write(done: Formatted) -> None:
    """Replace a file as a whole, so that a program is never left half written; a link's target is what changes."""
    path = Path(done.path).resolve()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(done.after.encode())
            Path(name).chmod(path.stat().st_mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as problem:
        text = f"{done.path} cannot be written: {problem.strerror or problem}"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None
