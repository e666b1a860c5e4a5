"""Bodies: statements in order, the names they define, and the arrays that several of them define together.

In: the statements of a factor, a loop or a branch. Out: terms handed to the context's `emit`; every error is
reported. How a single statement is elaborated is said by the rules (`statements`, `variables`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compose_lang.compiler.elaborate.context import Context, PoisonedUse
from compose_lang.compiler.elaborate.declarations import recurrences
from compose_lang.compiler.elaborate.values import Poisoned, SymbolTable
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import ShapeError
from compose_lang.compiler.names.symbols import may_declare
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.grammar import ast


def run_body(ctx: Context, body: Sequence[ast.Statement]) -> None:
    """Elaborate a body: its own names, then its statements in order.

    An error in one statement does not hide those of the others.
    """
    pending = PendingArrays(body)
    errors: list[Diagnostic] = []
    code = 1
    for statement in body:
        try:
            run_statement(ctx, statement, pending)
        except ComposeError as wrong:
            errors.extend(wrong.diagnostics)
            code = max(code, wrong.exit_code)
        except PoisonedUse:
            pass
        except ShapeError as wrong:
            shapes = " against ".join(str(list(s)) for s in wrong.shapes)
            errors.append(Diagnostic("CG0203", f"{wrong}: {shapes}", statement.span))
        else:
            continue
        ctx.scope.names.update(dict.fromkeys(lost(statement, ctx.scope), Poisoned()))
    if errors:
        raise ComposeError(errors, code)


def lost(statement: ast.Statement, scope: SymbolTable) -> Iterator[str]:
    """The names that a statement that failed leaves without a meaning: not a variable of which only the factor did."""
    for name in may_declare(statement):
        if not (isinstance(statement, ast.Var) and isinstance(scope.names.get(name), Node)):
            yield name


class PendingArrays:
    """Indexed `let`s of one body: an array is finished at its last definition."""

    def __init__(self, body: Sequence[ast.Statement]) -> None:
        self.last: dict[str, ast.Statement] = {}
        self.arrays: dict[str, recurrences.Recurrence] = {}
        self.expect(body)

    def expect(self, body: Sequence[ast.Statement]) -> None:
        for statement in body:
            for name in indexed_names(statement):
                self.last[name] = statement

    def define(self, ctx: Context, statement: ast.Statement, lets: Sequence[ast.Let]) -> dict[str, Node]:
        """Add definitions; returns the arrays this statement finishes."""
        names = [let.name for let in lets if let.indices]
        for name in names:
            self.arrays.setdefault(name, recurrences.Recurrence(name))
            ctx.scope.names[name] = self.arrays[name]
        recurrences.define(ctx, lets, self.arrays)
        done = [n for n in dict.fromkeys(names) if self.last.get(n) is statement]
        finished = {n: self.arrays[n].finish(statement.span) for n in done}
        ctx.scope.names.update(finished)
        return finished


def indexed_names(statement: ast.Statement) -> list[str]:
    if isinstance(statement, ast.Let) and statement.indices:
        return [statement.name]
    if isinstance(statement, ast.For) and is_recurrence(statement):
        return [s.name for s in statement.body if isinstance(s, ast.Let) and s.indices]
    return []


def is_recurrence(statement: ast.For) -> bool:
    """Whether a `for` holds only definitions, at least one of them indexed."""
    lets = [s for s in statement.body if isinstance(s, ast.Let)]
    return len(lets) == len(statement.body) and any(s.indices for s in lets)


def run_statement(ctx: Context, statement: ast.Statement, pending: PendingArrays) -> None:
    """Elaborate one statement of a body; definitions go to its names."""
    if isinstance(statement, ast.Let):
        if statement.indices:
            pending.define(ctx, statement, [statement])
        else:
            ctx.scope.names[statement.name] = ctx.evaluate(statement.value)
        return
    if isinstance(statement, ast.For) and is_recurrence(statement):
        pending.define(ctx, statement, shared_clauses(statement))
        return
    ctx.run(statement)


def shared_clauses(statement: ast.For) -> list[ast.Let]:
    """The definitions of a `for`, each under its clauses."""
    return [
        replace(s, clauses=(*statement.clauses, *s.clauses), condition=s.condition or statement.condition)
        if s.indices
        else s
        for s in statement.body
        if isinstance(s, ast.Let)
    ]
