"""A program that grows by cells: what was entered, what of it stands, and the draws of it. It knows no terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.api.check import checked_program
from compose_lang.api.model import Model
from compose_lang.compiler.elaborate.context import Session as CompilerSession
from compose_lang.compiler.elaborate.inspection import value_in
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.likelihood.fitting import fits_params
from compose_lang.compiler.names.symbols import declarations
from compose_lang.diagnostics import ComposeError, Diagnostic, Label, Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse, parse_expression
from compose_lang.grammar.tokens import CLOSERS, OPENERS, OPERATORS, RESERVED, tokenize

if TYPE_CHECKING:
    from compose_lang.runtime.chains.driver import Watch
    from compose_lang.runtime.learning.loop import Watch as Learning
    from compose_lang.runtime.results.run import Run

UNFINISHED = frozenset({"CG0301", "CG0402"})
"""What a program may still lack while it is written: data to be bound, a variable's distribution."""

QUICK = {"chains": 4, "draws": 500, "warmup": 500}  #: what an expression's summary is drawn with


def is_complete(text: str) -> bool:
    """Whether a text could be a whole cell: no bracket is open, and the last line does not go on."""
    tokens = [t for t in tokenize(Source("<cell>", text)) if t.kind != "_END"]
    depth = sum((t.kind in OPENERS) - (t.kind in CLOSERS) for t in tokens)
    if depth > 0 or not tokens:
        return depth <= 0
    return tokens[-1].kind not in OPERATORS | RESERVED


EARLY = (ast.Use, ast.TypeDecl, ast.Const, ast.Data, ast.Param, ast.Fn, ast.FactorDecl)
"""Declarations that stand first in the program, whenever they were entered."""


@dataclass(frozen=True)
class Stated:
    """One statement of a cell."""

    cell: int
    text: str
    is_early: bool


@dataclass(frozen=True)
class Cell:
    """What was entered at once."""

    number: int
    statements: tuple[Stated, ...]

    @property
    def text(self) -> str:
        return "\n".join(s.text for s in self.statements)


def in_order(cells: Sequence[Cell]) -> list[Stated]:
    """The statements of a program of cells."""
    every = [s for cell in cells for s in cell.statements]
    return [s for s in every if s.is_early] + [s for s in every if not s.is_early]


def program_of(cells: Sequence[Cell]) -> Source:
    return Source("<session>", "".join(s.text + "\n" for s in in_order(cells)))


@dataclass(frozen=True)
class Value:
    """What an expression came to. draws: (chains, draws, *shape) where it depends on variables."""

    value: Any
    draws: NDArray[Any] | None = None


