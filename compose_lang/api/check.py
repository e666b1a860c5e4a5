"""A program checked: compiled, and its requests held against the methods that there are.

In: a program and its data. Out: a `CompiledProgram` that can be planned and run, or every diagnostic; and what a run of
it will warn of before its first draw.

Before: the compiler, which knows no methods, and planning, which does. After: `model`, the verbs and the session.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.analyses.noise_levels import anneal
from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.passes import CompiledProgram, compile_program, in_order
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar.parser import read_source
from compose_lang.runtime.density.columns import Column, columns_of
from compose_lang.runtime.runs.settings import Settings

if TYPE_CHECKING:
    from compose_lang.runtime.planning.plan import Plan

MUCH_OUTPUT = 2**30  #: bytes of draws that are worth a warning


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
    wrong: list[Diagnostic] = []
    try:
        anneal(program.graph)
    except ComposeError as unsound:
        wrong += unsound.diagnostics
    if program.graph.requests:
        from compose_lang.runtime.planning.refusals import refusals

        wrong += refusals(program.graph, has_sound_levels=not wrong)
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


def warnings_ahead(
    graph: FactorGraph, planned: Callable[[], Plan], settings: Settings, out: Path
) -> list[Diagnostic]:
    """What a run warns of before its first draw, besides the program's own diagnostics.

    Warnings of its plan and of the size of what it stores; CG0801 (exit code 5) where that does not fit on disk. A plan
    is made only where one is needed: where there are constraints between discrete sites, or much to store.
    """
    columns = stored_columns(columns_of(graph), settings.keep)
    is_much = bytes_of(columns) * settings.chains * settings.draws >= MUCH_OUTPUT
    if graph.fact(HardConstraints) is None and not is_much:
        return []
    plan = planned()
    draws = 1 if plan.optimising is not None else settings.draws
    return [*plan.warnings, *size_of_output(columns, settings.chains * draws, out)]


def bytes_of(columns: Sequence[Column]) -> int:
    """What one draw of all columns takes on disk."""
    return sum(column.size * np.dtype(column.stored_dtype).itemsize for column in columns)


def stored_columns(columns: Sequence[Column], keep: tuple[str, ...] | None) -> list[Column]:
    """The columns to store: those named (CG0307 if there is none of that name), or all that can vary."""
    if keep is None:
        return [column for column in columns if column.free.size]
    names = [column.name for column in columns]
    for name in keep:
        if name not in names:
            help = did_you_mean(name, names) or f"what can be kept: {', '.join(names)}"
            raise ComposeError(Diagnostic("CG0307", f"there is no `{name}` to keep", help=help), exit_code=2)
    return [column for column in columns if column.name in keep]


def size_of_output(columns: Sequence[Column], draws: int, out: Path) -> list[Diagnostic]:
    """A warning where the draws take much room on disk; an error (exit code 5) where there is not enough.

    draws: of all chains together.
    """
    total = bytes_of(columns) * draws
    if total < MUCH_OUTPUT:
        return []
    widest = max(columns, key=lambda column: column.size).name
    help = f"--keep NAMES stores some of them only (`{widest}` is the largest), --thin K fewer draws"
    text = f"the draws take {total / 2**30:.1f} GB in {out}"
    parent = next(folder for folder in [out, *out.absolute().parents] if folder.exists())
    if total > shutil.disk_usage(parent).free:
        text += f", but only {shutil.disk_usage(parent).free / 2**30:.1f} GB are free"
        raise ComposeError(Diagnostic("CG0801", text, help=help), exit_code=5)
    return [Diagnostic("CG0801", text, severity="warning", help=help)]
