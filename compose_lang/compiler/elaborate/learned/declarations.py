"""Declarations whose energy is learned: `= learn METHOD(…)`, `= load("file")`, `= extern("module:function")`.

In: a factor's declaration. Out: its `LearnedFactor`, checked against its data or its file, and the term that an
application of it adds. Nothing is trained here, and no foreign code is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.learned.arguments import checked, home, net_of, option, ports, table
from compose_lang.compiler.elaborate.learned.foreign import extern
from compose_lang.compiler.elaborate.learned.nets import part_of_net
from compose_lang.compiler.elaborate.learned.pretrained import part_of_folder
from compose_lang.compiler.elaborate.learned.weights_header import ENDING, folder_of, part_of_file
from compose_lang.compiler.elaborate.values import DeclaredFactor, Nothing, SymbolTable, as_node, describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.graph.learned_factor import LEVEL, LearnedFactor, Port, kind_of
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.sources.formats import resolve_path
from compose_lang.diagnostics import Span, did_you_mean, fail
from compose_lang.discovery import LEARNERS
from compose_lang.grammar import ast

WORDS = {"finite": "discrete values", "real": "unbounded reals", "bounded": "bounded reals"}


Arguments = Mapping[str, tuple[Any, Span]]
"""What a factor is applied to, by the names of its subjects and inputs, with where each is written."""


def state(ctx: Context, factor: DeclaredFactor, arguments: Arguments, span: Span) -> None:
    """What an application of a learned factor adds to the energy."""
    part = part_of(factor, ctx)
    subjects = [fitted(part, port, arguments) for port in part.subjects]
    given, inputs = inputs_of(ctx, part, arguments)
    energy = node("learned", part.slot, LEVEL, *subjects, *inputs, attrs=(part, given))
    ctx.emit(Term(energy, ctx.plates, "factor", part.name, span))


def inputs_of(ctx: Context, part: LearnedFactor, arguments: Arguments) -> tuple[tuple[bool, ...], list[Node]]:
    """Which inputs of a part are given, and those that are."""
    given, inputs = [], []
    for port in part.inputs:
        value, span = arguments[port.name]
        given.append(not isinstance(value, Nothing))
        if given[-1]:
            inputs.append(fitted(part, port, arguments))
            warn_of_random_input(ctx, part, port, inputs[-1], span)
        elif not port.is_optional:
            fail("CG0206", f"`{port.name}` of `{part.name}` is not optional", span, help="it has no `= none`")
    return tuple(given), inputs


def fitted(part: LearnedFactor, port: Port, arguments: Arguments) -> Node:
    """An argument, of the very shape that the part has learned."""
    value = as_node(*arguments[port.name])
    if value.shape != port.type.full_shape:
        text = f"`{port.name}` of `{part.name}` is {port.type}, given {describe(value)}"
        fail("CG0203", f"shapes do not match: {text}", arguments[port.name][1])
    return value


def warn_of_random_input(ctx: Context, part: LearnedFactor, port: Port, value: Node, span: Span) -> None:
    learner = part.learner
    if learner is not None and learner.constant_a_input and value.variables:
        text = (
            f"the input `{port.name}` of `{part.name}` is random, and a learned energy is known up to a constant "
            "for each input"
        )
        help = "its constants were estimated while learning; to be sure, hold the input fixed"
        ctx.session.warn("CG0412", text, span, help=help)


def part_of(factor: DeclaredFactor, ctx: Context) -> LearnedFactor:
    """The part of a declaration, made when it is first asked for."""
    session, decl = ctx.session, factor.decl
    key = id(decl)
    if key not in session.learned_factors:
        session = replace(session, folder=folder_of(decl, session))
        top = Context(SymbolTable(factor.scope), session, emit=lambda term: None)
        session.learned_factors[key] = made(top, factor)
    return session.learned_factors[key]


def made(ctx: Context, factor: DeclaredFactor) -> LearnedFactor:
    decl, value = factor.decl, factor.decl.value
    if factor.is_part:
        return part_of_net(ctx, decl, value.method if isinstance(value, ast.LearnValue) else None)
    if isinstance(value, ast.LearnValue):
        return learned(ctx, decl, value.method)
    assert isinstance(value, ast.Call) and isinstance(value.function, ast.Name)
    subjects, inputs = ports(ctx, decl, {}, value.span)
    if value.function.id == "extern":
        return extern(ctx, decl, value, subjects, inputs)
    place = None
    for a in value.arguments:
        found = ctx.evaluate(a.value)
        if a.name is not None or place is not None:
            fail("CG0206", "load has no such argument", a.span, help="it takes one file")
        if not isinstance(found, str):
            fail("CG0204", f"load takes text, not {describe(found)}", a.span)
        place = found
    if place is None:
        fail("CG0206", "load takes a text: what to load", value.span)
    if ctx.session.folder is None:
        fail("CG0302", "a program that is not in a file has no folder to load from", value.span)
    path = resolve_path(place, ctx.session.folder, value.span)
    if path.is_dir() and path.suffix.lower() != ENDING:
        return part_of_folder(ctx, decl, path, subjects, inputs, value.span)
    return part_of_file(ctx, decl, place, subjects, inputs, value.span)


def learned(ctx: Context, decl: ast.FactorDecl, method: ast.Expr) -> LearnedFactor:
    """The part of `learn METHOD(data by parameter name, net=…, options)`."""
    name = method.function if isinstance(method, ast.Call) else method
    assert isinstance(name, ast.Name)
    if name.id == "maximum_likelihood":
        text = "maximum_likelihood fits params, and this declaration has none"
        help = "a body that reads params, data that follow it, and the statement: learn k by maximum_likelihood()"
        fail("CG0602", text, name.span, help=help)
    learner = LEARNERS.get(name.id)
    if learner is None:
        help = did_you_mean(name.id, LEARNERS) or f"there are {', '.join(LEARNERS)}"
        fail("CG0602", f"there is no way `{name.id}` to learn", name.span, help=help)
    arguments = method.arguments if isinstance(method, ast.Call) else ()
    parameters = {p.name: p for p in (*decl.subjects, *decl.inputs)}
    options, rows, net = dict(learner.options), {}, None
    if learner.net is not None:
        net = learner.net
    for a in arguments:
        if a.name in parameters:
            rows[a.name] = (ctx.evaluate(a.value), a.value.span)
        elif a.name == "net" and learner.net is not None:
            net = net_of(ctx, a.value, learner)
        elif a.name in options:
            options[a.name] = option(ctx, a, options[a.name], name.id)
        else:
            known = [*parameters, *(["net"] if learner.net is not None else []), *options]
            shown = f"`{a.name}`" if a.name else "an argument without a name"
            help = did_you_mean(a.name or "", known) or f"it takes {', '.join(known)}"
            fail("CG0206", f"`learn {name.id}` does not take {shown}", a.span, help=help)
    for parameter in parameters.values():
        if parameter.name not in rows:
            help = f"give it by name: learn {name.id}({parameter.name}=…)"
            fail("CG0206", f"there is no data to learn `{parameter.name}` from", method.span, help=help)
    tables = {n: table(v, span) for n, (v, span) in rows.items()}
    counts = {n: len(t) for n, t in tables.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{n} has {c:,}" for n, c in counts.items())
        fail("CG0203", f"rows do not match: {shown}", method.span, help="row k of each belongs together")
    subjects, inputs = ports(ctx, decl, tables, method.span)
    for port in subjects:
        if kind_of(port.type.domain) not in learner.domains:
            words = " or ".join(WORDS[d] for d in sorted(learner.domains))
            fits = [n for n, other in LEARNERS.items() if kind_of(port.type.domain) in other.domains]
            help = f"for {port.type.domain} there {'are' if len(fits) > 1 else 'is'} {', '.join(fits)}"
            text = f"`{name.id}` learns {words}, but `{port.name}` is {port.type}"
            fail("CG0601", text, parameters[port.name].span, help=help if fits else "")
    for port in (*subjects, *inputs):
        value, span = rows[port.name]
        if port.type.domain.kind == "real" and isinstance(value, Node) and is_declared_discrete(value):
            text = f"`{port.name}` is {port.type.domain}, but its data are declared {value.domain}"
            help = (
                "a density over reals is not one over counts: declare the data real, or the factor discrete"
            )
            fail("CG0204", text, span, help=help)
    data = {p.name: checked(tables[p.name], p, rows[p.name][1]) for p in (*subjects, *inputs)}
    if next(iter(counts.values())) < 2:
        fail("CG0306", f"`{decl.name}` is to be learned from {next(iter(counts.values()))} row", method.span)
    return LearnedFactor(
        decl.name, name.id, subjects, inputs, net, options, data, method.span, home=home(ctx.session)
    )


def is_declared_discrete(value: Node) -> bool:
    """Whether a type says of rows that they are counts or choices; numbers written without a point may be reals."""
    return value.domain is not None and value.domain.is_discrete
