"""Message passing between all pairs of nodes: `gnn(64, 64)` has two rounds, over n nodes of d numbers (n, d).

In a round node i takes mᵢ, the mean over nodes j of silu(A hᵢ + B hⱼ + C c + a), and becomes
silu(U hᵢ + M mᵢ + V c + b), added to hᵢ where it is as wide (Gilmer et al., ICML 2017). Nodes have no places: nodes
in another order give the same result in that order.
"""

from __future__ import annotations

import math

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.net import Net, Ports, Weight, Weights, dense, silu


def weights(widths: tuple[int, ...], ports: Ports) -> dict[str, Weight]:
    if len(ports.shape) != 2:
        shown = ", ".join(map(str, ports.shape))
        raise ValueError(f"gnn works on n nodes of d numbers, real[n, d], and this is real[{shown}]")
    found: dict[str, Weight] = {}
    before = size = ports.shape[1]
    for k, width in enumerate(widths):
        found[f"{k}.to"] = dense(before, width)
        found[f"{k}.from"] = dense(before, width)
        found[f"{k}.pair.c"] = dense(ports.condition, width)
        found[f"{k}.pair.b"] = Weight((width,))
        found[f"{k}.w"] = dense(before, width)
        found[f"{k}.heard"] = dense(width, width)
        found[f"{k}.c"] = dense(ports.condition, width)
        found[f"{k}.b"] = Weight((width,))
        before = width
    out = size if ports.out == ports.shape else math.prod(ports.out)
    return found | {"out.w": dense(before, out, 0.1), "out.b": Weight((out,))}


def apply(b: Backend, w: Weights, widths: tuple[int, ...], ports: Ports, x: Array, c: Array) -> Array:
    h = x
    for k in range(len(widths)):
        given = (c @ w[f"{k}.pair.c"] + w[f"{k}.pair.b"])[:, None]
        pairs = (h @ w[f"{k}.to"] + given)[:, :, None] + (h @ w[f"{k}.from"])[:, None]
        heard = b.xp.mean(silu(b, pairs), axis=2) @ w[f"{k}.heard"]
        new = silu(b, h @ w[f"{k}.w"] + heard + (c @ w[f"{k}.c"] + w[f"{k}.b"])[:, None])
        h = h + new if h.shape[-1] == widths[k] else new
    h = h if ports.out == ports.shape else b.xp.mean(h, axis=1)
    return (h @ w["out.w"] + w["out.b"]).reshape((x.shape[0], *ports.out))


NET = Net(
    "gnn", "messages between all pairs of n nodes of d numbers, in rounds of the given widths", weights, apply
)
