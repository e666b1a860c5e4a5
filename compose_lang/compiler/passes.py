"""From source text to a compiled program: every stage of the compiler, in order.

Nothing here imports JAX or PyTorch. What is raised is a `ComposeError` with all diagnostics found.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Judged, Session
from compose_lang.compiler.elaborate.program import elaborate
from compose_lang.compiler.elaborate.standard_library import known_names
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.compiler.likelihood.fitting import Fitting, fits, fitting
from compose_lang.compiler.likelihood.likelihood import Likelihood, without_params
from compose_lang.compiler.names.resolve import resolve
from compose_lang.compiler.names.suppressions import without_allowed
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar import ast
from compose_lang.grammar.parser import layout_warnings, parse, read_source
from compose_lang.runtime.planning.plan import refusals


@dataclass(frozen=True)
class CompiledProgram:
    """A program whose data is bound: its factor graph, and what the user should know about it."""

    source: Source
    module: ast.Module
    graph: FactorGraph
    diagnostics: tuple[Diagnostic, ...]
    data_hashes: Mapping[str, str]
    judged: tuple[Judged, ...] = ()  #: its statements of factors
    settings: Mapping[str, Any] = field(default_factory=dict)  #: of `infer by auto(chains=…)`
    parts: tuple[
        LearnedFactor, ...
    ] = ()  #: what is learned, loaded or foreign, also where nothing applies it
    session: Callable[..., Session] = Session  #: makes one like its own, with what is given in place
    fitting: Fitting | None = None  #: how its params are fitted, where any are
    params: Mapping[str, np.ndarray] = field(default_factory=dict)  #: what was found for them


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector: it would go through all the small nodes that a compilation makes and keeps."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_collection()
def compile_program(
    source: Source,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    ignore_unknown_data: bool = True,
    trust: bool = False,
) -> CompiledProgram:
    """Compile a program with data and constants from outside.

    folder is where `read` looks, by default the folder of the source's file. Fields of `data` that the program
    does not declare are ignored, unless `ignore_unknown_data` is false. trust: whether foreign code may run.
    """
    module = parse(source)
    found = [*layout_warnings(source), *resolve(module, known_names())]
    misnamed = any(d.severity == "error" for d in found)
    given = dict(data or {})
    if not ignore_unknown_data:
        declared = [s.name for s in module.statements if isinstance(s, ast.Data)]
        for name in given:
            if name not in declared:
                help = did_you_mean(name, declared) or f"the program's data: {', '.join(declared) or 'none'}"
                raise ComposeError(
                    Diagnostic("CG0307", f"the program declares no data `{name}`", None, help=help)
                )
    if folder is None and not source.name.startswith("<"):
        folder = Path(source.name).parent
    itself = () if source.name.startswith("<") else (Path(source.name).resolve(),)
    unknown = frozenset(d.span.text.partition(".")[0] for d in found if d.code == "CG0201" and d.span)
    anew = partial(
        Session, folder, given, dict(constants or {}), programs=itself, unknown=unknown, is_trusted=trust
    )
    session = anew(reading=Likelihood() if fits(module) else None)
    try:
        graph = elaborate(module, session)
        to_fit = fitting(module, graph, session, lambda reading: elaborate(module, anew(reading=reading)))
        graph = without_params(graph, session.reading)
    except ComposeError as wrong:
        told = without_allowed(in_order([*found, *wrong.diagnostics, *timely(session)]), source)
        raise ComposeError(told, 1 if misnamed else wrong.exit_code) from None
    if misnamed:
        raise ComposeError(in_order([*found, *session.diagnostics]))
    wrong_requests = refusals(graph)
    if wrong_requests:
        raise ComposeError(in_order([*wrong_requests, *found, *session.diagnostics]))
    settings: dict[str, Any] = {}
    for request in graph.requests:
        if request.method == "auto":
            settings.update(request.options)
    lints = tuple(without_allowed([*found, *timely(session)], source))
    return CompiledProgram(
        source,
        module,
        graph,
        lints,
        session.hashes,
        tuple(session.judged),
        settings,
        tuple(session.parts.values()),
        anew,
        to_fit,
    )


def timely(session: Session) -> list[Diagnostic]:
    """What a session has found, less what holds of random variables only: until it is fitted a param is one."""
    early = ("CG0407", "CG0412") if isinstance(session.reading, Likelihood) else ()
    return [d for d in session.diagnostics if d.code not in early]


def with_params(
    program: CompiledProgram, params: Mapping[str, np.ndarray], found: Sequence[Diagnostic] = ()
) -> CompiledProgram:
    """A program whose params have the values that were fitted, and what is to be told of the fit."""
    anew = partial(program.session, params=dict(params))
    session = anew()
    graph = elaborate(program.module, session)
    lints = without_allowed([*session.diagnostics, *found], program.source)
    told = (*program.diagnostics, *(d for d in lints if d not in program.diagnostics))
    parts = tuple(session.parts.values())
    return replace(program, graph=graph, session=anew, params=dict(params), parts=parts, diagnostics=told)


def in_order(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Diagnostics by their place in the program; of several errors at one place the first is told.

    Beside an error nothing is called unused: it may be so for the error's sake.
    """
    told = list(found)
    if any(d.severity == "error" for d in told):
        told = [d for d in told if d.code != "CG0213"]
    kept: dict[Any, Diagnostic] = {}
    for d in told:
        place = d.span.start if d.span is not None else -1
        what = "error" if d.severity == "error" and d.span is not None else (d.code, d.message)
        kept.setdefault((place, what), d)
    return [kept[key] for key in sorted(kept, key=lambda key: key[0])]


def check(
    source: Source | str | Path,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> list[Diagnostic]:
    """Every error and warning of a program; data that is to be bound from outside is a note, not an error."""
    try:
        text = source if isinstance(source, Source) else read_source(source)
        return list(compile_program(text, data, constants, trust=trust).diagnostics)
    except ComposeError as wrong:
        return without_data(wrong.diagnostics)


def without_data(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The same diagnostics, where data that has no value yet is worth a note only."""
    return [replace(d, severity="note") if d.code == "CG0301" else d for d in diagnostics]
