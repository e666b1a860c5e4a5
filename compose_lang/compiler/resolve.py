"""`ast.Module` → diagnostics about names: unknown, declared twice, used too early, in the wrong place, unused.

It only reads: the tree goes on as it is. Types and what follows a dot are looked up by later stages, which
know what a module holds. Before: the parser. After: `elaborate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from compose_lang.compiler.name_lints import foreign_name, style_warning
from compose_lang.diagnostics import Diagnostic, Label, Span, did_you_mean
from compose_lang.grammar import ast

# Names that mean something inside `learn METHOD(…)` or `= …` alone.
NETS = frozenset({"mlp", "conv", "unet", "gnn", "attention"})
FORMS = frozenset({"read", "load", "extern", "product", "mixture", "contrast", "truncate", "normalize"})

KINDS: dict[type, str] = {
    ast.TypeDecl: "type",
    ast.Const: "const",
    ast.Data: "data",
    ast.Param: "param",
    ast.Var: "var",
    ast.Let: "let",
    ast.Fn: "fn",
    ast.FactorDecl: "factor",
}
IN_ANY_ORDER = frozenset({"type", "fn", "factor", "import"})
WARN_IF_UNUSED = frozenset({"const", "data", "fn"})
TOP_LEVEL_ONLY = (ast.Use, ast.TypeDecl, ast.Data, ast.Fn, ast.FactorDecl, ast.Infer, ast.Learn)


def resolve(module: ast.Module, known: Mapping[str, str]) -> list[Diagnostic]:
    """All that is wrong with a module's names; `known` gives the kind of each predeclared one."""
    resolver = _Resolver(known, _value_names(module), _imports_everything(module))
    resolver.module(module)
    return resolver.found


@dataclass(eq=False)
class Declared:
    """One declared name: as what, where, and whether it may be used already and has been."""

    name: str
    kind: str
    span: Span
    is_indexed: bool = False
    is_ready: bool = True
    is_used: bool = False


@dataclass(eq=False)
class Scope:
    """The names of one block and the scope around it.

    `is_body` marks a factor's or function's: it runs where it is applied, so it may use what the module
    declares further down.
    """

    outer: Scope | None = None
    is_body: bool = False
    names: dict[str, Declared] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Declared | None, bool]:
        """The declaration that a name means here, and whether it may be used already."""
        scope: Scope | None = self
        runs_later = False
        while scope is not None:
            if name in scope.names:
                return scope.names[name], scope.names[name].is_ready or runs_later
            runs_later = runs_later or scope.is_body
            scope = scope.outer
        return None, False

    def visible(self) -> Iterator[str]:
        yield from self.names
        if self.outer is not None:
            yield from self.outer.visible()


