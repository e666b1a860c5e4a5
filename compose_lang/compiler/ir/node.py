"""The nodes of the energy program: operations over named axes.

A node's value is an array with the axes `(chain, *axes, *shape)`. `axes` are the plates and generators it varies
over, each an `Axis` object, in order of creation: a factor over a million instances is one node with one axis of
that length, never a million nodes. `shape` is what the user sees of one instance. `build` makes nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from compose_lang.compiler.ir.types import Domain

Dtype = Literal["real", "int", "bool"]


NUMPY_DTYPES: dict[str, Any] = {"real": np.float64, "int": np.int64, "bool": np.bool_}


_axis_numbers = itertools.count()


class Axis:
    """A plate or generator: `size` instances. Two axes are the same only if they are the same object."""

    __slots__ = ("name", "number", "size")

    def __init__(self, size: int, name: str = "") -> None:
        self.size = size
        self.name = name
        self.number = next(_axis_numbers)

    def __repr__(self) -> str:
        return f"{self.name or 'axis'}:{self.size}"


def union_axes(nodes: Iterable[Node]) -> tuple[Axis, ...]:
    """All axes of several nodes, in order of creation."""
    return tuple(sorted({a for n in nodes for a in n.axes}, key=lambda a: a.number))


class Node:
    """One operation: `op` on `args` with static attributes `attrs`.

    Leaves are `const` (its `value` has the axes `(*axes, *shape)`), `var` (attrs: its name), and `slot`
    (attrs: a unique key), which whoever evaluates the node binds to an array.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "attrs",
        "axes",
        "domain",
        "dtype",
        "op",
        "shape",
        "value",
        "variables",
    )

    def __init__(
        self,
        op: str,
        args: tuple[Node, ...],
        attrs: tuple[Any, ...],
        shape: tuple[int, ...],
        axes: tuple[Axis, ...],
        dtype: Dtype,
        value: np.ndarray | None = None,
        domain: Domain | None = None,
    ) -> None:
        self.op = op
        self.args = args
        self.attrs = attrs
        self.shape: tuple[int, ...] = shape
        self.axes: tuple[Axis, ...] = axes
        self.dtype: Dtype = dtype
        self.value = value
        self.domain = domain  #: what is known of its values, for named values, checks and messages
        self.variables: frozenset[str] = (
            frozenset((attrs[0],)) if op == "var" else frozenset().union(*(a.variables for a in args))
        )

    @property
    def is_const(self) -> bool:
        return self.value is not None

    @property
    def is_static_scalar(self) -> bool:
        """Whether it is one number known at compile time."""
        return self.value is not None and not self.axes and not self.shape

    def item(self) -> Any:
        """The Python number of a static scalar."""
        assert self.value is not None
        return self.value.item()

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.args)) if self.op != "const" else str(self.value)[:40]
        tail = f" {self.attrs}" if self.attrs else ""
        return f"{self.op}({inside}){tail}{list(self.axes)}{self.shape}"


def leaves(x: Node) -> list[Node]:
    return [n for n in postorder([x]) if not n.args]


def postorder(roots: Iterable[Node], inside: Callable[[Node], bool] = lambda n: True) -> list[Node]:
    """Every node below the roots, each once, arguments before their users; below a node only if `inside` it."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        current, expanded = stack.pop()
        if expanded:
            order.append(current)
            continue
        if id(current) in seen:
            continue
        seen.add(id(current))
        stack.append((current, True))
        if inside(current):
            stack.extend((a, False) for a in reversed(current.args) if id(a) not in seen)
    return order
