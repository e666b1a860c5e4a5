"""The compiler's stages and passes as text, for `compose check --dump`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from compose_lang.compiler.constraints.relations import HardConstraints
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.node import postorder
from compose_lang.compiler.passes import PASSES, CompiledProgram
from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean
from compose_lang.grammar.ast import FactorDecl
from compose_lang.grammar.node import Node

AFTER = "after:"
STAGES = ("ast", "typed", "graph", "energy", *(f"{AFTER}{p.name}" for p in PASSES))


def list_passes() -> str:
    """The compiler's passes in their order, and why each stands where it stands."""
    width = max(len(p.name) for p in PASSES)
    return "\n".join(f"{p.name:<{width}}  {p.why_here}" for p in PASSES)


def check_stage(stage: str) -> None:
    """CG0602 where there is nothing of a name to dump."""
    if stage not in STAGES:
        help = did_you_mean(stage, STAGES) or f"there are {', '.join(STAGES[:4])}, passes and {AFTER}PASS"
        raise ComposeError(
            Diagnostic("CG0602", f"there is no stage `{stage}` to dump", help=help), exit_code=2
        )


def dump_stage(program: CompiledProgram, stage: str) -> str:
    """What a stage makes of a program: one of `STAGES`."""
    match stage:
        case "ast":
            return "\n".join(_tree(program.module))
        case "typed":
            return "\n".join(_typed(program))
        case "graph":
            return "\n".join(_graph(program.graph))
        case "energy":
            return "\n".join(_energy(program.graph))
    graph = program.graph_after(stage.removeprefix(AFTER))
    return "\n".join([*_graph(graph), *_findings(graph)])


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
    for statement in program.statements:
        line, _ = statement.span.source.position(statement.span.start)
        kind = "density" if statement.is_density else "factor"
        yield f"line {line}: {kind} over {statement.over}: {statement.what}"


def _graph(graph: FactorGraph) -> Iterator[str]:
    for variable in graph.variables:
        yield f"var {variable.name}: {variable.type}  ({variable.free_sites} of {variable.type.sites} free)"
    for group in graph.groups:
        axes = " × ".join(str(axis.size) for axis in group.axes) or "1"
        yield f"{group.kind} {group.label}  [{axes}]  over {', '.join(sorted(group.variables))}"
    for let in graph.derived:
        yield f"let {let.name}"


def _findings(graph: FactorGraph) -> Iterator[str]:
    """What passes found out of a graph's variables."""
    for variable in graph.variables:
        yield from _restrictions(variable)
        if variable.name in graph.offsets:
            offset = graph.offsets[variable.name]
            yield f"offset {variable.name}: {describe(offset.location)} + {describe(offset.scale)} * z"
    hard = graph.fact(HardConstraints)
    for relation in hard.relations if hard is not None else ():
        yield f"relation {type(relation).__name__} {relation.group.label}  [{len(relation.scope)}]"


def _restrictions(variable: Variable) -> Iterator[str]:
    """What bounds a variable beside its type."""
    for side, bound in (("lower", variable.lower), ("upper", variable.upper)):
        if bound is not None:
            yield f"{side} bound of {variable.name}: {describe(bound)}"
    if variable.tightened is not None:
        yield f"support of {variable.name}: {variable.tightened}"
    if variable.allowed is not None:
        yield f"values of {variable.name}: {variable.allowed.sum()} of {variable.allowed.size} are left"


def _energy(graph: FactorGraph) -> Iterator[str]:
    """One line an operation, each named once, since what is shared would be written out over and over; then groups."""
    names: dict[int, str] = {}
    number = 0
    for n in postorder(group.energy for group in graph.groups):
        axes = "".join(f" {axis}" for axis in n.axes)
        if not n.args:
            shown = " ".join(str(n.value)[:40].split()) if n.op == "const" else str(n.attrs[0])
            names[id(n)] = f"{shown}{axes if n.op == 'const' else ''}"
            continue
        number += 1
        names[id(n)] = f"%{number}"
        attributes = f" {n.attrs}" if n.attrs else ""
        inside = ", ".join(names[id(a)] for a in n.args)
        yield f"{names[id(n)]} = {n.op}({inside}){attributes} {n.dtype}{list(n.shape)}{axes}"
    for group in graph.groups:
        yield f"{group.label or group.kind}: {names[id(group.energy)]}"
