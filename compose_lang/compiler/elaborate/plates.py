"""Plates and generators: `for target in domain, … if condition` as axes, index columns and a mask.

In: clauses in a context. Out: the context inside them, whose names are index nodes along new axes. Independent
clauses get an axis each, so that a lattice stays a box; a filter that is known at compile time turns them into
one axis over the instances that remain; a range that depends on an outer plate is padded and masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.values import (
    Cell,
    DependentRange,
    IndexSet,
    SymbolTable,
    describe,
    truth,
)
from compose_lang.compiler.ir.build import (
    along,
    broadcast_to,
    collect,
    constant,
    gather,
    gather_aligned,
    node,
    reindex,
)
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.diagnostics import Span, fail
from compose_lang.grammar import ast

MAX_INSTANCES = 10**8


@dataclass(frozen=True)
class Opened:
    """The inside of some clauses: `axes` are new, `mask` (or None) tells which instances count."""

    context: Context
    axes: tuple[Axis, ...]
    mask: Node | None


def open_clauses(
    ctx: Context, clauses: Sequence[ast.Clause], condition: ast.Expr | None, span: Span
) -> Opened:
    """Enter clauses; what is stated inside counts once for each instance."""
    axes: list[Axis] = []
    mask: Node | None = None
    names: dict[str, Any] = {}
    inner = ctx
    for clause in clauses:
        domain = inner.evaluate(clause.domain)
        axis, bound, valid = enter(inner, clause, domain)
        total = np.prod([float(a.size) for a in (*axes, axis)])
        if total > MAX_INSTANCES:
            text = f"{total:.3g} instances, more than the limit of {MAX_INSTANCES:.0e}"
            fail("CG0801", f"this plate is too large: {text}", clause.span)
        axes.append(axis)
        names.update(bound)
        mask = valid if mask is None else mask if valid is None else node("and", mask, valid)
        inner = replace(inner, scope=SymbolTable(ctx.scope, dict(names)), plates=(*inner.plates, axis))
        if valid is not None:
            inner = inner.under(valid)
    if condition is not None:
        test = inner.number(condition)
        if test.shape:
            fail("CG0204", f"a filter must be true or false, not {describe(test)}", condition.span)
        test = truth(test, condition.span)
        mask = test if mask is None else node("and", mask, test)
        inner = inner.under(test)
    if mask is not None and mask.is_const and not set(mask.axes) - set(axes):
        axis, names = compress(mask, axes, names)
        inner = replace(ctx, scope=SymbolTable(ctx.scope, names), plates=(*ctx.plates, axis))
        return Opened(inner, (axis,), None)
    return Opened(inner, tuple(axes), mask)


def enter(ctx: Context, clause: ast.Clause, domain: Any) -> tuple[Axis, dict[str, Any], Node | None]:
    """One clause: its axis, the names it binds, and where it is padded the mask of true instances."""
    span = clause.domain.span
    label = clause.target.id if isinstance(clause.target, ast.Name) else ""
    if isinstance(domain, DependentRange):
        axis = Axis(domain.longest, label)
        place = along(axis)
        value = node("add", domain.start, node("mul", constant(domain.step), place))
        valid = node("lt", place, domain.counts)
        value = node("where", valid, value, constant(domain.first))
        return axis, bind(clause.target, value, span), valid
    if isinstance(domain, Node):
        if not domain.shape:
            help = f"write `range({span.text})`" if domain.dtype == "int" else ""
            fail("CG0204", f"cannot loop over {describe(domain)}: it has no rows", span, help=help)
        axis = Axis(domain.shape[0], label)
        row = gather(domain, [along(axis)])
        return axis, bind(clause.target, row, span), None
    if isinstance(domain, IndexSet):
        axis = Axis(domain.count, label)
        return axis, bind(clause.target, spread(domain.columns, axis), span), None
    fail(
        "CG0204",
        f"cannot loop over {describe(domain)}; use range(n), pairs(n), grid(n, m), or the rows of data",
        span,
    )


def spread(columns: Any, axis: Axis) -> Any:
    """Index columns as nodes along an axis."""
    if isinstance(columns, tuple):
        return Cell(tuple(spread(c, axis) for c in columns))
    if isinstance(columns, Node):
        assert columns.value is not None
        return constant(columns.value, (axis,), columns.dtype, columns.domain)
    return constant(columns, (axis,))


def bind(target: ast.Name | ast.Tuple, value: Any, span: Span) -> dict[str, Any]:
    """The names of a target, taken apart: a tuple against a cell or a row."""
    if isinstance(target, ast.Name):
        return {} if target.id == "_" else {target.id: value}
    if isinstance(value, Node) and len(value.shape) >= 1:
        value = Cell(tuple(gather(value, [constant(k)]) for k in range(value.shape[0])))
    if not isinstance(value, Cell) or len(value.items) != len(target.items):
        have = len(value.items) if isinstance(value, Cell) else 1
        text = f"{len(target.items)} names for {have} value" + ("s" if have != 1 else "")
        fail("CG0203", f"cannot take this apart: {text}", target.span)
    names: dict[str, Any] = {}
    for part, item in zip(target.items, value.items, strict=True):
        assert isinstance(part, ast.Name | ast.Tuple)
        names.update(bind(part, item, span))
    return names


def one_copy(x: Node, leading: int, columns: Sequence[Node]) -> Node:
    """One independent copy of an array: its leading axes lie along the last of some columns of indices."""
    if not leading:
        return x
    return gather_aligned(x, columns, len(columns) + len(x.shape) - leading)


def collect_over(x: Node, axes: Sequence[Axis]) -> Node:
    """What varies over axes as an array of which they are the leading axes, of length 1 where it does not vary."""
    for axis in reversed(axes):
        x = collect(x, axis)
    return x


def array_over(x: Node, axes: Sequence[Axis]) -> Node:
    """What varies over axes as an array of which they are the leading axes."""
    return broadcast_to(collect_over(x, axes), (*(a.size for a in axes), *x.shape))


def compress(mask: Node, axes: Sequence[Axis], names: dict[str, Any]) -> tuple[Axis, dict[str, Any]]:
    """One axis over the instances a mask keeps, and the names along it."""
    assert mask.value is not None
    full = mask.value.reshape([a.size if a in mask.axes else 1 for a in axes])
    kept = np.nonzero(np.broadcast_to(full, [a.size for a in axes]))
    axis = Axis(len(kept[0]), ",".join(a.name for a in axes))
    columns = {a: constant(k, (axis,), "int") for a, k in zip(axes, kept, strict=True)}
    return axis, {name: select(value, columns) for name, value in names.items()}


def select(value: Any, columns: dict[Axis, Node]) -> Any:
    if isinstance(value, Cell):
        return Cell(tuple(select(v, columns) for v in value.items))
    return reindex(value, columns)
