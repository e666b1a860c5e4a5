"""Residual 3x3 convolutions at full resolution: `conv(32, 32, 32)` has three, over images (h, w) or (c, h, w).

A pixel sees as far as there are layers, one more at the end. The condition scales and shifts every channel of every
layer (Perez et al., AAAI 2018).
"""

from __future__ import annotations

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import convolution
from compose_lang.runtime.learned.net import Net, Ports, Weight, Weights


def weights(widths: tuple[int, ...], ports: Ports) -> dict[str, Weight]:
    found: dict[str, Weight] = {}
    before = convolution.image(ports, "conv")[0]
    for k, width in enumerate(widths):
        found |= convolution.block(f"{k}", before, width, ports.condition)
        before = width
    return found | convolution.end(ports, before)


def apply(b: Backend, w: Weights, widths: tuple[int, ...], ports: Ports, x: Array, c: Array) -> Array:
    h = convolution.inward(b, ports, x)
    for k in range(len(widths)):
        h = convolution.apply_block(b, w, f"{k}", h, c)
    return convolution.apply_end(b, w, ports, h)


NET = Net("conv", "residual 3x3 convolutions of the given channels, over images", weights, apply)
