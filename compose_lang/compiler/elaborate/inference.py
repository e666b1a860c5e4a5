"""`infer`: what a program asks of the planner, of variables and of parts of them.

In: a statement, and the variables of a program. Out: `Request`s, one of a statement, or one for each instance of its
`for`. Before: `elaboration`. After: planning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.elaboration import Elaboration
from compose_lang.compiler.elaborate.factors.proposals import proposal
from compose_lang.compiler.elaborate.plates import open_clauses
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.graph.factor_graph import Part, Request, Variable
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.diagnostics import Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

MOST_BLOCKS = 256  #: of one statement: each is compiled by itself


def infer(program: Elaboration, s: ast.Infer) -> None:
    """The requests of a statement."""
    if program.call is not None:
        return  # how a program is sampled by itself is no part of its density
    ctx = program.ctx
    axes: tuple[Axis, ...] = ()
    if s.clauses:
        opened = open_clauses(program.ctx, s.clauses, s.condition, s.span)
        if opened.mask is not None:
            fail(
                "CG0208",
                "the parts that are inferred must be known: this filter or range depends on data",
                s.span,
            )
        ctx, axes = opened.context, opened.axes
    number = math.prod(axis.size for axis in axes)
    if number > MOST_BLOCKS:
        text = (
            f"{number} blocks, each of which is compiled by itself, are more than the limit of {MOST_BLOCKS}"
        )
        fail(
            "CG0801",
            text,
            s.span,
            help="infer the variable as a whole: its objects move one at a time by `slice`",
        )
    places = [indices_of(program, ctx, target, axes, number) for target in s.targets]
    method, options = method_of(program, s)
    for instance in range(number):
        parts: dict[str, Part] = {}
        for target, rows in zip(s.targets, places, strict=True):
            v = program.session.variables[target.name]
            part = part_of(v, () if rows is None else tuple(map(int, rows[instance])))
            if target.name in parts:
                earlier = parts[target.name]
                part = Part(f"{earlier.text}, {part.text}", (*earlier.sites, *part.sites))
            direct(program, target, v, part)
            parts[target.name] = part
        some = {n: p for n, p in parts.items() if len(p.sites) < program.session.variables[n].type.sites}
        # what stands beside a part is a part too, so that one block has both
        kept = parts if some else {}
        program.requests.append(Request(tuple(parts), method, options, s.span, kept))


def indices_of(
    program: Elaboration, ctx: Context, target: ast.Target, axes: tuple[Axis, ...], number: int
) -> np.ndarray | None:
    """The indices (instances, rank) of a target that is a part; None where it is all of a variable."""
    variables, scope = program.session.variables, program.scope.names
    name = target.name
    if name not in variables:
        text = f"`{name}` is not a variable" if name in scope else f"unknown name `{name}`"
        help = did_you_mean(name, variables) or f"the variables are {', '.join(variables) or 'none'}"
        fail("CG0601" if name in scope else "CG0201", text, name_of(target), help=help)
    v = variables[name]
    if not target.indices:
        return None
    if v.is_discrete:
        text = f"`{name}` is discrete ({v.type.domain}): it is inferred as a whole"
        fail(
            "CG0601",
            text,
            target.span,
            help=f"write `infer {name} by …`",
        )
    if len(target.indices) > len(v.type.shape):
        rank = len(v.type.shape)
        within = " of its sites, each of which moves as a whole" if v.type.domain.event_shape else ""
        text = f"{len(target.indices)} indices for the {rank} axes of `{name}`{within}"
        fail("CG0203", text, target.span)
    columns = [
        index_of(ctx, index, axes, size) for index, size in zip(target.indices, v.type.shape, strict=False)
    ]
    return np.stack([np.broadcast_to(c, (number,)) for c in columns], axis=1)


def index_of(ctx: Context, index: ast.Expr, axes: tuple[Axis, ...], size: int) -> np.ndarray:
    """An index of an axis at each instance, (instances,) or (1,)."""
    value = ctx.evaluate(index)
    if not isinstance(value, Node) or value.dtype != "int" or value.shape:
        fail("CG0204", f"a part is told by whole numbers, not by {describe(value)}", index.span)
    if value.value is None:
        fail("CG0208", "which part is inferred must be known at compile time", index.span)
    shape = [a.size if a in value.axes else 1 for a in axes]
    whole = np.broadcast_to(value.value.reshape(shape), [a.size for a in axes]).reshape(-1)
    wrong = (whole < -size) | (whole >= size)
    if wrong.any():
        text = f"index {whole[wrong][0]} is out of range for {size} elements (0 … {size - 1})"
        fail("CG0207", text, index.span)
    return np.where(whole < 0, whole + size, whole)


def part_of(v: Variable, indices: tuple[int, ...]) -> Part:
    """The sites of a variable under some indices of its first axes."""
    sites = np.arange(v.type.sites).reshape(v.type.shape)[indices].reshape(-1)
    text = f"{v.name}[{','.join(map(str, indices))}]" if indices else v.name
    return Part(text, tuple(map(int, sites)))


def direct(program: Elaboration, target: ast.Target, v: Variable, part: Part) -> None:
    """Keep where it is said how a part moves; CG0202 where it was said before."""
    known = program.directed.setdefault(v.name, {})
    for site in part.sites:
        if site in known:
            labels = (Label(known[site], "first here"),)
            fail("CG0202", f"how `{part.text}` is inferred is said twice", name_of(target), labels=labels)
    known.update(dict.fromkeys(part.sites, name_of(target)))


def name_of(target: ast.Target) -> Span:
    """Where the name of a target stands, or the part."""
    if target.indices:
        return target.span
    return Span(target.span.source, target.span.start, target.span.start + len(target.name))


def method_of(program: Elaboration, s: ast.Infer) -> tuple[str, dict[str, Any]]:
    """The method that is asked for, and its options."""
    method = s.method.id if isinstance(s.method, ast.Name) else ""
    options: dict[str, Any] = {}
    if not isinstance(s.method, ast.Call):
        return method, options
    if isinstance(s.method.function, ast.Name):
        method = s.method.function.id
    names = [t.name for t in s.targets] or list(program.session.variables)
    for a in s.method.arguments:
        if a.name is None:
            fail("CG0602", f"the options of `{method}` are given by name", a.span)
        if a.name == "proposal":
            if any(t.indices for t in s.targets):
                fail("CG0602", "a proposal is made of whole variables", a.span)
            targets = [program.session.variables[n] for n in names]
            if any(v.free.any() for v in targets):
                options[a.name] = proposal(program.ctx, targets, a.value)
            continue
        value = program.ctx.evaluate(a.value)
        if isinstance(value, Node) and not value.is_static_scalar:
            fail("CG0208", f"the option `{a.name}` must be one number known at compile time", a.span)
        options[a.name] = value.item() if isinstance(value, Node) else value
    return method, options
