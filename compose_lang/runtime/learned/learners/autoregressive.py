"""Autoregressive: p(x) = Π p(xᵢ | x₁ … xᵢ₋₁, c) over finite elements in row order, by one masked perceptron.

Every unit of the net has a degree, the last element that it may see; -1 sees the inputs only. A weight between units
stays if the later one may see all that the earlier one sees, and an element's logits read units of lower degree
(MADE: Germain, Gregor, Murray and Larochelle, ICML 2015), and the elements before it directly, which makes models of
pairs exact. One pass gives all conditionals, so that the energy -log p is exact and normalised for any weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import features, net
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import TRAINING, Learner, Weights, by_likelihood, of_net
from compose_lang.runtime.learned.nets import load_net

MOST_NUMBERS = 4096
"""Elements times values: the direct weights are its square."""

NEVER = -1e30
"""The logit of a value that an element does not take, where others take more."""


def ranges(part: LearnedFactor) -> list[range]:
    """The values of each element, in row order."""
    return [p.type.domain.values for p in part.subjects for _ in range(math.prod(p.type.full_shape))]


def counts(part: LearnedFactor) -> np.ndarray:
    """How many values each element takes: (d,)."""
    return np.array([(r[-1] - r[0]) // r.step + 1 for r in ranges(part)])


def ports(part: LearnedFactor) -> net.Ports:
    found = shape_of_logits(part)
    return net.Ports((math.prod(found),), features.condition_size(part), found)


def shape_of_logits(part: LearnedFactor) -> tuple[int, int]:
    found = counts(part)
    return len(found), int(max(found))


def wanted(part: LearnedFactor) -> dict[str, net.Weight]:
    """The perceptron's arrays, and the direct ones from elements and inputs to logits."""
    assert part.net is not None
    d, k = shape_of_logits(part)
    if d * k > MOST_NUMBERS:
        text = f"its {d:,} elements of up to {k:,} values are more than {MOST_NUMBERS:,} numbers to a net"
        raise ValueError(f"{text}: learn it in parts, or of fewer values")
    found, p = load_net(part.net.kind).weights(part.net.sizes, ports(part)), ports(part)
    return {**found, "skip.w": net.Weight((d * k, d * k)), "skip.c": net.Weight((p.condition, d * k))}


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    trained = {f"net.{n}": w for n, w in net.begin(wanted(part), int(part.options["seed"])).items()}
    return {**features.input_scales(part), **trained}


def masks(part: LearnedFactor) -> dict[str, np.ndarray]:
    """Which weights stay, by name: (fan in, fan out) of 0 and 1."""
    assert part.net is not None
    d, k = shape_of_logits(part)
    places = np.repeat(np.arange(d), k)
    found, before = {}, places
    for layer, width in enumerate(part.net.sizes):
        degrees = np.arange(width) * d // width - 1
        found[f"{layer}.w"], before = before[:, None] <= degrees, degrees
    found["out.w"], found["skip.w"] = before[:, None] < places, places[:, None] < places
    return {name: mask.astype(np.float64) for name, mask in found.items()}


def log_shares(part: LearnedFactor, b: Backend, weights: Weights, x: Array, c: Array) -> Array:
    """log p of every value of each element given those before: (n, d, k) of places x (n, d) and conditions c."""
    assert part.net is not None
    d, k = shape_of_logits(part)
    kept = {name: b.asarray(mask) for name, mask in masks(part).items()}
    w = {name: a * kept[name] if name in kept else a for name, a in of_net(weights).items()}
    shown = one_hot(b, x, k).reshape((x.shape[0], d * k))
    out = load_net(part.net.kind).apply(b, w, part.net.sizes, ports(part), shown, c)
    out = out + (shown @ w["skip.w"] + c @ w["skip.c"]).reshape((x.shape[0], d, k))
    out = out + b.asarray(np.where(np.arange(k) < counts(part)[:, None], 0.0, NEVER))
    return out - b.special.logsumexp(out, axis=-1, keepdims=True)


def one_hot(b: Backend, x: Array, k: int) -> Array:
    return b.xp.astype(x[:, :, None] == b.asarray(np.arange(k), b.integer), b.real)


def weighed(
    part: LearnedFactor, b: Backend, weights: Weights, subjects: Subjects, inputs: Inputs, rows: Any
) -> Array:
    """-log p (n,); rows say which of a batch have their optional inputs."""
    found = [features.places(b, p, value) for p, value in zip(part.subjects, subjects, strict=True)]
    x = b.xp.concat(found, axis=1)
    c = features.conditions(part, b, weights, inputs, rows, x.shape[0])
    shares = log_shares(part, b, weights, x, c)
    return -b.xp.sum(shares * one_hot(b, x, shares.shape[2]), axis=(1, 2))


def draw(part: LearnedFactor, b: Backend, weights: Weights, inputs: Inputs, uniforms: Array) -> Array:
    """Values (n, d) of all elements, each drawn given those before it by inverting its distribution at a uniform.

    Drawing every element from what is there already, d times over, leaves all of them right: after k passes the
    first k no longer change.
    """
    n, d = uniforms.shape
    c = features.conditions(part, b, weights, inputs, {}, n)
    last = b.asarray(counts(part) - 1)

    def again(_: Any, x: Array) -> Array:
        shares = b.xp.exp(log_shares(part, b, weights, x, c))
        below = b.xp.cumulative_sum(shares, axis=2) < uniforms[:, :, None]
        found = b.xp.astype(b.xp.sum(b.xp.astype(below, b.integer), axis=2), b.integer)
        return b.xp.minimum(found, last)  # a sum may round to less than 1

    x = b.loop(0, d, again, b.xp.zeros((n, d), dtype=b.integer))
    return x * b.asarray(np.array([r.step for r in ranges(part)])) + b.asarray(
        np.array([r[0] for r in ranges(part)])
    )


LEARNER = Learner(
    name="autoregressive",
    summary="each discrete element given those before it, by one masked perceptron",
    domains=frozenset({"finite"}),
    options={**TRAINING, "ema": 0.99, "drop": 0.1},
    net=Net("mlp", (64, 64)),
    nets=frozenset({"mlp"}),
    normalised=True,
    draws_from="uniform",
    begin=begin,
    wanted=wanted,
    beside=features.shapes_of_input_scales,
    **by_likelihood(weighed),
    draw=draw,
)
