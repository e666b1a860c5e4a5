"""Where statements may stand: at the top of a program, in a loop, in the body of a density.

In: a statement and the scope it stands in. Out: errors. `resolve` calls it while it walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from compose_lang.compiler.names.symbols import SymbolTable
from compose_lang.diagnostics import Diagnostic, Label
from compose_lang.grammar import ast
from compose_lang.grammar.printer import print_type

TOP_LEVEL_ONLY = (ast.Use, ast.TypeDecl, ast.Data, ast.Fn, ast.FactorDecl, ast.Infer, ast.Learn)


def misplaced(statement: ast.Statement, scope: SymbolTable) -> Iterator[Diagnostic]:
    """CG0209 for a statement that may not stand where it does."""
    word = statement.span.text.split(maxsplit=1)[0] if statement.span.text else ""
    if isinstance(statement, ast.Draw):
        if scope.body == "density":
            return
        message, help = (
            "a `draw` stands outside a density",
            "it says how to draw from the density it is in",
        )
        if scope.body == "factor":
            message, help = "a factor has no `draw`", "a `density` may say how it is drawn"
    elif isinstance(statement, TOP_LEVEL_ONLY) and scope.block:
        message, help = f"`{word}` stands inside a block", "move it to the top level of the program"
    elif isinstance(statement, ast.Var | ast.Param) and scope.is_loop:
        message = f"a `{word}` cannot be declared inside `for`"
        help = f"declare it before: `{word} {statement.name}: {widened(statement, scope)}`"
    else:
        return
    yield Diagnostic("CG0209", message, statement.span, help=help)


def repeated_draws(body: Iterable[ast.Statement]) -> Iterator[Diagnostic]:
    """CG0202 for each `draw` of a density after the first."""
    draws = [s for s in body if isinstance(s, ast.Draw)]
    for draw in draws[1:]:
        labels = (Label(draws[0].span, "the first"),)
        yield Diagnostic("CG0202", "a density has one `draw`", draw.span, labels=labels)


def sizes(clauses: Iterable[ast.Clause]) -> tuple[ast.Expr, ...]:
    """How many values each clause runs over: `n` for `range(n)`, and for want of better elsewhere."""
    lengths: list[ast.Expr] = []
    for clause in clauses:
        match clause.domain:
            case ast.Call(ast.Name("range"), (ast.Argument(None, stop),)):
                lengths.append(stop)
            case _:
                lengths.append(ast.Name("n", span=clause.span))
    return tuple(lengths)


def widened(declaration: ast.Var | ast.Param, scope: SymbolTable) -> str:
    """The type that a declaration needs outside the loops it stands in."""
    if declaration.type is None:
        return "real"
    sizes = [size for loop in reversed(list(scope.loops())) for size in loop.sizes]
    return print_type(replace(declaration.type, shape=(*sizes, *declaration.type.shape)))
