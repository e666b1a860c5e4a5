"""What a kernel sees of continuous variables in their own values: their objects, or all as a vector on a line."""

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


@runtime_checkable
class LineBlock(Protocol):
    """Real variables as one flat vector a chain, in their own values. A sweep holds these, as of an `ObjectBlock`."""

    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """D, the number of values."""
        ...

    def hold(self, position: Position) -> Mapping[str, Array]:
        """The values of all variables."""
        ...

    def release(self, position: Position, held: Mapping[str, Array]) -> Position:
        """The position at values in which the block may have moved."""
        ...

    def ravel(self, held: Mapping[str, Array]) -> Array:
        """The block's values (chains, D)."""
        ...

    def unravel(self, held: Mapping[str, Array], x: Array) -> dict[str, Array]:
        """All values, with the block's replaced by x (chains, D)."""
        ...

    def energy(self, x: Array, held: Mapping[str, Array]) -> Array:
        """Energy (chains,) of the factors that read the block, with respect to Lebesgue measure of its values."""
        ...

    def chord(self, x: Array, direction: Array, held: Mapping[str, Array]) -> tuple[Array, Array]:
        """The ends (chains,) of the t at which x + t direction lies within bounds and straight walls."""
        ...
