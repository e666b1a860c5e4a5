"""Types as a program writes them, made into `Type`s: sizes evaluated, named types looked up, new names bound.

A bound may depend on variables declared before; it is then an IR node beside the type.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.named_values import bring_in
from compose_lang.compiler.elaborate.values import (
    DeclaredType,
    NamedType,
    Namespace,
    SymbolTable,
    as_node,
    describe,
    static_int,
)
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import BOOL, INT, POSITIVE, REAL, TEXT, UNIT, Domain, Type
from compose_lang.diagnostics import Label, Span, did_you_mean, fail
from compose_lang.grammar import ast

PLAIN = {
    "positive": POSITIVE,
    "unit": UNIT,
    "angle": Domain("angle"),
    "bool": BOOL,
    "spin": Domain("spin"),
    "text": TEXT,
}
SIZED = ("simplex", "ordered", "positive_ordered", "unit_vector", "cholesky_corr", "category", "permutation")
ELSEWHERE = {
    "vector": "real[n]", "row_vector": "real[n]", "matrix": "real[n, m]", "array": "real[n]", "list": "real[n]",
    "tensor": "real[n]", "ndarray": "real[n]", "float": "real", "float32": "real", "float64": "real",
    "double": "real", "number": "real", "integer": "int", "int64": "int", "nat": "int(lower=0)",
    "count": "int(lower=0)", "boolean": "bool", "binary": "bool", "string": "text", "str": "text",
    "probability": "unit", "prob": "unit", "nonnegative": "positive", "sphere": "unit_vector(k)",
    "cholesky_factor_corr": "cholesky_corr(k)",
}  # fmt: skip
SAID = {
    "complex": "there are no complex numbers: take a real and an imaginary part",
    "cov_matrix": "a covariance is made of scales and a `cholesky_corr(k)`: `let L = diag(tau) @ C`",
    "corr_matrix": "a correlation matrix is made of a `cholesky_corr(k)`: `C @ transpose(C)`",
    "cholesky_factor_cov": "a covariance is made of scales and a `cholesky_corr(k)`: `let L = diag(tau) @ C`",
}
TYPE_NAMES = ("real", "int", *PLAIN, *SIZED)


def declared_type(ctx: Context, written: ast.TypeExpr) -> DeclaredType:
    """The type that a type expression means in a context."""
    shape = tuple(size(ctx, s) for s in written.shape)
    if isinstance(written, ast.NamedValues):
        return DeclaredType(Type(Domain("category", size=len(written.names), names=written.names), shape))
    if written.name == "real":
        return bounded(ctx, written, shape)
    if written.name == "int":
        return whole(ctx, written, shape)
    if written.name in SIZED:
        if len(written.arguments) != 1:
            fail("CG0206", f"{written.name} takes its size", written.span, help=sized_hint(written))
        argument = written.arguments[0]
        k = static_int(ctx.evaluate(argument.value), argument.span, f"the size of {written.name}")
        least = 2 if written.name == "unit_vector" else 1  # on a line there is no surface, only -1 and 1
        if k < least:
            fail("CG0204", f"the size of {written.name} must be at least {least}, not {k}", argument.span)
        return DeclaredType(Type(Domain(written.name, size=k), shape))
    if written.name not in PLAIN:
        return named(ctx, written, shape)
    if written.arguments:
        help = f"an array is `{written.name}[n]`, a number between bounds `real(lo, hi)`"
        fail("CG0206", f"{written.name} takes no arguments", written.span, help=help)
    return DeclaredType(Type(PLAIN[written.name], shape))


def sized_hint(written: ast.NamedType) -> str:
    """How `simplex[3]` and `category(red, green)` are written."""
    parts = [a.value.span.text for a in written.arguments]
    if written.name == "category" and len(parts) > 1:
        return f"named values are `{{{', '.join(parts)}}}`"
    sizes = [s.span.text for s in written.shape]
    rest = f"[{', '.join(sizes[:-1])}]" if sizes[1:] else ""
    return f"write `{written.name}({sizes[-1] if sizes else 'k'}){rest}`"


def declared_with_values(ctx: Context, written: ast.TypeExpr) -> DeclaredType:
    """A declared type; the names of its values come into scope."""
    declared = declared_type(ctx, written)
    bring_in(ctx.scope, declared.type.domain)
    return declared


def named(ctx: Context, written: ast.NamedType, shape: tuple[int, ...]) -> DeclaredType:
    declared = type_called(ctx.scope, written.name)
    if declared is None:
        known = [*TYPE_NAMES, *(n for n in ctx.scope.all_names() if isinstance(ctx.scope.find(n), NamedType))]
        help = SAID.get(written.name) or foreign_type(written) or did_you_mean(written.name, known)
        fail("CG0205", f"unknown type `{written.name}`", written.span, help=help)
    if written.arguments:
        fail("CG0206", f"the type `{written.name}` takes no arguments", written.span)
    return DeclaredType(declared.type.with_shape(shape + declared.type.shape))


def foreign_type(written: ast.NamedType) -> str:
    """How another language's type is written here, with its bounds and sizes; or nothing."""
    meant = ELSEWHERE.get(written.name)
    if meant is None:
        return ""
    if meant.endswith("(k)"):
        return sized_hint(replace(written, name=meant.removesuffix("(k)")))
    base, _, size = meant.partition("[")
    if written.arguments and "(" not in base:
        base += f"({', '.join(a.span.text for a in written.arguments)})"
    sizes = ", ".join(s.span.text for s in written.shape) or size.rstrip("]")
    return f"write `{base}[{sizes}]`" if sizes else f"write `{base}`"


