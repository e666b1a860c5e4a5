"""`ast.Module` → diagnostics about names: unknown, declared twice, used too early, misplaced, unused.

It only reads: the tree goes on as it is. Types, and what follows a dot, are looked up by later stages, which
know what a module holds. Before: the parser. After: `elaborate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from compose_lang.compiler.names import lints, placement
from compose_lang.compiler.names.suggestions import foreign_attribute, unknown_name
from compose_lang.compiler.names.symbols import (
    Declared,
    SymbolTable,
    declarations,
    imports_everything,
    module_name,
    names_in,
    parts,
    recurrences,
    value_names,
)
from compose_lang.diagnostics import Diagnostic, Label, Span
from compose_lang.grammar import ast

NETS = frozenset({"mlp", "conv", "unet", "gnn", "attention"})  # mean something inside `learn METHOD(…)` alone

IN_ANY_ORDER = frozenset({"type", "fn", "factor", "import"})
WARN_IF_UNUSED = frozenset({"const", "data", "param", "fn", "import", "type"})
DECLARING = (ast.Use, ast.TypeDecl, ast.Const, ast.Fn, ast.FactorDecl)  # all that a library holds
IN_QUOTES = 'the names of files and columns stand in quotes: `read("y.csv", "effect")`'


def resolve(
    module: ast.Module, known: Mapping[str, str], modules_with: Callable[[str], Sequence[str]]
) -> list[Diagnostic]:
    """All that is wrong with a module's names.

    known: the kind of each predeclared name; modules_with: the modules of the library that declare a name.
    """
    resolver = _Resolver(known, modules_with, value_names(module), imports_everything(module))
    resolver.module(module)
    return sorted(resolver.found, key=lambda d: d.span.start if d.span else 0)


class _Resolver:
    """One walk over a module, in the order of its text.

    `values` are the names in its `{red, green}`; where it brings in a module's names without listing them,
    `has_unlisted`, no name can be called unknown here.
    """

    def __init__(
        self,
        known: Mapping[str, str],
        modules_with: Callable[[str], Sequence[str]],
        values: frozenset[str],
        has_unlisted: bool,
    ) -> None:
        self.known = known
        self.modules_with = modules_with
        self.values = values
        self.has_unlisted = has_unlisted
        self.found: list[Diagnostic] = []
        self.complained: set[str] = set()
        self.declaring = ""  #: the `let` whose value is being walked
        self.closed: dict[str, Span] = {}  #: names that were known inside a block

    def module(self, module: ast.Module) -> None:
        scope = SymbolTable()
        self.block(module.statements, scope)
        is_library = all(isinstance(s, DECLARING) for s in module.statements)
        if not is_library:
            self.found.extend(lints.unused(scope, WARN_IF_UNUSED))

    # --- declarations

    def block(self, statements: Sequence[ast.Statement], scope: SymbolTable) -> None:
        """Enters all of a block's names, so that a use can tell "later" from "unknown", then walks it."""
        for statement in statements:
            if isinstance(statement, ast.Let) and statement.indices and scope.is_loop:
                continue  # a recurrence belongs to the block around its loop
            for new in declarations(statement):
                self.declare(new, scope)
                self.lint(statement, new, scope)
            if isinstance(statement, ast.For) and not scope.is_loop:
                for let in recurrences(statement.body):
                    for new in declarations(let):
                        self.declare(new, scope)
        for statement in statements:
            self.statement(statement, scope)

    def declare(self, new: Declared, scope: SymbolTable) -> None:
        new.is_ready = new.kind in IN_ANY_ORDER
        old = scope.names.setdefault(new.name, new)
        if old is new:
            self.found.extend(lints.shadow(new, scope, self.known))
        if old is new or new.name == "_" or (old.is_indexed and new.is_indexed):
            return
        labels = (Label(old.span, "first declared here"),)
        help = f"`observe {new.name}[…] = …` fixes an element" if new.is_indexed and old.kind == "var" else ""
        text = f"`{new.name}` is declared twice"
        self.found.append(Diagnostic("CG0202", text, new.span, labels=labels, help=help))

    def local(self, name: str, kind: str, span: Span, scope: SymbolTable) -> None:
        """Enters a name that may be used at once: a parameter, a loop's index, a size."""
        self.declare(new := Declared(name, kind, span), scope)
        new.is_ready = True

    def ready(self, name: str, scope: SymbolTable) -> None:
        declared, _ = scope.find(name)
        if declared is not None:
            declared.is_ready = True

    def lint(self, statement: ast.Statement, new: Declared, scope: SymbolTable) -> None:
        names_a_factor = isinstance(statement, ast.Let) and self.is_factor(statement, scope)
        if new.kind not in ("type", "import") and not names_a_factor:
            self.found.extend(lints.style(new.name, new.kind == "factor", new.span))

    def is_factor(self, let: ast.Let, scope: SymbolTable) -> bool:
        """Whether a `let` names a factor value, as far as names tell."""
        for name in names_in(let.value):
            declared, _ = scope.find(name)
            if (declared.kind if declared else self.known.get(name)) == "factor":
                return True
        return False

    # --- statements

    def statement(self, statement: ast.Statement, scope: SymbolTable) -> None:
        self.found.extend(placement.misplaced(statement, scope))
        match statement:
            case ast.Fn():
                self.function(statement, scope)
            case ast.FactorDecl():
                self.factor(statement, scope)
            case ast.Let():
                self.let(statement, scope)
            case ast.For():
                self.loop(statement, scope)
            case ast.If(test, then, otherwise):
                self.expr(test, scope)
                for branch in (then, otherwise):
                    inner = SymbolTable(scope, "if")
                    self.block(branch, inner)
                    scope.chosen |= inner.names
            case ast.Infer(targets, method, clauses, condition):
                inner = self.clauses(clauses, condition, SymbolTable(scope, "index"))
                for target in targets:
                    name = target.name.partition(".")[0]
                    span = Span(target.span.source, target.span.start, target.span.start + len(name))
                    self.use(name, span, scope, "name a variable of the program")
                    for index in target.indices:
                        self.expr(index, inner)
                self.method(method, scope)
            case ast.Learn(targets, method):
                for goal in targets:
                    self.expr(goal, scope)
                self.method(method, scope)
            case ast.Tilde(ast.Name(name, span=span), factor):
                self.use(name, span, scope, f"declare it first: `var {name}: real`")
                self.expr(factor, scope)
            case ast.TypeDecl(_, written):
                self.type(written, scope)
            case ast.Use(_, is_file, names, alias):
                if not is_file and names is None and alias is None:
                    self.use(
                        module_name(statement), statement.span, scope
                    )  # its names come in, it is not named
            case _:
                self.within(statement, scope)
        for declared in declarations(statement):
            self.ready(declared.name, scope)

    def function(self, fn: ast.Fn, scope: SymbolTable) -> None:
        inner = self.signature(fn.parameters, SymbolTable(scope, "fn"))
        self.type(fn.returns, inner)
        self.block(fn.body, inner)
        self.expr(fn.value, inner)
        if fn.value is not None and not isinstance(fn.value, ast.LearnValue):
            self.found.extend(lints.unused(inner, {"let", "parameter"}))

    def factor(self, decl: ast.FactorDecl, scope: SymbolTable) -> None:
        inner = SymbolTable(scope, "density" if decl.is_density else "factor")
        self.signature((*decl.subjects, *decl.inputs), inner)
        self.block(decl.body or (), inner)
        self.found.extend(placement.repeated_draws(decl.body or ()))
        self.expr(decl.value, inner)
        if decl.body is not None:
            self.found.extend(lints.unused(inner, {"let", "parameter"}))

    def let(self, let: ast.Let, scope: SymbolTable) -> None:
        if let.indices:
            self.ready(let.name, scope)
        inner = self.clauses(let.clauses, let.condition, SymbolTable(scope, "index"))
        self.declaring = let.name
        for part in (*let.indices, let.value):
            self.expr(part, inner)
        self.declaring = ""

    def loop(self, loop: ast.For, scope: SymbolTable) -> None:
        table = SymbolTable(scope, "for", sizes=placement.sizes(loop.clauses))
        inner = self.clauses(loop.clauses, loop.condition, table)
        for let in recurrences(loop.body):
            self.ready(let.name, scope)
        self.block(loop.body, inner)
        self.found.extend(lints.idle_loop(loop.clauses, inner))
        self.found.extend(lints.unused(inner, {"let"}))
        self.closed |= {name: declared.span for name, declared in inner.names.items()}

    def signature(self, parameters: Sequence[ast.Parameter], scope: SymbolTable) -> SymbolTable:
        """Enters a signature's names; one that is new in a type is bound by the argument."""
        for parameter in parameters:
            span = Span(
                parameter.span.source, parameter.span.start, parameter.span.start + len(parameter.name)
            )
            self.local(parameter.name, "parameter", span, scope)
        for parameter in parameters:
            if isinstance(parameter.type, ast.NamedType):
                for part in (*(a.value for a in parameter.type.arguments), *parameter.type.shape):
                    if isinstance(part, ast.Name) and scope.find(part.id)[0] is None:
                        self.local(part.id, "size", part.span, scope)
        for parameter in parameters:
            self.type(parameter.type, scope)
            self.expr(parameter.default, scope)
        return scope

    def clauses(
        self, clauses: Iterable[ast.Clause], condition: ast.Expr | None, scope: SymbolTable
    ) -> SymbolTable:
        """Enters the names of `for` clauses, each after its domain; the condition sees them all."""
        for clause in clauses:
            self.expr(clause.domain, scope)
            for name in names_in(clause.target):
                self.local(name, "index", clause.target.span, scope)
        self.expr(condition, scope)
        return scope

    # --- expressions

    def expr(self, expr: ast.Node | None, scope: SymbolTable) -> None:
        match expr:
            case None:
                pass
            case ast.Name(name):
                self.use(name, expr.span, scope)
            case ast.Attribute(ast.Name(base), name) if self.is_unknown(base, scope):
                help = foreign_attribute(base, name, self.candidates(scope))
                self.use(base, expr.span if help else expr.base.span, scope, hint=help)
            case ast.Call(
                ast.Name("read"), (ast.Argument(None, ast.Attribute(ast.Name(base), _) as path), *_)
            ):
                self.found.append(Diagnostic("CG0201", f"unknown name `{base}`", path.span, help=IN_QUOTES))
            case ast.NamedType() | ast.NamedValues():
                self.type(expr, scope)
            case ast.Generator(body, clauses, condition) | ast.ArrayComprehension(body, clauses, condition):
                self.expr(body, self.clauses(clauses, condition, SymbolTable(scope, "index")))
            case ast.LearnValue(method):
                self.method(method, scope)
            case _:
                self.within(expr, scope)

    def within(self, node: ast.Node, scope: SymbolTable) -> None:
        for part in parts(node):
            self.expr(part, scope)

    def method(self, method: ast.Expr, scope: SymbolTable) -> None:
        """The arguments of `by hmc(…)` and `learn diffusion(…)`: the method's own name is no name."""
        inner = SymbolTable(scope, "index")
        for net in NETS:
            inner.names[net] = Declared(net, "fn", method.span)
        if isinstance(method, ast.Call):
            for argument in method.arguments:
                self.expr(argument.value, inner)

    def type(self, written: ast.TypeExpr | None, scope: SymbolTable) -> None:
        """A type's own name may be declared here; its sizes and bounds are expressions, `_` among them."""
        if written is None:
            return
        if isinstance(written, ast.NamedValues):
            self.values_once(written)
        elif written.name == "category" and len(written.arguments) > 1:
            return  # named values in parentheses: the type says so, and they are no unknown names
        else:
            declared, _ = scope.find(written.name.partition(".")[0])
            if declared is not None:
                declared.is_used = True
        for part in parts(written):
            if part != ast.Name("_", span=part.span):
                self.expr(part, scope)

    def values_once(self, written: ast.NamedValues) -> None:
        """Reports a value that `{red, green, red}` names twice."""
        twice = [name for k, name in enumerate(written.names) if name in written.names[:k]]
        for name in dict.fromkeys(twice):
            self.found.append(Diagnostic("CG0202", f"the value `{name}` is named twice", written.span))

    def is_unknown(self, name: str, scope: SymbolTable) -> bool:
        return scope.find(name)[0] is None and name not in self.known and name not in self.values

    def candidates(self, scope: SymbolTable) -> set[str]:
        """Every name that may be meant."""
        return {*scope.visible(), *self.known, *self.values}

    def use(self, name: str, span: Span, scope: SymbolTable, declare: str = "", hint: str = "") -> None:
        """Marks a name as used, or says what is wrong with it, once for each name.

        `declare` is the advice where only a variable can be meant; `hint` says it better than any other name.
        """
        declared, is_ready = scope.find(name)
        if declared is not None:
            declared.is_used = True
            if is_ready or name in self.complained or name in self.known:
                return
            where = (Label(declared.span, "declared here"),)
            text, help = f"`{name}` is used before it is declared", ""
            if name == self.declaring:
                text = f"`{name}` is used in its own declaration"
                help = "a total is `sum(… for i in range(n))`; what steps on is `let s[t] = s[t-1] + … for t in …`"
            problem = Diagnostic("CG0211", text, span, labels=where, help=help)
        elif name in self.complained or self.has_unlisted or not self.is_unknown(name, scope):
            return
        else:
            candidates = set(scope.visible()) if declare else self.candidates(scope)
            problem = unknown_name(
                name, span, candidates, self.values, self.modules_with(name), hint, declare
            )
            if name in self.closed:
                labels = (Label(self.closed[name], "known inside its block only"),)
                problem = replace(problem, help="", labels=labels)
        self.complained.add(name)
        self.found.append(problem)
