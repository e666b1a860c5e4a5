"""A program's syntax tree, with its data, as a factor graph.

In: an `ast.Module` whose names resolve, and data from outside. Out: a `FactorGraph`; all errors found are raised
together. Before it stands `resolve` (names), after it `verify` and the planner.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.elaborate import bodies, joint_training, rules, statements, variables  # noqa: F401 - rules register
from compose_lang.compiler.elaborate.context import Context, Session
from compose_lang.compiler.elaborate.declarations import bind_data
from compose_lang.compiler.elaborate.declarations.declared_types import declared_with_values
from compose_lang.compiler.elaborate.declarations.named_values import evaluate_as
from compose_lang.compiler.elaborate.declarations.observations import observes
from compose_lang.compiler.elaborate.elaboration import Elaboration
from compose_lang.compiler.elaborate.inference import infer
from compose_lang.compiler.elaborate.learned import nets, param_fits
from compose_lang.compiler.elaborate.learned.declarations import part_of
from compose_lang.compiler.elaborate.programs import use
from compose_lang.compiler.elaborate.standard_library import (
    builtin_scope,
)
from compose_lang.compiler.elaborate.values import (
    DeclaredFactor,
    DeclaredType,
    NamedType,
    SymbolTable,
    describe,
)
from compose_lang.compiler.graph.factor_graph import (
    DrawnStatements,
    FactorGraph,
    FactorGroup,
    LocationScales,
    Term,
)
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.diagnostics import (
    InternalError,
    Label,
    Span,
    fail,  # fmt: skip
)
from compose_lang.grammar import ast


def elaborate(module: ast.Module, session: Session) -> FactorGraph:
    """The factor graph of a program as it is written, before any pass."""
    terms: list[Term] = []
    scope = SymbolTable(builtin_scope())
    program = Elaboration(module, Context(scope, session, terms.append, session.interpretation.plates))
    program.check_settings()
    program.run()
    graph = FactorGraph(
        tuple(session.variables.values()),
        tuple(FactorGroup.of(t) for t in terms),
        tuple(program.derived),
        tuple(program.requests),
        {s.name: scope.names[s.name] for s in program.data if isinstance(scope.names[s.name], Node)},
    )
    graph = graph.with_fact(DrawnStatements(tuple(session.drawn)))
    return graph.with_fact(LocationScales(tuple(session.location_scales)))


# --- declarations ---


def _type(program: Elaboration, s: ast.TypeDecl) -> None:
    program.scope.names[s.name] = NamedType(declared_with_values(program.ctx, s.type).type)


def _const(program: Elaboration, s: ast.Const) -> None:
    declared = declared_with_values(program.ctx, s.type) if s.type is not None else None
    value, span = value_of_const(program, s, declared)
    if isinstance(value, Node) and (value.value is None or value.axes):
        fail("CG0208", f"a const must be known at compile time: this is {describe(value)}", span)
    if declared is not None and isinstance(value, Node) and value.value is not None:
        value = bind_data.as_constant(
            bind_data.bind_data(value.value, declared.type, s.name, span, f"the value of {s.name}"),
            declared.type,
        )
    program.scope.names[s.name] = value


def value_of_const(program: Elaboration, s: ast.Const, declared: DeclaredType | None) -> tuple[Any, Span]:
    if s.name in program.given:
        return program.given[s.name]
    if s.name in program.session.constants:
        value = program.session.constants[s.name]
        return (value if isinstance(value, str) else constant(value)), s.span
    if s.value is None:
        help = f"give it one: --set {s.name}=…"
        fail("CG0301", f"const `{s.name}` has no value", s.span, help=help)
    domain = declared.type.domain if declared is not None else None
    return evaluate_as(program.ctx, s.value, domain), s.value.span


def _data(program: Elaboration, s: ast.Data) -> None:
    declared = declared_with_values(program.ctx, s.type)
    if s.name in program.given:
        program.scope.names[s.name] = program.argument(s, declared)
        return
    value = bind_data.bind(program.ctx, s, declared)
    if isinstance(value, Node):
        value = program.session.interpretation.datum(program.ctx, s.name, value, declared.type.domain, s.span)
    program.scope.names[s.name] = value
    program.data.append(s)


def _param(program: Elaboration, s: ast.Param) -> None:
    start, declared = start_of_param(program, s)
    fitted = program.call is None and param_fits.is_fitted(program.module, s.name)
    if fitted and s.name in program.session.params:
        start = program.session.params[s.name]
    elif fitted and (
        leaf := program.session.interpretation.param(program.ctx, s.name, declared, start, s.span)
    ):
        program.scope.names[s.name] = leaf
        return
    elif program.call is None and joint_training.is_fitted(program.module, s.name):
        program.scope.names[s.name] = nets.param(program.ctx, s, declared, start)
        return
    elif start is None:
        help = f"give it one, or fit it: learn {s.name} by {param_fits.METHOD}()"
        fail("CG0607", f"the param `{s.name}` has no value, and nothing fits it", s.span, help=help)
    program.scope.names[s.name] = bind_data.as_constant(start, declared.type)


def start_of_param(program: Elaboration, s: ast.Param) -> tuple[np.ndarray | None, DeclaredType]:
    """The value that a param is declared with, and its type."""
    value = None
    if s.value is not None:
        value = program.ctx.number(s.value)
        if value.value is None or value.axes:
            fail("CG0208", "a param's value must be known before it is fitted", s.value.span)
    if s.type is None:
        if value is None or value.value is None:
            help = f"give it one of them: param {s.name}: positive, or param {s.name} = 1.0"
            fail("CG0204", f"the param `{s.name}` has neither a type nor a value", s.span, help=help)
        declared = DeclaredType(Type(value.domain or REAL, value.shape))
        return value.value, declared
    declared = declared_with_values(program.ctx, s.type)
    if declared.type.domain.is_discrete and param_fits.is_fitted(program.module, s.name):
        text = f"{param_fits.METHOD} follows gradients, and the param `{s.name}` is {declared.type}"
        fail("CG0607", text, s.type.span, help="a discrete unknown is a variable: var n: int(0, 9)")
    if value is None:
        return None, declared
    assert value.value is not None and s.value is not None
    array = bind_data.bind_data(value.value, declared.type, s.name, s.value.span, f"the value of {s.name}")
    return array, declared


def _var(program: Elaboration, s: ast.Var) -> None:
    program.variables.add(s.name)
    if s.name in program.given:
        program.subject(s)
    else:
        variables.declare(program.ctx, s, program.observing)


def _observe(program: Elaboration, s: ast.Observe) -> None:
    base = s.target.base if isinstance(s.target, ast.Index) else s.target
    if not isinstance(base, ast.Name):
        fail("CG0204", "observe takes a variable, an element or a slice", s.target.span)
    if base.id in program.given:
        text = f"`{base.id}` is observed in {s.span.source.name}, so it is no subject of the program"
        assert program.call is not None
        fail("CG0202", text, program.given[base.id][1], labels=(Label(s.span, "observed here"),))
    if base.id not in program.variables:
        known = program.ctx.lookup(base.id, base.span)
        is_data = any(d.name == base.id for d in program.data)
        what = "data" if is_data else "a value" if isinstance(known, Node) else describe(known)
        help = f"`{base.id} ~ F(…)` states what it follows" if isinstance(known, Node) else ""
        text = f"only a variable can be observed: `{base.id}` is {what}"
        fail("CG0204", text, base.span, help=help)


# --- statements of the top level ---


def _let(program: Elaboration, s: ast.Let) -> None:
    if s.indices:
        for name, value in program.pending.define(program.ctx, s, [s]).items():
            program.record(name, value, s)
        return
    value = program.ctx.evaluate(s.value)
    if isinstance(value, Node) and set(value.axes) - set(program.ctx.plates):
        raise InternalError(f"{s.name} varies over a plate outside it")
    program.scope.names[s.name] = value
    program.record(s.name, value, s)


def _for(program: Elaboration, s: ast.For) -> None:
    if bodies.is_recurrence(s):
        lets = bodies.shared_clauses(s)
        for name, value in program.pending.define(program.ctx, s, lets).items():
            program.record(name, value, s)
        return
    for o in observes(s.body):
        _observe(program, o)
    bodies.run_statement(program.ctx, s, program.pending)


def _if(program: Elaboration, s: ast.If) -> None:
    """On a constant, the chosen branch stands in the program's place: it may declare."""
    test = statements.condition_of(program.ctx, s.test)
    if test.is_static_scalar:
        chosen = s.then if test.item() else s.otherwise
        program.pending.expect(chosen)
        for inner in chosen:
            program.attempt(inner)
        return
    bodies.run_statement(program.ctx, s, program.pending)


