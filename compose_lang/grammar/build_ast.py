"""`lark.Tree` → `ast.Module`: one method for each rule of `compose.lark`, in the grammar's order.

A method gets what its rule's parts were turned into, None for an optional part that is absent. It runs
bottom up without recursion, so that a deep program costs no stack.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from lark import Token, Transformer_NonRecursive, v_args
from lark.tree import Meta

from compose_lang.diagnostics import Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.tokens import number_of, text_of

Arguments = tuple[ast.Argument, ...]
Exprs = tuple[ast.Expr, ...]
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


@v_args(inline=True, meta=True)
class Builder(Transformer_NonRecursive):
    """Turns the tree of one source into syntax nodes with spans."""

    def __init__(self, source: Source) -> None:
        super().__init__(visit_tokens=False)
        self.source = source

    def _span(self, meta: Meta) -> Span:
        return Span(self.source, 0, 0) if meta.empty else Span(self.source, meta.start_pos, meta.end_pos)

    def module(self, meta: Meta, *statements: ast.Statement) -> ast.Module:
        return ast.Module(statements, span=Span(self.source, 0, len(self.source.text)))

    def expression(self, meta: Meta, value: ast.Expr) -> ast.Expr:
        return value

    def block(self, meta: Meta, *statements: ast.Statement) -> Statements:
        return statements

    # --- declarations

    def use(self, meta: Meta, module: Token | str, names: tuple[str, ...] | None, alias: str | None) -> ast.Use:
        is_file = isinstance(module, Token)
        return ast.Use(text_of(module) if is_file else module, is_file, names, alias, span=self._span(meta))

    def type_decl(self, meta: Meta, name: str, type_: ast.TypeExpr) -> ast.TypeDecl:
        return ast.TypeDecl(name, type_, span=self._span(meta))

    def const(self, meta: Meta, name: str, type_: ast.TypeExpr | None, value: ast.Expr) -> ast.Const:
        return ast.Const(name, type_, value, span=self._span(meta))

    def data(self, meta: Meta, name: str, type_: ast.TypeExpr, value: ast.Expr | None) -> ast.Data:
        return ast.Data(name, type_, value, span=self._span(meta))

    def param(self, meta: Meta, name: str, type_: ast.TypeExpr | None, value: ast.Expr | None) -> ast.Param:
        return ast.Param(name, type_, value, span=self._span(meta))

    def var(self, meta: Meta, name: str, type_: ast.TypeExpr, factor: ast.Expr | None) -> ast.Var:
        return ast.Var(name, type_, factor, span=self._span(meta))

    def let(
        self, meta: Meta, name: str, indices: Exprs | None, value: ast.Expr, over: Comprehension | None
    ) -> ast.Let:
        clauses, condition = over or Comprehension()
        return ast.Let(name, indices or (), value, clauses, condition, span=self._span(meta))

    def fn(
        self,
        meta: Meta,
        name: str,
        parameters: Parameters | None,
        returns: ast.TypeExpr | None,
        body: ast.Expr | FnBlock,
    ) -> ast.Fn:
        lets, value = body if isinstance(body, FnBlock) else ((), body)
        return ast.Fn(name, parameters or (), returns, lets, value, span=self._span(meta))

    def fn_block(self, meta: Meta, *parts: ast.Let | ast.Expr) -> FnBlock:
        *lets, value = parts
        return FnBlock(tuple(lets), value)

    def factor_decl(
        self,
        meta: Meta,
        word: Token,
        name: str,
        subjects: Parameters | None,
        inputs: Parameters | None,
        body: Statements | ast.Expr | None,
    ) -> ast.FactorDecl:
        block, value = (body, None) if isinstance(body, tuple) else (None, body)
        return ast.FactorDecl(
            word.type == "DENSITY", name, subjects or (), inputs or (), block, value, span=self._span(meta)
        )

    def inputs(self, meta: Meta, parameters: Parameters | None) -> Parameters:
        return parameters or ()

    def parameters(self, meta: Meta, *parameters: ast.Parameter) -> Parameters:
        return parameters

    def parameter(
        self, meta: Meta, name: str, type_: ast.TypeExpr | None, default: ast.Expr | None
    ) -> ast.Parameter:
        return ast.Parameter(name, type_, default, span=self._span(meta))

    def learn_value(self, meta: Meta, method: ast.Expr) -> ast.LearnValue:
        return ast.LearnValue(method, span=self._span(meta))

    # --- statements

    def draw(self, meta: Meta, value: ast.Expr) -> ast.Draw:
        return ast.Draw(value, span=self._span(meta))

    def energy(self, meta: Meta, value: ast.Expr) -> ast.Energy:
        return ast.Energy(value, span=self._span(meta))

    def require(self, meta: Meta, label: Token | None, condition: ast.Expr) -> ast.Require:
        return ast.Require(_label(label), condition, span=self._span(meta))

    def prefer(
        self, meta: Meta, label: Token | None, condition: ast.Expr, weight: ast.Expr | None
    ) -> ast.Prefer:
        return ast.Prefer(_label(label), condition, weight, span=self._span(meta))

    def observe(self, meta: Meta, target: ast.Expr, value: ast.Expr) -> ast.Observe:
        return ast.Observe(target, value, span=self._span(meta))

    def tilde(self, meta: Meta, subject: ast.Expr, factor: ast.Expr) -> ast.Tilde:
        return ast.Tilde(subject, factor, span=self._span(meta))

    def apply(self, meta: Meta, factor: ast.Expr) -> ast.Apply:
        return ast.Apply(factor, span=self._span(meta))

    def for_loop(self, meta: Meta, over: Comprehension, body: Statements) -> ast.For:
        return ast.For(over.clauses, over.condition, body, span=self._span(meta))

    def if_block(
        self, meta: Meta, test: ast.Expr, then: Statements, otherwise: Statements | ast.If | None
    ) -> ast.If:
        if isinstance(otherwise, ast.If):
            otherwise = (otherwise,)
        return ast.If(test, then, otherwise or (), span=self._span(meta))

    def infer(self, meta: Meta, targets: tuple[str, ...] | None, method: ast.Expr) -> ast.Infer:
        return ast.Infer(targets or (), method, span=self._span(meta))

    def targets(self, meta: Meta, *names: str) -> tuple[str, ...]:
        return names

    def learn(self, meta: Meta, targets: Exprs, method: ast.Expr) -> ast.Learn:
        return ast.Learn(targets, method, span=self._span(meta))

    def method_name(self, meta: Meta, name: Token) -> ast.Name:
        return ast.Name(_normal(name), span=self._span(meta))

    def method_call(self, meta: Meta, name: Token, arguments: Arguments | None) -> ast.Call:
        function = ast.Name(_normal(name), span=Span(self.source, name.start_pos, name.end_pos))
        return ast.Call(function, arguments or (), None, span=self._span(meta))

    # --- types

    def named_type(
        self, meta: Meta, name: str, arguments: Arguments | None, shape: Exprs | None
    ) -> ast.NamedType:
        return ast.NamedType(name, arguments or (), shape or (), span=self._span(meta))

    def named_values(self, meta: Meta, names: tuple[str, ...], shape: Exprs | None) -> ast.NamedValues:
        return ast.NamedValues(names, shape or (), span=self._span(meta))

    # --- expressions

    def conditional(
        self, meta: Meta, test: ast.Expr, then: ast.Expr, otherwise: ast.Expr
    ) -> ast.Conditional:
        return ast.Conditional(test, then, otherwise, span=self._span(meta))

    def disjunction(self, meta: Meta, *operands: ast.Expr) -> ast.Logical:
        return ast.Logical("or", operands, span=self._span(meta))

    def conjunction(self, meta: Meta, *operands: ast.Expr) -> ast.Logical:
        return ast.Logical("and", operands, span=self._span(meta))

    def comparison(self, meta: Meta, *parts: ast.Expr | str) -> ast.Compare:
        return ast.Compare(parts[::2], parts[1::2], span=self._span(meta))

    def compare_op(self, meta: Meta, *words: Token) -> str:
        return " ".join(words)

    def unary(self, meta: Meta, op: Token, operand: ast.Expr) -> ast.Unary:
        return ast.Unary(str(op), operand, span=self._span(meta))

    def binary(self, meta: Meta, left: ast.Expr, op: Token, right: ast.Expr) -> ast.Binary:
        return ast.Binary(str(op), left, right, span=self._span(meta))

    def call(
        self,
        meta: Meta,
        function: ast.Expr,
        arguments: Arguments | ast.Generator | None,
        inputs: Arguments | None = None,
    ) -> ast.Call:
        if isinstance(arguments, ast.Generator):
            arguments = (ast.Argument(None, arguments, span=arguments.span),)
        return ast.Call(function, arguments or (), inputs, span=self._span(meta))

    def call_inputs(self, meta: Meta, arguments: Arguments | None) -> Arguments:
        return arguments or ()

    def index(self, meta: Meta, base: ast.Expr, *items: ast.Expr | ast.Slice) -> ast.Index:
        return ast.Index(base, items, span=self._span(meta))

    def attribute(self, meta: Meta, base: ast.Expr, name: str) -> ast.Attribute:
        return ast.Attribute(base, name, span=self._span(meta))

    def number(self, meta: Meta, token: Token) -> ast.Number:
        return ast.Number(number_of(token), span=self._span(meta))

    def string(self, meta: Meta, token: Token) -> ast.String:
        return ast.String(text_of(token), span=self._span(meta))

    def variable(self, meta: Meta, name: str) -> ast.Name:
        return ast.Name(name, span=self._span(meta))

    def tuple(self, meta: Meta, first: ast.Expr, rest: Exprs | None) -> ast.Tuple:
        return ast.Tuple((first, *(rest or ())), span=self._span(meta))

    def array(self, meta: Meta, items: Exprs | None) -> ast.Array:
        return ast.Array(items or (), span=self._span(meta))

    def array_comprehension(self, meta: Meta, body: ast.Expr, over: Comprehension) -> ast.ArrayComprehension:
        return ast.ArrayComprehension(body, *over, span=self._span(meta))

    def arguments(self, meta: Meta, *arguments: ast.Argument) -> Arguments:
        return arguments

    def argument(self, meta: Meta, name: str | None, value: ast.Expr) -> ast.Argument:
        return ast.Argument(name, value, span=self._span(meta))

    def generator(self, meta: Meta, body: ast.Expr, over: Comprehension) -> ast.Generator:
        return ast.Generator(body, *over, span=self._span(meta))

    def comprehension(self, meta: Meta, over: Comprehension) -> Comprehension:
        return over

    def comprehension_tail(self, meta: Meta, *parts: ast.Clause | ast.Expr | None) -> Comprehension:
        *clauses, condition = parts
        return Comprehension(tuple(clauses), condition)

    def clause(self, meta: Meta, target: ast.Name | ast.Tuple, domain: ast.Expr) -> ast.Clause:
        return ast.Clause(target, domain, span=self._span(meta))

    def target_tuple(self, meta: Meta, *items: ast.Name | ast.Tuple) -> ast.Tuple:
        return ast.Tuple(items, span=self._span(meta))

    def slice(
        self, meta: Meta, start: ast.Expr | None, stop: ast.Expr | None, step: ast.Expr | None
    ) -> ast.Slice:
        return ast.Slice(start, stop, step, span=self._span(meta))

    def exprs(self, meta: Meta, *items: ast.Expr) -> Exprs:
        return items

    def names(self, meta: Meta, *names: str) -> tuple[str, ...]:
        return names

    def dotted(self, meta: Meta, *names: str) -> str:
        return ".".join(names)

    def name(self, meta: Meta, token: Token) -> str:
        return _normal(token)


def _label(token: Token | None) -> str | None:
    return None if token is None else text_of(token)


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
