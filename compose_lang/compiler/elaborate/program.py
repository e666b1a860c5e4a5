"""A program's syntax tree, with its data, as a factor graph.

In: an `ast.Module` whose names resolve, and data from outside. Out: a `FactorGraph`; all errors found are raised
together. Before it stands `resolve` (names), after it `verify` and the planner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from compose_lang.compiler.analyses.properness import check_proper
from compose_lang.compiler.elaborate import statements
from compose_lang.compiler.elaborate.context import (
    Context,
    Poisoned,
    PoisonedUse,
    Session,
    SymbolTable,
)
from compose_lang.compiler.elaborate.declarations import bind_data, variables
from compose_lang.compiler.elaborate.declarations.declared_types import (
    DeclaredType,
    declared_with_values,
)
from compose_lang.compiler.elaborate.declarations.observations import observes
from compose_lang.compiler.elaborate.expressions import evaluate
from compose_lang.compiler.elaborate.expressions.named_values import evaluate_as
from compose_lang.compiler.elaborate.factors.application import Call, DeclaredFactor
from compose_lang.compiler.elaborate.factors.proposals import proposal
from compose_lang.compiler.elaborate.learned import joint_training
from compose_lang.compiler.elaborate.learned.declarations import is_learned, part_of
from compose_lang.compiler.elaborate.standard_library import (
    builtin_scope,
    library_module,
    library_modules,
)
from compose_lang.compiler.elaborate.values import (
    Function,
    NamedType,
    Namespace,
    as_node,
    describe,
)
from compose_lang.compiler.graph.factor_graph import Derived, FactorGraph, FactorGroup, Request, Term
from compose_lang.compiler.ir.build import constant, node, postorder, require_room
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import ShapeError
from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.compiler.likelihood import fitting
from compose_lang.compiler.likelihood.likelihood import Likelihood, without_params
from compose_lang.compiler.names.symbols import declarations, name_span
from compose_lang.compiler.rewrites.filter_domains import filter_domains
from compose_lang.compiler.rewrites.integer_bounds import discrete_bounds
from compose_lang.compiler.rewrites.noncentre import offsets
from compose_lang.compiler.rewrites.tighten_bounds import tighten_bounds
from compose_lang.diagnostics import (
    ComposeError,
    Diagnostic,
    InternalError,
    Label,
    Span,
    did_you_mean,
    fail,  # fmt: skip
)
from compose_lang.grammar import ast


def elaborate(module: ast.Module, session: Session) -> FactorGraph:
    """The factor graph of a program."""
    terms: list[Term] = []
    scope = SymbolTable(builtin_scope())
    plates = session.reading.plates if session.reading is not None else ()
    program = Elaboration(module, Context(scope, session, terms.append, plates))
    program.check_settings()
    program.run()
    graph = FactorGraph(
        tuple(session.variables.values()),
        tuple(FactorGroup.of(t) for t in terms),
        tuple(program.derived),
        tuple(program.requests),
        {s.name: scope.names[s.name] for s in program.data if isinstance(scope.names[s.name], Node)},
    )
    if not session.unknown:  # what a wrong name should have touched is not improper
        check_proper(without_params(graph, session.reading))
    for n in postorder([g.energy for g in graph.groups] + [d.node for d in graph.derived]):
        require_room(n.shape, n.axes)
    graph = filter_domains(tighten_bounds(discrete_bounds(graph)))
    return replace(graph, offsets=offsets(graph, session.stated))


class Elaboration:
    """The state of one elaboration of a program: what has been declared and stated so far.

    call: the application that binds the program's subjects and inputs, where it is a factor of another one.
    """

    def __init__(self, module: ast.Module, ctx: Context, call: Call | None = None) -> None:
        self.module = module = without_repeats(module)
        self.ctx = ctx
        self.session = ctx.session
        self.scope = ctx.scope
        self.call = call
        self.given = call.arguments if call is not None else {}
        self.supported: Node | None = (
            None  #: where the subjects given lie in their declared types; None: always
        )
        self.variables: set[str] = set()
        self.data: list[ast.Data] = []
        self.derived: list[Derived] = []
        self.requests: list[Request] = []
        self.directed: dict[str, Span] = {}
        self.pending = statements.PendingArrays(module.statements)
        is_unclamped = self.session.reading is not None and self.session.reading.is_unclamped
        self.observing = [s for s in module.statements if any(observes([s])) and not is_unclamped]
        self.found: list[Diagnostic] = []
        self.exit_code = 1

    def run(self) -> None:
        """Elaborate all statements; what they state goes to the context. Raises every error found."""
        for s in self.module.statements:
            if isinstance(s, ast.FactorDecl):
                self.scope.names[s.name] = DeclaredFactor(s, self.scope)
            elif isinstance(s, ast.Fn):
                self.scope.names[s.name] = Function(s, self.scope)
        early = (ast.Use, ast.TypeDecl, ast.Const, ast.Data, ast.Param)
        ordered: list[ast.Statement] = [s for s in self.module.statements if isinstance(s, early)]
        ordered += [
            s for s in self.module.statements if isinstance(s, ast.Learn)
        ]  # before what it fits is used
        ordered += [s for s in self.module.statements if not isinstance(s, (*early, ast.Learn, ast.Infer))]
        ordered += [
            s for s in self.module.statements if isinstance(s, ast.Infer)
        ]  # of all variables, factors' too
        self.session.later.update(
            {s.name: s.span for s in self.module.statements if isinstance(s, ast.Var | ast.Let)}
        )
        for statement in ordered:
            self.attempt(statement)
        if self.found:
            raise ComposeError(self.found, self.exit_code)

    def attempt(self, statement: ast.Statement) -> None:
        """Elaborate one statement; an error poisons what it declares and does not hide the next."""
        try:
            self.statement(statement)
        except ComposeError as wrong:
            placed = [d if d.span else replace(d, span=statement.span) for d in wrong.diagnostics]
            self.found.extend(d for d in placed if d not in self.found)
            self.exit_code = max(self.exit_code, wrong.exit_code)
        except PoisonedUse:
            pass
        except ShapeError as wrong:
            shapes = " against ".join(str(list(s)) for s in wrong.shapes)
            self.found.append(Diagnostic("CG0203", f"{wrong}: {shapes}", statement.span))
        except MemoryError:
            self.found.append(Diagnostic("CG0801", "this does not fit into memory", statement.span))
            self.exit_code = 5
        except RecursionError:
            self.found.append(Diagnostic("CG0104", "this is nested too deeply", statement.span))
        else:
            return
        self.scope.names.update(dict.fromkeys(statements.lost(statement, self.scope), Poisoned()))

    def statement(self, s: ast.Statement) -> None:
        rule = self._RULES.get(type(s))
        if rule is not None:
            rule(self, s)
            return
        statements.run_statement(self.ctx, s, self.pending)

    def check_settings(self) -> None:
        """Names given from outside must be declared."""
        consts = [s.name for s in self.module.statements if isinstance(s, ast.Const)]
        for name in self.session.constants:
            if name not in consts:
                help = did_you_mean(name, consts) or f"the program's constants: {', '.join(consts) or 'none'}"
                self.found.append(Diagnostic("CG0307", f"there is no `const {name}` to set", None, help=help))

    # --- declarations ---

    def _use(self, s: ast.Use) -> None:
        if s.is_file:
            from compose_lang.compiler.elaborate.programs import use_program

            self.scope.names.update(use_program(self.ctx, s))
            return
        root, _, name = s.module.partition(".")
        module = library_module(name) if root == "std" else None
        if module is None:
            known = [f"std.{m}" for m in library_modules() if library_module(m) is not None]
            help = did_you_mean(s.module, known) or f"there are {', '.join(known)}"
            if root == "std" and name in library_modules():
                help = f"what `{s.module}` declares is in scope everywhere: leave the line out"
            if s.module.endswith(".cg"):
                help = f'a file stands in quotes: `use "{s.module}" as {s.alias or "part"}`'
            fail("CG0201", f"unknown module `{s.module}`", name_span(s, s.module), help=help)
        if s.names is None:
            self.scope.names[s.alias or name] = Namespace(s.module, module)
            if s.alias is None:
                for each in module.parts:
                    self.scope.names.setdefault(each, module.find(each))
            return
        for each in s.names:
            if each not in module.parts:
                help = did_you_mean(each, module.parts) or f"it has {', '.join(sorted(module.parts))}"
                fail("CG0201", f"`{s.module}` has no `{each}`", name_span(s, each), help=help)
            self.scope.names[each] = module.find(each)

    def _type(self, s: ast.TypeDecl) -> None:
        self.scope.names[s.name] = NamedType(declared_with_values(self.ctx, s.type).type)

    def _const(self, s: ast.Const) -> None:
        declared = declared_with_values(self.ctx, s.type) if s.type is not None else None
        value, span = self.value_of_const(s, declared)
        if isinstance(value, Node) and (value.value is None or value.axes):
            fail("CG0208", f"a const must be known at compile time: this is {describe(value)}", span)
        if declared is not None and isinstance(value, Node) and value.value is not None:
            value = bind_data.as_constant(
                bind_data.bind_data(value.value, declared.type, s.name, span, f"the value of {s.name}"),
                declared.type,
            )
        self.scope.names[s.name] = value

    def value_of_const(self, s: ast.Const, declared: DeclaredType | None) -> tuple[Any, Span]:
        if s.name in self.given:
            return self.given[s.name]
        if s.name in self.session.constants:
            value = self.session.constants[s.name]
            return (value if isinstance(value, str) else constant(value)), s.span
        if s.value is None:
            help = f"give it one: --set {s.name}=…"
            fail("CG0301", f"const `{s.name}` has no value", s.span, help=help)
        domain = declared.type.domain if declared is not None else None
        return evaluate_as(self.ctx, s.value, domain), s.value.span

    def _data(self, s: ast.Data) -> None:
        declared = declared_with_values(self.ctx, s.type)
        if s.name in self.given:
            self.scope.names[s.name] = self.argument(s, declared)
            return
        value = bind_data.bind(self.ctx, s, declared)
        if self.session.reading is not None and isinstance(value, Node):
            value = self.session.reading.datum(self.ctx, s.name, value, declared.type.domain, s.span)
        self.scope.names[s.name] = value
        self.data.append(s)

    def _param(self, s: ast.Param) -> None:
        start, declared = self.start_of_param(s)
        reading, fitted = self.session.reading, self.call is None and fitting.is_fitted(self.module, s.name)
        if fitted and s.name in self.session.params:
            start = self.session.params[s.name]
        elif fitted and isinstance(reading, Likelihood):
            self.scope.names[s.name] = reading.param(self.ctx, s.name, declared, start, s.span)
            return
        elif self.call is None and joint_training.is_fitted(self.module, s.name):
            self.scope.names[s.name] = joint_training.param(self.ctx, s, declared, start)
            return
        elif start is None:
            help = f"give it one, or fit it: learn {s.name} by {fitting.METHOD}()"
            fail("CG0607", f"the param `{s.name}` has no value, and nothing fits it", s.span, help=help)
        self.scope.names[s.name] = bind_data.as_constant(start, declared.type)

    def start_of_param(self, s: ast.Param) -> tuple[np.ndarray | None, DeclaredType]:
        """The value that a param is declared with, and its type."""
        value = None
        if s.value is not None:
            value = as_node(evaluate.evaluate(self.ctx, s.value), s.value.span)
            if value.value is None or value.axes:
                fail("CG0208", "a param's value must be known before it is fitted", s.value.span)
        if s.type is None:
            if value is None or value.value is None:
                help = f"give it one of them: param {s.name}: positive, or param {s.name} = 1.0"
                fail("CG0204", f"the param `{s.name}` has neither a type nor a value", s.span, help=help)
            declared = DeclaredType(Type(value.domain or REAL, value.shape))
            return value.value, declared
        declared = declared_with_values(self.ctx, s.type)
        if declared.type.domain.is_discrete and fitting.is_fitted(self.module, s.name):
            text = f"{fitting.METHOD} follows gradients, and the param `{s.name}` is {declared.type}"
            fail("CG0607", text, s.type.span, help="a discrete unknown is a variable: var n: int(0, 9)")
        if value is None:
            return None, declared
        assert value.value is not None and s.value is not None
        array = bind_data.bind_data(
            value.value, declared.type, s.name, s.value.span, f"the value of {s.name}"
        )
        return array, declared

    def _var(self, s: ast.Var) -> None:
        self.variables.add(s.name)
        if s.name in self.given:
            self.subject(s)
        else:
            variables.declare(self.ctx, s, self.observing)

    def _observe(self, s: ast.Observe) -> None:
        base = s.target.base if isinstance(s.target, ast.Index) else s.target
        if not isinstance(base, ast.Name):
            fail("CG0204", "observe takes a variable, an element or a slice", s.target.span)
        if base.id in self.given:
            text = f"`{base.id}` is observed in {s.span.source.name}, so it is no subject of the program"
            assert self.call is not None
            fail("CG0202", text, self.given[base.id][1], labels=(Label(s.span, "observed here"),))
        if base.id not in self.variables:
            known = self.ctx.lookup(base.id, base.span)
            is_data = any(d.name == base.id for d in self.data)
            what = "data" if is_data else "a value" if isinstance(known, Node) else describe(known)
            help = f"`{base.id} ~ F(…)` states what it follows" if isinstance(known, Node) else ""
            text = f"only a variable can be observed: `{base.id}` is {what}"
            fail("CG0204", text, base.span, help=help)

    # --- a program as a factor: what its application gives ---

    def argument(self, s: ast.Data, declared: DeclaredType) -> Any:
        """The value given for a `data` declaration, as its type says."""
        assert self.call is not None
        value, span = self.given[s.name]
        what = f"`{s.name}` of `{self.call.name}`"
        if not isinstance(value, Node):
            return value
        if value.value is not None and not value.axes:
            array = bind_data.bind_data(value.value, declared.type, s.name, span, what)
            return bind_data.as_constant(array, declared.type)
        self.check_shape(value, declared, what, s, span)
        self.call.admits(value, declared.type.domain, s.name, span, is_subject=False)
        return value

    def subject(self, s: ast.Var) -> None:
        """A `var` that stands for what the program is applied to; outside its type the program's weight is 0."""
        assert self.call is not None
        value, span = self.given[s.name]
        value = as_node(value, span)
        declared = declared_with_values(self.ctx, s.type)
        self.check_shape(value, declared, f"the subject `{s.name}` of `{self.call.name}`", s, span)
        holds = [self.call.admits(value, declared.type.domain, s.name, span, is_subject=True)]
        for op, bound in (("ge", declared.lower), ("le", declared.upper)):
            if bound is not None:
                inside = node(op, value, bound)
                for _ in inside.shape:
                    inside = node("all", inside, attrs=(-1,))
                holds.append(inside)
        for test in holds:
            if test is not None:
                self.supported = test if self.supported is None else node("and", self.supported, test)
                self.ctx = self.ctx.under(test)
        self.scope.names[s.name] = value
        if s.factor is not None:
            statements.apply_to(self.ctx, [value], s.factor, s.span)

    def check_shape(
        self, value: Node, declared: DeclaredType, what: str, s: ast.Declaration, span: Span
    ) -> None:
        wanted = declared.type.full_shape
        fits = len(wanted) == len(value.shape) and all(
            n in (-1, m) for n, m in zip(wanted, value.shape, strict=True)
        )
        if not fits:
            text = f"shapes do not match: {what} is {declared.type}, given {describe(value)}"
            fail("CG0203", text, span, labels=(Label(s.span, "declared here"),))

    # --- statements of the top level ---

    def _let(self, s: ast.Let) -> None:
        if s.indices:
            for name, value in self.pending.define(self.ctx, s, [s]).items():
                self.record(name, value, s)
            return
        value = evaluate.evaluate(self.ctx, s.value)
        if isinstance(value, Node) and set(value.axes) - set(self.ctx.plates):
            raise InternalError(f"{s.name} varies over a plate outside it")
        self.scope.names[s.name] = value
        self.record(s.name, value, s)

    def record(self, name: str, value: Any, s: ast.Statement) -> None:
        if isinstance(value, Node) and not (value.is_const or value.axes or name.startswith("_")):
            self.derived.append(Derived(name, value, s.span))

    def _for(self, s: ast.For) -> None:
        if statements.is_recurrence(s):
            lets = statements.shared_clauses(s)
            for name, value in self.pending.define(self.ctx, s, lets).items():
                self.record(name, value, s)
            return
        for o in observes(s.body):
            self._observe(o)
        statements.run_statement(self.ctx, s, self.pending)

    def _infer(self, s: ast.Infer) -> None:
        if self.call is not None:
            return  # how a program is sampled by itself is no part of its density
        for name in s.targets:
            if name not in self.session.variables:
                text = f"`{name}` is not a variable" if name in self.scope.names else f"unknown name `{name}`"
                code = "CG0601" if name in self.scope.names else "CG0201"
                help = did_you_mean(name, self.session.variables)
                help = help or f"the variables are {', '.join(self.session.variables) or 'none'}"
                fail(code, text, name_span(s, name), help=help)
            if name in self.directed:
                labels = (Label(self.directed[name], "first here"),)
                text = f"how `{name}` is inferred is said twice"
                fail("CG0202", text, name_span(s, name), labels=labels)
            self.directed[name] = name_span(s, name)
        method = s.method.id if isinstance(s.method, ast.Name) else ""
        options: dict[str, Any] = {}
        if isinstance(s.method, ast.Call):
            if isinstance(s.method.function, ast.Name):
                method = s.method.function.id
            for a in s.method.arguments:
                if a.name is None:
                    fail("CG0602", f"the options of `{method}` are given by name", a.span)
                if a.name == "proposal":
                    targets = [self.session.variables[n] for n in s.targets or self.session.variables]
                    if any(v.free.any() for v in targets):
                        options[a.name] = proposal(self.ctx, targets, a.value)
                    continue
                value = evaluate.evaluate(self.ctx, a.value)
                if isinstance(value, Node) and not value.is_static_scalar:
                    fail("CG0208", f"the option `{a.name}` must be one number known at compile time", a.span)
                options[a.name] = value.item() if isinstance(value, Node) else value
        self.requests.append(Request(s.targets, method, options, s.span))

    def _if(self, s: ast.If) -> None:
        """On a constant, the chosen branch stands in the program's place: it may declare."""
        test = statements.truth(self.ctx, s.test)
        if test.is_static_scalar:
            chosen = s.then if test.item() else s.otherwise
            self.pending.expect(chosen)
            for inner in chosen:
                self.attempt(inner)
            return
        statements.run_statement(self.ctx, s, self.pending)

    def _nothing(self, s: ast.Statement) -> None:
        """Functions were declared before."""

    def _factor(self, s: ast.FactorDecl) -> None:
        """Factors were declared before; what is learned is held to its data or file, also if nothing applies it."""
        factor = self.scope.names.get(s.name)
        if self.call is None and isinstance(factor, DeclaredFactor) and is_learned(s):
            part_of(factor, self.ctx)

    def _learn(self, s: ast.Learn) -> None:
        if self.call is not None:
            return  # how a program is fitted by itself is no part of its density
        if any(isinstance(t, ast.Call) for t in s.targets):
            joint_training.fit_together(self.ctx, s)
        else:
            fitting.note(self.ctx, s, {p.name: p for p in self.module.statements if isinstance(p, ast.Param)})

    _RULES: ClassVar[dict[type, Callable[[Elaboration, Any], None]]] = {
        ast.Use: _use,
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
        ast.Infer: _infer,
        ast.Learn: _learn,
    }


def without_repeats(module: ast.Module) -> ast.Module:
    """A module whose names mean their first declarations: the others have been reported (CG0202)."""
    kept: list[ast.Statement] = []
    seen: dict[str, bool] = {}
    for s in module.statements:
        new = {d.name: d.is_indexed for d in declarations(s) if d.name != "_"}
        if not any(name in seen and not (seen[name] and indexed) for name, indexed in new.items()):
            seen.update(new)
            kept.append(s)
    return ast.Module(tuple(kept), span=module.span)
