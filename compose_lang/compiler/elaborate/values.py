"""What names and expressions can stand for besides IR nodes, and how values are described to the user."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from compose_lang.compiler.ir.build import cast_to
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Type
from compose_lang.diagnostics import Span, fail
from compose_lang.discovery import LEARNERS, NETS
from compose_lang.grammar import ast


class SymbolTable:
    """Names and what they stand for; inner scopes hide outer ones."""

    def __init__(self, parent: SymbolTable | None = None, names: dict[str, Any] | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Any] = names or {}

    def own_names(self) -> Collection[str]:
        """The names of this scope alone."""
        return self.names

    def find(self, name: str) -> Any:
        """What a name stands for; KeyError where it is unknown."""
        if name in self.names:
            return self.names[name]
        if self.parent is None:
            raise KeyError(name)
        return self.parent.find(name)

    def all_names(self) -> Iterator[str]:
        yield from self.names
        if self.parent is not None:
            yield from self.parent.all_names()


class Poisoned:
    """What a declaration that failed stands for: its uses are not reported again, unless they must be: `why`."""

    def __init__(self, why: str = "") -> None:
        self.why = why


@dataclass(frozen=True)
class Function:
    """A user's `fn` with the scope it was declared in."""

    decl: ast.Fn
    scope: SymbolTable


@dataclass(frozen=True)
class DeclaredFactor:
    """A `factor` or `density` declaration with the scope it stands in."""

    decl: ast.FactorDecl
    scope: SymbolTable
    is_program: ClassVar[bool] = False
    hint: ClassVar[str] = ""  #: how to give the right subjects

    @property
    def description(self) -> str:
        return f"the {'density' if self.decl.is_density else 'factor'} `{self.decl.name}`"

    @property
    def is_learned(self) -> bool:
        """Whether its energy comes from elsewhere than the program's text."""
        value = self.decl.value
        if self.is_part or isinstance(value, ast.LearnValue):
            return True
        callee = value.function if isinstance(value, ast.Call) else None
        return isinstance(callee, ast.Name) and callee.id in ("load", "extern")

    @property
    def is_part(self) -> bool:
        """Whether it has a net, or nothing, in place of an objective: a statement fits it with others."""
        if self.decl.body is None and self.decl.value is None:
            return True
        method = self.learning_method
        return method != "" and method in NETS

    @property
    def normalised(self) -> bool:
        """Whether it is a density, and not learned by a method that leaves its total open."""
        method = self.learning_method
        learner = LEARNERS.get(method) if method else None
        return self.decl.is_density and not self.is_part and (learner is None or learner.normalised)

    @property
    def learning_method(self) -> str:
        """What stands after `= learn`; "" where nothing does."""
        method = self.decl.value.method if isinstance(self.decl.value, ast.LearnValue) else None
        name = method.function if isinstance(method, ast.Call) else method
        return name.id if isinstance(name, ast.Name) else ""

    def over(self, names: Collection[str], span: Span) -> DeclaredFactor:
        """The factor over the subjects that an application names: all of them, unless it is a program."""
        for subject in self.decl.subjects:
            if subject.name not in names:
                text = (
                    f"`{self.decl.name}` is missing its subject `{subject.name}`: give all subjects or none"
                )
                fail("CG0206", text, span)
        return self


class Factor(Protocol):
    """A function into weights, given its inputs and waiting for its subjects (see `factors.values`)."""

    @property
    def description(self) -> str: ...

    @property
    def ranks(self) -> tuple[int, ...]:
        """Axes of each subject that belong to one copy of the factor."""
        ...

    @property
    def normalised(self) -> bool:
        """Whether the weights sum to 1 over the subjects, whatever the inputs."""
        ...


@dataclass(frozen=True)
class NamedType:
    """A `type` declaration's type."""

    type: Type


@dataclass(frozen=True)
class DeclaredType:
    """A type, with -1 for a size still to be read from data, and the bounds that are not plain numbers."""

    type: Type
    lower: Node | None = None
    upper: Node | None = None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of a shape may be of this type."""
        sizes = self.type.full_shape
        return len(sizes) == len(shape) and all(n in (-1, m) for n, m in zip(sizes, shape, strict=True))


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
    if isinstance(value, DeclaredFactor) or hasattr(value, "ranks"):
        help = "a factor's weight as a number is `exp(log_weight(F(x | …)))`"
    fail("CG0204", f"a number or an array is needed here, not {describe(value)}", span, help=help)


def truth(x: Node, span: Span) -> Node:
    """A value as a truth value: whole numbers may stand for one, reals do not."""
    if x.dtype == "real":
        text = f"a truth value is needed here, not {describe(x)}"
        fail("CG0204", text, span, help="compare it, as in `x > 0`")
    return cast_to(x, "bool")


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
