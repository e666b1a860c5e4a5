"""What names and expressions can stand for besides IR nodes, and how values are described to the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import SymbolTable
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Type
from compose_lang.diagnostics import Span, fail
from compose_lang.grammar import ast


@dataclass(frozen=True)
class Function:
    """A user's `fn` with the scope it was declared in."""

    decl: ast.Fn
    scope: SymbolTable


@dataclass(frozen=True)
class NamedType:
    """A `type` declaration's type."""

    type: Type


@dataclass(frozen=True)
class Namespace:
    """Another module's names, under an alias."""

    name: str
    scope: SymbolTable


@dataclass(frozen=True)
class Cell:
    """A tuple of values: a cell of a grid, several subjects."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class IndexSet:
    """A finite list of indices, all known: `columns` is an integer array, or a nested tuple of such, one entry
    an instance."""

    count: int
    columns: Any


@dataclass(frozen=True)
class DependentRange:
    """`range(lo, hi, step)` whose bounds, and so its `counts`, differ between the instances of the plates around it."""

    start: Node
    step: int
    counts: Node
    longest: int
    first: int


@dataclass(frozen=True, eq=False)
class Texts:
    """Text data: an array of strings, which no energy reads but an output may name."""

    value: np.ndarray

    @property
    def description(self) -> str:
        return f"text[{', '.join(map(str, self.value.shape))}]"


@dataclass(frozen=True)
class Nothing:
    """`none`"""


def describe(value: Any) -> str:
    """A value's type in the user's words: `real[8]`, `a factor`, …"""
    if isinstance(value, Node):
        shape = value.shape
        if value.domain is not None:
            event = len(value.domain.event_shape)
            return str(Type(value.domain, shape[: len(shape) - event] if event else shape))
        return value.dtype + (f"[{', '.join(map(str, shape))}]" if shape else "")
    if isinstance(value, str):
        return "text"
    if isinstance(value, Cell):
        return "a tuple"
    if isinstance(value, IndexSet | DependentRange):
        return "an index set"
    if isinstance(value, Function):
        return f"the function `{value.decl.name}`"
    if isinstance(value, NamedType):
        return "a type"
    if isinstance(value, Nothing):
        return "none"
    if isinstance(value, Namespace):
        return f"the module `{value.name}`"
    return str(getattr(value, "description", "a factor"))


def as_node(value: Any, span: Span) -> Node:
    """The value as a number or an array."""
    if isinstance(value, Node):
        return value
    help = ""
    if hasattr(value, "terms") or hasattr(value, "without_inputs"):
        help = "a factor's weight as a number is `exp(log_weight(F(x | …)))`"
    fail("CG0204", f"a number or an array is needed here, not {describe(value)}", span, help=help)


def static_int(value: Any, span: Span, what: str) -> int:
    """The value as an integer known at compile time."""
    x = as_node(value, span)
    if not x.is_static_scalar:
        if x.variables:
            names = ", ".join(f"`{name}`" for name in sorted(x.variables))
            reason = f"{names} {'is' if len(x.variables) == 1 else 'are'} random"
        elif x.axes and not x.shape:
            reason = "it differs between the instances of the loop"
        else:
            reason = f"it is {describe(x)}"
        fail("CG0208", f"{what} must be one integer known at compile time: {reason}", span)
    number = x.item()
    if isinstance(number, float):
        if not number.is_integer():
            fail("CG0204", f"{what} must be an integer, not {number:g}", span)
        number = int(number)
    if abs(number) >= 2**63:
        fail("CG0801", f"{what} has 64 bits: {number:.3g} does not fit", span)
    return int(number)
