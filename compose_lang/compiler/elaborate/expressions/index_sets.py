"""The index sets that programs loop over: range, pairs, chain, grid, torus, zip and edges, as integer columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.bind_data import read_table
from compose_lang.compiler.elaborate.values import (
    DependentRange,
    IndexSet,
    as_node,
    describe,
    static_int,
)
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import fail
from compose_lang.grammar import ast

MAX_ROWS = 10**8


def sizes(ctx: Context, e: ast.Call, low: int, high: int) -> list[int]:
    """The arguments as integers known at compile time."""
    name = e.function.span.text
    if not low <= len(e.arguments) <= high or any(a.name for a in e.arguments):
        takes = str(low) if low == high else f"{low} to {high}"
        fail("CG0206", f"`{name}` takes {takes} arguments, {len(e.arguments)} given", e.span)
    lengths = [static_int(ctx.evaluate(a.value), a.span, f"the size of {name}") for a in e.arguments]
    for n, a in zip(lengths, e.arguments, strict=True):
        if name != "range" and n < 0:
            fail("CG0204", f"the size of {name} must not be negative, not {n}", a.span)
    return lengths


def limited(rows: float, e: ast.Call) -> None:
    if rows > MAX_ROWS:
        fail(
            "CG0801",
            f"this plate is too large: {rows:.3g} instances, more than the limit of {MAX_ROWS:.0e}",
            e.span,
        )


def _range(ctx: Context, e: ast.Call) -> IndexSet | DependentRange:
    if not 1 <= len(e.arguments) <= 3 or any(a.name for a in e.arguments):
        fail("CG0206", f"`range` takes 1 to 3 arguments, {len(e.arguments)} given", e.span)
    bounds = [as_node(ctx.evaluate(a.value), a.span) for a in e.arguments]
    if any(b.axes for b in bounds):
        return dependent(bounds, e)
    known = [static_int(b, a.span, "a bound of range") for b, a in zip(bounds, e.arguments, strict=True)]
    if len(known) == 3 and known[2] == 0:
        fail("CG0204", "the step of range must not be 0", e.arguments[2].span)
    steps = range(*known)
    limited((steps.stop - steps.start) / steps.step, e)  # len() is for what fits into 64 bits
    return IndexSet(len(steps), steps.start + steps.step * np.arange(len(steps), dtype=np.int64))


def dependent(bounds: list[Node], e: ast.Call) -> DependentRange:
    """A range whose bounds differ between instances; its step is one number."""
    if any(not b.is_const or b.dtype == "real" or b.shape for b in bounds):
        fail("CG0208", "the bounds of range must be integers known at compile time", e.span)
    step = static_int(bounds[2], e.arguments[2].span, "the step of range") if len(bounds) == 3 else 1
    if step == 0:
        fail("CG0204", "the step of range must not be 0", e.arguments[2].span)
    start, stop = (constant(0), bounds[0]) if len(bounds) == 1 else bounds[:2]
    counts = node("neg", node("floordiv", node("sub", start, stop), constant(step)))  # rounded up
    assert counts.value is not None and start.value is not None
    present = counts.value > 0
    firsts = np.broadcast_to(node("add", start, node("mul", stop, constant(0))).value, counts.value.shape)  # type: ignore[arg-type]
    first = int(firsts[present].flat[0]) if present.any() else 0
    return DependentRange(start, step, counts, max(0, int(counts.value.max(initial=0))), first)


def _pairs(ctx: Context, e: ast.Call) -> IndexSet:
    (n,) = sizes(ctx, e, 1, 1)
    limited(n * (n - 1) / 2, e)
    i, j = np.triu_indices(n, k=1)
    return IndexSet(len(i), (i.astype(np.int64), j.astype(np.int64)))


def _chain(ctx: Context, e: ast.Call) -> IndexSet:
    (n,) = sizes(ctx, e, 1, 1)
    i = np.arange(max(0, n - 1), dtype=np.int64)
    return IndexSet(len(i), (i, i + 1))


def lattice(ctx: Context, e: ast.Call, periodic: bool) -> IndexSet:
    """Each pair of neighbouring cells once; a cell is a tuple of coordinates."""
    shape = sizes(ctx, e, 1, 6)
    limited(math.prod(map(float, shape)) * len(shape), e)
    cells = np.indices(shape, dtype=np.int64).reshape(len(shape), -1)
    lefts, rights = [], []
    for axis, n in enumerate(shape):
        here = cells
        if not periodic or n <= 2:  # on a side of 2 the step back is the same pair again
            here = cells[:, cells[axis] < n - 1]
        there = here.copy()
        there[axis] = (there[axis] + 1) % max(n, 1)
        lefts.append(here)
        rights.append(there)
    left, right = np.concatenate(lefts, axis=1), np.concatenate(rights, axis=1)
    if len(shape) == 1:
        return IndexSet(left.shape[1], (left[0], right[0]))
    return IndexSet(left.shape[1], (tuple(left), tuple(right)))


def _zip(ctx: Context, e: ast.Call) -> IndexSet:
    parts: list[Any] = []
    counts = []
    for a in e.arguments:
        value = ctx.evaluate(a.value)
        if isinstance(value, IndexSet):
            parts.append(value.columns)
            counts.append(value.count)
            continue
        x = as_node(value, a.span)
        if x.axes or not x.is_const or not x.shape:
            fail("CG0208", f"zip takes index sets and data, not {describe(value)}", a.span)
        parts.append(x)
        counts.append(x.shape[0])
    if len(set(counts)) != 1:
        fail("CG0203", f"zip takes parts of one length, not {', '.join(map(str, counts))}", e.span)
    return IndexSet(counts[0], tuple(parts))


def _edges(ctx: Context, e: ast.Call) -> IndexSet:
    """The rows of a file of pairs of node numbers."""
    table = read_table(ctx, e)
    if table.ndim != 2 or table.shape[1] != 2:
        fail("CG0306", f"edges needs two columns of node numbers, the file has shape {table.shape}", e.span)
    return IndexSet(len(table), (table[:, 0], table[:, 1]))


TABLE: dict[str, Callable[[Context, ast.Call], Any]] = {
    "range": _range,
    "pairs": _pairs,
    "chain": _chain,
    "grid": lambda ctx, e: lattice(ctx, e, periodic=False),
    "torus": lambda ctx, e: lattice(ctx, e, periodic=True),
    "zip": _zip,
    "edges": _edges,
}
