"""Hypothesis strategies for syntax trees that the parser could have given."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from compose_lang.diagnostics import Source, Span
from compose_lang.grammar import ast

NOWHERE = Span(Source("<generated>", ""), 0, 0)


def node(kind: type, *fields: SearchStrategy) -> SearchStrategy:
    """A syntax node with fields drawn from the given strategies."""
    return st.builds(kind, *fields, span=st.just(NOWHERE))


def tuples(items: SearchStrategy, least: int = 0, most: int = 2) -> SearchStrategy:
    return st.lists(items, min_size=least, max_size=max(least, most)).map(tuple)


def maybe(items: SearchStrategy) -> SearchStrategy:
    return st.none() | items


names = st.sampled_from(
    ["x", "y", "n", "mu", "σ", "Normal", "F", "_", "true", "none", "by", "weight", "as", "e1"]
)
method_names = st.sampled_from(["auto", "hmc", "diffusion"])
dotted = tuples(names, 1, 2).map(".".join)
texts = st.sampled_from(["", "a.csv", 'say "x"', "\\", "two\nlines", "tab\t", "\0", "é", "\u2028", "#", "😀"])
numbers = st.sampled_from([0, 1, 10**20, 0.0, 0.5, 1e-300, 1.7e308, 1e16])

variables = node(ast.Name, names)
atoms = node(ast.Number, numbers) | node(ast.String, texts) | variables
targets = st.recursive(variables, lambda inner: node(ast.Tuple, tuples(inner, 2)), max_leaves=3)


def clauses(of: SearchStrategy, least: int = 1) -> SearchStrategy:
    return tuples(node(ast.Clause, targets, of), least, 2)


def arguments(of: SearchStrategy) -> SearchStrategy:
    return tuples(node(ast.Argument, maybe(names), of))


def _compare(of: SearchStrategy) -> SearchStrategy:
    ops = tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "in", "not in"]), 1, 3)
    return ops.flatmap(
        lambda chosen: node(ast.Compare, tuples(of, len(chosen) + 1, len(chosen) + 1), st.just(chosen))
    )


def _generator_call(of: SearchStrategy) -> SearchStrategy:
    generator = node(ast.Generator, of, clauses(of), maybe(of))
    sole = node(ast.Argument, st.none(), generator).map(lambda argument: (argument,))
    return node(ast.Call, of, sole, st.none())


def _larger(of: SearchStrategy) -> SearchStrategy:
    slices = node(ast.Slice, maybe(of), maybe(of), maybe(of))
    return st.one_of(
        node(ast.Array, tuples(of)),
        node(ast.Tuple, tuples(of, 1)),
        node(ast.Unary, st.sampled_from(["-", "+", "not"]), of),
        node(ast.Binary, st.sampled_from(["+", "-", "*", "/", "//", "%", "^", "@"]), of, of),
        _compare(of),
        node(ast.Logical, st.sampled_from(["and", "or"]), tuples(of, 2)),
        node(ast.Conditional, of, of, of),
        node(ast.Index, of, tuples(of | slices, 1)),
        node(ast.Attribute, of, names),
        node(ast.Call, of, arguments(of), maybe(arguments(of))),
        _generator_call(of),
        node(ast.ArrayComprehension, of, clauses(of), maybe(of)),
    )


exprs = st.recursive(atoms, _larger, max_leaves=8)
small = st.deferred(lambda: atoms | _larger(atoms))  # at most one operator
methods = node(ast.Name, method_names) | node(
    ast.Call, node(ast.Name, method_names), arguments(small), st.none()
)
values = small | node(ast.LearnValue, methods)
postfixes = variables | node(ast.Index, variables, tuples(small, 1))

types = node(ast.NamedType, dotted, arguments(small), tuples(small)) | node(
    ast.NamedValues, tuples(names, 1), tuples(small)
)
parameters = tuples(node(ast.Parameter, names, maybe(types), maybe(small)))
lets = node(ast.Let, names, tuples(small), small, st.just(()), st.none()) | node(
    ast.Let, names, tuples(small), small, clauses(small), maybe(small)
)

inferred = tuples(node(ast.Target, dotted, tuples(small)))
simple_statements = st.one_of(
    node(ast.Use, dotted, st.just(False), maybe(tuples(names, 1)), maybe(names)),
    node(ast.Use, texts, st.just(True), maybe(tuples(names, 1)), maybe(names)),
    node(ast.TypeDecl, names, types),
    node(ast.Const, names, maybe(types), exprs),
    node(ast.Data, names, types, maybe(exprs)),
    node(ast.Param, names, maybe(types), maybe(exprs)),
    node(ast.Var, names, types, maybe(exprs)),
    lets,
    node(ast.Fn, names, parameters, maybe(types), st.just(()), values),
    node(ast.Fn, names, parameters, maybe(types), tuples(lets, 1), small),
    node(ast.Draw, exprs),
    node(ast.Energy, exprs),
    node(ast.Require, maybe(texts), exprs),
    node(ast.Prefer, maybe(texts), exprs, maybe(exprs)),
    node(ast.Observe, postfixes, exprs),
    node(ast.Tilde, exprs, exprs),
    node(ast.Apply, exprs),
    node(ast.Infer, inferred, methods, st.just(()), st.none()),
    node(ast.Infer, inferred, methods, clauses(small), maybe(small)),
    node(ast.Learn, tuples(small, 1), methods),
)


def _blocks(inner: SearchStrategy) -> SearchStrategy:
    body = tuples(inner)
    return st.one_of(
        node(ast.For, clauses(small), maybe(small), body),
        node(ast.If, small, body, body),
        node(ast.FactorDecl, st.booleans(), names, parameters, parameters, body, st.none()),
        node(ast.FactorDecl, st.booleans(), names, parameters, parameters, st.none(), maybe(values)),
    )


statements = st.recursive(simple_statements, _blocks, max_leaves=3)
modules = node(ast.Module, tuples(statements, 0, 4))
