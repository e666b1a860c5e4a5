"""A program checked: compiled, and its requests held against the methods that there are.

In: a program and its data. Out: a `CompiledProgram` that can be planned and run, or every diagnostic.

Before: the compiler, which knows no methods, and planning, which does. After: `model`, the verbs and the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compose_lang.compiler.passes import CompiledProgram, compile_program, in_order
from compose_lang.diagnostics import ComposeError, Diagnostic, Source
from compose_lang.grammar.parser import read_source
from compose_lang.runtime.planning.refusals import refusals


def checked_program(
    source: Source,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    ignore_unknown_data: bool = True,
    trust: bool = False,
) -> CompiledProgram:
    """Compile a program whose own requests some backend can serve; arguments and errors as of `compile_program`."""
    program = compile_program(source, data, constants, folder, ignore_unknown_data, trust)
    wrong = refusals(program.graph)
    if wrong:
        raise ComposeError(in_order([*wrong, *program.diagnostics]))
    return program


def check(
    source: Source | str | Path,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> list[Diagnostic]:
    """Every error and warning of a program; data that is to be bound from outside is a note, not an error."""
    try:
        text = source if isinstance(source, Source) else read_source(source)
        return list(checked_program(text, data, constants, trust=trust).diagnostics)
    except ComposeError as wrong:
        return without_data(wrong.diagnostics)


def without_data(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The same diagnostics, where data that has no value yet is worth a note only."""
    return [replace(d, severity="note") if d.code == "CG0301" else d for d in diagnostics]
