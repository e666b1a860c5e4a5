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
from compose_lang.compiler.elaborate.learned import declarations
from compose_lang.compiler.elaborate.learned.param_fits import METHOD, joined
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.graph.learned_factor import REVISION, Fit, learned_factors_in
from compose_lang.compiler.likelihood.likelihood import (
    Likelihood,
    faults,
    graph_of_params,
    informed,
    unread,
)
from compose_lang.compiler.likelihood.partition_functions import (
    LogPartition,
    TiedPart,
    Unclamped,
    part_of,
    totals_of,
    unclamped,
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
        found = {"method": METHOD, "params": types, "options": dict(self.fit.options), "revision": REVISION}
        return {**found, "totals": len(self.totals)} if self.totals else found

    @cached_property
    def key(self) -> str:
        """A hash of everything that the values depend on."""
        found = hashlib.sha256(json.dumps(self.description, sort_keys=True).encode())
        for each in (self.depends, *(part.key for part in self.parts)):
            found.update(each.encode())
        return found.hexdigest()


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
    names = frozenset(reading.params) | informed(graph, reading)
    found = total_of(module, graph, reading, elaborated)
    if found is not None:
        names |= found.part.names & frozenset(v.name for v in graph.variables if v.free_sites)
    divided = frozenset[Span]() if found is None else frozenset(g.span for g in found.part.groups)
    of_params = graph_of_params(graph, reading, names, divided)
    wrong = [*unread(of_params, reading), *unknown(of_params, reading, module, fit.span, found)]
    if wrong:
        raise ComposeError(wrong)
    totals = (
        totals_of(found.graph, found.reading, found.part) if found is not None and found.part.names else ()
    )
    energies = [g.energy for each in (of_params, *(t.graph for t in totals)) for g in each.groups]
    parts = tuple(learned_factors_in(energies))
    depends = digest(module, graph, session)
    return Fitting(fit, of_params, reading.starts, parts, depends, declarations.home(session), totals)


@dataclass(frozen=True)
class Found:
    """A part with an unknown total, in the graph and the reading that tell it."""

    graph: FactorGraph
    reading: Unclamped
    part: TiedPart


def total_of(
    module: ast.Module,
    graph: FactorGraph,
    reading: Likelihood,
    elaborated: Callable[[Unclamped], FactorGraph],
) -> Found | None:
    """The part of a program whose total varies with the params, where there may be one, and is one."""
    stated = {t.span: s for s in reading.stated for t in s.terms}
    observed = frozenset(v.name for v in graph.variables if not v.free.all())
    sound = all(g.span in stated and stated[g.span].factor.normalised for g in graph.groups)
    if sound and not observed and not any(faults(graph, reading, module)):
        return None
    read = unclamped(module, elaborated)
    if read is None:
        return None
    free, other = read
    part = part_of(free, other, other.outcomes | observed)
    return Found(free, other, part) if part.known else None


def unknown(
    of_params: FactorGraph, reading: Likelihood, module: ast.Module, at: Span, found: Found | None
) -> Iterator[Diagnostic]:
    """CG0416 for what is in the way of the likelihood, less what the totals that were found divide out."""
    inside = frozenset[Span]() if found is None else found.part.known
    for f in faults(of_params, reading, module):
        if not f.is_total or f.span not in inside:
            yield f.told(at)
    if found is None:
        return
    names = found.part.names | frozenset(reading.params)
    variables = tuple(v for v in found.graph.variables if v.name in names)
    for f in faults(FactorGraph(variables, found.part.groups), found.reading, module):
        if not f.is_total:
            yield f.told(at)


def digest(module: ast.Module, graph: FactorGraph, session: Session) -> str:
    """A hash of a program's text, less its layout, and of the data and constants that it was given."""
    found = hashlib.sha256(print_module(module).encode())
    found.update(repr(sorted((n, repr(v)) for n, v in session.constants.items())).encode())
    found.update(repr(sorted(session.hashes.items())).encode())
    for name, node in sorted(graph.data.items()):
        if node.value is not None:
            found.update(f"{name}{node.value.dtype}{node.value.shape}".encode())
            found.update(np.ascontiguousarray(node.value).tobytes())
    return found.hexdigest()
