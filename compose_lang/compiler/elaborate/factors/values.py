"""Factors as data: declared ones with their inputs or subjects, and what the algebra composes of them.

What they mean is said by functions dispatched on these classes: the terms they add (`algebra`, `application`,
`normalise`), how they are drawn (`draws`), and what they may say that is not meant (`lints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compose_lang.compiler.elaborate.declarations.declared_types import rank_of
from compose_lang.compiler.elaborate.values import DeclaredFactor, Factor
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import broadcast_shapes
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import Span


@dataclass(frozen=True)
class WithInputs:
    """A declared factor with its inputs; it waits for its subjects."""

    factor: DeclaredFactor
    inputs: Mapping[str, tuple[Any, Span]]
    span: Span
    widened: int = field(init=False)

    def __post_init__(self) -> None:
        """Array inputs widen a factor: their leading axes are part of what it is over."""
        extra = 0
        for parameter in self.factor.decl.inputs:
            if parameter.name in self.inputs and isinstance(self.inputs[parameter.name][0], Node):
                value = self.inputs[parameter.name][0]
                extra = max(extra, len(value.shape) - rank_of(parameter, self.factor.scope))
        object.__setattr__(self, "widened", extra)

    @property
    def description(self) -> str:
        return self.factor.description

    @property
    def normalised(self) -> bool:
        return self.factor.normalised

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(rank_of(s, self.factor.scope) + self.widened for s in self.factor.decl.subjects)


@dataclass(frozen=True)
class Applied:
    """A factor with its subjects: it joins the algebra as a factor over nothing more."""

    factor: Factor
    subjects: tuple[Node, ...]
    span: Span
    normalised: bool = False
    ranks: tuple[int, ...] = ()

    @property
    def description(self) -> str:
        return self.factor.description


@dataclass(frozen=True)
class Product:
    """Factors with exponents: `P * Q`, `P / Q`, `P ^ b` and their compositions."""

    parts: tuple[tuple[Factor, Node], ...]
    ranks: tuple[int, ...]
    description: str = "a product of factors"
    normalised: bool = False
    quotient: Span | None = None  #: where a `/` is written in it
    divided: frozenset[int] = frozenset()  #: ids of the parts that stand in that quotient


@dataclass(frozen=True)
class Scaled:
    """`0.3 * P`: a weight before a factor, which matters in a mixture."""

    weight: Node
    factor: Factor
    normalised: bool = False

    @property
    def ranks(self) -> tuple[int, ...]:
        return self.factor.ranks

    @property
    def description(self) -> str:
        return self.factor.description


@dataclass(frozen=True)
class Mixture:
    """`w * P + v * Q`: energies −log Σ w e^−E, one choice for each copy."""

    parts: tuple[tuple[Node, Factor], ...]
    ranks: tuple[int, ...]
    normalised: bool
    written: Span  #: where it stands in the program
    description: str = "a mixture"

    @property
    def copy_ranks(self) -> tuple[int, ...]:
        """Axes of each subject that belong to one choice: array weights mean a choice for each element."""
        wide = broadcast_shapes(*(w.shape for w, _ in self.parts))
        return tuple(max(0, r - len(wide)) for r in self.ranks) if wide else self.ranks


@dataclass(frozen=True)
class Contrast:
    """`contrast(P, Q, strength)`: the factor P · P / (P + strength · Q), P but not Q, bounded by P."""

    likes: Factor
    dislikes: Factor
    strength: Node
    ranks: tuple[int, ...]
    description: str = "a contrast"
    normalised: bool = False


@dataclass(frozen=True)
class OverRange:
    """`product(F(i) for i in …)` and `mixture(w[k] * F(k) for k in …)`: one factor along the axes of the range."""

    kind: str
    body: Factor
    axes: tuple[Axis, ...]
    mask: Node | None
    ranks: tuple[int, ...]
    normalised: bool
    written: Span  #: where it stands in the program

    @property
    def description(self) -> str:
        return f"a {self.kind} over a range"


@dataclass(frozen=True)
class Normalised:
    """The density proportional to a factor, and to 0 outside [lower, upper] where these are given."""

    inner: Factor
    domains: tuple[Domain | None, ...]  #: of the subjects as declared; None: as those it is applied to
    span: Span
    lower: Node | None = None
    upper: Node | None = None
    normalised: bool = True

    @property
    def ranks(self) -> tuple[int, ...]:
        return self.inner.ranks

    @property
    def description(self) -> str:
        return "a truncated density" if self.lower is not None else "a normalised factor"


FACTORS = (WithInputs, Applied, Product, Scaled, Mixture, Contrast, OverRange, Normalised)


def as_factor(value: Any) -> Factor | None:
    """The value as a factor if it is one; a declared name without parentheses takes its defaults."""
    if isinstance(value, Node):
        return None
    if isinstance(value, DeclaredFactor):
        return WithInputs(value, {}, value.decl.span)
    return value if isinstance(value, FACTORS) else None
