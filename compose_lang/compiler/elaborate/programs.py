"""Another program as a factor: `use "scene.cg" as scene`, then `scene.Main(pose=x | img=photo)` and `scene.Part`.

A program's `Main` is a declared factor like any other, whose signature is read off the file: its subjects are the
`var`s that an application names, its inputs the `data` and `const`s without values. Its body is the file itself,
elaborated anew for each application; a `var` that is not named becomes a variable of the instance (variables.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.elaboration import Elaboration
from compose_lang.compiler.elaborate.factors.application import Call, call_of
from compose_lang.compiler.elaborate.factors.values import WithInputs
from compose_lang.compiler.elaborate.standard_library import (
    builtin_scope,
    known_names,
    library_module,
    library_modules,
    modules_with,
)
from compose_lang.compiler.elaborate.values import DeclaredFactor, Namespace, Poisoned, SymbolTable
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.names.resolve import resolve
from compose_lang.compiler.names.symbols import module_name, name_span
from compose_lang.compiler.sources.formats import resolve_path
from compose_lang.diagnostics import ComposeError, Label, Span, did_you_mean, fail
from compose_lang.grammar import ast
from compose_lang.grammar.parser import layout_warnings, parse, read_source

MAIN = "Main"


def use(program: Elaboration, s: ast.Use) -> None:
    """The names that `use std.geometry (distance)` and `use "file.cg" as name` bring in."""
    if s.is_file:
        program.scope.names.update(use_program(program.ctx, s))
        return
    root, _, name = s.module.partition(".")
    module = library_module(name) if root == "std" else None
    if module is None:
        known = [f"std.{m}" for m in library_modules() if library_module(m) is not None]
        help = did_you_mean(s.module, known) or f"there are {', '.join(known)}"
        if root == "std" and name in library_modules():
            help = f"what `{s.module}` declares is in scope everywhere: leave the line out"
        if s.module.endswith(".cg"):
            help = f'a file stands in quotes: `use "{s.module}" as {s.alias or "part"}`'
        fail("CG0201", f"unknown module `{s.module}`", name_span(s, s.module), help=help)
    if s.names is None:
        program.scope.names[s.alias or name] = Namespace(s.module, module)
        if s.alias is None:
            for part in module.parts:
                program.scope.names.setdefault(part, module.find(part))
        return
    for wanted in s.names:
        if wanted not in module.parts:
            help = did_you_mean(wanted, module.parts) or f"it has {', '.join(sorted(module.parts))}"
            fail("CG0201", f"`{s.module}` has no `{wanted}`", name_span(s, wanted), help=help)
        program.scope.names[wanted] = module.find(wanted)


def use_program(ctx: Context, s: ast.Use) -> dict[str, Any]:
    """The names that `use "file.cg"` brings in."""
    name = s.alias or module_name(s)
    program = load(ctx.session, s, name)
    if s.names is None:
        if not name.isidentifier():
            fail("CG0101", f"`{name}` is no name", s.span, help=f'name it: use "{s.module}" as scene')
        return {name: program}
    for wanted in s.names:
        if wanted not in program.scope.names:
            fail(
                "CG0201",
                f"{s.module} declares no `{wanted}`",
                name_span(s, wanted),
                help=did_you_mean(wanted, program.scope.names),
            )
    return {wanted: program.scope.names[wanted] for wanted in s.names}


def load(session: Session, s: ast.Use, name: str) -> Namespace:
    """The declarations of a file, and its `Main`."""
    if session.folder is None:
        fail("CG0302", "a program that is not in a file has no folder to look in", s.span)
    path = resolve_path(s.module, session.folder, s.span)
    if not path.is_file():
        beside = [p.name for p in sorted(path.parent.glob("*.cg"))] if path.parent.is_dir() else []
        help = did_you_mean(path.name, beside) or "`use` looks beside the program"
        fail("CG0302", f"there is no program {s.module}", name_span(s, s.module), help=help)
    chain = (*session.programs, path)
    if path in session.programs:
        names = " → ".join(p.name for p in chain[chain.index(path) :])
        fail("CG0214", f"programs use each other in a circle: {names}", s.span)
    try:
        source = read_source(session.folder / s.module)
        module = parse(source)
        problems = [*layout_warnings(source), *resolve(module, known_names(), modules_with)]
        warnings = [
            d for d in problems if d.severity != "error" and d.code != "CG0213"
        ]  # used from outside, maybe
        session.diagnostics.extend(d for d in warnings if d not in session.diagnostics)
        if errors := [d for d in problems if d.severity == "error"]:
            raise ComposeError(errors)
        inner = replace(
            session,
            folder=path.parent,
            data={},
            constants={},
            origins={},
            known_later={},
            programs=chain,
            prefix=f"{session.prefix}{name}.",
        )
        session.hashes[f'use "{s.module}"'] = hashlib.sha256(source.text.encode()).hexdigest()
        return Namespace(name, declarations(module, inner, name))
    except ComposeError as wrong:
        raise used_here(wrong, s.span) from None


def declarations(module: ast.Module, session: Session, name: str) -> SymbolTable:
    """What `scene.Part` can reach: a file's declarations, less those that need data from outside, and `Main`."""
    kinds = (ast.Use, ast.TypeDecl, ast.Const, ast.Data, ast.Param, ast.Fn, ast.FactorDecl)
    kept = tuple(s for s in module.statements if isinstance(s, kinds))
    scope = SymbolTable(builtin_scope())
    ctx = Context(scope, session, emit=lambda term: None)
    part = Elaboration(replace(module, statements=kept), ctx)
    try:
        part.run()
    except ComposeError as wrong:
        if any(d.code != "CG0301" for d in wrong.diagnostics):
            raise
    for declared, value in scope.names.items():
        if isinstance(value, Poisoned):
            scope.names[declared] = Poisoned(
                f"`{declared}` hangs on data that is given to `{name}.{MAIN}` alone"
            )
    scope.names[MAIN] = ProgramFactor(signature(module, f"{name}.{MAIN}"), scope, module, session)
    return scope