def type_called(scope: SymbolTable, name: str) -> NamedType | None:
    """The `type` of a name, which may be dotted; None where there is none."""
    *path, last = name.split(".")
    try:
        for part in path:
            inner = scope.find(part)
            if not isinstance(inner, Namespace) or last not in inner.scope.own_names():
                return None
            scope = inner.scope
        value = scope.find(last)
    except KeyError:
        return None
    return value if isinstance(value, NamedType) else None


def named_domain(parameter: ast.Parameter, scope: SymbolTable) -> Domain | None:
    """The domain of a parameter whose type has named values."""
    written = parameter.type
    if isinstance(written, ast.NamedValues):
        return Domain("category", size=len(written.names), names=written.names)
    named = type_called(scope, written.name) if written is not None else None
    return named.type.domain if named is not None else None


def rank_of(parameter: ast.Parameter, scope: SymbolTable) -> int:
    """Axes of one value of a parameter, those inside a simplex or a Cholesky factor included."""
    written = parameter.type
    if not isinstance(written, ast.NamedType):
        return len(written.shape) if written else 0
    inside = {"simplex": 1, "ordered": 1, "positive_ordered": 1, "unit_vector": 1, "permutation": 1}
    named = type_called(scope, written.name)
    event = len(named.type.full_shape) if named else {**inside, "cholesky_corr": 2}.get(written.name, 0)
    return len(written.shape) + event


def size(ctx: Context, written: ast.Expr) -> int:
    if isinstance(written, ast.Name) and written.id == "_":
        return -1
    n = static_int(ctx.evaluate(written), written.span, "an array's size")
    if n < 0:
        fail("CG0204", f"an array's size must not be negative, not {n}", written.span)
    if n == 0 and isinstance(written, ast.Number):
        help = "bounds stand in parentheses, as in `real(0, 1)`; sizes in brackets"
        fail("CG0204", "an array of 0 elements", written.span, help=help)
    return n


def bounds(ctx: Context, written: ast.NamedType) -> dict[str, tuple[Node, Span]]:
    given: dict[str, tuple[Node, Span]] = {}
    for place, argument in enumerate(written.arguments):
        name = argument.name or ("lower", "upper", "")[min(place, 2)]
        if name not in ("lower", "upper") or name in given:
            fail("CG0206", f"{written.name} takes (lower, upper), lower= or upper=", argument.span)
        value = as_node(ctx.evaluate(argument.value), argument.span)
        given[name] = (value, argument.span)
    return given


def check_one_bound(written: ast.NamedType) -> None:
    """A single number in parentheses may be meant as a bound or as a size: it needs its name."""
    if len(written.arguments) == 1 and written.arguments[0].name is None:
        text = written.arguments[0].span.text
        help = f"a bound has its name, `{written.name}(lower={text})`; an array is `{written.name}[{text}]`"
        fail("CG0206", f"{written.name} takes two bounds, or one by name", written.span, help=help)


