"""Where an expression stands: the names in scope, the plates around it, and where its factors go.

Elaboration passes a `Context` down; entering a body, a plate, a branch or a factor makes a new one. Its
`plates` are all axes a node built here may vary over; a factor stated here is counted once for each instance
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.diagnostics import Diagnostic, Label, Span, did_you_mean, fail

if TYPE_CHECKING:
    from pathlib import Path

    from compose_lang.compiler.elaborate.forward import Interpretation
    from compose_lang.compiler.graph.factor_graph import Variable
    from compose_lang.compiler.graph.learned_factor import Fit, Joint, LearnedFactor


class SymbolTable:
    """Names and what they stand for; inner scopes hide outer ones."""

    def __init__(self, parent: SymbolTable | None = None, names: dict[str, Any] | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Any] = names or {}

    def own_names(self) -> Collection[str]:
        """The names of this scope alone."""
        return self.names

    def find(self, name: str) -> Any:
        """What a name stands for; KeyError where it is unknown."""
        if name in self.names:
            return self.names[name]
        if self.parent is None:
            raise KeyError(name)
        return self.parent.find(name)

    def all_names(self) -> Iterator[str]:
        yield from self.names
        if self.parent is not None:
            yield from self.parent.all_names()


class Poisoned:
    """What a declaration that failed stands for: its uses are not reported again, unless they must be: `why`."""

    def __init__(self, why: str = "") -> None:
        self.why = why


class PoisonedUse(Exception):  # noqa: N818 - what it tells is no error
    """A statement uses a declaration that failed; the failure itself has been reported."""


@dataclass(frozen=True)
class Judged:
    """A statement of a factor: what it is over, and whether it is a density of that or a factor."""

    span: Span
    over: str
    what: str
    is_density: bool


@dataclass
class Session:
    """What one elaboration shares: settings that come from outside, and what it reports."""

    folder: Path | None
    data: dict[str, Any]
    constants: dict[str, Any]
    variables: dict[str, Variable] = field(default_factory=dict)  #: all declared so far, those of factors too
    diagnostics: list[Diagnostic] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)  #: where each datum was read, and how many rows
    stated: list[Any] = field(default_factory=list)  #: `noncentre.Statement`s
    noise: list[tuple[str, Node]] | None = None  #: what a `draw` has asked for, while one is elaborated
    later: dict[str, Span] = field(default_factory=dict)  #: names whose values come after all constants
    applied: dict[tuple[str, ...], int] = field(
        default_factory=dict
    )  #: how often each factor was, by its path
    inlined: int = 0  #: applications of functions and factors so far
    judged: list[Judged] = field(default_factory=list)  #: the program's statements of factors, in order
    reading: Interpretation | None = None  #: another way to elaborate a program than for its posterior
    prefix: str = ""  #: before the names of data that another program reads
    programs: tuple[Path, ...] = ()  #: the files being elaborated, each used by the one before
    parts: dict[int, LearnedFactor] = field(default_factory=dict)  #: learned ones, by their declarations
    is_trusted: bool = False  #: whether foreign code may run
    params: Mapping[str, np.ndarray] = field(default_factory=dict)  #: the values of params that are fitted
    joint: Joint | None = None  #: the statement that fits nets together, while it is elaborated
    is_joint_lost: bool = False  #: whether such a statement has failed
    fits: list[Fit] = field(default_factory=list)  #: what `learn … by maximum_likelihood` asks for
    unknown: frozenset[str] = frozenset()  #: names that have been reported: their uses are not reported again

    def warn(
        self, code: str, message: str, span: Span, help: str = "", labels: tuple[Label, ...] = ()
    ) -> None:
        found = Diagnostic(code, message, span, "warning", labels=labels, help=help)
        if found not in self.diagnostics:
            self.diagnostics.append(found)


@dataclass(frozen=True)
class Context:
    scope: SymbolTable
    session: Session
    emit: Callable[[Term], None]
    plates: tuple[Axis, ...] = ()
    mask: Node | None = None  #: where false, a factor stated here does not count
    guards: tuple[Node, ...] = ()  #: conditions under which an expression built here is used at all
    calls: tuple[Span, ...] = ()  #: the applications this body is being elaborated for, outermost first
    path: tuple[str, ...] = ()  #: those applications' names, under which their own variables are recorded
    is_choice: bool = False  #: whether a mixture around this may choose another of its parts
    is_drawn: bool = (
        False  #: whether a density around this is drawn outright, and what it states is part of that
    )
    weighed_by: str = ""  #: what around this needs its weight as a number: no place for variables of its own

    def child(self, **names: Any) -> Context:
        return replace(self, scope=SymbolTable(self.scope, names))

    def under(self, condition: Node) -> Context:
        """The context of what counts only where a condition holds."""
        mask = condition if self.mask is None else node("and", self.mask, condition)
        return replace(self, mask=mask, guards=(*self.guards, condition))

    def lookup(self, name: str, span: Span) -> Any:
        try:
            value = self.scope.find(name)
        except KeyError:
            if name in self.session.unknown:
                raise PoisonedUse from None
            if name in self.session.later:
                text = f"`{name}` is not known at compile time, when constants, data and types are"
                labels = (Label(self.session.later[name], "declared here"),)
                fail("CG0208", text, span, help="constants, params and data are known then", labels=labels)
            fail("CG0201", f"unknown name `{name}`", span, help=did_you_mean(name, self.scope.all_names()))
        return usable(value, span)


def usable(value: Any, span: Span) -> Any:
    """What a name stands for, unless its declaration failed."""
    if isinstance(value, Poisoned):
        if value.why:
            fail("CG0208", value.why, span)
        raise PoisonedUse
    return value


MAX_INLINED = 30_000


def count_inlined(ctx: Context, what: str, span: Span) -> None:
    """Functions and factors are inlined; those that apply each other twice over grow without bound (CG0801)."""
    ctx.session.inlined += 1
    if ctx.session.inlined > MAX_INLINED:
        text = f"functions and factors are applied more than {MAX_INLINED:,} times, at last {what}"
        fail("CG0801", text, span, help="name a value that is used twice with `let`")
