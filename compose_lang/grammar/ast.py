"""The abstract syntax of a `.cg` program: what the parser hands to the compiler.

Nodes hold nothing but syntax: names are plain strings, numbers are Python numbers, no types and no shapes.
"""

from __future__ import annotations

from compose_lang.grammar.node import Node, syntax

# --- expressions -----------------------------------------------------------------------------------


@syntax
class Number(Node):
    value: int | float


@syntax
class String(Node):
    value: str


@syntax
class Name(Node):
    """A name, `true`, `none` and `_` among them: what it stands for is the resolver's business."""

    id: str


@syntax
class Array(Node):
    """`[1, 2, 3]`"""

    items: tuple[Expr, ...]


@syntax
class Tuple(Node):
    """`(a, b)`: several subjects before `~`, or the members of a cell."""

    items: tuple[Expr, ...]


@syntax
class Unary(Node):
    """`-x`, `+x`, `not x`"""

    op: str
    operand: Expr


@syntax
class Binary(Node):
    """`+ - * / // % ^ @`"""

    op: str
    left: Expr
    right: Expr


@syntax
class Compare(Node):
    """`a < b <= c`: chained as in Python; ops are `< <= > >= == != in` and `not in`."""

    operands: tuple[Expr, ...]
    ops: tuple[str, ...]


@syntax
class Logical(Node):
    """`a and b and c`: op is `and` or `or`."""

    op: str
    operands: tuple[Expr, ...]


@syntax
class Conditional(Node):
    """`if test then a else b`"""

    test: Expr
    then: Expr
    otherwise: Expr


@syntax
class Slice(Node):
    """`start:stop:step` inside an index; absent parts are None."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None


@syntax
class Index(Node):
    """`base[items]`"""

    base: Expr
    items: tuple[Expr | Slice, ...]


@syntax
class Attribute(Node):
    """`base.name`"""

    base: Expr
    name: str


@syntax
class Argument(Node):
    """One argument of a call, by place (name is None) or by name."""

    name: str | None
    value: Expr


@syntax
class Call(Node):
    """`f(arguments)`, or with a bar `F(arguments | inputs)`; `inputs` is None where no bar is written."""

    function: Expr
    arguments: tuple[Argument, ...]
    inputs: tuple[Argument, ...] | None


@syntax
class Clause(Node):
    """`target in domain`: target is a Name or a (nested) Tuple of Names."""

    target: Name | Tuple
    domain: Expr


@syntax
class Generator(Node):
    """`body for clauses if condition`: the sole argument of a call such as `sum`."""

    body: Expr
    clauses: tuple[Clause, ...]
    condition: Expr | None


@syntax
class ArrayComprehension(Node):
    """`[body for clauses if condition]`: an array with one axis a clause."""

    body: Expr
    clauses: tuple[Clause, ...]
    condition: Expr | None


@syntax
class LearnValue(Node):
    """`learn METHOD(...)` on the right of a declaration's `=`."""

    method: Expr


Expr = (
    Number | String | Name | Array | Tuple | Unary | Binary | Compare | Logical | Conditional
    | Index | Attribute | Call | Generator | ArrayComprehension | LearnValue
)  # fmt: skip


# --- types -----------------------------------------------------------------------------------------


@syntax
class NamedType(Node):
    """`real(0, 1)[n, m]`: a type's name (dotted for another module's), its arguments, and the array's shape.

    `shape` is () for a single value; a dimension `_` is `Name("_")`.
    """

    name: str
    arguments: tuple[Argument, ...]
    shape: tuple[Expr, ...]


@syntax
class NamedValues(Node):
    """`{red, green, blue}[n]`"""

    names: tuple[str, ...]
    shape: tuple[Expr, ...]


TypeExpr = NamedType | NamedValues


# --- declarations ----------------------------------------------------------------------------------


@syntax
class Use(Node):
    """`use std.geometry (distance)`, `use "parts/arm.cg" as arm`; `is_file` tells the two apart."""

    module: str
    is_file: bool
    names: tuple[str, ...] | None
    alias: str | None


@syntax
class TypeDecl(Node):
    name: str
    type: TypeExpr


@syntax
class Const(Node):
    name: str
    type: TypeExpr | None
    value: Expr | None


@syntax
class Data(Node):
    name: str
    type: TypeExpr
    value: Expr | None


@syntax
class Param(Node):
    name: str
    type: TypeExpr | None
    value: Expr | None


@syntax
class Var(Node):
    """`var x: T` and `var x: T ~ factor`."""

    name: str
    type: TypeExpr
    factor: Expr | None


@syntax
class Let(Node):
    """`let x = value`, and with indices the recurrence `let s[t] = value for t in range(1, n) if c`."""

    name: str
    indices: tuple[Expr, ...]
    value: Expr
    clauses: tuple[Clause, ...]
    condition: Expr | None


@syntax
class Parameter(Node):
    """One subject, input or argument in a signature."""

    name: str
    type: TypeExpr | None
    default: Expr | None


@syntax
class Fn(Node):
    """`fn f(x: real) -> real = value`, or with a block of `let`s that ends in a value."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: TypeExpr | None
    body: tuple[Let, ...]
    value: Expr  # a LearnValue for a learned function


@syntax
class FactorDecl(Node):
    """`density F(subjects | inputs) { body }` (value is None) or `… = value` (body is None).

    Both None: a declaration without an objective, fitted by a `learn` statement.
    """

    is_density: bool
    name: str
    subjects: tuple[Parameter, ...]
    inputs: tuple[Parameter, ...]
    body: tuple[Statement, ...] | None
    value: Expr | None


@syntax
class Draw(Node):
    """`draw value`, inside a density: how to draw it outright."""

    value: Expr


# --- statements ------------------------------------------------------------------------------------


@syntax
class Energy(Node):
    value: Expr


@syntax
class Require(Node):
    label: str | None
    condition: Expr


@syntax
class Prefer(Node):
    label: str | None
    condition: Expr
    weight: Expr | None


@syntax
class Observe(Node):
    """`observe target = value`"""

    target: Expr
    value: Expr


@syntax
class Tilde(Node):
    """`subject ~ factor`; several subjects are a Tuple."""

    subject: Expr
    factor: Expr


@syntax
class Apply(Node):
    """An expression as a statement: it must apply a factor."""

    factor: Expr


@syntax
class For(Node):
    clauses: tuple[Clause, ...]
    condition: Expr | None
    body: tuple[Statement, ...]


@syntax
class If(Node):
    """`if test { then } else { otherwise }`; `else if` nests."""

    test: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@syntax
class Target(Node):
    """`x`, or the part `x[i, j]` of it."""

    name: str
    indices: tuple[Expr, ...] = ()


@syntax
class Infer(Node):
    """`infer x, y[i] by method for i in domain`; no targets means all variables. method is a Name or a Call."""

    targets: tuple[Target, ...]
    method: Expr
    clauses: tuple[Clause, ...] = ()
    condition: Expr | None = None


@syntax
class Learn(Node):
    """`learn Scene(x=imgs) by diffusion(steps=10)`, `learn k, W by maximum_likelihood(steps=500)`."""

    targets: tuple[Expr, ...]
    method: Expr


Declaration = Use | TypeDecl | Const | Data | Param | Var | Let | Fn | FactorDecl
Statement = (
    Declaration | Draw | Energy | Require | Prefer | Observe | Tilde | Apply | For | If | Infer | Learn
)  # fmt: skip


@syntax
class Module(Node):
    """One file."""

    statements: tuple[Statement, ...]
