"""What a kernel sees of the objects of a continuous variable: rows of an array, or numbers, in their own values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from compose_lang.runtime.arrays.protocol import Array, Position


@runtime_checkable
class ObjectBlock(Protocol):
    """A sweep holds the values of all variables (`hold`), and goes back to coordinates at its end (`release`)."""

    name: str
    objects: int
    size: int  #: k, the numbers of the largest object; smaller ones are padded
    classes: int  #: number of colour classes
    width: int  #: objects in the largest class; smaller ones are padded

    def real_members(self, cls: Any) -> Array:
        """Which numbers of a class's members are no padding, (width, k)."""
        ...

    def limits(self, held: Mapping[str, Array]) -> Any:
        """The bounds of the variable, which stay while only it moves."""
        ...

    def limits_of(self, limits: Any, cls: Any) -> tuple[Any, Any]:
        """The lower and upper bounds of a class's members: numbers, or arrays that broadcast to (chains, width, k)."""
        ...

    def hold(self, position: Position) -> Mapping[str, Array]:
        """The values of all variables."""
        ...

    def release(self, position: Position, held: Mapping[str, Array]) -> Position:
        """The position at values in which the variable may have moved."""
        ...

    def current(self, held: Mapping[str, Array], cls: Any) -> Array:
        """Values (chains, width, k) of a class's objects."""
        ...

    def energies(self, held: Mapping[str, Array], cls: Any, candidates: Array) -> Array:
        """Energies (chains, width, C) of candidates (chains, width, C, k), from the factors that touch each object.

        They are with respect to Lebesgue measure of values, and infinite outside the bounds.
        """
        ...

    def assign(self, held: Mapping[str, Array], cls: Any, values: Array) -> Mapping[str, Array]:
        """The values with the class's objects at values (chains, width, k); padding is ignored."""
        ...
