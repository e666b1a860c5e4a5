"""A program while it is elaborated: its statements in order, and what has come of them so far.

In: an `ast.Module` and the context that its names and terms go to. Out: declarations in the context's scope, derived
values and requests; every error found is raised together. What each kind of statement does is registered by `program`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from compose_lang.compiler.elaborate import bodies, statements
from compose_lang.compiler.elaborate.context import Context, PoisonedUse
from compose_lang.compiler.elaborate.declarations import bind_data
from compose_lang.compiler.elaborate.declarations.declared_types import declared_with_values
from compose_lang.compiler.elaborate.declarations.observations import observes
from compose_lang.compiler.elaborate.factors.application import Call
from compose_lang.compiler.elaborate.values import (
    DeclaredFactor,
    DeclaredType,
    Function,
    Poisoned,
    as_node,
    describe,
)
from compose_lang.compiler.graph.factor_graph import Derived, Request
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import ShapeError
from compose_lang.compiler.names.symbols import declarations
from compose_lang.diagnostics import (
    ComposeError,
    Diagnostic,
    Label,
    Span,
    did_you_mean,
    fail,  # fmt: skip
)
from compose_lang.grammar import ast


class Elaboration:
    """The state of one elaboration of a program: what has been declared and stated so far.

    call: the application that binds the program's subjects and inputs, where it is a factor of another one.
    """

    RULES: ClassVar[dict[type, Callable[[Elaboration, Any], None]]] = {}
    """What is done with each type of statement at the top of a program, registered by `program`."""

    def __init__(self, module: ast.Module, ctx: Context, call: Call | None = None) -> None:
        self.module = module = without_repeats(module)
        self.ctx = ctx
        self.session = ctx.session
        self.scope = ctx.scope
        self.call = call
        self.given = call.arguments if call is not None else {}
        self.supported: Node | None = (
            None  #: where the subjects given lie in their declared types; None: always
        )
        self.variables: set[str] = set()
        self.data: list[ast.Data] = []
        self.derived: list[Derived] = []
        self.requests: list[Request] = []
        self.directed: dict[str, dict[int, Span]] = {}  #: where it is said how each site of a variable moves
        self.pending = bodies.PendingArrays(module.statements)
        is_unclamped = self.session.interpretation.is_unclamped
        self.observing = [s for s in module.statements if any(observes([s])) and not is_unclamped]
        self.diagnostics: list[Diagnostic] = []
        self.exit_code = 1

    def run(self) -> None:
        """Elaborate all statements; what they state goes to the context. Raises every error found."""
        for s in self.module.statements:
            if isinstance(s, ast.FactorDecl):
                self.scope.names[s.name] = DeclaredFactor(s, self.scope)
            elif isinstance(s, ast.Fn):
                self.scope.names[s.name] = Function(s, self.scope)
        early = (ast.Use, ast.TypeDecl, ast.Const, ast.Data, ast.Param)
        ordered: list[ast.Statement] = [s for s in self.module.statements if isinstance(s, early)]
        ordered += [
            s for s in self.module.statements if isinstance(s, ast.Learn)
        ]  # before what it fits is used
        ordered += [s for s in self.module.statements if not isinstance(s, (*early, ast.Learn, ast.Infer))]
        ordered += [
            s for s in self.module.statements if isinstance(s, ast.Infer)
        ]  # of all variables, factors' too
        self.session.known_later.update(
            {s.name: s.span for s in self.module.statements if isinstance(s, ast.Var | ast.Let)}
        )
        for statement in ordered:
            self.attempt(statement)
        if self.diagnostics:
            raise ComposeError(self.diagnostics, self.exit_code)

    def attempt(self, statement: ast.Statement) -> None:
        """Elaborate one statement; an error poisons what it declares and does not hide the next."""
        try:
            self.statement(statement)
        except ComposeError as wrong:
            placed = [d if d.span else replace(d, span=statement.span) for d in wrong.diagnostics]
            self.diagnostics.extend(d for d in placed if d not in self.diagnostics)
            self.exit_code = max(self.exit_code, wrong.exit_code)
        except PoisonedUse:
            pass
        except ShapeError as wrong:
            shapes = " against ".join(str(list(s)) for s in wrong.shapes)
            self.diagnostics.append(Diagnostic("CG0203", f"{wrong}: {shapes}", statement.span))
        except MemoryError:
            self.diagnostics.append(Diagnostic("CG0801", "this does not fit into memory", statement.span))
            self.exit_code = 5
        except RecursionError:
            self.diagnostics.append(Diagnostic("CG0104", "this is nested too deeply", statement.span))
        else:
            return
        self.scope.names.update(dict.fromkeys(bodies.lost(statement, self.scope), Poisoned()))

    def statement(self, s: ast.Statement) -> None:
        rule = self.RULES.get(type(s))
        if rule is not None:
            rule(self, s)
            return
        bodies.run_statement(self.ctx, s, self.pending)

    def check_settings(self) -> None:
        """Names given from outside must be declared."""
        consts = [s.name for s in self.module.statements if isinstance(s, ast.Const)]
        for name in self.session.constants:
            if name not in consts:
                help = did_you_mean(name, consts) or f"the program's constants: {', '.join(consts) or 'none'}"
                self.diagnostics.append(
                    Diagnostic("CG0307", f"there is no `const {name}` to set", None, help=help)
                )

    # --- a program as a factor: what its application gives ---

    def argument(self, s: ast.Data, declared: DeclaredType) -> Any:
        """The value given for a `data` declaration, as its type says."""
        assert self.call is not None
        value, span = self.given[s.name]
        what = f"`{s.name}` of `{self.call.name}`"
        if not isinstance(value, Node):
            return value
        if value.value is not None and not value.axes:
            array = bind_data.bind_data(value.value, declared.type, s.name, span, what)
            return bind_data.as_constant(array, declared.type)
        self.check_shape(value, declared, what, s, span)
        self.call.admits(value, declared.type.domain, s.name, span, is_subject=False)
        return value

    def subject(self, s: ast.Var) -> None:
        """A `var` that stands for what the program is applied to; outside its type the program's weight is 0."""
        assert self.call is not None
        value, span = self.given[s.name]
        value = as_node(value, span)
        declared = declared_with_values(self.ctx, s.type)
        self.check_shape(value, declared, f"the subject `{s.name}` of `{self.call.name}`", s, span)
        holds = [self.call.admits(value, declared.type.domain, s.name, span, is_subject=True)]
        for op, bound in (("ge", declared.lower), ("le", declared.upper)):
            if bound is not None:
                inside = node(op, value, bound)
                for _ in inside.shape:
                    inside = node("all", inside, attrs=(-1,))
                holds.append(inside)
        for test in holds:
            if test is not None:
                self.supported = test if self.supported is None else node("and", self.supported, test)
                self.ctx = self.ctx.under(test)
        self.scope.names[s.name] = value
        if s.factor is not None:
            statements.apply_to(self.ctx, [value], s.factor, s.span)

    def check_shape(
        self, value: Node, declared: DeclaredType, what: str, s: ast.Declaration, span: Span
    ) -> None:
        if not declared.fits(value.shape):
            text = f"shapes do not match: {what} is {declared.type}, given {describe(value)}"
            fail("CG0203", text, span, labels=(Label(s.span, "declared here"),))

    def record(self, name: str, value: Any, s: ast.Statement) -> None:
        if isinstance(value, Node) and not (value.is_const or value.axes or name.startswith("_")):
            self.derived.append(Derived(name, value, s.span))


def without_repeats(module: ast.Module) -> ast.Module:
    """A module whose names mean their first declarations: the others have been reported (CG0202)."""
    kept: list[ast.Statement] = []
    seen: dict[str, bool] = {}
    for s in module.statements:
        new = {d.name: d.is_indexed for d in declarations(s) if d.name != "_"}
        if not any(name in seen and not (seen[name] and indexed) for name, indexed in new.items()):
            seen.update(new)
            kept.append(s)
    return ast.Module(tuple(kept), span=module.span)
