"""Declarations whose energy is learned: `= learn METHOD(…)`, `= load("file")`, `= extern("module:function")`.

In: a factor's declaration. Out: its `LearnedFactor`, checked against its data or its file, and the term that an
application of it adds. Nothing is trained here, and no foreign code is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Session, SymbolTable
from compose_lang.compiler.elaborate.declarations.declared_types import bind_shape, declared_type
from compose_lang.compiler.elaborate.expressions import evaluate
from compose_lang.compiler.elaborate.learned.foreign import extern
from compose_lang.compiler.elaborate.learned.pretrained import part_of_folder
from compose_lang.compiler.elaborate.learned.weights_header import ENDING, part_of_file
from compose_lang.compiler.elaborate.values import Nothing, as_node, describe, static_int
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.graph.learned_factor import (
    EVERY_NET,
    LEARNERS,
    LEVEL,
    LearnedFactor,
    Learner,
    Net,
    Port,
    kind_of,
)
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Type
from compose_lang.compiler.sources.formats import resolve_path
from compose_lang.diagnostics import Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

if TYPE_CHECKING:
    from compose_lang.compiler.elaborate.factors.application import Call, DeclaredFactor

FOREIGN = ("load", "extern")
WORDS = {"finite": "discrete values", "real": "unbounded reals", "bounded": "bounded reals"}


def is_learned(decl: ast.FactorDecl) -> bool:
    """Whether a declaration's energy comes from elsewhere than the program's text."""
    value = decl.value
    if decl.body is None and value is None:
        return True
    is_foreign = (
        isinstance(value, ast.Call) and isinstance(value.function, ast.Name) and value.function.id in FOREIGN
    )
    return isinstance(value, ast.LearnValue) or is_foreign


def is_unnormalised(decl: ast.FactorDecl) -> bool:
    """Whether a declaration is learned by a method that leaves its total open, whatever it is called."""
    value = decl.value
    if is_part(decl):
        return True
    method = value.method if isinstance(value, ast.LearnValue) else None
    name = method.function if isinstance(method, ast.Call) else method
    learner = LEARNERS.get(name.id) if isinstance(name, ast.Name) else None
    return learner is not None and not learner.normalised


def is_part(decl: ast.FactorDecl) -> bool:
    """Whether a declaration has a net, or nothing, in place of an objective: a statement fits it with others."""
    if decl.body is not None or decl.value is None:
        return decl.body is None
    method = decl.value.method if isinstance(decl.value, ast.LearnValue) else None
    name = method.function if isinstance(method, ast.Call) else method
    return isinstance(name, ast.Name) and name.id in EVERY_NET


def state(call: Call, ctx: Context) -> None:
    """What an application of a learned factor adds to the energy."""
    part = part_of(call.factor, ctx)
    subjects = [fitted(call, port) for port in part.subjects]
    given, inputs = inputs_of(call, part, ctx)
    energy = node("learned", part.slot, LEVEL, *subjects, *inputs, attrs=(part, given))
    ctx.emit(Term(energy, ctx.plates, "factor", part.name, call.span))


def inputs_of(call: Call, part: LearnedFactor, ctx: Context) -> tuple[tuple[bool, ...], list[Node]]:
    """Which inputs of a part are given, and those that are."""
    given, found = [], []
    for port in part.inputs:
        value, span = call.arguments[port.name]
        given.append(not isinstance(value, Nothing))
        if given[-1]:
            found.append(fitted(call, port))
            warn_of_random_input(ctx, part, port, found[-1], span)
        elif not port.is_optional:
            fail("CG0206", f"`{port.name}` of `{part.name}` is not optional", span, help="it has no `= none`")
    return tuple(given), found


def fitted(call: Call, port: Port) -> Node:
    """An argument, of the very shape that the part has learned."""
    value, span = call.arguments[port.name]
    found = as_node(value, span)
    if found.shape != port.type.full_shape:
        text = f"`{port.name}` of `{call.name}` is {port.type}, given {describe(found)}"
        fail("CG0203", f"shapes do not match: {text}", span)
    return found


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
    if key not in session.parts:
        session = replace(session, folder=folder_of(decl, session))
        top = Context(SymbolTable(factor.scope), session, emit=lambda term: None)
        session.parts[key] = made(top, decl)
    return session.parts[key]


def folder_of(decl: ast.FactorDecl, session: Session) -> Path | None:
    """The folder of the file that declares a factor, which another program may use."""
    name = decl.span.source.name
    return session.folder if name.startswith("<") else Path(name).parent


def made(ctx: Context, decl: ast.FactorDecl) -> LearnedFactor:
    value = decl.value
    if is_part(decl):
        from compose_lang.compiler.elaborate.learned.joint_training import part_of_net

        return part_of_net(ctx, decl, value.method if isinstance(value, ast.LearnValue) else None)
    if isinstance(value, ast.LearnValue):
        return learned(ctx, decl, value.method)
    assert isinstance(value, ast.Call) and isinstance(value.function, ast.Name)
    subjects, inputs = ports(ctx, decl, {}, value.span)
    if value.function.id == "extern":
        return extern(ctx, decl, value, subjects, inputs)
    place = None
    for a in value.arguments:
        found = evaluate.evaluate(ctx, a.value)
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
        net = Net(*learner.net)
    for a in arguments:
        if a.name in parameters:
            rows[a.name] = (evaluate.evaluate(ctx, a.value), a.value.span)
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


def home(session: Session) -> Path | None:
    """Where a program keeps what it has learned: beside itself."""
    return session.programs[0].with_suffix(".learned") if session.programs else None


def table(value: Any, span: Span) -> np.ndarray:
    """Rows that are known at compile time."""
    found = as_node(value, span)
    if found.value is None or found.axes:
        fail("CG0208", f"what is learned from must be data: this is {describe(found)}", span)
    if not found.shape:
        fail("CG0203", "what is learned from has rows, this is one number", span)
    return found.value


def checked(rows: np.ndarray, port: Port, span: Span) -> np.ndarray:
    """Rows held to the port's type."""
    from compose_lang.compiler.sources.convert import bind_data

    wanted = Type(port.type.domain, (-1, *port.type.shape))
    return bind_data(rows, wanted, port.name, span, f"the data for {port.name}")


