"""Indexed `let`s: `let s[0] = a`, `let s[t] = f(s[t-1], y[t]) for t in range(1, n)`.

In: the definitions of one array, or of several that feed each other in one `for`. Out: the arrays. What looks back
becomes a scan (see scan.py) with everything that does not recur computed beside it over all steps at once; what
does not look back is a plain comprehension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate import plates
from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.values import IndexSet, describe, static_int
from compose_lang.compiler.ir.build import (
    broadcast_to,
    cast_to,
    constant,
    gather,
    make_scan,
    node,
    project,
    rebuild,
    slot,
    transform,
)
from compose_lang.compiler.ir.interpret import INLINE_ELEMENTS
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.ops.scan import ScanSpec
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast


@dataclass(frozen=True)
class Piece:
    """Some consecutive elements: values (count, *rest) of positions start … start + count - 1."""

    start: int
    values: Node
    span: Span

    @property
    def count(self) -> int:
        return self.values.shape[0]


@dataclass
class Recurrence:
    """An array while its elements are being defined."""

    name: str
    pieces: list[Piece] = field(default_factory=list)
    step: Node | None = None  #: the running index, while the body that looks back is elaborated
    carries: dict[int, Node] = field(default_factory=dict)  #: by how many steps back
    current: Node | None = None  #: the element of the running step, once its definition has been elaborated
    first: int = 0
    plates: tuple[Axis, ...] = ()
    description: str = "an array that is still being defined"

    def element(self, ctx: Context, e: ast.Index) -> Node:
        """`s[t-1]`, or an element that has been defined already."""
        items = [i for i in e.items if not isinstance(i, ast.Slice)]
        if len(items) != len(e.items):
            fail("CG0210", f"`{self.name}` is still being defined: it cannot be sliced here", e.span)
        place = ctx.number(items[0])
        rest = [ctx.number(i) for i in items[1:]]
        if place.is_static_scalar:
            return gather(self.defined(place.item(), e.span), rest)
        lag = self.lag(place, items[0].span)
        if lag == 0:
            assert self.current is not None
            return gather(self.current, rest)
        if lag not in self.carries:
            known = self.defined(self.first - lag, e.span)
            self.carries[lag] = slot(f"{self.name}[-{lag}]", known.shape, self.plates, "real")
        return gather(self.carries[lag], rest)

    def defined(self, place: int, span: Span) -> Node:
        """The element at a position that has been defined."""
        for piece in self.pieces:
            if piece.start <= place < piece.start + piece.count:
                return gather(piece.values, [constant(place - piece.start)])
        where = f"`{self.name}[{place}]` is used before it is defined"
        fail("CG0210", where, span, help=f"define it with `let {self.name}[{place}] = …`")

    def lag(self, place: Node, span: Span) -> int:
        """How many steps back a position is: the index must be the running one less a constant."""
        offset = 0
        while (place.op == "add" or place.op == "sub") and place.args[1].is_static_scalar:
            offset += place.args[1].item() * (1 if place.op == "add" else -1)
            place = place.args[0]
        if place is not self.step or self.step is None:
            text = f"`{self.name}` may be read only a fixed number of steps back, as in {self.name}[t-1]"
            fail("CG0210", text, span)
        if offset == 0 and self.current is not None:
            return 0
        if offset >= 0:
            text = f"`{self.name}` is read {'at the step being defined' if offset == 0 else 'ahead'}"
            fail("CG0210", text, span, help="a recurrence looks back: t-1, t-2, …")
        return -offset

    def finish(self, span: Span) -> Node:
        """The whole array; every element must be defined exactly once."""
        pieces = sorted(self.pieces, key=lambda p: p.start)
        if not pieces:  # its range is empty
            return constant(np.zeros(0))
        following = 0
        for piece in pieces:
            if piece.start != following:
                what = "is not defined" if piece.start > following else "is defined twice"
                place = following if piece.start > following else piece.start
                fail("CG0210", f"`{self.name}[{place}]` {what}", piece.span)
            following = piece.start + piece.count
            if piece.values.shape[1:] != pieces[0].values.shape[1:]:
                shapes = f"{list(pieces[0].values.shape[1:])} and {list(piece.values.shape[1:])}"
                text = f"shapes do not match: the elements of `{self.name}` are {shapes}"
                fail("CG0203", text, piece.span, labels=(Label(pieces[0].span, "against this one"),))
        return (
            pieces[0].values if len(pieces) == 1 else node("concat", *(p.values for p in pieces), attrs=(0,))
        )


def define(ctx: Context, lets: Sequence[ast.Let], arrays: dict[str, Recurrence]) -> None:
    """Elaborate definitions that belong together, adding a piece to each array."""
    indexed = [let for let in lets if let.indices]
    span = indexed[0].span
    running = running_clause(ctx, indexed[0])
    if running is None:
        for let in indexed:
            define_fixed(ctx, let, plain_before(lets, let), arrays[let.name])
        return
    index, positions = running
    names = [let.name for let in indexed]
    start, count = int(positions[0]) if len(positions) else 0, len(positions)
    if count == 0:
        return
    step = slot(index, (), (), "int")
    step.domain = Domain("int", start, start + count - 1)
    if not np.array_equal(positions, start + np.arange(count)):
        fail("CG0210", "a recurrence runs forwards one step at a time", span)
    if start < 0:
        fail("CG0210", "the index of a definition counts from 0", span)
    for name in names:
        arrays[name].step, arrays[name].first, arrays[name].plates = step, start, ctx.plates
        arrays[name].carries = {}
    bodies: list[Node] = []
    inner = ctx.child(**{index: step})
    for let in indexed:
        if not names_index(let.indices[0], index):
            text = f"definitions of one `for` share their first index: `{index}`"
            fail("CG0210", text, let.indices[0].span)
        body = element_value(inner, let, plain_before(lets, let), index)
        bodies.append(cast_to(body, "real"))
        arrays[let.name].current = bodies[-1]
    looks_back = any(arrays[n].carries for n in names)
    time = Axis(count, index)
    running_index = constant(np.arange(start, start + count), (time,))
    if not looks_back:
        for name, body in zip(names, bodies, strict=True):
            (value,) = transform([body], lambda n: running_index if n is step else None)
            add_piece(arrays[name], Piece(start, plates.array_over(value, [time]), span))
    else:
        scan = build_scan(ctx, [arrays[n] for n in names], bodies, step, running_index, time, span)
        for place, name in enumerate(names):
            add_piece(arrays[name], Piece(start, project(scan, place), span))
    for name in names:
        arrays[name].step = arrays[name].current = None


def add_piece(array: Recurrence, piece: Piece) -> None:
    for other in array.pieces:
        low, high = max(other.start, piece.start), min(other.start + other.count, piece.start + piece.count)
        if low < high:
            labels = (Label(other.span, "first here"),)
            fail("CG0210", f"`{array.name}[{low}]` is defined twice", piece.span, labels=labels)
    array.pieces.append(piece)


def plain_before(lets: Sequence[ast.Let], let: ast.Let) -> list[ast.Let]:
    """The definitions without an index that stand before one in its `for`."""
    return [each for each in lets[: lets.index(let)] if not each.indices]


def names_index(index: ast.Expr, name: str) -> bool:
    return isinstance(index, ast.Name) and index.id == name


def running_clause(ctx: Context, let: ast.Let) -> tuple[str, np.ndarray] | None:
    """The name that the first index runs over, and its positions; None for a fixed place."""
    head = let.indices[0]
    if let.condition is not None:
        fail("CG0210", "a recurrence takes no filter", let.condition.span)
    for clause in let.clauses:
        if isinstance(clause.target, ast.Name) and isinstance(head, ast.Name) and clause.target.id == head.id:
            domain = ctx.evaluate(clause.domain)
            if not isinstance(domain, IndexSet) or not isinstance(domain.columns, np.ndarray):
                fail("CG0210", f"a recurrence runs over range(…), not {describe(domain)}", clause.domain.span)
            return head.id, domain.columns
    return None


def define_fixed(ctx: Context, let: ast.Let, plain: Sequence[ast.Let], array: Recurrence) -> None:
    """`let s[0] = value`"""
    place = static_int(ctx.evaluate(let.indices[0]), let.indices[0].span, "the index of a definition")
    if place < 0:
        fail("CG0210", "the index of a definition counts from 0", let.indices[0].span)
    value = element_value(ctx, let, plain)
    add_piece(
        array,
        Piece(
            place,
            node("reshape", broadcast_to(value, (1, *value.shape)), attrs=((1, *value.shape),)),
            let.span,
        ),
    )


def element_value(ctx: Context, let: ast.Let, plain: Sequence[ast.Let], running: str = "") -> Node:
    """The value of one element; further indices, each a clause of its own, become its axes.

    plain: definitions without an index that the value may use, made anew for each element.
    """
    over = {c.target.id: c for c in let.clauses if isinstance(c.target, ast.Name) and c.target.id != running}
    order = []
    for index in let.indices[1:]:
        clause = over.pop(index.id, None) if isinstance(index, ast.Name) else None
        if clause is None:
            fail("CG0210", "a further index of a definition is a name that a `for` runs over", index.span)
        order.append(clause)
    if over:
        name, clause = over.popitem()
        text = f"`{let.name}` is defined several times over: `{name}` is none of its indices"
        fail("CG0210", text, clause.span)
    opened = plates.open_clauses(ctx, order, None, let.span)
    inner = opened.context.child()
    for definition in plain:
        inner.scope.names[definition.name] = inner.evaluate(definition.value)
    return plates.array_over(inner.number(let.value), opened.axes)


def build_scan(
    ctx: Context,
    arrays: Sequence[Recurrence],
    bodies: Sequence[Node],
    step: Node,
    running: Node,
    time: Axis,
    span: Span,
) -> Node:
    """The scan of some bodies: what recurs stays inside, all else is computed outside over all steps."""
    carried = {id(c) for a in arrays for c in a.carries.values()}
    depths = [max(a.carries, default=1) for a in arrays]
    carries: list[tuple[Node, ...]] = []
    inits: list[Node] = []
    for array, depth, body in zip(arrays, depths, bodies, strict=True):
        lags = []
        for lag in range(1, depth + 1):
            leaf = array.carries.get(lag)
            if leaf is None:
                leaf = slot(f"{array.name}[-{lag}]", body.shape, ctx.plates, "real")
            lags.append(leaf)
            inits.append(initial(array, lag, body, lag in array.carries, span))
        carries.append(tuple(lags))
    recurs: dict[int, bool] = {}
    moves: dict[int, bool] = {}
    order = postorder(bodies)
    for n in order:
        recurs[id(n)] = id(n) in carried or any(recurs[id(a)] for a in n.args)
        moves[id(n)] = n is step or any(moves[id(a)] for a in n.args)
    steps: list[Node] = []
    fixed: list[Node] = []
    step_leaves: list[Node] = []
    fixed_leaves: list[Node] = []

    def lift(n: Node) -> Node | None:
        if recurs[id(n)]:
            return None
        if moves[id(n)]:
            (outside,) = transform([n], lambda m: running if m is step else None)
            if time not in outside.axes:  # folded to something that does not move after all
                return lifted(outside, fixed, fixed_leaves)
            leaf = slot("step", n.shape, tuple(a for a in outside.axes if a is not time), n.dtype)
            steps.append(outside)
            step_leaves.append(leaf)
            return leaf
        if n.is_static_scalar or (
            n.is_const and not n.axes and n.value is not None and n.value.size <= INLINE_ELEMENTS
        ):
            return n
        return lifted(n, fixed, fixed_leaves)

    inner = lift_maximal(bodies, recurs, lift)
    spec = ScanSpec(time, tuple(carries), tuple(step_leaves), tuple(fixed_leaves), tuple(inner))
    return make_scan(spec, [*inits, *steps, *fixed])


def lifted(n: Node, outside: list[Node], leaves: list[Node]) -> Node:
    leaf = slot("fixed", n.shape, n.axes, n.dtype)
    outside.append(n)
    leaves.append(leaf)
    return leaf


def lift_maximal(bodies: Sequence[Node], recurs: dict[int, bool], lift: Any) -> list[Node]:
    """Replace the largest subexpressions that do not recur, each once."""
    memo: dict[int, Node] = {}

    def visit(n: Node) -> Node:
        if id(n) not in memo:
            if not recurs[id(n)]:
                outside = lift(n)
                memo[id(n)] = n if outside is None else outside
            else:
                memo[id(n)] = rebuild(n, [visit(a) for a in n.args]) if n.args else n
        return memo[id(n)]

    return [visit(b) for b in bodies]


def initial(array: Recurrence, lag: int, body: Node, needed: bool, span: Span) -> Node:
    """The value before the first step; one that is never read may be anything."""
    place = array.first - lag
    if not needed and not any(p.start <= place < p.start + p.count for p in array.pieces):
        return constant(np.zeros(body.shape))
    value = array.defined(place, span)
    return cast_to(value, "real")
