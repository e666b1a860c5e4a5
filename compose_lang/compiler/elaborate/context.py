"""Where an expression stands: the names in scope, the plates around it, and where its factors go.

Elaboration passes a `Context` down; entering a body, a plate, a branch or a factor makes a new one. Its
`plates` are all axes a node built here may vary over; a factor stated here is counted once for each instance
of them. How each kind of syntax is elaborated is said by rules, which their files register here by its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from compose_lang.compiler.elaborate.values import (
    DeclaredType,
    Factor,
    Poisoned,
    SymbolTable,
    as_node,
)
from compose_lang.compiler.graph.factor_graph import Drawn, LocationScale, Term, Variable
from compose_lang.compiler.graph.learned_factor import Fit, Joint, LearnedFactor
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import Diagnostic, Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

RULES: dict[type, Callable[[Context, Any], Any]] = {}
"""How syntax is elaborated, by its type: an expression has a value, a statement none."""

Rule = TypeVar("Rule", bound=Callable[..., Any])


def rule(*kinds: type[ast.Node]) -> Callable[[Rule], Rule]:
    """Registers a function of a context and a piece of syntax as the rule for some kinds of syntax."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


class PoisonedUse(Exception):  # noqa: N818 - what it tells is no error
    """A statement uses a declaration that failed; the failure itself has been reported."""


@dataclass(frozen=True)
class FactorStatement:
    """A statement of a factor: what it is over, and whether it is a density of that or a factor."""

    span: Span
    over: str
    what: str
    is_density: bool


class Interpretation:
    """What a program is elaborated for: its posterior, unless a subclass says otherwise."""

    is_unclamped: ClassVar[bool] = False  #: whether what the program observes of its variables is free
    checks_support: ClassVar[bool] = (
        True  #: whether constants are held to the supports of what is stated of them
    )

    @property
    def plates(self) -> tuple[Axis, ...]:
        """What stands around the whole program."""
        return ()

    def datum(self, ctx: Context, name: str, value: Node, domain: Domain, span: Span) -> Node:
        """What a datum stands for."""
        return value

    def param(
        self, ctx: Context, name: str, declared: DeclaredType, start: np.ndarray | None, span: Span
    ) -> Node | None:
        """What a param that is to be fitted stands for; None: its value."""
        return None

    def note(self, ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> Context:
        """Take down an application; returns the context for its terms."""
        return ctx

    def weigh(self, ctx: Context, span: Span) -> None:
        """Take down a statement that weighs, and says nothing of how to draw."""


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
    location_scales: list[LocationScale] = field(
        default_factory=list
    )  #: statements of location-scale families
    drawn: list[Callable[[], list[Drawn]]] = field(
        default_factory=list
    )  #: what elaborates the draws of statements that may be drawn outright
    draws_by_library: bool = False  #: whether a density that the program declares may not say how it is drawn
    noise_slots: list[tuple[str, Node]] | None = None  #: what a `draw` has asked for, while one is elaborated
    known_later: dict[str, Span] = field(default_factory=dict)  #: names whose values come after all constants
    applications: dict[tuple[str, ...], int] = field(
        default_factory=dict
    )  #: how often each factor was, by its path
    inlined_calls: int = 0  #: applications of functions and factors so far
    statements: list[FactorStatement] = field(
        default_factory=list
    )  #: the program's statements of factors, in order
    interpretation: Interpretation = field(
        default_factory=Interpretation
    )  #: what the program is elaborated for
    prefix: str = ""  #: before the names of data that another program reads
    programs: tuple[Path, ...] = ()  #: the files being elaborated, each used by the one before
    learned_factors: dict[int, LearnedFactor] = field(
        default_factory=dict
    )  #: learned ones, by their declarations
    is_trusted: bool = False  #: whether foreign code may run
    params: Mapping[str, np.ndarray] = field(default_factory=dict)  #: the values of params that are fitted
    joint: Joint | None = None  #: the statement that fits nets together, while it is elaborated
    has_joint_failed: bool = False  #: whether such a statement has failed
    fits: list[Fit] = field(default_factory=list)  #: what `learn … by maximum_likelihood` asks for
    reported_names: frozenset[str] = (
        frozenset()
    )  #: names that have been reported: their uses are not reported again

    def warn(
        self, code: str, message: str, span: Span, help: str = "", labels: tuple[Label, ...] = ()
    ) -> None:
        warning = Diagnostic(code, message, span, "warning", labels=labels, help=help)
        if warning not in self.diagnostics:
            self.diagnostics.append(warning)


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

    def evaluate(self, e: ast.Expr) -> Any:
        """The value of an expression."""
        return RULES[type(e)](self, e)

    def number(self, e: ast.Expr) -> Node:
        """The value of an expression that must be a number or an array."""
        return as_node(self.evaluate(e), e.span)

    def run(self, s: ast.Statement) -> None:
        """Elaborate a statement of a body; what it states goes to `emit`."""
        statement_rule = RULES.get(type(s))
        if statement_rule is None:
            fail("CG0209", f"`{type(s).__name__.lower()}` stands only at the top of a program", s.span)
        statement_rule(self, s)

    def lookup(self, name: str, span: Span) -> Any:
        try:
            value = self.scope.find(name)
        except KeyError:
            if name in self.session.reported_names:
                raise PoisonedUse from None
            if name in self.session.known_later:
                text = f"`{name}` is not known at compile time, when constants, data and types are"
                labels = (Label(self.session.known_later[name], "declared here"),)
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
    ctx.session.inlined_calls += 1
    if ctx.session.inlined_calls > MAX_INLINED:
        text = f"functions and factors are applied more than {MAX_INLINED:,} times, at last {what}"
        fail("CG0801", text, span, help="name a value that is used twice with `let`")
