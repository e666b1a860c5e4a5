"""A program's energy by brute force: its syntax tree walked in plain Python, every instance by itself.

In: a program's text, the values of all its variables, and its data. Out: the energy in nats. Nothing of the
compiler is used but the parser: this is what the compiler is held against. It trusts the program to be right.
"""

from __future__ import annotations

import itertools
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special as special

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

Scope = ChainMap[str, Any]
EVENT_RANKS = {"simplex": 1, "ordered": 1, "positive_ordered": 1, "cholesky_corr": 2}


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
        if isinstance(s, ast.FactorDecl | ast.Fn):
            scope[s.name] = (s, scope)
        if isinstance(s, ast.Var | ast.TypeDecl) and isinstance(s.type, ast.NamedValues):
            scope.update({name: place for place, name in enumerate(s.type.names)})
        if isinstance(s, ast.Data) and isinstance(s.type, ast.NamedValues):
            scope.update({name: place for place, name in enumerate(s.type.names)})
    return float(sum(run(s, scope) for s in statements))


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


# --- tables -----------------------------------------------------------------------------------------------


def pairwise(lattice: Sequence[int], periodic: bool) -> list[Any]:
    """Each pair of neighbouring cells once."""
    found = set()
    for cell in itertools.product(*map(range, lattice)):
        for axis, n in enumerate(lattice):
            to = list(cell)
            to[axis] += 1
            if periodic:
                to[axis] %= n
            if to[axis] < n and tuple(to) != cell:
                found.add(tuple(sorted((cell, tuple(to)))))
    pairs = sorted(found)
    return [(a[0], b[0]) for a, b in pairs] if len(lattice) == 1 else pairs


def least(reduce: Any, pair: Any, xs: Sequence[Any], axis: int | None) -> Any:
    """`min` or `max`: of one array along an axis, or of several element by element."""
    return reduce(xs[0], axis) if len(xs) == 1 else pair.reduce(np.broadcast_arrays(*xs))


def truth(x: Any) -> Any:
    return np.asarray(x, bool)


def take_factor(items: list[Any]) -> list[tuple[Any, Factor]]:
    return [p for f in items for p in (f.parts if isinstance(f, Mixture) else [(1.0, f)])]


def norm(x: Any) -> Any:
    return np.sqrt(np.sum(np.square(x)))


SUPPORTS = {"positive": (0, np.inf), "unit": (0, 1), "bool": (0, 1), "spin": (-1, 1)}
CONSTANTS = {"true": True, "false": False, "inf": np.inf, "pi": np.pi}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": np.floor_divide, "%": np.mod,
    "^": lambda x, y: np.power(np.asarray(x, float), y), "@": np.matmul,
}  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "in": lambda x, group: np.isin(x, list(group)), "not in": lambda x, group: ~np.isin(x, list(group)),
}  # fmt: skip
OVER_GENERATOR: dict[str, Callable[[list[Any]], Any]] = {
    "sum": lambda items: np.sum(items, axis=0) if items else 0.0,
    "prod": lambda items: np.prod(items, axis=0) if items else 1.0,
    "mean": lambda items: np.mean(items, axis=0),
    "min": lambda items: np.min(items, axis=0) if items else np.inf,
    "max": lambda items: np.max(items, axis=0) if items else -np.inf,
    "logsumexp": lambda items: special.logsumexp(items, axis=0) if items else -np.inf,
    "any": lambda items: any(np.all(i) for i in items),
    "all": lambda items: all(np.all(i) for i in items),
    "product": lambda items: Product([(f, 1.0) for f in items]),
    "mixture": lambda items: Mixture(take_factor(items)),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "abs": np.abs, "sin": np.sin,
    "cos": np.cos, "tanh": np.tanh, "logistic": special.expit, "logit": special.logit, "atan2": np.arctan2,
    "softplus": lambda x: np.logaddexp(0, x), "xlogy": special.xlogy, "lgamma": special.gammaln, "floor": np.floor,
    "sign": np.sign, "round": np.round,
    "softmax": lambda x: special.softmax(x, axis=-1), "cumsum": lambda x: np.cumsum(x, axis=-1),
    "sort": lambda x: np.sort(x, axis=-1), "norm": norm, "dot": lambda x, y: np.sum(x * y, axis=-1), "outer": np.outer,
    "sum": lambda x, axis=None: np.sum(x, axis), "mean": lambda x, axis=None: np.mean(x, axis),
    "prod": lambda x, axis=None: np.prod(x, axis), "any": np.any, "all": np.all,
    "logsumexp": lambda x, axis=None: special.logsumexp(x, axis),
    "min": lambda *xs, axis=None: least(np.min, np.minimum, xs, axis),
    "max": lambda *xs, axis=None: least(np.max, np.maximum, xs, axis),
    "clip": np.clip, "where": np.where, "variance": np.var, "sd": np.std, "len": len, "shape": np.shape,
    "stack": lambda *xs: np.stack(xs), "concat": lambda *xs: np.concatenate(xs), "transpose": np.transpose,
    "reshape": lambda x, *n: np.reshape(x, n), "diag": np.diag, "trace": np.trace, "eye": np.eye,
    "zeros": lambda *n: np.zeros(n), "ones": lambda *n: np.ones(n), "cholesky": np.linalg.cholesky,
    "inverse": np.linalg.inv, "det": np.linalg.det, "log_det": lambda x: np.linalg.slogdet(x)[1],
    "solve": np.linalg.solve, "all_different": lambda x: len(set(np.asarray(x).tolist())) == len(x),
    "exactly_one": lambda x: np.sum(truth(x)) == 1, "at_most": lambda x, k: np.sum(truth(x)) <= k,
    "at_least": lambda x, k: np.sum(truth(x)) >= k, "implies": lambda p, q: ~truth(p) | truth(q),
    "log_weight": lambda f: -f.energy([]),
    "contrast": lambda p, q, strength=1.0: Contrast(as_factor(p), as_factor(q), strength),
    "range": range, "pairs": lambda n: list(itertools.combinations(range(n), 2)),
    "chain": lambda n: [(i, i + 1) for i in range(n - 1)], "grid": lambda *n: pairwise(n, False),
    "torus": lambda *n: pairwise(n, True), "zip": lambda *xs: list(zip(*xs, strict=True)),
}  # fmt: skip
