"""A recurrence over one axis, with everything that does not recur computed outside it.

A scan's arguments are its initial values (for each state, the most recent first), then what differs from step to
step (these vary over the `time` axis), then what does not. Its bodies are expressions over leaves that stand for
the three; `project` takes one state's history out, (steps, *shape).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import OPS, Op, align, in_all


@dataclass(frozen=True, eq=False)
class ScanSpec:
    """What a scan computes: `carries[s][k]` is state s, k+1 steps back; `bodies[s]` its next value."""

    time: Axis
    carries: tuple[tuple[Node, ...], ...]
    steps: tuple[Node, ...]
    fixed: tuple[Node, ...]
    bodies: tuple[Node, ...]
    outer: tuple[Axis, ...] = ()  #: the plates around the recurrence

    def split(self, args: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Arguments as initial values, step values and fixed values."""
        a = sum(map(len, self.carries))
        b = a + len(self.steps)
        return list(args[:a]), list(args[a:b]), list(args[b:])


def _run_scan(b: Any, n: Node, xs: list[Any]) -> tuple[Any, ...]:
    spec: ScanSpec = n.attrs[0]
    xp = b.xp
    inits, steps, fixed = spec.split(xs)
    init_nodes, step_nodes, _ = spec.split(n.args)
    chains = max(x.shape[0] for x in xs)
    sizes = tuple(a.size for a in n.axes)
    dtypes = {"real": b.real, "int": b.integer}

    def full(x: Any, of: Node, shape: tuple[int, ...]) -> Any:
        return xp.broadcast_to(align(x, of, n.axes, len(shape)), (chains, *sizes, *shape))

    leaves = [leaf for state in spec.carries for leaf in state]
    carry = tuple(
        xp.astype(full(x, of, leaf.shape), dtypes[leaf.dtype])
        for x, of, leaf in zip(inits, init_nodes, leaves, strict=True)
    )
    moved = tuple(
        xp.moveaxis(x, 1 + of.axes.index(spec.time), 0)
        if spec.time in of.axes  # a table of candidate values may have left nothing that differs
        else xp.broadcast_to(x[None], (spec.time.size, *x.shape))
        for x, of in zip(steps, step_nodes, strict=True)
    )

    def body(state: tuple[Any, ...], now: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        bindings = {id(leaf): x for leaf, x in zip(leaves, state, strict=True)}
        # where nothing differs from step to step, `now` is the bare count
        bindings.update((id(leaf), x) for leaf, x in zip(spec.steps, now, strict=bool(spec.steps)))
        bindings.update((id(leaf), x) for leaf, x in zip(spec.fixed, fixed, strict=True))
        values = interpret(b, spec.bodies, bindings)
        new = [
            xp.astype(full(v, of, lags[0].shape), dtypes[lags[0].dtype])
            for v, of, lags in zip(values, spec.bodies, spec.carries, strict=True)
        ]
        following: list[Any] = []
        place = 0
        for value, lags in zip(new, spec.carries, strict=True):
            following.extend((value, *state[place : place + len(lags) - 1]))
            place += len(lags)
        return tuple(following), tuple(new)

    _, ys = b.scan(body, carry, moved if moved else (xp.arange(spec.time.size),))
    return tuple(xp.moveaxis(y, 0, 1 + len(sizes)) for y in ys)


OPS["scan"] = Op(
    lambda args, attrs: ((), "real"),
    _run_scan,
    axes=lambda args, attrs: attrs[0].outer,
    ends=lambda n: n.attrs[0].time,
)
OPS["project"] = Op(
    lambda args, attrs: (attrs[1], attrs[2]), lambda b, n, xs: xs[0][n.attrs[0]], linear=in_all
)