class _Resolver:
    """One walk over a module, in the order of its text."""

    def __init__(self, known: Mapping[str, str], values: set[str], has_unlisted: bool) -> None:
        self.known = known
        self.values = values
        self.has_unlisted = has_unlisted
        self.found: list[Diagnostic] = []
        self.complained: set[str] = set()

    def module(self, module: ast.Module) -> None:
        scope = Scope()
        self.declare_all(module.statements, scope)
        for statement in module.statements:
            self.statement(statement, scope, block="")
        for declared in scope.names.values():
            if declared.kind in WARN_IF_UNUSED:
                self.warn_if_unused(declared)

    # --- declarations

    def declare_all(self, statements: Iterable[ast.Statement], scope: Scope) -> None:
        """Enters a block's names before the walk, so that a use can tell "later" from "unknown"."""
        for statement in statements:
            for name, kind, span in _declarations(statement):
                indexed = isinstance(statement, ast.Let) and bool(statement.indices)
                self.declare(scope, Declared(name, kind, span, indexed, kind in IN_ANY_ORDER))
                if kind not in ("type", "import"):
                    is_factor = kind == "factor" or self.names_factor(statement, scope)
                    if not (kind == "let" and is_factor):
                        self.add(style_warning(name, is_factor, span))
            if isinstance(statement, ast.For):
                inside = [s for s in statement.body if isinstance(s, ast.Let | ast.For)]
                self.declare_all((s for s in inside if isinstance(s, ast.For) or s.indices), scope)

    def declare(self, scope: Scope, new: Declared) -> None:
        old = scope.names.get(new.name)
        if old is None or new.name == "_":
            scope.names[new.name] = new
        elif not (old.is_indexed and new.is_indexed):
            self.found.append(
                Diagnostic(
                    "CG0202",
                    f"`{new.name}` is declared twice",
                    new.span,
                    labels=(Label(old.span, "first declared here"),),
                )
            )

    def names_factor(self, statement: ast.Statement, scope: Scope) -> bool:
        """Whether a `let` names a factor value, as far as names can tell."""
        if not isinstance(statement, ast.Let):
            return False
        names = {node.id for node in _walk(statement.value) if isinstance(node, ast.Name)}
        declared = (scope.find(name)[0] for name in names)
        return any(self.known.get(name) == "factor" for name in names) or any(
            d is not None and d.kind == "factor" for d in declared
        )

    def warn_if_unused(self, declared: Declared) -> None:
        if declared.is_used or declared.name.startswith("_"):
            return
        self.found.append(
            Diagnostic("CG0213", f"`{declared.name}` is never used", declared.span, severity="warning")
        )

    # --- statements

    def statement(self, statement: ast.Statement, scope: Scope, block: str) -> None:
        """`block` says what the statement stands in: nothing, a factor, a density, or a `for` or `if`."""
        self.place(statement, block)
        match statement:
            case ast.Fn():
                self.fn(statement, scope)
            case ast.FactorDecl():
                self.factor(statement, scope)
            case ast.Let():
                self.let(statement, scope)
            case ast.For(clauses, condition, body):
                inner = self.clauses(clauses, condition, scope)
                for let in body:
                    if isinstance(let, ast.Let) and let.indices:
                        self.ready(let.name, scope)
                self.block(body, inner, f"for {block}")
            case ast.If(test, then, otherwise):
                self.expr(test, scope)
                self.block(then, Scope(scope), f"if {block}")
                self.block(otherwise, Scope(scope), f"if {block}")
            case ast.Infer(targets, method):
                for target in targets:
                    self.use(target.partition(".")[0], statement.span, scope)
                self.arguments(method, scope)
            case ast.Learn(targets, method):
                for goal in targets:
                    self.expr(goal, scope)
                self.arguments(method, scope)
            case ast.Use() | ast.TypeDecl():
                pass
            case _:
                self.parts(statement, scope)
        for name, _, _ in _declarations(statement):
            self.ready(name, scope)

    def block(self, statements: Sequence[ast.Statement], scope: Scope, block: str) -> None:
        indexed = {s.name for s in statements if isinstance(s, ast.Let) and s.indices}
        is_loop = block.startswith("for")
        local = [s for s in statements if not (is_loop and isinstance(s, ast.Let) and s.name in indexed)]
        self.declare_all((s for s in local if not isinstance(s, ast.For)), scope)
        for statement in statements:
            self.statement(statement, scope, block)

    def place(self, statement: ast.Statement, block: str) -> None:
        """Reports a statement that may not stand where it does (CG0209)."""
        keyword = statement.span.text.split(maxsplit=1)[0] if statement.span.text else ""
        is_nested = block.startswith(("for", "if"))
        message = help = ""
        if isinstance(statement, ast.Draw) and "density" not in block:
            message, help = "`draw` stands outside a density", "a `draw` says how to draw from the density it is in"
        elif isinstance(statement, TOP_LEVEL_ONLY) and block:
            message, help = f"`{keyword}` stands inside a block", "move it out, to the top level of the program"
        elif isinstance(statement, ast.Var | ast.Param) and is_nested:
            word = block.split()[0]
            message = f"a `{keyword}` cannot be declared inside `{word}`"
            help = f"declare it before: `{_widened(statement, word)}`"
        if message:
            self.found.append(Diagnostic("CG0209", message, statement.span, help=help))