def bounded(ctx: Context, written: ast.NamedType, shape: tuple[int, ...]) -> DeclaredType:
    """`real`, `real(lo, hi)`, `real(lower=lo)`; a bound that is not one number known now is kept as a node."""
    numbers = {"lower": -np.inf, "upper": np.inf}
    nodes: dict[str, Node] = {}
    given = bounds(ctx, written)
    check_one_bound(written)
    for name, (value, _) in given.items():
        if value.is_static_scalar:
            numbers[name] = float(value.item())
        else:
            nodes[name] = value
    if numbers["lower"] >= numbers["upper"]:
        text = f"the lower bound {numbers['lower']:g} is not below the upper bound {numbers['upper']:g}"
        fail("CG0204", text, written.span)
    domain = REAL
    if given:
        domain = Domain("real", numbers["lower"], numbers["upper"])
    return DeclaredType(Type(domain, shape), nodes.get("lower"), nodes.get("upper"))


def whole(ctx: Context, written: ast.NamedType, shape: tuple[int, ...]) -> DeclaredType:
    numbers = {"lower": -np.inf, "upper": np.inf}
    check_one_bound(written)
    for name, (value, span) in bounds(ctx, written).items():
        if value.is_static_scalar and value.item() in (np.inf, -np.inf):
            continue
        numbers[name] = static_int(value, span, f"the {name} bound of int")
        if abs(numbers[name]) > 2**53:
            help = f"leave it out: int({'lower' if name == 'upper' else 'upper'}=…) has one bound, int none"
            text = f"the {name} bound of int is at most 2^53 in size: energies are not exact beyond"
            fail("CG0801", text, span, help=help)
    if numbers["lower"] > numbers["upper"]:
        text = f"the lower bound {numbers['lower']:g} is above the upper bound {numbers['upper']:g}"
        fail("CG0204", text, written.span)
    domain = Domain("int", numbers["lower"], numbers["upper"]) if written.arguments else INT
    return DeclaredType(Type(domain, shape))


@dataclass
class Sizes:
    """Where the sizes of one call were bound: by which argument each name of a size got its value."""

    bound: dict[str, tuple[str, Span]] = field(default_factory=dict)


def bind_shape(
    ctx: Context, written: ast.TypeExpr, value: Node, what: str, span: Span, sizes: Sizes | None = None
) -> None:
    """Match an argument's axes with a declared shape: new names are bound, known sizes must agree."""
    sizes = sizes or Sizes()
    dims: list[ast.Expr] = list(written.shape)
    actual = list(value.shape)
    named = type_called(ctx.scope, written.name) if isinstance(written, ast.NamedType) else None
    if named is not None:
        dims += [ast.Number(n, span=written.span) for n in named.type.full_shape]
    if isinstance(written, ast.NamedType) and written.name in SIZED and written.arguments:
        inner = written.arguments[0].value
        if written.name == "category":
            if value.domain is not None and value.domain.kind == "category":
                match_size(ctx, inner, value.domain.size, written, value, what, span, sizes, loose=True)
        elif written.name == "cholesky_corr":
            dims += [inner, inner]
        else:
            dims.append(inner)
    for dim, n in zip(dims, actual, strict=True):
        match_size(ctx, dim, n, written, value, what, span, sizes)


def match_size(
    ctx: Context,
    dim: ast.Expr,
    n: int,
    written: ast.TypeExpr,
    value: Node,
    what: str,
    span: Span,
    sizes: Sizes,
    loose: bool = False,
) -> None:
    if isinstance(dim, ast.Name) and dim.id == "_":
        return
    if isinstance(dim, ast.Name):
        try:
            known = ctx.scope.find(dim.id)
        except KeyError:
            ctx.scope.names[dim.id] = constant(n)
            sizes.bound[dim.id] = (what, span)
            return
        wanted = static_int(known, span, "a size")
    else:
        wanted = static_int(ctx.evaluate(dim), dim.span, "a size")
    if wanted != n and not (loose and n < wanted):
        labels: tuple[Label, ...] = ()
        known_as = ""
        if not isinstance(dim, ast.Number):
            known_as = f" with {dim.span.text} = {wanted}"
            by, place = sizes.bound.get(dim.span.text, ("", span))
            if by and place != span:
                labels = (Label(place, f"{dim.span.text} = {wanted} from {by}"),)
        text = f"shapes do not match: {what} is {written.span.text}{known_as}, given {describe(value)}"
        fail("CG0203", text, span, labels=labels, label=describe(value) if labels else "")