@dataclass
class Session:
    """The cells that stand, the data and constants given from outside, and the latest draws."""

    folder: Path = field(default_factory=Path.cwd)
    cells: tuple[Cell, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    run: Run | None = None  #: of the program as it stands
    entered: int = 0
    before: list[tuple[tuple[Cell, ...], dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return program_of(self.cells).text

    # --- cells ---

    def enter(self, text: str) -> list[Diagnostic]:
        """Add a cell; what it declares takes the place of earlier declarations of those names.

        Returns warnings, and as notes what the program still lacks. Raises a ComposeError where the cell, or the
        program with it, has errors; then everything stays as it was.
        """
        number = self.entered + 1
        source = Source(f"[{number}]", text)
        module = parse(source)
        if not module.statements:
            return []
        stated = tuple(Stated(number, s.span.text, isinstance(s, EARLY)) for s in module.statements)
        names = {(d.name, index_of(s)) for s in module.statements for d in declarations(s)}
        new = Cell(number, stated)
        kept = [without(cell, names) for cell in self.cells]
        changed = next((k for k, c in enumerate(kept) if c != self.cells[k]), len(kept))
        # where the old declaration stood, so that what follows still sees it; or last, if it needs what follows
        first, last = ([*kept[:k], new, *kept[k:]] for k in (changed, len(kept)))
        try:
            cells = tuple(c for c in first if c.statements)
            found = self.examine(cells, self.data, self.constants)
        except ComposeError as wrong:
            try:
                cells = tuple(c for c in last if c.statements)
                found = self.examine(cells, self.data, self.constants)
            except ComposeError:
                raise wrong from None
        self.become(cells, self.data, self.constants)
        self.entered = number
        return found

    def become(self, cells: tuple[Cell, ...], data: dict[str, Any], constants: dict[str, Any]) -> None:
        self.before.append((self.cells, self.data, self.constants))
        self.cells, self.data, self.constants = cells, data, constants
        self.run = None

    def examine(
        self, cells: Sequence[Cell], data: Mapping[str, Any], constants: Mapping[str, Any]
    ) -> list[Diagnostic]:
        """The diagnostics of a program of cells, placed in them; a ComposeError where there is an error."""
        source = program_of(cells)
        try:
            found: Sequence[Diagnostic] = checked_program(source, data, constants, self.folder).diagnostics
        except ComposeError as wrong:
            if any(d.severity == "error" and d.code not in UNFINISHED for d in wrong.diagnostics):
                raise ComposeError([placed(d, source, cells) for d in wrong.diagnostics]) from None
            found = [replace(d, severity="note") for d in wrong.diagnostics if d.code in UNFINISHED]
        # a name that nothing uses yet may be used by the next cell
        return [placed(d, source, cells) for d in found if d.code != "CG0213"]

    def drop(self, number: int) -> None:
        """Take a cell out; a KeyError where there is none of that number, a ComposeError where others need it."""
        rest = tuple(cell for cell in self.cells if cell.number != number)
        if len(rest) == len(self.cells):
            raise KeyError(number)
        self.examine(rest, self.data, self.constants)
        self.become(rest, self.data, self.constants)

    def undo(self) -> bool:
        """Go back to before the last change; false where there is none."""
        if not self.before:
            return False
        self.cells, self.data, self.constants = self.before.pop()
        self.run = None
        return True

    def reset(self) -> None:
        self.become((), {}, {})

    def bind(self, data: Mapping[str, Any], constants: Mapping[str, Any]) -> list[Diagnostic]:
        """Give data and constants from outside."""
        new_data, new_constants = {**self.data, **data}, {**self.constants, **constants}
        found = self.examine(self.cells, new_data, new_constants)
        self.become(self.cells, new_data, new_constants)
        return found

    # --- what it means ---

    def model(self) -> Model:
        """The program compiled; a ComposeError says what it still lacks."""
        source = program_of(self.cells)
        try:
            program = checked_program(source, self.data, self.constants, self.folder)
        except ComposeError as wrong:
            raise ComposeError(
                [placed(d, source, self.cells) for d in wrong.diagnostics], wrong.exit_code
            ) from None
        return Model(program, self.constants, self.data)

    def sample(self, watch: Watch | None = None, **options: Any) -> Run:
        """Draw from the program, and keep the draws until it changes."""
        self.run = self.model().sample(watch=watch, **{**QUICK, **options})
        return self.run

    def value(self, text: str, watch: Watch | None = None, learning: Learning | None = None) -> Value:
        """What an expression comes to; one that depends on variables is evaluated on draws."""
        expr = parse_expression(Source("<expression>", text))
        source = program_of(self.cells)
        try:
            module = parse(source)
            params = self.model().fitted(learning).params if fits_params(module) else {}
            compiler = CompilerSession(self.folder, dict(self.data), dict(self.constants), params=params)
            value = value_in(module, compiler, expr)
        except ComposeError as wrong:
            raise ComposeError([placed(d, source, self.cells) for d in wrong.diagnostics]) from None
        if not isinstance(value, Node) or value.value is not None:
            return Value(value)
        if not value.variables:  # a recurrence over constants, which the compiler leaves to the run
            return Value(constant(evaluated(value, {})[0], dtype=value.dtype, domain=value.domain))
        run = self.run or self.sample(watch, learning=learning)
        return Value(value, on_draws(value, compiler, run))


def index_of(statement: ast.Statement) -> str:
    """What tells apart the statements that define one recurrence."""
    return ", ".join(i.span.text for i in statement.indices) if isinstance(statement, ast.Let) else ""


def without(cell: Cell, names: set[tuple[str, str]]) -> Cell:
    """A cell less the statements that declare some names."""
    kept = []
    for stated in cell.statements:
        (statement,) = parse(Source("<cell>", stated.text)).statements
        declared = {(d.name, index_of(statement)) for d in declarations(statement)}
        plain = {name for name, index in names if not index}
        if not declared & names and not {name for name, _ in declared} & plain:
            kept.append(stated)
    return replace(cell, statements=tuple(kept))


def placed(diagnostic: Diagnostic, source: Source, cells: Sequence[Cell]) -> Diagnostic:
    """A diagnostic of the whole program as one of the cell it is in."""
    labels = tuple(Label(in_cell(label.span, source, cells), label.text) for label in diagnostic.labels)
    span = in_cell(diagnostic.span, source, cells) if diagnostic.span is not None else None
    return replace(diagnostic, span=span, labels=labels)


def in_cell(span: Span, source: Source, cells: Sequence[Cell]) -> Span:
    if span.source is not source and span.source != source:
        return span
    start = 0
    for stated in in_order(cells):
        end = start + len(stated.text) + 1
        if span.start < end:
            own = Source(f"[{stated.cell}]", stated.text)
            return Span(own, span.start - start, min(span.end - start, len(stated.text)))
        start = end
    return span


def on_draws(value: Node, compiler: CompilerSession, run: Run) -> NDArray[Any]:
    """An expression at every draw: (chains, draws, *shape)."""
    columns = {column.name: column for column in run.columns}
    chains, draws = run.chains, run.draws
    bindings = {}
    for name in value.variables:
        values = run.values(columns[name])
        bindings[id(compiler.variables[name].node)] = values.reshape((chains * draws, *values.shape[2:]))
    whole = np.broadcast_to(evaluated(value, bindings), (chains * draws, *value.shape))
    return whole.reshape((chains, draws, *value.shape))


def evaluated(value: Node, bindings: Mapping[int, Any]) -> NDArray[Any]:
    """A node by NumPy, (n or 1, *shape), given its leaves."""
    from compose_lang.compiler.ir.interpret import interpret
    from compose_lang.runtime.backends import load_backend

    backend = load_backend("numpy")
    with backend.scope(), np.errstate(all="ignore"):
        (found,) = interpret(backend, [value], bindings)
    return np.asarray(found)
