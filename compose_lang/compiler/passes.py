"""The compiler: from source text to a factor graph, every stage and every pass in order.

parse → resolve → elaborate → PASSES → likelihood. In: a program's text, and its data. Out: a `CompiledProgram`, or a
`ComposeError` with all diagnostics found. A pass takes a factor graph and returns one of the same density; its main
function has its file's name. What it finds out beside, it leaves as a fact of the graph.

Nothing here imports JAX or PyTorch. After it stands planning, which chooses among kernels.
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

from compose_lang.compiler.analyses.properness import check_proper
from compose_lang.compiler.elaborate.context import FactorStatement, Interpretation, Session
from compose_lang.compiler.elaborate.program import elaborate
from compose_lang.compiler.elaborate.standard_library import known_names, modules_with
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.compiler.ir.build import require_room
from compose_lang.compiler.ir.node import postorder
from compose_lang.compiler.likelihood.fitting import Fitting, fits_params, fitting
from compose_lang.compiler.likelihood.likelihood import Likelihood, without_params
from compose_lang.compiler.names.resolve import resolve
from compose_lang.compiler.names.suppressions import without_allowed
from compose_lang.compiler.rewrites.filter_domains import filter_domains
from compose_lang.compiler.rewrites.integer_bounds import integer_bounds
from compose_lang.compiler.rewrites.log_sums import log_sums
from compose_lang.compiler.rewrites.noncentre import noncentre
from compose_lang.compiler.rewrites.tighten_bounds import tighten_bounds
from compose_lang.diagnostics import ComposeError, Diagnostic, Source, did_you_mean
from compose_lang.grammar import ast
from compose_lang.grammar.parser import layout_warnings, parse


@dataclass(frozen=True)
class Pass:
    """A check or a rewrite of the factor graph, and why it stands where it stands.

    needs_all_names: whether it is left out where a name is unknown, since it would report what that name was to touch.
    """

    name: str
    function: Callable[[FactorGraph], FactorGraph]
    why_here: str
    needs_all_names: bool = False


def check_sizes(graph: FactorGraph) -> FactorGraph:
    """The same graph. CG0801 where an array of it has more elements than memory has room for."""
    for n in postorder([g.energy for g in graph.groups] + [d.node for d in graph.derived]):
        require_room(n.shape, n.axes)
    return graph


PASSES = (
    Pass(
        "check_proper",
        check_proper,
        "first, on bounds as they are declared: those that rewrites find are of variables that a factor touches",
        needs_all_names=True,
    ),
    Pass("check_sizes", check_sizes, "before rewrites, which compute arrays of the sizes that it checks"),
    Pass("log_sums", log_sums, "before all that looks at what an energy is made of"),
    Pass(
        "integer_bounds",
        integer_bounds,
        "before the passes that read constraints: it makes a constraint of each bound that discrete variables move",
    ),
    Pass(
        "tighten_bounds",
        tighten_bounds,
        "once all constraints are there; before noncentre, which leaves variables between two bounds alone",
    ),
    Pass(
        "filter_domains",
        filter_domains,
        "once all constraints are there; the dearest pass, so after those that may refuse the program",
    ),
    Pass("noncentre", noncentre, "last: by then it is known which variables are bounded"),
)
"""All passes, in the order in which they run."""


def run_passes(graph: FactorGraph, last: str = "", has_all_names: bool = True) -> FactorGraph:
    """A graph after all passes, or after those up to the one that is named `last`."""
    for p in PASSES:
        if has_all_names or not p.needs_all_names:
            graph = p.function(graph)
        if p.name == last:
            break
    return graph


def graph_of(module: ast.Module, session: Session, last: str = "") -> FactorGraph:
    """A program's factor graph after all passes, or those up to `last`."""
    return run_passes(elaborate(module, session), last, not session.reported_names)


