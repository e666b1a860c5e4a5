"""`x[i, 2:8, :]`: NumPy's indexing, with lengths known at compile time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, rule
from compose_lang.compiler.elaborate.declarations import recurrences
from compose_lang.compiler.elaborate.expressions import texts
from compose_lang.compiler.elaborate.values import Cell, Texts, as_node, describe, static_int
from compose_lang.compiler.ir.build import cast_to, constant, gather, known_to_be, node, transform
from compose_lang.compiler.ir.node import Axis, Node, leaves
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast


@rule(ast.Index)
def index(ctx: Context, e: ast.Index) -> Any:
    base = ctx.evaluate(e.base)
    if isinstance(base, recurrences.Recurrence):
        return base.element(ctx, e)
    if isinstance(base, Cell):
        place = static_int(ctx.evaluate(whole(e.items[0])), e.span, "the index of a tuple")
        if not -len(base.items) <= place < len(base.items):
            fail("CG0207", f"index {place} is out of range for a tuple of {len(base.items)}", e.span)
        return base.items[place]
    if isinstance(base, Texts):
        return texts.element(base, [ctx.evaluate(whole(item)) for item in e.items], e.span)
    x = as_node(base, e.base.span)
    items: list[Any] = []
    spans: list[Span] = []
    for item in e.items:
        if isinstance(item, ast.Slice):
            items.append(item)
            spans.append(item.span)
            continue
        value = ctx.evaluate(item)
        cells = flatten_cell(value)
        items.extend(cells)
        spans.extend([item.span] * len(cells))
    if len(items) > len(x.shape):
        axes = f"{len(x.shape)} ax{'i' if len(x.shape) == 1 else 'e'}s"
        text = f"{len(items)} indices for {describe(x)}, which has {axes}"
        fail("CG0207", text if x.shape else f"{describe(x)} has no elements", e.span)
    return select(ctx, x, items, spans, e)


def whole(item: ast.Expr | ast.Slice) -> ast.Expr:
    """An index that is no slice."""
    if isinstance(item, ast.Slice):
        fail("CG0204", "tuples and texts cannot be sliced", item.span)
    return item


def flatten_cell(value: Any) -> list[Any]:
    """A cell used as an index counts as all its coordinates."""
    if isinstance(value, Cell):
        return [leaf for item in value.items for leaf in flatten_cell(item)]
    return [value]


def select(ctx: Context, x: Node, items: Sequence[Any], spans: Sequence[Span], e: ast.Index) -> Node:
    """`x[items]` with NumPy's meaning: slices keep their axis, integers drop it, an array of integers replaces it."""
    steps: list[tuple[int, int, int] | None] = [None] * len(x.shape)
    domain = x.domain
    for k, item in enumerate(items):
        if isinstance(item, ast.Slice):
            places = window(ctx, item, x.shape[k], e)
            if places is None:
                steps[k] = slice_bounds(ctx, item, x.shape[k])
            else:
                x = known_to_be(take(x, k, places), domain)
    if domain is not None and domain.event_shape:
        first = len(x.shape) - len(domain.event_shape)
        cut = [k for k, item in enumerate(items) if not isinstance(item, ast.Slice) or steps[k] is not None]
        domain = domain.part if any(k >= first for k in cut) else domain
    if any(s is not None for s in steps):
        x = known_to_be(node("slice", x, attrs=(tuple(steps),)), domain)
    picked = [k for k, item in enumerate(items) if not isinstance(item, ast.Slice)]
    if not picked:
        return x
    indices = [checked_index(ctx, items[k], x.shape[k], spans[k], e) for k in picked]
    rest = [k for k in range(len(x.shape)) if k not in picked]
    if picked != list(range(len(picked))):
        x = known_to_be(node("transpose", x, attrs=((*picked, *rest),)), domain)
    chosen = gather(x, indices)
    inserted = len(chosen.shape) - len(rest)
    before = sum(1 for k in rest if k < picked[0])
    if inserted and before:
        order = (
            *range(inserted, inserted + before),
            *range(inserted),
            *range(inserted + before, len(chosen.shape)),
        )
        chosen = node("transpose", chosen, attrs=(order,))
    return known_to_be(chosen, domain) if chosen.domain is None else chosen


