"""A transformer: `attention(64, 64)` has two layers, over n tokens of d numbers (n, d) or of one number (n,).

h' = h + attention(m(h)), h'' = h' + W silu(V m(h')), with m(h) = s · h / rms(h) + t, where s and t are of the
condition (Vaswani et al., NeurIPS 2017; normalised before, Xiong et al., ICML 2020). A token knows its place by
learned numbers.
"""

from __future__ import annotations

import math

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.net import Net, Ports, Weight, Weights, dense, silu

HEADS = 4


def tokens(ports: Ports) -> tuple[int, int]:
    """How many tokens there are, and how many numbers each has."""
    if len(ports.shape) not in (1, 2):
        shown = ", ".join(map(str, ports.shape))
        raise ValueError(
            f"attention works on rows of tokens, real[n] or real[n, d], and this is real[{shown}]"
        )
    count, size = (*ports.shape, 1)[:2]
    return count, size


def weights(widths: tuple[int, ...], ports: Ports) -> dict[str, Weight]:
    count, size = tokens(ports)
    first, last = widths[0], widths[-1]
    found = {
        "in.w": dense(size, first),
        "in.c": dense(ports.condition, first),
        "in.place": Weight((count, first), 1.0),
    }
    before = first
    for k, width in enumerate(widths):
        if width != before:
            found[f"{k}.in"] = dense(before, width)
        for part in ("attend", "dense"):
            found[f"{k}.{part}.c"] = dense(ports.condition, 2 * width, 0.5)
            found[f"{k}.{part}.b"] = Weight((2 * width,))
        found[f"{k}.attend.w"] = dense(width, 3 * width)
        found[f"{k}.attend.out"] = dense(width, width)
        found[f"{k}.dense.w"] = dense(width, 2 * width)
        found[f"{k}.dense.out"] = dense(2 * width, width)
        before = width
    out = size if ports.out == ports.shape else math.prod(ports.out)
    return found | {"out.w": dense(last, out, 0.1), "out.b": Weight((out,))}


def apply(b: Backend, w: Weights, widths: tuple[int, ...], ports: Ports, x: Array, c: Array) -> Array:
    n, (count, size) = x.shape[0], tokens(ports)
    h = x.reshape((n, count, size)) @ w["in.w"] + w["in.place"] + (c @ w["in.c"])[:, None]
    for k in range(len(widths)):
        if f"{k}.in" in w:
            h = h @ w[f"{k}.in"]
        h = h + attend(b, modulated(b, w, f"{k}.attend", h, c) @ w[f"{k}.attend.w"]) @ w[f"{k}.attend.out"]
        h = h + silu(b, modulated(b, w, f"{k}.dense", h, c) @ w[f"{k}.dense.w"]) @ w[f"{k}.dense.out"]
    h = h if ports.out == ports.shape else b.xp.mean(h, axis=1)
    return (h @ w["out.w"] + w["out.b"]).reshape((n, *ports.out))


def modulated(b: Backend, w: Weights, name: str, h: Array, c: Array) -> Array:
    """h (n, tokens, width) at size 1, scaled and shifted as the condition says."""
    width = h.shape[-1]
    film = (c @ w[f"{name}.c"] + w[f"{name}.b"])[:, None]
    size = b.xp.sqrt(b.xp.mean(h * h, axis=-1, keepdims=True) + 1e-3)
    return h / size * (1.0 + film[..., :width]) + film[..., width:]


def attend(b: Backend, h: Array) -> Array:
    """Attention of tokens to tokens: queries, keys and values (n, tokens, 3 · width) -> (n, tokens, width)."""
    n, count, width = h.shape[0], h.shape[1], h.shape[2] // 3
    heads = HEADS if width % HEADS == 0 else 1
    split = b.xp.permute_dims(h.reshape((n, count, 3, heads, width // heads)), (2, 0, 3, 1, 4))
    queries, keys, values = split[0], split[1], split[2]
    likeness = queries @ b.xp.permute_dims(keys, (0, 1, 3, 2)) / math.sqrt(width // heads)
    share = b.xp.exp(likeness - b.without_gradient(b.xp.max(likeness, axis=-1, keepdims=True)))
    found = (share / b.xp.sum(share, axis=-1, keepdims=True)) @ values
    return b.xp.permute_dims(found, (0, 2, 1, 3)).reshape((n, count, width))


NET = Net("attention", "a transformer of the given widths, over n tokens of d numbers", weights, apply)