@dataclass(frozen=True)
class CompiledProgram:
    """A program whose data is bound: its factor graph, and what the user should know about it."""

    source: Source
    module: ast.Module
    graph: FactorGraph
    diagnostics: tuple[Diagnostic, ...]
    data_hashes: Mapping[str, str]
    statements: tuple[FactorStatement, ...] = ()  #: its statements of factors
    settings: Mapping[str, Any] = field(default_factory=dict)  #: of `infer by auto(chains=…)`
    parts: tuple[
        LearnedFactor, ...
    ] = ()  #: what is learned, loaded or foreign, also where nothing applies it
    session: Callable[..., Session] = Session  #: makes one like its own, with what is given in place
    fitting: Fitting | None = None  #: how its params are fitted, where any are
    params: Mapping[str, np.ndarray] = field(default_factory=dict)  #: what was found for them

    def graph_after(self, name: str) -> FactorGraph:
        """The factor graph as the pass of a name leaves it; params that are to be fitted are variables of it."""
        is_fitted = self.fitting is not None and not self.params
        return graph_of(
            self.module, self.session(interpretation=Likelihood() if is_fitted else Interpretation()), name
        )


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
    lints = [*layout_warnings(source), *resolve(module, known_names(), modules_with)]
    if not ignore_unknown_data:
        check_data_names(module, data or {})
    anew = sessions(source, data, constants, folder, trust, lints)
    session = anew(interpretation=Likelihood() if fits_params(module) else Interpretation())
    is_misnamed = any(d.severity == "error" for d in lints)
    try:
        graph = graph_of(module, session)
        fit = fitting(module, graph, session, lambda reading: graph_of(module, anew(interpretation=reading)))
    except ComposeError as wrong:
        diagnostics = in_order([*lints, *wrong.diagnostics, *timely(session)])
        code = 1 if is_misnamed else wrong.exit_code
        raise ComposeError(without_allowed(diagnostics, source), code) from None
    if is_misnamed:
        raise ComposeError(in_order([*lints, *session.diagnostics]))
    return CompiledProgram(
        source,
        module,
        without_params(graph),
        tuple(without_allowed([*lints, *timely(session)], source)),
        session.hashes,
        tuple(session.statements),
        {name: value for r in graph.requests if r.method == "auto" for name, value in r.options.items()},
        tuple(session.learned_factors.values()),
        anew,
        fit,
    )


def check_data_names(module: ast.Module, data: Iterable[str]) -> None:
    """CG0307 for data that a program does not declare."""
    declared = [s.name for s in module.statements if isinstance(s, ast.Data)]
    for name in data:
        if name not in declared:
            help = did_you_mean(name, declared) or f"the program's data: {', '.join(declared) or 'none'}"
            raise ComposeError(Diagnostic("CG0307", f"the program declares no data `{name}`", help=help))


def sessions(
    source: Source,
    data: Mapping[str, Any] | None,
    constants: Mapping[str, Any] | None,
    folder: Path | None,
    trust: bool,
    lints: Sequence[Diagnostic],
) -> Callable[..., Session]:
    """What makes sessions with what is given from outside. lints: of unknown names, which are not told again."""
    is_file = not source.name.startswith("<")
    if folder is None and is_file:
        folder = Path(source.name).parent
    files = (Path(source.name).resolve(),) if is_file else ()
    unknown = frozenset(d.span.text.partition(".")[0] for d in lints if d.code == "CG0201" and d.span)
    given = dict(data or {}), dict(constants or {})
    return partial(Session, folder, *given, programs=files, reported_names=unknown, is_trusted=trust)


def timely(session: Session) -> list[Diagnostic]:
    """What a session has found, less what holds of random variables only: until it is fitted a param is one."""
    early = ("CG0407", "CG0412") if isinstance(session.interpretation, Likelihood) else ()
    return [d for d in session.diagnostics if d.code not in early]


def with_params(
    program: CompiledProgram, params: Mapping[str, np.ndarray], findings: Sequence[Diagnostic] = ()
) -> CompiledProgram:
    """A program whose params have the values that were fitted, and what is to be told of the fit."""
    anew = partial(program.session, params=dict(params))
    session = anew()
    graph = graph_of(program.module, session)
    lints = without_allowed([*session.diagnostics, *findings], program.source)
    diagnostics = (*program.diagnostics, *(d for d in lints if d not in program.diagnostics))
    parts = tuple(session.learned_factors.values())
    return replace(
        program, graph=graph, session=anew, params=dict(params), parts=parts, diagnostics=diagnostics
    )


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Diagnostics by their place in the program; of several errors at one place the first.

    Beside an error nothing is called unused: it may be so for the error's sake.
    """
    kept = list(diagnostics)
    if any(d.severity == "error" for d in kept):
        kept = [d for d in kept if d.code != "CG0213"]
    first: dict[Any, Diagnostic] = {}
    for d in kept:
        place = d.span.start if d.span is not None else -1
        what = "error" if d.severity == "error" and d.span is not None else (d.code, d.message)
        first.setdefault((place, what), d)
    return [first[key] for key in sorted(first, key=lambda key: key[0])]
