"""A program's energy by brute force: its syntax tree walked in plain Python, every instance by itself.

In: a program's text, the values of all its variables, and its data. Out: the energy in nats. Nothing of the
compiler is used but the parser: this is what the compiler is held against. It trusts the program to be right.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from compose_lang.diagnostics import Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse
from tests.compiler.reference_densities import STANDARD, StandardDensity
from tests.compiler.reference_factors import (
    Applied,
    Contrast,
    Factor,
    Given,
    Mixture,
    Product,
    copies,
    standard,
)  # fmt: skip
from tests.compiler.reference_functions import (
    ARITHMETIC,
    COMPARE,
    CONSTANTS,
    NUMBER_FUNCTIONS,
    NUMBERS_OVER_GENERATOR,
    SUPPORTS,
)  # fmt: skip

Scope = ChainMap[str, Any]
EVENT_RANKS = {
    "simplex": 1, "ordered": 1, "positive_ordered": 1, "unit_vector": 1, "permutation": 1, "cholesky_corr": 2,
}  # fmt: skip


def energy(text: str, values: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> float:
    """The energy of a program where its variables have these values."""
    module = parse(Source("<reference>", text))
    given = {"given data": dict(data or {}), "given values": dict(values)}
    scope: Scope = ChainMap({**CONSTANTS, **STANDARD, **given})
    with np.errstate(all="ignore"):
        return execute(module.statements, scope.new_child())


class Defining(dict[tuple[int, ...], Any]):
    """An array whose elements are being defined one by one."""

    @property
    def rank(self) -> int:
        return len(next(iter(self)))

    def at(self, index: tuple[int, ...]) -> Any:
        found = {key[len(index) :]: value for key, value in self.items() if key[: len(index)] == index}
        if list(found) == [()]:
            return found[()]
        shape = tuple(max(key[k] for key in found) + 1 for k in range(len(next(iter(found)))))
        elements = np.array([found[key] for key in np.ndindex(shape)])
        return elements.reshape(shape + elements.shape[1:])


# --- statements -------------------------------------------------------------------------------------------


def execute(statements: Sequence[ast.Statement], scope: Scope) -> float:
    """Run a body: its declarations enter the scope, its factors add up."""
    for s in statements:
        if isinstance(s, ast.Use) and not s.is_file:
            scope.update(standard_module(s.module))
        if isinstance(s, ast.FactorDecl | ast.Fn):
            scope[s.name] = (s, scope)
        if isinstance(s, ast.Var | ast.TypeDecl) and isinstance(s.type, ast.NamedValues):
            scope.update({name: place for place, name in enumerate(s.type.names)})
        if isinstance(s, ast.Data) and isinstance(s.type, ast.NamedValues):
            scope.update({name: place for place, name in enumerate(s.type.names)})
    return float(sum(run(s, scope) for s in statements))


@cache
def standard_module(name: str) -> dict[str, Any]:
    """The declarations of a module of the standard library, read from its source."""
    path = files("compose_lang") / "stdlib" / f"{name.removeprefix('std.')}.cg"
    scope: Scope = ChainMap({**CONSTANTS, **STANDARD}).new_child()
    execute(parse(Source(name, path.read_text(encoding="utf-8"))).statements, scope)
    return dict(scope.maps[0])


def run(s: ast.Statement, scope: Scope) -> float:
    match s:
        case ast.FactorDecl() | ast.Fn() | ast.TypeDecl() | ast.Infer() | ast.Use() | ast.Draw():
            return 0.0
        case ast.Const() | ast.Param():
            scope[s.name] = evaluate(s.value, scope)
        case ast.Data():
            given = scope["given data"]
            scope[s.name] = np.asarray(given[s.name] if s.name in given else evaluate(s.value, scope))[()]
        case ast.Var():
            scope[s.name] = np.asarray(scope["given values"][s.name])[()]
            if s.factor is not None:
                factor = as_factor(evaluate(s.factor, scope))
                assert factor is not None
                return factor.energy([scope[s.name]])
        case ast.Let(indices=()):
            scope[s.name] = evaluate(s.value, scope)
        case ast.Let():
            if not isinstance(scope.maps[0].get(s.name), Defining):
                scope[s.name] = Defining()
            for inner in instances(s.clauses, s.condition, scope):
                scope[s.name][tuple(int(evaluate(i, inner)) for i in s.indices)] = evaluate(s.value, inner)
        case ast.Observe():
            held = np.asarray(evaluate(s.target, scope))
            assert np.array_equal(held, np.broadcast_to(evaluate(s.value, scope), held.shape))
        case ast.Energy():
            return float(np.sum(evaluate(s.value, scope)))
        case ast.Require():
            return 0.0 if np.all(evaluate(s.condition, scope)) else np.inf
        case ast.Prefer():
            weight = 1.0 if s.weight is None else evaluate(s.weight, scope)
            return float(weight * violation(s.condition, scope))
        case ast.Tilde():
            subject = evaluate(s.subject, scope)
            factor = as_factor(evaluate(s.factor, scope))
            assert factor is not None
            return factor.energy(list(subject) if isinstance(subject, tuple) else [subject])
        case ast.Apply():
            return apply_statement(s.factor, scope)
        case ast.For():
            return loop(s, scope)
        case ast.If():
            body = s.then if np.all(evaluate(s.test, scope)) else s.otherwise
            declares = any(isinstance(i, ast.Var) for i in body)
            return execute(body, scope if declares else scope.new_child())
        case _:
            raise NotImplementedError(type(s))
    return 0.0


def loop(s: ast.For, scope: Scope) -> float:
    """A plate; one that defines arrays defines them in the scope around it, step by step."""
    arrays = [i.name for i in s.body if isinstance(i, ast.Let) and i.indices]
    for name in arrays:
        if not isinstance(scope.get(name), Defining):
            scope[name] = Defining()
    total = 0.0
    for inner in instances(s.clauses, s.condition, scope):
        for name in arrays:
            inner.maps[0][name] = scope[name]
        total += execute(s.body, inner)
    return total


def apply_statement(e: ast.Expr, scope: Scope) -> float:
    """`F(subjects)`, `F(subjects | inputs)` or a composition of applied factors."""
    if isinstance(e, ast.Call) and e.inputs is None:
        callee = evaluate(e.function, scope)
        if is_declared_factor(callee):
            return with_inputs(callee, (), scope).energy(ordered(e.arguments, subject_names(callee), scope))
    return float(evaluate(e, scope).energy([]))


def instances(clauses: Sequence[ast.Clause], condition: ast.Expr | None, scope: Scope) -> Iterator[Scope]:
    """The scopes inside some clauses, one an instance."""
    if not clauses:
        if condition is None or np.all(evaluate(condition, scope)):
            yield scope.new_child()
        return
    for item in evaluate(clauses[0].domain, scope):
        inner = scope.new_child()
        unpack(clauses[0].target, item, inner)
        yield from instances(clauses[1:], condition, inner)


def unpack(target: ast.Expr, item: Any, scope: Scope) -> None:
    if isinstance(target, ast.Name):
        scope[target.id] = item
        return
    assert isinstance(target, ast.Tuple)
    for part, value in zip(target.items, item, strict=True):
        unpack(part, value, scope)


OPPOSITE = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
}


def violation(e: ast.Expr, scope: Scope, holds: bool = True) -> float:
    """How far a condition is from holding (language.md, "Statements")."""
    if isinstance(e, ast.Unary) and e.op == "not":
        return violation(e.operand, scope, not holds)
    if isinstance(e, ast.Logical):
        parts = [violation(o, scope, holds) for o in e.operands]
        return sum(parts) if (e.op == "and") == holds else min(parts)
    if (
        isinstance(e, ast.Call)
        and isinstance(e.function, ast.Name)
        and e.function.id == "inside_box"
        and holds
    ):
        x, lo, hi = (evaluate(a.value, scope) for a in e.arguments)
        return float(np.sum(np.maximum(0, lo - x) + np.maximum(0, x - hi)))
    if not isinstance(e, ast.Compare):
        return float(np.sum(np.asarray(evaluate(e, scope), bool) != holds))
    parts = []
    for left, right, op in zip(e.operands, e.operands[1:], e.ops, strict=False):
        a, b = evaluate(left, scope), evaluate(right, scope)
        op = op if holds else OPPOSITE[op]
        discrete = np.asarray(a).dtype.kind in "biu" and np.asarray(b).dtype.kind in "biu"
        if discrete or op in ("!=", "in", "not in"):
            parts.append(float(np.sum(~np.asarray(COMPARE[op](a, b), bool))))
        elif op == "==":
            parts.append(float(np.sum(np.abs(a - b))))
        else:
            parts.append(float(np.sum(np.maximum(0, a - b if op in ("<", "<=") else b - a))))
    return sum(parts) if holds else min(parts)


# --- expressions ------------------------------------------------------------------------------------------


def evaluate(e: Any, scope: Scope) -> Any:
    match e:
        case ast.Number() | ast.String():
            return e.value
        case ast.Name():
            found = scope[e.id] if e.id in scope else FUNCTIONS[e.id]
            return found.at(()) if isinstance(found, Defining) else found
        case ast.Array():
            return np.array([evaluate(i, scope) for i in e.items])
        case ast.Tuple():
            return tuple(evaluate(i, scope) for i in e.items)
        case ast.Unary():
            x = evaluate(e.operand, scope)
            return np.logical_not(x) if e.op == "not" else -(x + 0) if e.op == "-" else x
        case ast.Binary():
            return binary(e.op, evaluate(e.left, scope), evaluate(e.right, scope))
        case ast.Compare():
            sides = [evaluate(o, scope) for o in e.operands]
            tests = [COMPARE[op](a, b) for a, b, op in zip(sides, sides[1:], e.ops, strict=False)]
            return np.logical_and.reduce(np.broadcast_arrays(*tests))
        case ast.Logical():
            tests = [evaluate(o, scope) for o in e.operands]
            return (np.logical_and if e.op == "and" else np.logical_or).reduce(np.broadcast_arrays(*tests))
        case ast.Conditional():
            return conditional(e, scope)
        case ast.Index():
            return index(e, scope)
        case ast.Attribute():
            return scope[e.name]
        case ast.ArrayComprehension():
            return comprehension(e.body, e.clauses, e.condition, scope)
        case ast.Call():
            return call(e, scope)
        case _:
            raise NotImplementedError(type(e))


def conditional(e: ast.Conditional, scope: Scope) -> Any:
    """Only the branch that is taken is evaluated; of an array, each element takes its own."""
    test = np.asarray(evaluate(e.test, scope), bool)
    if test.ndim == 0:
        return evaluate(e.then if test else e.otherwise, scope)
    return np.where(test, evaluate(e.then, scope), evaluate(e.otherwise, scope))


def index(e: ast.Index, scope: Scope) -> Any:
    items = [
        slice(*(None if p is None else int(evaluate(p, scope)) for p in (i.start, i.stop, i.step)))
        if isinstance(i, ast.Slice)
        else evaluate(i, scope)
        for i in e.items
    ]
    if isinstance(e.base, ast.Name) and isinstance(scope.get(e.base.id), Defining):
        base = scope[e.base.id]
        if len(items) <= base.rank and all(not isinstance(i, slice) and i >= 0 for i in items):
            return base.at(tuple(int(i) for i in items))
    place: list[Any] = []
    for item in items:
        place.extend(flattened(item) if isinstance(item, tuple) else [item])
    base = evaluate(e.base, scope)
    if isinstance(base, tuple):
        return base[place[0]]
    place = [p if isinstance(p, slice) else np.asarray(p).astype(int)[()] for p in place]
    return np.asarray(base)[tuple(place)]


def flattened(cell: tuple[Any, ...]) -> list[Any]:
    return [leaf for item in cell for leaf in (flattened(item) if isinstance(item, tuple) else [item])]


def comprehension(
    body: ast.Expr, clauses: Sequence[ast.Clause], condition: ast.Expr | None, scope: Scope
) -> Any:
    if condition is not None or not clauses:
        return np.array([evaluate(body, inner) for inner in instances(clauses, condition, scope)])
    rows = [comprehension(body, clauses[1:], None, inner) if clauses[1:] else evaluate(body, inner)
            for inner in instances(clauses[:1], None, scope)]  # fmt: skip
    return np.array(rows)


def binary(op: str, left: Any, right: Any) -> Any:
    one, two = as_factor(left), as_factor(right)
    if one is None and two is None:
        return ARITHMETIC[op](np.asarray(left) + 0, np.asarray(right) + 0)[()]
    match op:
        case "*" if one is not None and two is not None:
            return Product([(one, 1.0), (two, 1.0)])
        case "*":
            return Mixture([(right if two is None else left, one or two)])
        case "/":
            return Product([(one, 1.0), (two, -1.0)])
        case "^":
            return Product([(one, float(right))])
        case "+":
            parts = [p for f in (one, two) for p in (f.parts if isinstance(f, Mixture) else [(1.0, f)])]
            return Mixture(parts)
    raise NotImplementedError(op)


def as_factor(value: Any) -> Factor | None:
    """The value as a factor; a declared name by itself takes its defaults."""
    if isinstance(value, Factor):
        return value
    if is_declared_factor(value):
        return with_inputs(value, (), ChainMap())
    return None


def is_declared_factor(value: Any) -> bool:
    user = isinstance(value, tuple) and bool(value) and isinstance(value[0], ast.FactorDecl)
    return user or isinstance(value, StandardDensity)


def subject_names(callee: Any) -> list[str]:
    return ["x"] if isinstance(callee, StandardDensity) else [p.name for p in callee[0].subjects]


# --- calls ------------------------------------------------------------------------------------------------


def call(e: ast.Call, scope: Scope) -> Any:
    name = e.function.id if isinstance(e.function, ast.Name) else ""
    if e.arguments and isinstance(e.arguments[0].value, ast.Generator):
        g = e.arguments[0].value
        items = [evaluate(g.body, inner) for inner in instances(g.clauses, g.condition, scope)]
        return OVER_GENERATOR[name](items)
    callee = evaluate(e.function, scope)
    if is_declared_factor(callee):
        waiting = with_inputs(callee, e.arguments if e.inputs is None else e.inputs, scope)
        if e.inputs is None or not e.arguments:
            return waiting
        return Applied(waiting, ordered(e.arguments, subject_names(callee), scope))
    if isinstance(callee, tuple):
        return call_function(*callee, e.arguments, scope)
    by_name = {a.name: evaluate(a.value, scope) for a in e.arguments if a.name}
    return FUNCTIONS[name](*(counted(evaluate(a.value, scope)) for a in e.arguments if not a.name), **by_name)


def counted(x: Any) -> Any:
    """Truth values as 0 and 1: NumPy would take their functions to half precision."""
    return x + 0 if isinstance(x, np.bool_ | bool) or (isinstance(x, np.ndarray) and x.dtype == bool) else x


def ordered(arguments: Sequence[ast.Argument], names: Sequence[str], scope: Scope) -> list[Any]:
    """Arguments in the order of their parameters."""
    given = {a.name or names[place]: evaluate(a.value, scope) for place, a in enumerate(arguments)}
    return [given[name] for name in names]


def with_inputs(callee: Any, arguments: Sequence[ast.Argument], scope: Scope) -> Given:
    if isinstance(callee, StandardDensity):
        return standard(callee, ordered(arguments, [name for name, _ in callee.inputs], scope))
    decl, home = callee
    given = {a.name or decl.inputs[place].name: evaluate(a.value, scope) for place, a in enumerate(arguments)}
    inputs = [given[p.name] if p.name in given else evaluate(p.default, home) for p in decl.inputs]

    def one(subjects: list[Any], values: list[Any]) -> float:
        inner = home.new_child()
        for p, v in zip((*decl.subjects, *decl.inputs), (*subjects, *values), strict=True):
            bind(p, v, inner)
        if not all(supported(p.type, v, inner) for p, v in zip(decl.subjects, subjects, strict=True)):
            return np.inf
        if decl.value is None:
            return execute(decl.body, inner)
        factor = as_factor(evaluate(decl.value, inner))
        assert factor is not None
        return factor.energy(subjects)

    return Given(one, tuple(map(rank_of, decl.subjects)), tuple(map(rank_of, decl.inputs)), inputs)


def rank_of(p: ast.Parameter) -> int:
    if p.type is None:
        return 0
    return len(p.type.shape) + EVENT_RANKS.get(getattr(p.type, "name", ""), 0)


def bind(p: ast.Parameter, value: Any, scope: Scope) -> None:
    """An argument by its name; new names in its shape stand for its sizes."""
    scope[p.name] = value
    sizes: list[Any] = list(p.type.shape) if p.type else []
    if isinstance(p.type, ast.NamedType) and p.type.name in EVENT_RANKS:
        sizes.append(p.type.arguments[0].value)
    for size, n in zip(sizes, np.shape(value), strict=False):
        if isinstance(size, ast.Name) and size.id not in scope:
            scope[size.id] = n


def supported(type: ast.TypeExpr | None, value: Any, scope: Scope) -> bool:
    """Whether a subject lies in its declared type."""
    if not isinstance(type, ast.NamedType):
        return True
    low, high = SUPPORTS.get(type.name, (-np.inf, np.inf))
    if type.name in ("real", "int"):
        for place, a in enumerate(type.arguments):
            bound = evaluate(a.value, scope)
            low, high = (bound, high) if (a.name or ("lower", "upper")[place]) == "lower" else (low, bound)
    return bool(np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)))


def call_function(decl: ast.Fn, home: Scope, arguments: Sequence[ast.Argument], scope: Scope) -> Any:
    """A user's function of each copy that leading axes mean."""
    given = {
        a.name or decl.parameters[place].name: evaluate(a.value, scope) for place, a in enumerate(arguments)
    }
    values = [given[p.name] if p.name in given else evaluate(p.default, home) for p in decl.parameters]
    results = []
    ranks = [rank_of(p) if p.type else np.ndim(v) for p, v in zip(decl.parameters, values, strict=True)]
    batch: tuple[int, ...] = ()
    for place, parts in copies(values, ranks):
        inner = home.new_child()
        for p, v in zip(decl.parameters, parts, strict=True):
            bind(p, v, inner)
        for let in decl.body:
            inner[let.name] = evaluate(let.value, inner)
        results.append(evaluate(decl.value, inner))
        batch = tuple(i + 1 for i in place)
    return np.array(results).reshape(batch + np.shape(results[0]))[()]


def take_factor(items: list[Any]) -> list[tuple[Any, Factor]]:
    return [p for f in items for p in (f.parts if isinstance(f, Mixture) else [(1.0, f)])]


FACTOR_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "log_weight": lambda f: -f.energy([]),
    "contrast": lambda p, q, strength=1.0: Contrast(as_factor(p), as_factor(q), strength),
}
FUNCTIONS = {**NUMBER_FUNCTIONS, **FACTOR_FUNCTIONS}
OVER_GENERATOR: dict[str, Callable[[list[Any]], Any]] = {
    **NUMBERS_OVER_GENERATOR,
    "product": lambda items: Product([(f, 1.0) for f in items]),
    "mixture": lambda items: Mixture(take_factor(items)),
}
