"""What every node of a syntax tree has: a place in the source text, and equality without it.

Every node carries the `Span` of source text it came from; spans do not take part in equality, so that
`parse(print(tree)) == tree`. Nodes are immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, dataclass_transform

from compose_lang.diagnostics import Span

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def syntax(cls: type[T]) -> type[T]:
    """Make a class of nodes: a frozen dataclass to the type checker.

    At run time only its `__init__` is generated; forty classes with all their methods would cost every
    `compose check` a fifth of its half second.
    """
    return dataclass(eq=False, repr=False)(cls)


@syntax
class Node:
    __match_args__: ClassVar[tuple[str, ...]]  # made by dataclass: the names of the fields but the span
    span: Span = field(kw_only=True)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((type(self), self._parts()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts()))})"

    def _parts(self) -> tuple[object, ...]:
        """All fields but the span."""
        return tuple(getattr(self, name) for name in type(self).__match_args__)