def window(ctx: Context, item: ast.Slice, size: int, e: ast.Index) -> Node | None:
    """The places of a slice that differs between the instances of a loop, as in `x[2 * i:2 * i + 2]`.

    None for one whose bounds are numbers. The length has to be the same everywhere.
    """
    if item.step is not None:
        return None
    start, stop = (
        constant(default) if part is None else ctx.number(part)
        for part, default in ((item.start, 0), (item.stop, size))
    )
    ends = [over_steps(x) for x in (start, stop)]
    if not (ends[0].axes or ends[1].axes) or any(
        x.value is None or x.shape or x.dtype == "real" for x in ends
    ):
        return None  # numbers, or what `slice_bounds` has an error for
    length = over_steps(node("sub", stop, start)).value
    assert length is not None and ends[0].value is not None and ends[1].value is not None
    if length.min() != length.max():
        text = f"the length of this slice differs: from {length.min()} to {length.max()}"
        fail("CG0208", text, item.span, help="take one length, and a filter for what is too much")
    if ends[0].value.min() < 0 or ends[1].value.max() > size:
        text = f"the slice runs from {ends[0].value.min()} to {ends[1].value.max()}, out of range for {size} elements"
        fail("CG0207", text, item.span, labels=(Label(e.base.span, f"{size} along this axis"),))
    return node("add", start, constant(np.arange(max(0, length.min()))))


def take(x: Node, axis: int, places: Node) -> Node:
    """The elements of x at some places along an axis, which stays where it is."""
    order = (axis, *(k for k in range(len(x.shape)) if k != axis))
    taken = gather(node("transpose", x, attrs=(order,)) if axis else x, [places])
    return node("transpose", taken, attrs=(tuple(np.argsort(order).tolist()),)) if axis else taken


def slice_bounds(ctx: Context, item: ast.Slice, size: int) -> tuple[int, int, int] | None:
    def bound(part: ast.Expr | None) -> int | None:
        return None if part is None else static_int(ctx.evaluate(part), part.span, "a slice's bound")

    start, stop, step = bound(item.start), bound(item.stop), bound(item.step)
    if step == 0:
        fail("CG0204", "a slice's step must not be 0", item.span)
    bounds = slice(start, stop, step).indices(size)
    return None if bounds == (0, size, 1) else bounds


def checked_index(ctx: Context, item: Any, size: int, span: Span, e: ast.Index) -> Node:
    """An index within 0 … size-1: negative ones count from the end, what is known is checked.

    Where the branch it stands in is surely not taken an index may be anything: there it is moved into range.
    """
    i = as_node(item, span)
    if i.dtype == "real":
        if i.value is not None and (abs(i.value) < 2.0**62).all() and (i.value == np.floor(i.value)).all():
            i = constant(i.value.astype(np.int64), i.axes)
        else:
            fail("CG0204", f"an index must be an integer, not {describe(i)}", span)
    if i.dtype == "bool" and i.shape and i.domain is None:  # a comparison, not a bool variable or datum
        help = "for a value each way write `if c then a else b`; a sum takes `sum(… for i in … if c)`"
        fail("CG0204", "a condition does not choose elements: how many is not known", span, help=help)
    i = cast_to(i, "int")
    known = over_steps(i)
    if known.value is not None:
        outside = node("or", node("lt", known, constant(-size)), node("ge", known, constant(size)))
        reached = outside
        for guard in map(over_steps, ctx.guards):
            reached = node("and", reached, guard) if guard.value is not None else reached
        assert outside.value is not None and reached.value is not None
        if reached.value.any():
            every = node("where", reached, known, constant(0)).value
            assert every is not None
            worst = int(every[reached.value].flat[0])
            count = f"{size} element{'s' if size != 1 else ''}"
            possible = f"-{size} … -1" if worst < 0 else f"0 … {size - 1}"
            text = f"index {worst} is out of range for {count} ({possible})"
            help = f"positions count from 0; the last is {size - 1}, or -1" if worst == size > 0 else ""
            if i.value is not None and i.value.size > 1 and span.text.isidentifier():
                origin = ctx.session.origins.get(span.text)
                read = f", read from {origin}," if origin else ""
                help = f"the values of `{span.text}`{read} run from {i.value.min()} to {i.value.max()}\n{help}".strip()
            fail("CG0207", text, span, labels=(Label(e.base.span, f"{size} along this axis"),), help=help)
        if outside.value.any():
            i = node("minimum", node("maximum", i, constant(0)), constant(size - 1))
        elif (known.value < 0).any():
            i = node("where", node("lt", i, constant(0)), node("add", i, constant(size)), i)
    elif i.domain is not None and i.domain.part.is_finite:
        top = i.domain.part.values[-1]
        if top >= size:
            text = f"{describe(i)} runs to {top}, out of range for {size} elements (0 … {size - 1})"
            fail("CG0207", text, span, labels=(Label(e.base.span, f"{size} along this axis"),))
    return i


def over_steps(x: Node) -> Node:
    """x over all steps of the recurrence it stands in: a constant, if nothing else in it varies."""
    steps = {id(n): n.domain for n in leaves(x) if n.op == "slot" and n.domain is not None}
    if not steps:
        return x
    columns = {key: along_values(domain.values) for key, domain in steps.items()}
    return transform([x], lambda n: columns.get(id(n)))[0]


def along_values(values: range) -> Node:
    return constant(np.arange(values.start, values.stop), (Axis(len(values)),))
