"""Images inside the nets: 3x3 convolutions, pooling and the layout, as array operations that every backend has.

Inside a net an image is (h, w, n, channels), the batch n third: a shift by a row is then one piece of memory, and
what a condition (n, channels) adds to each channel broadcasts by itself.
"""

from __future__ import annotations

import math

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.net import Ports, Weight, Weights, dense, silu


def image(ports: Ports, net: str) -> tuple[int, int, int]:
    """Channels, height and width of x; a ValueError where it is no image."""
    if len(ports.shape) not in (2, 3):
        shown = ", ".join(map(str, ports.shape))
        raise ValueError(f"{net} works on images, real[h, w] or real[c, h, w], and this is real[{shown}]")
    channels, height, width = (1, *ports.shape)[-3:]
    return channels, height, width


def inward(b: Backend, ports: Ports, x: Array) -> Array:
    """(n, h, w) or (n, c, h, w) as (h, w, n, c)."""
    n = x.shape[0]
    return b.xp.permute_dims(x.reshape((n, *(1, *ports.shape)[-3:])), (2, 3, 0, 1))


def kernel(before: int, after: int, gain: float = 1.0) -> Weight:
    """Weights of `convolve`: a matrix (3 · before, after) for each row of the 3x3 window."""
    return Weight((3, 3 * before, after), gain / math.sqrt(9 * before))


def convolve(b: Backend, h: Array, w: Array) -> Array:
    """A 3x3 convolution (h, w, n, before) -> (h, w, n, after) with zeros around the image.

    Neighbours in a row are laid side by side, a matrix takes them for each row of the window, and what it gives is
    shifted by rows: a third of the memory of nine shifted images.
    """
    xp, (rows, columns, n, before), after = b.xp, h.shape, w.shape[-1]
    side = xp.zeros((rows, 1, n, before), dtype=b.real)
    padded = xp.concat([side, h, side], axis=1)
    beside = xp.concat([padded[:, k : k + columns] for k in range(3)], axis=3)
    above, same, below = (
        (beside.reshape((-1, 3 * before)) @ w[k]).reshape((rows, columns, n, after)) for k in range(3)
    )
    edge = xp.zeros((1, columns, n, after), dtype=b.real)
    return xp.concat([edge, above[:-1]], axis=0) + same + xp.concat([below[1:], edge], axis=0)


def block(name: str, before: int, after: int, condition: int) -> dict[str, Weight]:
    """Weights of `apply_block`."""
    return {
        f"{name}.w": kernel(before, after),
        f"{name}.c": dense(condition, 2 * after, 0.5),
        f"{name}.b": Weight((2 * after,)),
    }


def apply_block(b: Backend, w: Weights, name: str, h: Array, c: Array) -> Array:
    """silu(s · (W * h) + t), where s and t (n, channels) are of the condition; added to h where it is as wide."""
    new = convolve(b, h, w[f"{name}.w"])
    channels = new.shape[-1]
    film = c @ w[f"{name}.c"] + w[f"{name}.b"]
    new = silu(b, new * (1.0 + film[:, :channels]) + film[:, channels:])
    return h + new if h.shape[-1] == channels else new


def end(ports: Ports, channels: int) -> dict[str, Weight]:
    """Weights of `apply_end`: a convolution to an image, or a matrix of the mean features to k numbers."""
    if ports.out == ports.shape:
        out = image(ports, "")[0]
        return {"out.w": kernel(channels, out, 0.1), "out.b": Weight((out,))}
    out = math.prod(ports.out)
    return {"out.w": dense(channels, out, 0.1), "out.b": Weight((out,))}


def apply_end(b: Backend, w: Weights, ports: Ports, h: Array) -> Array:
    """(h, w, n, channels) -> (n, *out)."""
    n = h.shape[2]
    if ports.out == ports.shape:
        found = convolve(b, h, w["out.w"]) + w["out.b"]
        return b.xp.permute_dims(found, (2, 3, 0, 1)).reshape((n, *ports.out))
    return (b.xp.mean(h, axis=(0, 1)) @ w["out.w"] + w["out.b"]).reshape((n, *ports.out))


def shrink(b: Backend, h: Array) -> Array:
    """The mean of 2x2 pixels: (h, w, n, c) -> (h / 2, w / 2, n, c)."""
    rows, columns, n, channels = h.shape
    return b.xp.mean(h.reshape((rows // 2, 2, columns // 2, 2, n, channels)), axis=(1, 3))


def grow(b: Backend, h: Array) -> Array:
    """Each pixel as 2x2 pixels: (h, w, n, c) -> (2 h, 2 w, n, c)."""
    rows, columns, n, channels = h.shape
    four = b.xp.broadcast_to(h[:, None, :, None], (rows, 2, columns, 2, n, channels))
    return four.reshape((2 * rows, 2 * columns, n, channels))
