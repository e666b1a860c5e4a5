"""The value of an expression as a program sees it, for those who look into a program while they write it."""

from __future__ import annotations

from typing import Any

from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.declarations.named_values import evaluate_as
from compose_lang.compiler.elaborate.program import Elaboration
from compose_lang.compiler.elaborate.standard_library import builtin_scope
from compose_lang.compiler.elaborate.values import SymbolTable
from compose_lang.grammar import ast


def value_in(module: ast.Module, session: Session, expr: ast.Expr) -> Any:
    """What an expression stands for at a program's end: a number, a factor, a type …

    A number that depends on variables is a node over those in `session.variables`. Raises a ComposeError where the
    program or the expression has errors.
    """
    program = Elaboration(module, Context(SymbolTable(builtin_scope()), session, emit=lambda term: None))
    program.run()
    return evaluate_as(program.ctx, expr, None)
