"""The compiler's stages as text, for `compose check --dump`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.ir.node import postorder
from compose_lang.grammar.ast import FactorDecl, Node

if TYPE_CHECKING:
    from compose_lang.compiler.passes import CompiledProgram


def dump_stage(program: CompiledProgram, stage: str) -> str:
    """What a stage (`ast`, `typed`, `graph` or `energy`) makes of a program."""
    match stage:
        case "ast":
            return "\n".join(_tree(program.module))
        case "typed":
            return "\n".join(_typed(program))
        case "graph":
            return "\n".join(_graph(program))
        case _:
            return "\n".join(_energy(program))


def _tree(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """One line a node, indented by its depth; what is no node is shown as Python writes it."""
    start = "  " * depth + (f"{name}: " if name else "")
    if isinstance(value, Node):
        yield start + type(value).__name__
        for field in fields(value):
            if field.name != "span":
                yield from _tree(getattr(value, field.name), field.name, depth + 1)
    elif isinstance(value, tuple) and value:
        yield start.rstrip()
        for part in value:
            yield from _tree(part, "-", depth + 1)
    else:
        yield f"{start}{value!r}"


def _typed(program: CompiledProgram) -> Iterator[str]:
    """Declarations with the types that data and shapes gave them; for factors, what they are over."""
    for name, node in program.graph.data.items():
        yield f"data {name}: {describe(node)}"
    for variable in program.graph.variables:
        yield f"var {variable.name}: {variable.type}"
    for let in program.graph.derived:
        yield f"let {let.name}: {describe(let.node)}"
    for declared in program.module.statements:
        if isinstance(declared, FactorDecl):
            kind = "density" if declared.is_density else "factor"
            subjects = ", ".join(subject.span.text for subject in declared.subjects)
            yield f"{kind} {declared.name} over ({subjects})"
    for statement in program.judged:
        line, _ = statement.span.source.position(statement.span.start)
        kind = "density" if statement.is_density else "factor"
        yield f"line {line}: {kind} over {statement.over}: {statement.what}"


def _graph(program: CompiledProgram) -> Iterator[str]:
    for variable in program.graph.variables:
        yield f"var {variable.name}: {variable.type}  ({variable.free_sites} of {variable.type.sites} free)"
    for group in program.graph.groups:
        axes = " × ".join(str(axis.size) for axis in group.axes) or "1"
        yield f"{group.kind} {group.label}  [{axes}]  over {', '.join(sorted(group.variables))}"
    for let in program.graph.derived:
        yield f"let {let.name}"


def _energy(program: CompiledProgram) -> Iterator[str]:
    """One line an operation, each named once, since what is shared would be written out over and over; then groups."""
    names: dict[int, str] = {}
    number = 0
    for each in postorder(group.energy for group in program.graph.groups):
        axes = "".join(f" {axis}" for axis in each.axes)
        if not each.args:
            shown = " ".join(str(each.value)[:40].split()) if each.op == "const" else str(each.attrs[0])
            names[id(each)] = f"{shown}{axes if each.op == 'const' else ''}"
            continue
        number += 1
        names[id(each)] = f"%{number}"
        attributes = f" {each.attrs}" if each.attrs else ""
        inside = ", ".join(names[id(a)] for a in each.args)
        yield f"{names[id(each)]} = {each.op}({inside}){attributes} {each.dtype}{list(each.shape)}{axes}"
    for group in program.graph.groups:
        yield f"{group.label or group.kind}: {names[id(group.energy)]}"