def _nothing(program: Elaboration, s: ast.Statement) -> None:
    """Functions were declared before."""


def _factor(program: Elaboration, s: ast.FactorDecl) -> None:
    """Factors were declared before; what is learned is held to its data or file, also if nothing applies it."""
    factor = program.scope.names.get(s.name)
    if program.call is None and isinstance(factor, DeclaredFactor) and factor.is_learned:
        part_of(factor, program.ctx)


def _learn(program: Elaboration, s: ast.Learn) -> None:
    if program.call is not None:
        return  # how a program is fitted by itself is no part of its density
    if any(isinstance(t, ast.Call) for t in s.targets):
        joint_training.fit_together(program.ctx, s)
    else:
        param_fits.note(
            program.ctx, s, {p.name: p for p in program.module.statements if isinstance(p, ast.Param)}
        )


Elaboration.RULES.update(
    {
        ast.Use: use,
        ast.TypeDecl: _type,
        ast.Const: _const,
        ast.Data: _data,
        ast.Param: _param,
        ast.Var: _var,
        ast.Let: _let,
        ast.Fn: _nothing,
        ast.FactorDecl: _factor,
        ast.Observe: _observe,
        ast.For: _for,
        ast.If: _if,
        ast.Infer: infer,
        ast.Learn: _learn,
    }
)
