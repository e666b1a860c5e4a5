"""Categorical: a table of the joint values of finite subjects, for each value of finite inputs.

    p(x | c) = (count(x, c) + s) / (count(c) + s · states),

with the pseudo-count s = `smoothing` (Lidstone's law; s = 1/2 is the mean under Jeffreys' prior). Leaving an optional
input out is one more of its values, whose counts are those of all rows: the marginal as the data count it. Without
smoothing a value that was never seen has probability 0, and a context that was never seen is uniform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned import features
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import Learner, Weights

MOST_ENTRIES = 10**6


def each(port: Port) -> int:
    """How many values one element of a finite port takes; `len` fails on a range beyond 64 bits."""
    values = port.type.domain.values
    return (values[-1] - values[0]) // values.step + 1


def values_of(port: Port) -> int:
    """How many joint values a finite port takes."""
    return int(each(port) ** math.prod(port.type.full_shape))


def states(part: LearnedFactor) -> int:
    return math.prod(values_of(p) for p in part.subjects)


def contexts(part: LearnedFactor) -> int:
    """Ways to give the inputs, leaving the optional ones out among them."""
    return math.prod(values_of(p) + p.is_optional for p in part.inputs)


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    require_small(part)
    b = load_backend("numpy")
    rows = [part.data[p.name] for p in part.subjects]
    state = code(b, part.subjects, rows)
    counts = np.zeros((contexts(part), states(part)))
    for given in product(*((True, False) if p.is_optional else (True,) for p in part.inputs)):
        inputs = [part.data[p.name] if g else None for p, g in zip(part.inputs, given, strict=True)]
        np.add.at(counts, (context(part, b, inputs, len(state)), state), 1.0)
    counts += float(part.options["smoothing"])
    total = counts.sum(1, keepdims=True)
    shares = np.where(total > 0, counts / np.where(total > 0, total, 1.0), 1.0 / states(part))
    with np.errstate(divide="ignore"):
        return {"table": -np.log(shares)}


def require_small(part: LearnedFactor) -> None:
    """A ValueError where the values cannot be listed in a table."""
    for port in part.inputs:
        if not port.type.domain.is_finite:
            text = f"a table takes inputs of finitely many values, but `{port.name}` is {port.type}"
            raise ValueError(f"{text}: `autoregressive` takes any")
    # in logarithms first: the number itself may have a million digits
    size = sum(math.prod(p.type.full_shape) * math.log(each(p)) for p in part.ports)
    if size > 2 * math.log(MOST_ENTRIES) or contexts(part) * states(part) > MOST_ENTRIES:
        shown = ", ".join(f"{p.name}: {p.type}" for p in part.ports)
        text = f"its table of all joint values ({shown}) would have more than {MOST_ENTRIES:,} entries"
        raise ValueError(f"{text}: `autoregressive` needs no table")


def code(b: Backend, ports: Sequence[Port], values: Sequence[Array]) -> Array:
    """The number (n,) of the joint values that finite ports take, the last element counting fastest."""
    found = b.xp.zeros((values[0].shape[0],), dtype=b.integer)
    for port, value in zip(ports, values, strict=True):
        size = math.prod(port.type.full_shape)
        radix = b.asarray(np.array([each(port) ** k for k in reversed(range(size))], dtype=np.int64))
        found = found * values_of(port) + b.xp.sum(features.places(b, port, value) * radix, axis=1)
    return found


def context(part: LearnedFactor, b: Backend, inputs: Inputs, n: int) -> Array:
    """The number (n,) of the way that inputs are given; 0 of an optional one is leaving it out."""
    found = b.xp.zeros((n,), dtype=b.integer)
    for port, value in zip(part.inputs, inputs, strict=True):
        found = found * (values_of(port) + port.is_optional)
        if value is not None:
            found = found + code(b, [port], [value]) + int(port.is_optional)
    return found


def energy(
    part: LearnedFactor, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
) -> Array:
    state = code(b, part.subjects, subjects)
    row = context(part, b, inputs, state.shape[0])
    return weights["table"].reshape((-1,))[row * states(part) + state]


def beside(part: LearnedFactor) -> dict[str, tuple[int, ...]]:
    return {"table": (contexts(part), states(part))}


def draw(part: LearnedFactor, b: Backend, weights: Weights, inputs: Inputs, uniforms: Array) -> Array:
    """Values (n, d) of all elements: the first joint value at which the probabilities before and of it pass the first
    uniform of a row (n, d), found by halving."""
    xp, count = b.xp, states(part)
    row = context(part, b, inputs, uniforms.shape[0])
    passed = xp.cumulative_sum(xp.exp(-weights["table"].reshape((-1, count))), axis=1).reshape((-1,))
    aim = uniforms[:, 0] * passed[(row + 1) * count - 1]  # a sum may round to less than 1

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) // 2
        is_before = passed[row * count + middle] <= aim
        return xp.where(is_before, middle + 1, low), xp.where(is_before, high, middle)

    start = (xp.zeros_like(row), xp.zeros_like(row) + count - 1)
    state, _ = b.loop(0, (count - 1).bit_length(), halve, start)
    return decoded(part, b, state)


def decoded(part: LearnedFactor, b: Backend, state: Array) -> Array:
    """The values (n, d) of all elements at joint values (n,): the inverse of `code`."""
    found: list[Array] = []
    for port in reversed(part.subjects):
        values = port.type.domain.values
        for _ in range(math.prod(port.type.full_shape)):
            found.append(state % each(port) * values.step + values[0])
            state = state // each(port)
    return b.xp.stack(found[::-1], axis=1)


LEARNER = Learner(
    name="categorical",
    summary="a table of counted joint values, for each value of the inputs",
    domains=frozenset({"finite"}),
    options={"smoothing": 0.5},
    normalised=True,
    draws_from="uniform",
    begin=begin,
    energy=energy,
    beside=beside,
    draw=draw,
)
