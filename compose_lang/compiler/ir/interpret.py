"""Evaluate IR nodes on an array library: run under `jit` or `torch.compile`, this is the code generator.

In: nodes, and arrays for their leaves: `(chains, *axes, *shape)` for variables and slots, `(1, *axes, *shape)`
for constants handed in as arguments. Out: one array a node, each shared node computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import OPS

#: a constant up to this many elements is written into the program, a larger one is an argument of it, so that
#: compile time does not grow with the data
INLINE_ELEMENTS = 16


def interpret(b: Any, roots: Sequence[Node], bindings: Mapping[int, Any]) -> list[Any]:
    """The values of roots. `bindings` maps `id(leaf)` to its array; constants that are not bound are written in."""
    values: dict[int, Any] = {}
    for n in postorder(roots, inside=lambda n: id(n) not in bindings):
        if id(n) in bindings:
            values[id(n)] = bindings[id(n)]
        elif n.value is not None:
            values[id(n)] = b.asarray(n.value[None], {"real": b.real, "int": b.integer}.get(n.dtype))
        else:
            values[id(n)] = OPS[n.op].run(b, n, [values[id(a)] for a in n.args])
    return [values[id(r)] for r in roots]


def large_constants(roots: Iterable[Node]) -> list[Node]:
    """The constants below roots that should be arguments of the compiled program."""
    return [n for n in postorder(roots) if n.value is not None and n.value.size > INLINE_ELEMENTS]
