"""`learn k, W by maximum_likelihood(steps=500)`: what is fitted, from where, and to what.

A param that is fitted is a variable until it is fitted (`likelihood.py`), and a constant from then on: when the runtime
has found its value, the program is elaborated anew with it. Nothing is fitted here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.elaborate.context import Session
from compose_lang.compiler.elaborate.forward import outcomes_of
from compose_lang.compiler.elaborate.learned import declarations
from compose_lang.compiler.elaborate.learned.param_fits import METHOD, joined
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import REVISION, Fit, learned_factors_in
from compose_lang.compiler.likelihood.faults import faults, unread_params
from compose_lang.compiler.likelihood.likelihood import Likelihood, graph_of_params, informed
from compose_lang.compiler.likelihood.partition_functions import (
    LogPartition,
    TiedPart,
    Unclamped,
    log_partitions,
    tied_part,
)
from compose_lang.diagnostics import ComposeError, Diagnostic, Span
from compose_lang.grammar import ast
from compose_lang.grammar.printer import print_module

if TYPE_CHECKING:
    from compose_lang.compiler.graph.learned_factor import LearnedFactor


@dataclass(frozen=True, eq=False)
class Fitting:
    """A fit that can be run. starts: values to start from; None: near the middle of the type."""

    fit: Fit
    graph: FactorGraph
    starts: Mapping[str, np.ndarray | None]
    parts: tuple[LearnedFactor, ...]  #: what its energies need to have learned
    depends: str  #: a hash of the program and its data
    home: Path | None
    totals: tuple[LogPartition, ...] = ()  #: what the program's weight is divided by

    name: str = "params"
    method: str = METHOD
    net: None = None

    @property
    def shown(self) -> str:
        """The params in a row."""
        return ", ".join(self.fit.targets)

    @property
    def options(self) -> Mapping[str, Any]:
        return self.fit.options

    @property
    def span(self) -> Span:
        return self.fit.span

    @cached_property
    def description(self) -> dict[str, Any]:
        types = {v.name: str(v.type) for v in self.graph.variables if v.name in self.fit.targets}
        description = {
            "method": METHOD,
            "params": types,
            "options": dict(self.fit.options),
            "revision": REVISION,
        }
        return {**description, "totals": len(self.totals)} if self.totals else description

    @cached_property
    def key(self) -> str:
        """A hash of everything that the values depend on."""
        digest = hashlib.sha256(json.dumps(self.description, sort_keys=True).encode())
        for key in (self.depends, *(part.key for part in self.parts)):
            digest.update(key.encode())
        return digest.hexdigest()


def fits_params(module: ast.Module) -> bool:
    """Whether a program fits any params."""
    return any(
        isinstance(t, ast.Name) for s in module.statements if isinstance(s, ast.Learn) for t in s.targets
    )


def fitting(
    module: ast.Module,
    graph: FactorGraph,
    session: Session,
    elaborated: Callable[[Unclamped], FactorGraph],
) -> Fitting | None:
    """The fit that a program's statements ask for, if any, from its graph and session of a `Likelihood`.

    elaborated: the program's graph in another reading. Raises CG0416 where its weight has a total that is not known,
    CG0607 where a param is in no part that says what data follow.
    """
    reading = session.interpretation
    if not session.fits or not isinstance(reading, Likelihood):
        return None
    fit = joined(session.fits)
    names = reading.names | informed(graph, reading)
    unknown = unknown_total(module, graph, reading, elaborated)
    divided = frozenset[Span]()
    if unknown is not None:
        names |= unknown.part.names & frozenset(v.name for v in graph.variables if v.free_sites)
        divided = frozenset(g.span for g in unknown.part.groups)
    of_params = graph_of_params(graph, reading, names, divided)
    wrong = [*unread_params(of_params, reading), *refusals(of_params, reading, module, fit.span, unknown)]
    if wrong:
        raise ComposeError(wrong)
    totals = () if unknown is None else unknown.totals
    energies = [g.energy for each in (of_params, *(t.graph for t in totals)) for g in each.groups]
    parts = tuple(learned_factors_in(energies))
    depends = digest(module, graph, session)
    return Fitting(fit, of_params, reading.starts, parts, depends, declarations.home(session), totals)


@dataclass(frozen=True)
class UnknownTotal:
    """A part whose total varies with the params, in the graph and the interpretation in which its data are free."""

    graph: FactorGraph
    reading: Unclamped
    part: TiedPart

    @property
    def totals(self) -> tuple[LogPartition, ...]:
        return log_partitions(self.graph, self.reading, self.part) if self.part.names else ()


def unknown_total(
    module: ast.Module,
    graph: FactorGraph,
    reading: Likelihood,
    elaborated: Callable[[Unclamped], FactorGraph],
) -> UnknownTotal | None:
    """The part of a program whose total varies with the params, where there may be one, and is one."""
    stated = {t.span: s for s in reading.stated for t in s.terms}
    observed = frozenset(v.name for v in graph.variables if not v.free.all())
    is_sound = all(g.span in stated and stated[g.span].factor.normalised for g in graph.groups)
    if is_sound and not observed and not any(faults(graph, reading, module)):
        return None
    unclamped = Unclamped(outcomes=outcomes_of(module))
    try:
        free = elaborated(unclamped)
    except ComposeError:  # it needs to know its data to be elaborated
        return None
    part = tied_part(free, unclamped, unclamped.outcomes | observed)
    return UnknownTotal(free, unclamped, part) if part.spans else None


def refusals(
    of_params: FactorGraph, reading: Likelihood, module: ast.Module, at: Span, unknown: UnknownTotal | None
) -> Iterator[Diagnostic]:
    """CG0416 for what is in the way of the likelihood, less what the totals that were found divide out."""
    divided = frozenset[Span]() if unknown is None else unknown.part.spans
    for fault in faults(of_params, reading, module):
        if not fault.is_total or fault.span not in divided:
            yield fault.diagnostic(at)
    if unknown is None:
        return
    names = unknown.part.names | reading.names
    variables = tuple(v for v in unknown.graph.variables if v.name in names)
    for fault in faults(FactorGraph(variables, unknown.part.groups), unknown.reading, module):
        if not fault.is_total:
            yield fault.diagnostic(at)


def digest(module: ast.Module, graph: FactorGraph, session: Session) -> str:
    """A hash of a program's text, less its layout, and of the data and constants that it was given."""
    sha = hashlib.sha256(print_module(module).encode())
    sha.update(repr(sorted((n, repr(v)) for n, v in session.constants.items())).encode())
    sha.update(repr(sorted(session.hashes.items())).encode())
    for name, node in sorted(graph.data.items()):
        if node.value is not None:
            sha.update(f"{name}{node.value.dtype}{node.value.shape}".encode())
            sha.update(np.ascontiguousarray(node.value).tobytes())
    return sha.hexdigest()
