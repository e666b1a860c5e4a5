"""`observe`: which sites of a variable are fixed, and to what.

In: a program's statements, also those in its loops and under its conditions, and a variable's type. Out: the mask
of the sites that stay free, and the values of the others. All of it is known at compile time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.elaborate.context import Context, PoisonedUse
from compose_lang.compiler.elaborate.declarations.named_values import evaluate_as
from compose_lang.compiler.elaborate.plates import collect_over, open_clauses
from compose_lang.compiler.elaborate.values import as_node, describe, truth
from compose_lang.compiler.ir.build import broadcast_to, constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import ShapeError, broadcast_shapes
from compose_lang.compiler.ir.types import Type
from compose_lang.compiler.sources.convert import violation
from compose_lang.diagnostics import ComposeError, Label, fail
from compose_lang.grammar import ast


@dataclass(frozen=True)
class Observation:
    """An `observe` of a variable and the context it stands in, whose plates are the loops around it."""

    statement: ast.Observe
    context: Context


def observes(statements: Sequence[ast.Statement]) -> Iterator[ast.Observe]:
    """Every `observe` among statements, in their loops and under their conditions."""
    for s in statements:
        if isinstance(s, ast.Observe):
            yield s
        elif isinstance(s, ast.For):
            yield from observes(s.body)
        elif isinstance(s, ast.If):
            yield from observes((*s.then, *s.otherwise))


def observed_name(s: ast.Observe) -> str:
    """The variable that an `observe` is of, "" where it is of something else."""
    base = s.target.base if isinstance(s.target, ast.Index) else s.target
    return base.id if isinstance(base, ast.Name) else ""


def observations(ctx: Context, statements: Sequence[ast.Statement], name: str) -> list[Observation]:
    """What a program's statements observe of a variable, where the program may itself be a factor in a plate."""
    return list(inside(replace(ctx, plates=(), mask=None, guards=()), statements, name))


def inside(ctx: Context, statements: Sequence[ast.Statement], name: str) -> Iterator[Observation]:
    """What the statements of a block observe; a condition around them must be known at compile time."""
    for s in statements:
        if isinstance(s, ast.Observe) and observed_name(s) == name:
            yield Observation(s, ctx)
        elif isinstance(s, ast.For) and mentions([s], name):
            opened = open_clauses(ctx, s.clauses, s.condition, s.span)
            if all(a.size for a in opened.axes):
                yield from inside(with_lets(opened.context, s.body), s.body, name)
        elif isinstance(s, ast.If) and mentions([s], name):
            test = truth(ctx.number(s.test), s.test.span)
            if not test.is_const:
                fail("CG0208", "what is observed must be known at compile time, so must this", s.test.span)
            for branch, holds in ((s.then, test), (s.otherwise, node("not", test))):
                if not holds.is_static_scalar:
                    yield from inside(with_lets(ctx.under(holds), branch), branch, name)
                elif holds.item():
                    yield from inside(with_lets(ctx, branch), branch, name)


def with_lets(ctx: Context, body: Sequence[ast.Statement]) -> Context:
    """The context inside a block, with the values that it names; those of variables come later."""
    inner = ctx.child()
    for s in body:
        if isinstance(s, ast.Let) and not s.indices:
            with suppress(ComposeError, PoisonedUse, ShapeError):
                inner.scope.names[s.name] = inner.evaluate(s.value)
    return inner


def mentions(statements: Sequence[ast.Statement], name: str) -> bool:
    return any(observed_name(s) == name for s in observes(statements))


def clamp(seen: Sequence[Observation], name: str, type: Type) -> tuple[np.ndarray, np.ndarray]:
    """(free, values) of a variable: a mask of its shape, and (*shape, *event), 0 where free."""
    free = np.ones(type.sites, dtype=bool)
    values = np.zeros(type.full_shape, dtype=np.int64 if type.domain.is_discrete else np.float64)
    places_before: list[np.ndarray] = []
    for observation in seen:
        places, array = fixed(observation, name, type)
        target = observation.statement.target.span
        if not free[places].all() or len(np.unique(places)) < len(places):
            before = [
                b for b, theirs in zip(seen, places_before, strict=False) if np.isin(places, theirs).any()
            ]
            labels = tuple(Label(b.statement.target.span, "observed here first") for b in before[:1])
            fail("CG0202", f"`{target.text}` is observed twice", target, labels=labels)
        free[places] = False
        values.reshape((type.sites, *type.domain.event_shape))[places] = array
        places_before.append(places)
    return free.reshape(type.shape), values


def fixed(observation: Observation, name: str, type: Type) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the sites that an `observe` fixes, and their values: (n,) and (n, *event)."""
    o, ctx = observation.statement, observation.context
    event = type.domain.event_shape
    sites = constant(np.arange(type.sites).reshape(type.shape), dtype="int")
    if isinstance(o.target, ast.Index) and len(o.target.items) > len(type.shape) and event:
        fail("CG0204", f"a {type.domain.kind} is observed as a whole", o.target.span)
    inner = ctx.child(**{name: sites})
    chosen = sites if isinstance(o.target, ast.Name) else inner.number(o.target)
    if chosen.value is None or not set(chosen.axes) <= set(ctx.plates):
        fail("CG0208", "what is observed must be known at compile time", o.target.span)
    value = as_node(evaluate_as(ctx, o.value, type.domain), o.value.span)
    if value.value is None or not set(value.axes) <= set(ctx.plates):
        fail("CG0208", "an observed value must be known at compile time", o.value.span)
    wanted = chosen.shape + event
    try:
        fits = broadcast_shapes(value.shape, wanted) == wanted
    except ShapeError:
        fits = False
    if not fits:
        text = f"shapes do not match: {o.target.span.text} is {list(wanted)}, observed is {describe(value)}"
        there = (Label(o.target.span, str(list(wanted))),)
        fail("CG0203", text, o.value.span, labels=there, label=describe(value))
    array, places = over_loops(ctx, value, wanted), over_loops(ctx, chosen, chosen.shape)
    if ctx.mask is not None:
        kept = over_loops(ctx, ctx.mask, ())
        places, array = places[kept], array[kept]
    array = array.reshape((-1, *event))
    wrong = violation(np.asarray(array, dtype=np.float64), type.domain)
    if wrong is not None:
        fail("CG0504", f"the observed value breaks its type: {wrong[1]}", o.value.span)
    return places.reshape(-1), array


def over_loops(ctx: Context, x: Node, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a node in every instance of the loops around it; shape is that of one."""
    x = collect_over(broadcast_to(x, shape), ctx.plates)
    assert x.value is not None
    return np.broadcast_to(x.value, (*(a.size for a in ctx.plates), *shape))
