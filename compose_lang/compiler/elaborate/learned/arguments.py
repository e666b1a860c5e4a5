"""What `learn` is given: the ports of a signature with their types, rows of data, a net, options.

In: a declaration and the arguments of its method. Out: `Port`s, checked rows, a `Net`, options' values. After:
`declarations` and `nets`, which make a `LearnedFactor` of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.declarations.declared_types import bind_shape, declared_type, rank_of
from compose_lang.compiler.elaborate.values import as_node, describe, static_int
from compose_lang.compiler.graph.learned_factor import LearnerDeclaration, Net, Port
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.types import Type
from compose_lang.compiler.sources.convert import bind_data
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast


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
            if is_short or len(one.shape) != rank_of(parameter, ctx.scope):
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


def table(value: Any, span: Span) -> np.ndarray:
    """Rows that are known at compile time."""
    rows = as_node(value, span)
    if rows.value is None or rows.axes:
        fail("CG0208", f"what is learned from must be data: this is {describe(rows)}", span)
    if not rows.shape:
        fail("CG0203", "what is learned from has rows, this is one number", span)
    return rows.value


def checked(rows: np.ndarray, port: Port, span: Span) -> np.ndarray:
    """Rows held to the port's type."""
    wanted = Type(port.type.domain, (-1, *port.type.shape))
    return bind_data(rows, wanted, port.name, span, f"the data for {port.name}")


def net_of(ctx: Context, written: ast.Expr, learner: LearnerDeclaration) -> Net:
    """`mlp(64, 64)` as a net."""
    call = written if isinstance(written, ast.Call) else None
    name = call.function if call is not None else written
    if not isinstance(name, ast.Name) or name.id not in learner.nets:
        help = f"there are {', '.join(sorted(learner.nets))}: net=mlp(64, 64)"
        fail("CG0602", "this is no net that it can learn with", written.span, help=help)
    sizes = []
    for a in call.arguments if call is not None else ():
        size = static_int(ctx.evaluate(a.value), a.span, "a net's width")
        if a.name is not None or not 1 <= size <= 4096:
            fail("CG0602", f"a net takes the widths of its layers, from 1 to 4096: {name.id}(64, 64)", a.span)
        sizes.append(size)
    if not sizes:
        fail("CG0602", f"a net takes the widths of its layers: {name.id}(64, 64)", written.span)
    return Net(name.id, tuple(sizes))


def option(ctx: Context, a: ast.Argument, default: Any, method: str) -> Any:
    """The value of an option: a number above 0 (or text, where its default is one)."""
    value = ctx.evaluate(a.value)
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


def home(session: Session) -> Path | None:
    """Where a program keeps what it has learned: beside itself."""
    return session.programs[0].with_suffix(".learned") if session.programs else None
