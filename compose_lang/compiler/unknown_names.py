"""An unknown name → a CG0201 that says what may be meant."""

from __future__ import annotations

from collections.abc import Collection

from compose_lang.compiler.foreign_names import foreign_name
from compose_lang.diagnostics import Diagnostic, Span, did_you_mean


def unknown_name(
    name: str, span: Span, candidates: Collection[str], values: Collection[str], hint: str, declare: str
) -> Diagnostic:
    """The error for a name that nothing declares; `candidates` may be meant, `values` are the program's named values.

    hint: what is surely meant, or nothing; declare: the advice where no other name is near.
    """
    alike = [c for c in candidates if c[0].isupper() == name[0].isupper()]
    help = (
        hint or foreign_name(name, candidates) or library_hint(name) or did_you_mean(name, alike) or declare
    )
    if not help and values and span.source.text[span.end : span.end + 1] != "(":
        help = f"the named values are {', '.join(sorted(values))}"
    if is_behind_comment_sign(span):
        help = f"{help} A comment starts with `#`" if help else "a comment starts with `#`"
    return Diagnostic("CG0201", f"unknown name `{name}`", span, help=help)


def library_hint(name: str) -> str:
    """Which `use` brings a name in, if one does."""
    from compose_lang.compiler.standard_library import modules_with

    modules = modules_with(name)
    return f"it is in {modules[0]}: `use {modules[0]} ({name})`" if modules else ""


def is_behind_comment_sign(span: Span) -> bool:
    """Whether a name is the last of its line, behind `//` or `--`: it may be meant as a comment."""
    line, column = span.source.position(span.start)
    text = span.source.line(line)
    return text[: column - 1].endswith(("// ", "-- ")) and not text[column - 1 + len(span.text) :].strip()
