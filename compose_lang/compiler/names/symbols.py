"""What the resolver knows of names: scopes, and the names that a piece of syntax declares or mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

from compose_lang.diagnostics import Span
from compose_lang.grammar import ast

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
class SymbolTable:
    """The names of one block and the scope around it.

    block is "" for the module, else fn, factor, density, for, if, or index for a comprehension; sizes are the
    lengths of a `for`'s domains.
    """

    outer: SymbolTable | None = None
    block: str = ""
    sizes: tuple[ast.Expr, ...] = ()
    names: dict[str, Declared] = field(default_factory=dict)
    chosen: dict[str, Declared] = field(
        default_factory=dict
    )  #: of `if` blocks, which may stand in this one's place

    def find(self, name: str) -> tuple[Declared | None, bool]:
        """The declaration that a name means here, and whether it may be used already.

        The body of a factor or function runs where it is applied, so it may use what is declared later.
        """
        scope: SymbolTable | None = self
        runs_later = False
        while scope is not None:
            if name in scope.names:
                return scope.names[name], scope.names[name].is_ready or runs_later
            if name in scope.chosen:
                return scope.chosen[name], True
            runs_later = runs_later or scope.block in ("fn", "factor", "density")
            scope = scope.outer
        return None, False

    def visible(self) -> Iterator[str]:
        """Every name in scope."""
        yield from self.names
        yield from self.chosen
        if self.outer is not None:
            yield from self.outer.visible()

    def loops(self) -> Iterator[SymbolTable]:
        """The `for` and `if` blocks this stands in, from the inside out."""
        scope: SymbolTable | None = self
        while scope is not None and scope.block in ("for", "if"):
            yield scope
            scope = scope.outer

    @property
    def is_loop(self) -> bool:
        return any(scope.block == "for" for scope in self.loops())

    @property
    def body(self) -> str:
        """The kind of declaration whose body this is in, through all loops; "" for the module."""
        scope = self
        for scope in self.loops():
            assert scope.outer is not None
            scope = scope.outer
        return scope.block


def declarations(statement: ast.Statement) -> Iterator[Declared]:
    """The names that a statement declares in its block."""
    if isinstance(statement, ast.Use):
        bound = [statement.alias] if statement.alias else statement.names
        for name in bound or [module_name(statement)]:
            if name.isidentifier():  # of a file without a name to speak of
                yield Declared(name, "import", name_span(statement, name))
    elif isinstance(
        statement,
        ast.TypeDecl | ast.Const | ast.Data | ast.Param | ast.Var | ast.Let | ast.Fn | ast.FactorDecl,
    ):
        is_indexed = isinstance(statement, ast.Let) and bool(statement.indices)
        span = name_span(statement, statement.name)
        yield Declared(statement.name, KINDS[type(statement)], span, is_indexed)


def may_declare(statement: ast.Statement) -> Iterator[str]:
    """The names that a statement, or a branch of it that may stand in its place, declares in its block."""
    for new in declarations(statement):
        yield new.name
    if isinstance(statement, ast.For):
        yield from (let.name for let in recurrences([statement]))
    if isinstance(statement, ast.If):
        for inner in (*statement.then, *statement.otherwise):
            yield from may_declare(inner)


def module_name(use: ast.Use) -> str:
    """What a module is called where `use` gives it no name: its file's stem, or the last of its parts."""
    last = re.split(r"[/\\]" if use.is_file else r"\.", use.module)[-1]
    return last.removesuffix(".cg")


def recurrences(body: Iterable[ast.Statement]) -> Iterator[ast.Let]:
    """The indexed `let`s in a loop, which name something outside it."""
    for statement in body:
        match statement:
            case ast.Let(indices=(_, *_)):
                yield statement
            case ast.For(body=inner):
                yield from recurrences(inner)
            case ast.If(_, then, otherwise):
                yield from recurrences((*then, *otherwise))


def parts(node: ast.Node) -> Iterator[ast.Node]:
    """The nodes right below a node, in the order of the text."""
    for item in fields(node):
        value = getattr(node, item.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, ast.Node):
                yield part


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and all below it, in the order of the text."""
    yield node
    for part in parts(node):
        yield from walk(part)


def names_in(node: ast.Node) -> Iterator[str]:
    """The names that an expression mentions."""
    return (n.id for n in walk(node) if isinstance(n, ast.Name))


def value_names(module: ast.Module) -> frozenset[str]:
    """The values of every `{red, green}` in a module: they may be written bare."""
    return frozenset(name for n in walk(module) if isinstance(n, ast.NamedValues) for name in n.names)


def imports_everything(module: ast.Module) -> bool:
    """Whether a `use` brings in names that it does not list: a module's, or the values of a program's types."""
    return any(
        isinstance(s, ast.Use) and (s.is_file or (s.names is None and s.alias is None))
        for s in module.statements
    )


def name_span(statement: ast.Statement, name: str) -> Span:
    """Where in a declaration its name stands: the first time it is written after the keyword."""
    span = statement.span
    text = span.text
    keyword = re.match(r"\w*", text)
    at = text.find(name, keyword.end() if keyword else 0)
    if at < 0:  # written with other code points than its normal form
        return span
    return Span(span.source, span.start + at, span.start + at + len(name))
