"""Calls: built-in functions, users' functions, and factors given their inputs or their subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from compose_lang.compiler.elaborate.context import Context, count_inlined, rule
from compose_lang.compiler.elaborate.declarations.declared_types import (
    Sizes,
    bind_shape,
    declared_type,
    rank_of,
)
from compose_lang.compiler.elaborate.factors.application import MAX_DEPTH, applied, assign, with_inputs
from compose_lang.compiler.elaborate.factors.values import Applied, WithInputs, as_factor
from compose_lang.compiler.elaborate.learned import nets
from compose_lang.compiler.elaborate.plates import array_over, one_copy
from compose_lang.compiler.elaborate.values import DeclaredFactor, Function, SymbolTable, describe
from compose_lang.compiler.ir.build import along
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import ShapeError, broadcast_shapes
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast


@dataclass(frozen=True)
class Builtin:
    name: str
    run: Callable[[Context, ast.Call], Any]

    @property
    def description(self) -> str:
        return f"the function `{self.name}`"


@rule(ast.Call)
def call(ctx: Context, e: ast.Call) -> Any:
    """The value of a call."""
    callee = ctx.evaluate(e.function)
    if isinstance(callee, Builtin):
        if e.inputs is not None:
            fail("CG0206", f"{callee.description} takes no `|`", e.span)
        return callee.run(ctx, e)
    if isinstance(callee, Function):
        return call_function(ctx, callee, e)
    if isinstance(callee, DeclaredFactor):
        if e.inputs is None:
            return with_inputs(ctx, callee, e.arguments, e.span)
        waiting = with_inputs(ctx, callee, e.inputs, e.span)
        return applied(ctx, waiting, e.arguments, e.span) if e.arguments else waiting
    if isinstance(callee, WithInputs) and e.inputs is not None and e.arguments:
        return applied(ctx, callee, e.arguments, e.span)
    factor = as_factor(callee)
    if factor is not None and factor.ranks and e.inputs == () and e.arguments:
        nodes = tuple(ctx.number(a.value) for a in e.arguments)
        if len(nodes) != len(factor.ranks) or any(a.name for a in e.arguments):
            fail("CG0206", f"{factor.description} is over {len(factor.ranks)}, given by place", e.span)
        return Applied(factor, nodes, e.span)
    what, inside = e.function.span.text, ", ".join(a.span.text for a in e.arguments)
    help = ""
    if isinstance(callee, Node) and callee.shape:
        help = f"an element is `{what}[{inside}]`"
    elif isinstance(callee, Node) and len(e.arguments) == 1:
        help = f"a product has its sign: `{what} * ({inside})`"
    elif isinstance(callee, WithInputs):
        help = f"it has its inputs already: `x ~ {what}`"
    fail("CG0204", f"{describe(callee)} cannot be called", e.function.span, help=help)


def check_returned(ctx: Context, decl: ast.Fn, made: Any, call: Span) -> None:
    """The value of a function is of the shape that its `->` says."""
    if decl.returns is None or not isinstance(made, Node):
        return
    if not declared_type(ctx, decl.returns).fits(made.shape):
        text = f"shapes do not match: `{decl.name}` returns {decl.returns.span.text}, but its value is {describe(made)}"
        labels = (Label(decl.returns.span, "declared here"), Label(call, "called here"))
        fail("CG0203", text, decl.value.span, labels=labels)


def call_function(ctx: Context, function: Function, e: ast.Call) -> Any:
    """A user's function, inlined; leading axes of its arguments broadcast as independent copies."""
    decl = function.decl
    given = arguments_of(ctx, function, e)
    leading = leading_axes(function, given)
    try:
        batch = broadcast_shapes(*leading.values())
    except ShapeError:
        shown = " against ".join(describe(given[n][0]) for n, s in leading.items() if s)
        fail("CG0203", f"shapes do not match in the call of `{decl.name}`: {shown}", e.span)
    axes = [Axis(n) for n in batch]
    columns = [along(a) for a in axes]
    names = {name: value for name, (value, _) in given.items()}
    for name, shape in leading.items():
        names[name] = one_copy(names[name], len(shape), columns)
    sizes = Sizes()
    inner = replace(
        ctx, scope=SymbolTable(function.scope), plates=(*ctx.plates, *axes), calls=(*ctx.calls, e.span)
    )
    for p in decl.parameters:
        if p.type is not None and isinstance(names[p.name], Node):
            what = f"`{p.name}` of `{decl.name}`"
            bind_shape(inner, p.type, names[p.name], what, given[p.name][1], sizes)
    inner.scope.names.update(names)
    for let in decl.body:
        inner.scope.names[let.name] = inner.evaluate(let.value)
    if isinstance(decl.value, ast.LearnValue):
        returned: Any = nets.value_of_net(inner, decl, names, e.span)
    else:
        returned = inner.evaluate(decl.value)
        check_returned(inner, decl, returned, e.span)
    return array_over(returned, axes) if axes and isinstance(returned, Node) else returned


def arguments_of(ctx: Context, function: Function, e: ast.Call) -> dict[str, tuple[Any, Span]]:
    """The arguments of a call by name, those left out with their defaults, each with where it is written."""
    decl = function.decl
    what = f"the function `{decl.name}`"
    if e.inputs is not None:
        fail("CG0206", f"{what} takes no `|`", e.span)
    count_inlined(ctx, what, e.span)
    if len(ctx.calls) >= MAX_DEPTH:
        itself = any(c == e.span for c in ctx.calls)
        text = f"{what} calls itself" if itself else "functions call each other too deeply"
        fail("CG0801", text, e.span, help="functions are inlined and cannot recurse")
    given = assign(ctx, decl.parameters, e.arguments, what, e.span, function.scope)
    for p in decl.parameters:
        if p.name not in given:
            if p.default is None:
                fail("CG0206", f"{what} needs a value for `{p.name}`", e.span)
            given[p.name] = (replace(ctx, scope=function.scope).evaluate(p.default), p.default.span)
    return {p.name: given[p.name] for p in decl.parameters}


def leading_axes(function: Function, given: Mapping[str, tuple[Any, Span]]) -> dict[str, tuple[int, ...]]:
    """The sizes of each argument's axes beyond those that its type declares."""
    leading: dict[str, tuple[int, ...]] = {}
    for p in function.decl.parameters:
        value, span = given[p.name]
        if isinstance(value, Node) and p.type is not None:
            rank = rank_of(p, function.scope)
            if len(value.shape) < rank:
                text = f"`{p.name}` of `{function.decl.name}` is {p.type.span.text}, given {describe(value)}"
                fail("CG0203", f"shapes do not match: {text}", span)
            leading[p.name] = value.shape[: len(value.shape) - rank]
    return leading
