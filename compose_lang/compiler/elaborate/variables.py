"""Declaring variables: `var x: T` at the top of a program, or inside a factor, where each instance has its own.

A factor's own variable is one array with a leading axis per plate around the factor, recorded under the names of
the applications that lead to it. Where the factor may not count (under a gate, or as a part that a mixture does
not choose) the variable must still sum out to 1, or the gate's weight would change: it then keeps a density of its
own whatever happens, which cancels where the factor counts. That is the pseudo-prior of Carlin and Chib (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import NoReturn

import numpy as np

from compose_lang.compiler.elaborate import statements
from compose_lang.compiler.elaborate.context import Context, rule
from compose_lang.compiler.elaborate.declarations.declared_types import declared_with_values
from compose_lang.compiler.elaborate.declarations.observations import clamp, observations
from compose_lang.compiler.elaborate.factors import algebra
from compose_lang.compiler.elaborate.factors.values import as_factor
from compose_lang.compiler.elaborate.plates import collect_over
from compose_lang.compiler.elaborate.values import DeclaredType
from compose_lang.compiler.graph.factor_graph import Term, Variable
from compose_lang.compiler.ir.build import (
    along,
    broadcast_to,
    cast_to,
    constant,
    gather,
    node,
    require_room,
    variable,
)
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Domain, Type, log_volume
from compose_lang.compiler.names.symbols import names_in
from compose_lang.diagnostics import Label, Span, fail
from compose_lang.grammar import ast

MAX_SITES = 10**8


@rule(ast.Var)
def declare(ctx: Context, s: ast.Var, observing: Sequence[ast.Statement] = ()) -> None:
    """Declare a variable, with what these statements observe of it, and state the factor written with it."""
    if ctx.weighed_by:
        text = f"a factor with its own `var`s cannot stand in {ctx.weighed_by}: its weight is an integral over them"
        help = "products and mixtures can hold such factors"
        fail("CG0410", text, ctx.calls[0], help=help, labels=(Label(s.span, "its own variable"),))
    declared = declared_with_values(ctx, s.type)
    check_kind(declared.type, s)
    new = variable_in(ctx, s, declared, observing)
    ctx.session.variables[new.name] = new
    value = gather(new.node, [along(a) for a in ctx.plates])
    ctx.scope.names[s.name] = value
    if ctx.is_choice or any(not g.is_const for g in ctx.guards):
        state_prior(ctx, s, declared, value)
    elif s.factor is not None:
        statements.apply_to(ctx, [value], s.factor, declared_span(s))


def declared_span(s: ast.Var) -> Span:
    """`var x: T` of a declaration: its subject, without the factor."""
    return s.span if s.factor is None else Span(s.span.source, s.span.start, s.type.span.end)


def check_kind(type: Type, s: ast.Var) -> None:
    if any(n < 0 for n in type.shape):
        fail("CG0208", "the shape of a variable must be known: `_` is for data", s.type.span)
    if type.domain.kind == "text":
        fail("CG0204", "a variable cannot be text", s.type.span)


def variable_in(
    ctx: Context, s: ast.Var, declared: DeclaredType, observing: Sequence[ast.Statement]
) -> Variable:
    """The array over all instances of the plates around a declaration."""
    name = ".".join((*ctx.path, s.name))
    domain = declared.type.domain
    type = declared.type.with_shape((*(a.size for a in ctx.plates), *declared.type.shape))
    if type.sites > MAX_SITES:
        fail(
            "CG0801",
            f"`{name}` has {type.sites:.3g} sites, more than the limit of {MAX_SITES:.0e}",
            s.type.span,
        )
    require_room(type.full_shape)
    dtype = "real" if not domain.is_discrete else "bool" if domain.kind == "bool" else "int"
    free, values = clamp(observations(ctx, observing, s.name), s.name, declared.type)
    present = instances(ctx)
    if present is not None or ctx.plates:
        wide = (1,) * len(declared.type.shape)
        exists = np.ones(1, dtype=bool) if present is None else present.reshape((*present.shape, *wide))
        free = np.broadcast_to(free & exists, type.shape).copy()
        inside = exists.reshape((*exists.shape, *(1,) * len(domain.event_shape)))
        values = np.broadcast_to(np.where(inside, values, some_value(domain)), type.full_shape).copy()
    leaf = variable(name, type.full_shape, dtype, domain)  # type: ignore[arg-type]
    if not free.any() and type.sites:
        leaf = constant(values, dtype=dtype, domain=domain)  # type: ignore[arg-type]
    lower, upper = (over_plates(ctx, b, declared.type.shape) for b in (declared.lower, declared.upper))
    return Variable(name, type, leaf, free, values, s.span, lower, upper)


def instances(ctx: Context) -> np.ndarray | None:
    """Which instances of the plates count, where filters known at compile time leave some out; (*plates,)."""
    known = [g for g in ctx.guards if g.is_const]
    if not known:
        return None
    kept = over_plates(ctx, reduce(lambda a, b: node("and", a, b), known), ())
    assert kept is not None and kept.value is not None
    return kept.value


def over_plates(ctx: Context, x: Node | None, shape: tuple[int, ...]) -> Node | None:
    """What varies over the plates as an array of them; shape is that of one instance."""
    if x is None or not ctx.plates:
        return x
    return collect_over(broadcast_to(x, shape), ctx.plates)


def some_value(domain: Domain) -> np.ndarray:
    """A value of a domain, for sites that do not exist."""
    k = domain.size
    match domain.kind:
        case "simplex":
            return np.full(k, 1 / k)
        case "ordered" | "positive_ordered":
            return np.arange(1.0, k + 1)
        case "permutation":
            return np.arange(k)
        case "unit_vector":
            return np.eye(k)[0]
        case "cholesky_corr":
            return np.eye(k)
        case "spin":
            return np.array(1)
    low, high = domain.lower, domain.upper
    if math.isfinite(low) and math.isfinite(high):
        return np.array(low if domain.is_discrete else (low + high) / 2)
    return np.array(low + 1 if math.isfinite(low) else high - 1 if math.isfinite(high) else 0)


# --- variables of factors that may not count ------------------------------------------------------------


def state_prior(ctx: Context, s: ast.Var, declared: DeclaredType, value: Node) -> None:
    """State a variable's factor where the factor it belongs to may not count: a density of it always counts."""
    gates = [g for g in ctx.guards if not g.is_const]
    known = [g for g in ctx.guards if g.is_const]
    always = replace(
        ctx, guards=tuple(known), mask=reduce(lambda a, b: node("and", a, b), known) if known else None
    )
    own = as_factor(ctx.evaluate(s.factor)) if s.factor is not None else None
    if own is None or s.factor is None or not own.normalised:
        resting = resting_energy(s, declared, value)
        emit_prior(always, resting, s.span)
        statements.add_term(ctx, node("neg", resting), "factor", s.name, s.span)
        if s.factor is not None:
            statements.apply_to(ctx, [value], s.factor, s.span)
        return
    mentioned = [ctx.lookup(n, s.span) for n in set(names_in(s.factor)) if n != s.name]
    reads = frozenset().union(*(m.variables for m in mentioned if isinstance(m, Node)))
    risky = [g for g in gates if g.variables & reads]  # where these fail, its inputs may have no meaning
    energy = algebra.total(own, replace(always, guards=(*known, *risky)), [value], s.span)
    if risky:
        holds = reduce(lambda a, b: node("and", a, b), risky)
        energy = node("where", holds, energy, resting_energy(s, declared, value))
    emit_prior(always, energy, s.span)


