"""`learned`: the energy of a learned factor at its subjects, inputs and the noise level; `learned_draw`: a draw of it.

What a part has learned is no constant of the program: a slot stands for it, which the runtime binds to an object that
can weigh (`Weigher`), so that compiling a program needs neither the weights nor an array library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.operation import OPS, Array, Op, align


class Weigher(Protocol):
    def __call__(
        self, b: Any, level: Array, subjects: Sequence[Array], inputs: Sequence[Array | None]
    ) -> Array:
        """Energies (n,) of subjects (n, *shape), given inputs (n, *shape; None: left out) and noise levels (n,)."""
        ...

    def draw(self, b: Any, inputs: Sequence[Array | None], noise: Array) -> Array:
        """All elements (n, d) of draws of the subjects, from as many numbers of noise (n, d)."""
        ...


def _run(b: Any, node: Node, xs: list[Any]) -> Array:
    subjects, inputs = arguments(b, node, xs)
    energy = xs[0](b, subjects.level, subjects.flat, inputs)
    return energy.reshape(subjects.lead)


class Arguments:
    """The arrays of a learned factor's arguments with all instances along one axis: `flat`, each (n, *shape)."""

    def __init__(self, b: Any, node: Node, xs: list[Any]) -> None:
        _, level, *values = xs
        nodes = node.args[2:]
        aligned = [align(x, a, node.axes) for x, a in zip(values, nodes, strict=True)]
        axes = 1 + len(node.axes)
        leads = [x.shape[:axes] for x in aligned] + [(level.shape[0], *(1,) * len(node.axes))]
        self.lead: tuple[int, ...] = tuple(max(sizes) for sizes in zip(*leads, strict=True))
        self.flat = [
            b.xp.broadcast_to(x, (*self.lead, *a.shape)).reshape((-1, *a.shape))
            for x, a in zip(aligned, nodes, strict=True)
        ]
        level = level.reshape((level.shape[0], *(1,) * len(node.axes)))
        self.level = b.xp.broadcast_to(level, self.lead).reshape((-1,))


def arguments(b: Any, node: Node, xs: list[Any]) -> tuple[Arguments, list[Array | None]]:
    """The subjects and the inputs that a node's arrays stand for; attrs: the part, and which inputs are given."""
    part, given = node.attrs
    found = Arguments(b, node, xs)
    count = len(part.subjects)
    rest = iter(found.flat[count:])
    inputs = [next(rest) if is_given else None for is_given in given]
    found.flat = found.flat[:count]
    return found, inputs


class Computer(Protocol):
    def __call__(self, b: Any, values: Sequence[Array]) -> Array:
        """What a learned function gives (n, *out) of arguments (n, *shape); of none, (1, *out)."""
        ...


def _run_net(b: Any, node: Node, xs: list[Any]) -> Array:
    compute, *values = xs
    if not values:
        return compute(b, [])
    nodes = node.args[1:]
    aligned = [align(x, a, node.axes) for x, a in zip(values, nodes, strict=True)]
    leads = [x.shape[: 1 + len(node.axes)] for x in aligned]
    lead = tuple(max(sizes) for sizes in zip(*leads, strict=True))
    flat = [
        b.xp.broadcast_to(x, (*lead, *a.shape)).reshape((-1, *a.shape))
        for x, a in zip(aligned, nodes, strict=True)
    ]
    return compute(b, flat).reshape((*lead, *node.shape))


def _reaches(n: Node, moving: Sequence[bool]) -> bool:
    return all(a.dtype == "real" for a, moves in zip(n.args, moving, strict=True) if moves)


OPS["net"] = Op(
    lambda args, attrs: (attrs[0].out.full_shape, "real"), _run_net, smooth=_reaches, learned=True
)
OPS["learned"] = Op(lambda args, attrs: ((), "real"), _run, learned=True)


def _run_draw(b: Any, node: Node, xs: list[Any]) -> Array:
    _, given = node.attrs
    found = Arguments(b, node, xs)
    noise, *rest = found.flat
    values = iter(rest)
    drawn = xs[0].draw(b, [next(values) if is_given else None for is_given in given], noise)
    return drawn.reshape((*found.lead, drawn.shape[-1]))


def _infer_draw(args: tuple[Node, ...], attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], str]:
    part, _ = attrs
    return args[2].shape, "int" if all(p.type.domain.is_discrete for p in part.subjects) else "real"


OPS["learned_draw"] = Op(_infer_draw, _run_draw, learned=True)
