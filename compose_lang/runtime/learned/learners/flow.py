"""Flow: an invertible map of the data onto a standard normal, whose density is that of its image times its slope.

    -log p(x) = |z|² / 2 + d/2 log 2π - log |det ∂z/∂x|,   z = f(x | c).

The map is a chain of couplings (Dinh, Sohl-Dickstein and Bengio, ICLR 2017): each keeps some coordinates and moves
the others by a scale, a shift and a monotone spline (`learn/splines.py`) that a net gives from the kept ones and the
inputs. In one dimension nothing is kept, and the inputs alone give the map. It is the same for all weights that the
energy is exact and normalised.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import features, net, splines
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import TRAINING, Learner, Weights, by_likelihood, of_net
from compose_lang.runtime.learned.nets import load_net

NUMBERS = splines.NUMBERS + 2  #: a coordinate's map: of the spline, and its log-scale and shift before it
STEEPEST = 2.0  #: log-scales of one coupling lie between ± this


def size(part: LearnedFactor) -> int:
    return math.prod(features.shape_of(part))


def layers(part: LearnedFactor) -> int:
    return int(part.options["layers"])


def sides(part: LearnedFactor, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Which coordinates a coupling keeps, and which it moves.

    Pairs of couplings go through the binary digits of a coordinate's number, so that any two are told apart by some.
    """
    d, places = size(part), np.arange(size(part))
    digit = layer // 2 % max(1, (d - 1).bit_length())
    moved = (places >> digit & 1 != layer % 2) | (d == 1)
    return places[~moved], places[moved]


def ports(part: LearnedFactor, layer: int) -> net.Ports:
    kept, moved = sides(part, layer)
    return net.Ports((len(kept),), features.condition_size(part), (len(moved) * NUMBERS,))


def wanted(part: LearnedFactor) -> dict[str, net.Weight]:
    assert part.net is not None
    found: dict[str, net.Weight] = {}
    for layer in range(layers(part)):
        own = load_net(part.net.kind).weights(part.net.sizes, ports(part, layer))
        found |= {f"{layer}.{name}": w for name, w in own.items()}
    return found


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    """Weights of a map near to the identity of data that are scaled in each coordinate."""
    trained = {f"net.{n}": w for n, w in net.begin(wanted(part), int(part.options["seed"])).items()}
    n = len(part.data[part.subjects[0].name])
    x = np.concatenate([part.data[p.name].reshape(n, -1) for p in part.subjects], axis=1)
    spread = np.where(x.std(0) > 0, x.std(0), 1.0)
    own = {"shift": x.mean(0).astype(np.float32), "scale": spread.astype(np.float32)}
    return {**own, **features.input_scales(part), **trained}


def beside(part: LearnedFactor) -> dict[str, tuple[int, ...]]:
    own = (size(part),)
    return {"shift": own, "scale": own, **features.shapes_of_input_scales(part)}


def numbers(
    part: LearnedFactor, b: Backend, weights: Weights, layer: int, kept: Array, c: Array
) -> tuple[Array, Array, Array]:
    """Of a coupling's moved coordinates: log-scales and shifts (n, m), and what makes their splines (n, m, …)."""
    assert part.net is not None
    start = f"{layer}."
    own = {n.removeprefix(start): w for n, w in of_net(weights).items() if n.startswith(start)}
    out = load_net(part.net.kind).apply(b, own, part.net.sizes, ports(part, layer), kept, c)
    out = out.reshape((kept.shape[0], -1, NUMBERS))
    return STEEPEST * b.xp.tanh(out[..., 0] / STEEPEST), out[..., 1], out[..., 2:]


def columns(b: Backend, x: Array, places: np.ndarray) -> Array:
    return b.xp.take(x, b.asarray(places), axis=1)


def merged(b: Backend, kept: Array, moved: Array, places: tuple[np.ndarray, np.ndarray]) -> Array:
    return columns(b, b.xp.concat([kept, moved], axis=1), np.argsort(np.concatenate(places)))


def weighed(
    part: LearnedFactor, b: Backend, weights: Weights, subjects: Subjects, inputs: Inputs, rows: Any
) -> Array:
    """-log p (n,); rows say which of a batch have their optional inputs."""
    n = subjects[0].shape[0]
    x = features.joined(b, part, subjects).reshape((n, size(part)))
    x = (x - weights["shift"]) / weights["scale"]
    c = features.conditions(part, b, weights, inputs, rows, n)
    slope = -b.xp.sum(b.xp.log(weights["scale"]))
    for layer in range(layers(part)):
        places = sides(part, layer)
        kept, moved = (columns(b, x, p) for p in places)
        scale, shift, free = numbers(part, b, weights, layer, kept, c)
        moved, bend = splines.forth(b, free, moved * b.xp.exp(scale) + shift)
        slope = slope + b.xp.sum(scale + bend, axis=1)
        x = merged(b, kept, moved, places)
    return 0.5 * b.xp.sum(x * x, axis=1) + 0.5 * size(part) * math.log(2.0 * math.pi) - slope


def draw(part: LearnedFactor, b: Backend, weights: Weights, inputs: Inputs, normals: Array) -> Array:
    """All coordinates (n, d) of draws of p, by the inverse of the map at standard normals (n, d)."""
    x = normals
    c = features.conditions(part, b, weights, inputs, {}, x.shape[0])
    for layer in reversed(range(layers(part))):
        places = sides(part, layer)
        kept, moved = (columns(b, x, p) for p in places)
        scale, shift, free = numbers(part, b, weights, layer, kept, c)
        moved = (splines.back(b, free, moved) - shift) * b.xp.exp(-scale)
        x = merged(b, kept, moved, places)
    return x * weights["scale"] + weights["shift"]


LEARNER = Learner(
    name="flow",
    summary="an invertible map of the data onto a normal, by couplings of splines",
    domains=frozenset({"real"}),
    options={**TRAINING, "layers": 8, "ema": 0.995, "drop": 0.1},
    net=Net("mlp", (64, 64)),
    nets=frozenset({"mlp"}),
    normalised=True,
    draws_from="normal",
    begin=begin,
    wanted=wanted,
    beside=beside,
    **by_likelihood(weighed),
    draw=draw,
)