def emit_prior(ctx: Context, energy: Node, span: Span) -> None:
    if ctx.mask is not None:
        energy = node("where", ctx.mask, energy, constant(0.0))
    ctx.emit(
        Term(energy, ctx.plates, "factor", span.text.split(":")[0].removeprefix("var "), span, is_prior=True)
    )


def resting_energy(s: ast.Var, declared: DeclaredType, value: Node) -> Node:
    """The energy of a simple density over a type: uniform where that exists, else of about unit scale."""
    domain, shape = declared.type.domain, declared.type.shape
    if declared.lower is not None or declared.upper is not None:
        energies = resting_bounded(s, declared, value)
    elif (volume := log_volume(domain)) is not None:
        return constant(volume * math.prod(shape))
    else:
        energies = resting_unbounded(s, domain, value)
    flat = node("reshape", broadcast_to(energies, shape), attrs=((math.prod(shape),),))
    return node("sum", flat, attrs=(-1,))


def resting_bounded(s: ast.Var, declared: DeclaredType, value: Node) -> Node:
    """With bounds that depend on other variables: uniform between two, exponential beyond one."""
    lower = declared.lower if declared.lower is not None else finite(declared.type.domain.lower)
    upper = declared.upper if declared.upper is not None else finite(declared.type.domain.upper)
    if lower is not None and upper is not None:
        return node("log", node("sub", upper, lower))
    if lower is not None:
        return node("sub", value, lower)
    if upper is not None:
        return node("sub", upper, value)
    unknown_resting(s)


def finite(bound: float) -> Node | None:
    return constant(bound) if math.isfinite(bound) else None


def resting_unbounded(s: ast.Var, domain: Domain, value: Node) -> Node:
    x = cast_to(value, "real")
    if domain.kind == "real":
        if math.isfinite(domain.lower):
            return node("sub", x, constant(domain.lower))
        if math.isfinite(domain.upper):
            return node("sub", constant(domain.upper), x)
        half = node("mul", constant(0.5), node("mul", x, x))
        return node("add", half, constant(0.5 * math.log(2 * math.pi)))
    if domain.kind == "int":
        if math.isfinite(domain.lower):
            steps = node("sub", x, constant(domain.lower - 1))
        elif math.isfinite(domain.upper):
            steps = node("sub", constant(domain.upper + 1), x)
        else:
            return node("add", node("mul", constant(math.log(2)), node("abs", x)), constant(math.log(3)))
        return node("mul", constant(math.log(2)), steps)
    unknown_resting(s)


def unknown_resting(s: ast.Var) -> NoReturn:
    text = f"`{s.name}` has no density of its own, and the factor it belongs to does not always count"
    fail(
        "CG0410", text, s.span, help=f"give it one where it is declared: var {s.name}: {s.type.span.text} ~ …"
    )
