"""Reductions → syntax nodes: one method for each rule or alias of `compose.lark`, in the grammar's order.

A method gets the place of what was reduced and what the rule's parts were turned into: tokens where the
grammar keeps them, None for an optional part that is absent.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple

from compose_lang.diagnostics import Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.tokens import Token, number_of, text_of

Arguments = tuple[ast.Argument, ...]
Exprs = tuple[ast.Expr, ...]
Names = tuple[str, ...]
Parameters = tuple[ast.Parameter, ...]
Statements = tuple["ast.Statement", ...]


class Comprehension(NamedTuple):
    """`for clauses if condition`, before it joins the node it belongs to."""

    clauses: tuple[ast.Clause, ...] = ()
    condition: ast.Expr | None = None


class FnBlock(NamedTuple):
    """`{ let …; value }`"""

    body: tuple[ast.Let, ...]
    value: ast.Expr


class Builder:
    """Turns the parts of one source's rules into syntax nodes."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def module(self, span: Span, *statements: ast.Statement) -> ast.Module:
        return ast.Module(statements, span=Span(self.source, 0, len(self.source.text)))

    def expression(self, span: Span, value: ast.Expr) -> ast.Expr:
        return value

    def block(self, span: Span, *statements: ast.Statement) -> Statements:
        return statements

    # --- declarations

    def use_module(self, span: Span, module: str, names: Names | None, alias: str | None) -> ast.Use:
        return ast.Use(module, False, names, alias, span=span)

    def use_file(self, span: Span, path: Token, names: Names | None, alias: str | None) -> ast.Use:
        return ast.Use(text_of(path.text), True, names, alias, span=span)

    def type_decl(self, span: Span, name: str, type_: ast.TypeExpr) -> ast.TypeDecl:
        return ast.TypeDecl(name, type_, span=span)

    def const(self, span: Span, name: str, type_: ast.TypeExpr | None, value: ast.Expr | None) -> ast.Const:
        return ast.Const(name, type_, value, span=span)

    def data(self, span: Span, name: str, type_: ast.TypeExpr, value: ast.Expr | None) -> ast.Data:
        return ast.Data(name, type_, value, span=span)

    def param(self, span: Span, name: str, type_: ast.TypeExpr | None, value: ast.Expr | None) -> ast.Param:
        return ast.Param(name, type_, value, span=span)

    def var(self, span: Span, name: str, type_: ast.TypeExpr, factor: ast.Expr | None) -> ast.Var:
        return ast.Var(name, type_, factor, span=span)

    def let(
        self, span: Span, name: str, indices: Exprs | None, value: ast.Expr, over: Comprehension | None
    ) -> ast.Let:
        clauses, condition = over or Comprehension()
        return ast.Let(name, indices or (), value, clauses, condition, span=span)

    def fn(
        self,
        span: Span,
        name: str,
        parameters: Parameters | None,
        returns: ast.TypeExpr | None,
        body: ast.Expr | FnBlock,
    ) -> ast.Fn:
        lets, value = body if isinstance(body, FnBlock) else ((), body)
        return ast.Fn(name, parameters or (), returns, lets, value, span=span)

    def fn_block(self, span: Span, *parts: Any) -> FnBlock:
        return FnBlock(parts[:-1], parts[-1])

    def factor_decl(
        self,
        span: Span,
        word: Token,
        name: str,
        subjects: Parameters | None,
        inputs: Parameters | None,
        body: Statements | ast.Expr | None,
    ) -> ast.FactorDecl:
        block, value = (body, None) if isinstance(body, tuple) else (None, body)
        return ast.FactorDecl(
            word.kind == "DENSITY", name, subjects or (), inputs or (), block, value, span=span
        )

    def inputs(self, span: Span, parameters: Parameters | None) -> Parameters:
        return parameters or ()

    def parameters(self, span: Span, *parameters: ast.Parameter) -> Parameters:
        return parameters

    def parameter(
        self, span: Span, name: str, type_: ast.TypeExpr | None, default: ast.Expr | None
    ) -> ast.Parameter:
        return ast.Parameter(name, type_, default, span=span)

    def learn_value(self, span: Span, method: ast.Expr) -> ast.LearnValue:
        return ast.LearnValue(method, span=span)

    # --- statements

    def draw(self, span: Span, value: ast.Expr) -> ast.Draw:
        return ast.Draw(value, span=span)

    def energy(self, span: Span, value: ast.Expr) -> ast.Energy:
        return ast.Energy(value, span=span)

    def require(self, span: Span, label: Token | None, condition: ast.Expr) -> ast.Require:
        return ast.Require(_label(label), condition, span=span)

    def prefer(
        self, span: Span, label: Token | None, condition: ast.Expr, weight: ast.Expr | None
    ) -> ast.Prefer:
        return ast.Prefer(_label(label), condition, weight, span=span)

    def observe(self, span: Span, target: ast.Expr, value: ast.Expr) -> ast.Observe:
        return ast.Observe(target, value, span=span)

    def tilde(self, span: Span, subject: ast.Expr, factor: ast.Expr) -> ast.Tilde:
        return ast.Tilde(subject, factor, span=span)

    def apply(self, span: Span, factor: ast.Expr) -> ast.Apply:
        return ast.Apply(factor, span=span)

    def for_loop(self, span: Span, over: Comprehension, body: Statements) -> ast.For:
        return ast.For(over.clauses, over.condition, body, span=span)

    def if_block(
        self, span: Span, test: ast.Expr, then: Statements, otherwise: Statements | ast.If | None
    ) -> ast.If:
        if isinstance(otherwise, ast.If):
            otherwise = (otherwise,)
        return ast.If(test, then, otherwise or (), span=span)

    def infer(
        self,
        span: Span,
        targets: tuple[ast.Target, ...] | None,
        method: ast.Expr,
        over: Comprehension | None,
    ) -> ast.Infer:
        each = over or Comprehension()
        return ast.Infer(targets or (), method, each.clauses, each.condition, span=span)

    def targets(self, span: Span, *parts: ast.Target) -> tuple[ast.Target, ...]:
        return parts

    def part(self, span: Span, name: str, indices: tuple[ast.Expr, ...] | None) -> ast.Target:
        return ast.Target(name, indices or (), span=span)

    def learn(self, span: Span, *parts: Any) -> ast.Learn:
        return ast.Learn(parts[:-1], parts[-1], span=span)

    def method_name(self, span: Span, name: Token) -> ast.Name:
        return ast.Name(_normal(name.text), span=span)

    def method_call(self, span: Span, name: Token, arguments: Arguments | None) -> ast.Call:
        function = ast.Name(_normal(name.text), span=name.span(self.source))
        return ast.Call(function, arguments or (), None, span=span)

    # --- types

    def named_type(
        self, span: Span, name: str, arguments: Arguments | None, shape: Exprs | None
    ) -> ast.NamedType:
        return ast.NamedType(name, arguments or (), shape or (), span=span)

    def named_values(self, span: Span, names: Names, shape: Exprs | None) -> ast.NamedValues:
        return ast.NamedValues(names, shape or (), span=span)

    # --- expressions

    def conditional(self, span: Span, test: ast.Expr, then: ast.Expr, otherwise: ast.Expr) -> ast.Conditional:
        return ast.Conditional(test, then, otherwise, span=span)

    def disjunction(self, span: Span, *operands: ast.Expr) -> ast.Logical:
        return ast.Logical("or", operands, span=span)

    def conjunction(self, span: Span, *operands: ast.Expr) -> ast.Logical:
        return ast.Logical("and", operands, span=span)

    def comparison(self, span: Span, *parts: Any) -> ast.Compare:
        return ast.Compare(parts[::2], parts[1::2], span=span)

    def compare_op(self, span: Span, *words: Token) -> str:
        return " ".join(word.text for word in words)

    def unary(self, span: Span, op: Token, operand: ast.Expr) -> ast.Unary:
        return ast.Unary(op.text, operand, span=span)

    def binary(self, span: Span, left: ast.Expr, op: Token, right: ast.Expr) -> ast.Binary:
        return ast.Binary(op.text, left, right, span=span)

    def call(
        self,
        span: Span,
        function: ast.Expr,
        arguments: Arguments | ast.Generator | None,
        inputs: Arguments | None = None,
    ) -> ast.Call:
        if isinstance(arguments, ast.Generator):
            arguments = (ast.Argument(None, arguments, span=arguments.span),)
        return ast.Call(function, arguments or (), inputs, span=span)

    def call_inputs(self, span: Span, arguments: Arguments | None) -> Arguments:
        return arguments or ()

    def index(self, span: Span, base: ast.Expr, *items: ast.Expr | ast.Slice) -> ast.Index:
        return ast.Index(base, items, span=span)

    def attribute(self, span: Span, base: ast.Expr, name: str) -> ast.Attribute:
        return ast.Attribute(base, name, span=span)

    def number(self, span: Span, token: Token) -> ast.Number:
        return ast.Number(number_of(token.text), span=span)

    def string(self, span: Span, token: Token) -> ast.String:
        return ast.String(text_of(token.text), span=span)

    def variable(self, span: Span, name: str) -> ast.Name:
        return ast.Name(name, span=span)

    def tuple_of(self, span: Span, first: ast.Expr, rest: Exprs | None) -> ast.Tuple:
        return ast.Tuple((first, *(rest or ())), span=span)

    def array(self, span: Span, items: Exprs | None) -> ast.Array:
        return ast.Array(items or (), span=span)

    def array_comprehension(self, span: Span, body: ast.Expr, over: Comprehension) -> ast.ArrayComprehension:
        return ast.ArrayComprehension(body, *over, span=span)

    def arguments(self, span: Span, *arguments: ast.Argument) -> Arguments:
        return arguments

    def argument(self, span: Span, name: str | None, value: ast.Expr) -> ast.Argument:
        return ast.Argument(name, value, span=span)

    def generator(self, span: Span, body: ast.Expr, over: Comprehension) -> ast.Generator:
        return ast.Generator(body, *over, span=span)

    def comprehension(self, span: Span, over: Comprehension) -> Comprehension:
        return over

    def comprehension_tail(self, span: Span, *parts: Any) -> Comprehension:
        return Comprehension(parts[:-1], parts[-1])

    def clause(self, span: Span, target: ast.Name | ast.Tuple, domain: ast.Expr) -> ast.Clause:
        return ast.Clause(target, domain, span=span)

    def target_tuple(self, span: Span, *items: ast.Name | ast.Tuple) -> ast.Tuple:
        return ast.Tuple(items, span=span)

    def slice(
        self, span: Span, start: ast.Expr | None, stop: ast.Expr | None, step: ast.Expr | None
    ) -> ast.Slice:
        return ast.Slice(start, stop, step, span=span)

    def exprs(self, span: Span, *items: ast.Expr) -> Exprs:
        return items

    def names(self, span: Span, *names: str) -> Names:
        return names

    def dotted(self, span: Span, *names: str) -> str:
        return ".".join(names)

    def name(self, span: Span, token: Token) -> str:
        return _normal(token.text)


def _label(token: Token | None) -> str | None:
    return None if token is None else text_of(token.text)


def _normal(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)
