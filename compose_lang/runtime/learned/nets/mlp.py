"""A residual multilayer perceptron: `mlp(64, 64, 64)` has three hidden layers.

h₁ = silu(W₁ x + V₁ c + b₁); a layer as wide as the one before adds to it: h = h' + silu(W h' + V c + b). The condition
enters at every layer, so that a deep net does not forget the noise level. Where x is wide for the layers, what points
along x has x itself added, as much as the condition says: no layer need carry the noise of hundreds of pixels.
"""

from __future__ import annotations

import math

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.net import Net, Ports, Weight, Weights, dense, silu


def weights(widths: tuple[int, ...], ports: Ports) -> dict[str, Weight]:
    found, before = {}, math.prod(ports.shape)
    for k, width in enumerate(widths):
        found[f"{k}.w"] = dense(before, width)
        found[f"{k}.c"] = dense(ports.condition, width)
        found[f"{k}.b"] = Weight((width,))
        before = width
    found["out.w"] = dense(before, math.prod(ports.out), 0.1)
    found["out.b"] = Weight((math.prod(ports.out),))
    if has_skip(widths, ports):
        found["skip.c"], found["skip.b"] = Weight((ports.condition, 1)), Weight((1,))
    return found


def has_skip(widths: tuple[int, ...], ports: Ports) -> bool:
    """Whether a layer has less room than for x and as much again that is made of it."""
    return ports.out == ports.shape and 2 * math.prod(ports.shape) > min(widths)


def apply(b: Backend, w: Weights, widths: tuple[int, ...], ports: Ports, x: Array, c: Array) -> Array:
    h = flat = x.reshape((x.shape[0], -1))
    for k in range(len(widths)):
        new = silu(b, h @ w[f"{k}.w"] + c @ w[f"{k}.c"] + w[f"{k}.b"])
        h = h + new if k and widths[k] == widths[k - 1] else new
    out = h @ w["out.w"] + w["out.b"]
    if has_skip(widths, ports):
        out = out + flat * (c @ w["skip.c"] + w["skip.b"])
    return out.reshape((x.shape[0], *ports.out))


NET = Net("mlp", "a residual perceptron of the given widths, over any shape", weights, apply)
