"""The standard library's names, parsed from `stdlib/*.cg` when they are first used.

Distributions are in scope everywhere; the other modules by `use std.NAME`. A program that uses Normal should not
wait for forty other densities to be parsed, so a file is cut at its top-level declarations first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from compose_lang.compiler.elaborate.expressions.builtins import BUILTINS, CONSTANTS
from compose_lang.compiler.elaborate.values import DeclaredFactor, Function, SymbolTable
from compose_lang.diagnostics import InternalError, Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse

EVERYWHERE = ("distributions", "discrete")
USE = re.compile(r"^use std\.(\w+) \((.*)\)$", re.MULTILINE)
DECLARATION = re.compile(r"^(?:density|factor|fn)\s+(\w+)", re.MULTILINE)


class ModuleScope(SymbolTable):
    """A library file's names; each is parsed when it is looked up. taken: names of other modules that it uses."""

    def __init__(self, module: str, parent: SymbolTable | None) -> None:
        super().__init__(parent)
        self.module = module
        text = files("compose_lang").joinpath("stdlib", f"{module}.cg").read_text(encoding="utf-8")
        starts = [(m.group(1), m.start()) for m in DECLARATION.finditer(text)]
        ends = [start for _, start in starts[1:]] + [len(text)]
        self.taken = {name: m.group(1) for m in USE.finditer(text) for name in m.group(2).split(", ")}
        self.parts = {name: text[start:end] for (name, start), end in zip(starts, ends, strict=True)}

    def own_names(self) -> Collection[str]:
        return self.parts

    def find(self, name: str) -> Any:
        if name not in self.names and name in self.parts:
            self.names[name] = self.declared(self.parts[name])
        if name in self.taken:
            module = library_module(self.taken[name])
            assert module is not None
            return module.find(name)
        return super().find(name)

    def all_names(self) -> Iterator[str]:
        yield from self.parts
        yield from super().all_names()

    def declared(self, text: str) -> Any:
        (decl,) = parse(Source(f"std.{self.module}", text)).statements
        if isinstance(decl, ast.FactorDecl):
            return DeclaredFactor(decl, self)
        if isinstance(decl, ast.Fn):
            return Function(decl, self)
        raise InternalError(f"std.{self.module} declares something else than factors and functions")


@cache
def builtin_scope() -> SymbolTable:
    """The names of every program: built-in functions and constants, and the standard distributions."""
    scope: SymbolTable = SymbolTable(None, {**BUILTINS, **CONSTANTS})
    for module in EVERYWHERE:
        scope = ModuleScope(module, scope)
    return scope


@cache
def library_module(name: str) -> ModuleScope | None:
    """A module of the library, or None where there is none of that name."""
    if name in EVERYWHERE or name not in library_modules():
        return None
    return ModuleScope(name, builtin_scope())


def library_modules() -> list[str]:
    folder = files("compose_lang").joinpath("stdlib")
    return sorted(f.name.removesuffix(".cg") for f in folder.iterdir() if f.name.endswith(".cg"))


def modules_with(name: str) -> list[str]:
    """The modules, to be brought in by `use`, that declare a name."""
    modules = ((m, library_module(m)) for m in library_modules())
    return [f"std.{m}" for m, module in modules if module is not None and name in module.parts]


def known_names() -> dict[str, str]:
    """Every predeclared name and its kind, for the resolver."""
    known = dict.fromkeys(BUILTINS, "function") | dict.fromkeys(CONSTANTS, "constant")
    for module in EVERYWHERE:
        text = files("compose_lang").joinpath("stdlib", f"{module}.cg").read_text(encoding="utf-8")
        for declaration in DECLARATION.finditer(text):
            known[declaration.group(1)] = "function" if declaration.group(0).startswith("fn") else "factor"
    return known
