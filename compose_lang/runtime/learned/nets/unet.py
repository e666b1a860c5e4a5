"""A U-net: `unet(32, 64)` has 32 channels at full resolution and 64 at half, over images (h, w) or (c, h, w).

On the way down each level has two convolutions, and the mean of 2x2 pixels begins the next; on the way up the level
below is laid beside the level's own features (Ronneberger et al., MICCAI 2015). At the lowest level all pixels meet
in one dense layer, so that pixels far from each other agree.
"""

from __future__ import annotations

from itertools import pairwise

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import convolution
from compose_lang.runtime.learned.net import Net, Ports, Weight, Weights, dense, silu

MEETING = 16  #: channels of a pixel in the dense layer


def weights(widths: tuple[int, ...], ports: Ports) -> dict[str, Weight]:
    before, height, width = convolution.image(ports, "unet")
    times = 2 ** (len(widths) - 1)
    if height % times or width % times:
        text = f"unet with {len(widths)} levels halves images {len(widths) - 1} times, and {height} x {width} pixels"
        raise ValueError(f"{text} are not divisible by {times}: fewer levels, or other sizes")
    found: dict[str, Weight] = {}
    for k, channels in enumerate(widths):
        found |= convolution.block(f"down.{k}.0", before, channels, ports.condition)
        found |= convolution.block(f"down.{k}.1", channels, channels, ports.condition)
        before = channels
    pixels, lowest = height * width // times**2, widths[-1]
    found["all.in"] = dense(lowest, MEETING)
    found["all.w"] = dense(pixels * MEETING, 2 * lowest)
    found["all.c"] = dense(ports.condition, 2 * lowest)
    found["all.b"] = Weight((2 * lowest,))
    found["all.v"] = dense(2 * lowest, pixels * MEETING)
    found["all.out"] = dense(MEETING, lowest)
    for k, (channels, below) in enumerate(pairwise(widths)):
        found[f"up.{k}.own"] = dense(channels + below, channels)._replace(shape=(channels, channels))
        found[f"up.{k}.below"] = dense(channels + below, channels)._replace(shape=(below, channels))
        found |= convolution.block(f"up.{k}", channels, channels, ports.condition)
    return found | convolution.end(ports, widths[0])


def apply(b: Backend, w: Weights, widths: tuple[int, ...], ports: Ports, x: Array, c: Array) -> Array:
    h = convolution.inward(b, ports, x)
    levels: list[Array] = []
    for k in range(len(widths)):
        h = convolution.shrink(b, h) if k else h
        h = convolution.apply_block(b, w, f"down.{k}.0", h, c)
        h = convolution.apply_block(b, w, f"down.{k}.1", h, c)
        levels.append(h)
    h = meet(b, w, h, c)
    for k in range(len(widths) - 2, -1, -1):
        # a matrix of [own, below], which takes each before the lower one grows
        h = levels[k] @ w[f"up.{k}.own"] + convolution.grow(b, h @ w[f"up.{k}.below"])
        h = convolution.apply_block(b, w, f"up.{k}", h, c)
    return convolution.apply_end(b, w, ports, h)


def meet(b: Backend, w: Weights, h: Array, c: Array) -> Array:
    """Adds to (h, w, n, channels) a dense layer of all pixels, narrowed to `MEETING` channels each."""
    rows, columns, n, _ = h.shape
    flat = b.xp.permute_dims(h @ w["all.in"], (2, 0, 1, 3)).reshape((n, -1))
    shared = silu(b, flat @ w["all.w"] + c @ w["all.c"] + w["all.b"])
    back = (shared @ w["all.v"]).reshape((n, rows, columns, MEETING))
    return h + b.xp.permute_dims(back, (1, 2, 0, 3)) @ w["all.out"]


NET = Net("unet", "a U-net of the given channels at each halving, over images", weights, apply)