def signature(module: ast.Module, name: str) -> ast.FactorDecl:
    """A program's `Main` as a declaration: every `var` a subject, what has no value an input."""
    subjects = tuple(
        ast.Parameter(s.name, s.type, None, span=s.span) for s in module.statements if isinstance(s, ast.Var)
    )
    inputs = tuple(
        ast.Parameter(s.name, s.type, None, span=s.span)
        for s in module.statements
        if isinstance(s, ast.Data | ast.Const) and s.value is None
    )
    return ast.FactorDecl(False, name, subjects, inputs, (), None, span=module.span)


@dataclass(frozen=True)
class ProgramFactor(DeclaredFactor):
    """A program as a factor over those of its variables that `decl` lists; the others are its own."""

    module: ast.Module
    session: Session

    is_program: ClassVar[bool] = True
    hint: ClassVar[str] = "name those you mean, and the others are the program's own: scene.Main(pose=x)"

    @property
    def description(self) -> str:
        return f"the program `{self.decl.name}`"

    def over(self, names: Collection[str], span: Span) -> ProgramFactor:
        subjects = tuple(p for p in self.decl.subjects if p.name in names)
        return replace(self, decl=replace(self.decl, subjects=subjects))


class ProgramCall(Call):
    """One application of a program: its arguments are checked where the file declares them."""

    def checked(self) -> Context:
        assert isinstance(self.factor, ProgramFactor)
        self.scope = SymbolTable(builtin_scope())
        return replace(self.context(), session=self.factor.session)

    def run_body(self, ctx: Context) -> None:
        assert isinstance(self.factor, ProgramFactor)
        program = Elaboration(self.factor.module, ctx, self)
        program.run()
        self.supported = program.supported


@call_of.register(ProgramFactor)
def call_of_program(
    factor: ProgramFactor, waiting: WithInputs, ctx: Context, subjects: list[Node], span: Span
) -> Call:
    return ProgramCall(waiting, ctx, subjects, span)


def used_here(error: ComposeError, span: Span) -> ComposeError:
    """Errors of another program, with the place it is used at."""
    label = Label(span, "used here")
    return ComposeError(
        [d if span in (d.span, *(x.span for x in d.labels)) else replace(d, labels=(*d.labels, label))
         for d in error.diagnostics],
        error.exit_code,
    )  # fmt: skip