def ports(
    ctx: Context, decl: ast.FactorDecl, tables: Mapping[str, np.ndarray], span: Span
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Subjects and inputs with their types; sizes that the signature leaves open are those of the data."""
    for parameter in (*decl.subjects, *decl.inputs):
        if parameter.type is None:
            fail("CG0204", f"`{parameter.name}` of a learned factor needs a type", parameter.span)
        if parameter.name in tables:
            one = constant(tables[parameter.name][0])
            is_short = isinstance(parameter.type, ast.NamedType) and len(one.shape) < len(
                parameter.type.shape
            )
            if is_short or len(one.shape) != rank(ctx, parameter):
                text = (
                    f"`{parameter.name}` is {parameter.type.span.text}, its data are rows of {describe(one)}"
                )
                declared = (Label(parameter.span, "declared here"),)
                fail("CG0203", f"shapes do not match: {text}", span, labels=declared)
            bind_shape(ctx, parameter.type, one, f"`{parameter.name}`", span)

    def port(parameter: ast.Parameter) -> Port:
        assert parameter.type is not None
        declared = declared_type(ctx, parameter.type)
        optional = isinstance(parameter.default, ast.Name) and parameter.default.id == "none"
        return Port(parameter.name, declared.type, optional)

    return tuple(map(port, decl.subjects)), tuple(map(port, decl.inputs))


def rank(ctx: Context, parameter: ast.Parameter) -> int:
    from compose_lang.compiler.elaborate.declarations.declared_types import rank_of

    return rank_of(parameter, ctx.scope)


def net_of(ctx: Context, written: ast.Expr, learner: Learner) -> Net:
    """`mlp(64, 64)` as a net."""
    call = written if isinstance(written, ast.Call) else None
    name = call.function if call is not None else written
    if not isinstance(name, ast.Name) or name.id not in learner.nets:
        help = f"there are {', '.join(sorted(learner.nets))}: net=mlp(64, 64)"
        fail("CG0602", "this is no net that it can learn with", written.span, help=help)
    sizes = []
    for a in call.arguments if call is not None else ():
        size = static_int(evaluate.evaluate(ctx, a.value), a.span, "a net's width")
        if a.name is not None or not 1 <= size <= 4096:
            fail("CG0602", f"a net takes the widths of its layers, from 1 to 4096: {name.id}(64, 64)", a.span)
        sizes.append(size)
    if not sizes:
        fail("CG0602", f"a net takes the widths of its layers: {name.id}(64, 64)", written.span)
    return Net(name.id, tuple(sizes))


def option(ctx: Context, a: ast.Argument, default: Any, method: str) -> Any:
    """The value of an option: a number above 0 (or text, where its default is one)."""
    value = evaluate.evaluate(ctx, a.value)
    if isinstance(default, str):
        choices = ("energy", "score")
        if value not in choices:
            fail("CG0602", f"the option `{a.name}` of `{method}` is one of {', '.join(choices)}", a.span)
        return value
    found = as_node(value, a.span)
    if not found.is_static_scalar or found.dtype == "bool":
        fail("CG0208", f"the option `{a.name}` must be one number known at compile time", a.span)
    number = found.item()
    least_is_zero = a.name in ("seed", "patience", "drop", "smoothing")
    is_whole = isinstance(default, int) and not isinstance(default, bool)
    if number < 0 or (number == 0 and not least_is_zero) or (is_whole and number != int(number)):
        what = ("a whole number" if is_whole else "a number") + (
            ", at least 0" if least_is_zero else " above 0"
        )
        fail("CG0602", f"the option `{a.name}` of `{method}` must be {what}, not {number}", a.span)
    return int(number) if is_whole else float(number)
