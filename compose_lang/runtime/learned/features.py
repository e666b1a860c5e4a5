"""A part's subjects and inputs as a net takes them: one array x, scaled, and one vector of conditions.

Subjects of a part are one array: itself if there is one, else all of them laid in a row. They are moved to mean 0 and
divided by one number, the root of the mean variance, so that noise has one unit in all directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.runtime.arrays.protocol import Array, Backend

Subjects = Sequence[Array]
"""The subjects of a batch, (n, *shape) each."""

Inputs = Sequence[Array | None]
"""The inputs of a batch, (n, *shape) each; None: an optional one is left out."""


def shape_of(part: LearnedFactor) -> tuple[int, ...]:
    """The shape of x: that of the subject, or (n,) of several."""
    shapes = [p.type.full_shape for p in part.subjects]
    if len(shapes) == 1 and shapes[0]:
        return shapes[0]
    return (sum(math.prod(s) for s in shapes),)


def joined(b: Backend, part: LearnedFactor, subjects: Subjects) -> Array:
    """Subjects (n, *shape) as one array x (n, *shape_of)."""
    n = subjects[0].shape[0]
    if len(subjects) == 1:
        return subjects[0].reshape((n, *shape_of(part)))
    return b.xp.concat([s.reshape((n, -1)) for s in subjects], axis=1)


def split(part: LearnedFactor, x: Array) -> list[Array]:
    """x (n, *shape_of) as the subjects (n, *shape)."""
    n, flat, found, start = x.shape[0], x.reshape((x.shape[0], -1)), [], 0
    for port in part.subjects:
        size = math.prod(port.type.full_shape)
        found.append(flat[:, start : start + size].reshape((n, *port.type.full_shape)))
        start += size
    return found


def scales(part: LearnedFactor) -> dict[str, np.ndarray]:
    """Where the data lie: `shift` of x and one `scale`, and the same for each real input."""
    n = len(next(iter(part.data.values())))
    x = np.concatenate([part.data[p.name].reshape(n, -1) for p in part.subjects], axis=1)
    found = {"shift": x.mean(0).reshape(shape_of(part)), "scale": np.array([rms(x)])}
    return {name: a.astype(np.float32) for name, a in found.items()} | input_scales(part)


def input_scales(part: LearnedFactor) -> dict[str, np.ndarray]:
    """Where the data of each real input lie."""
    found = {}
    for port in part.inputs:
        if not port.type.domain.is_finite:
            rows = part.data[port.name].reshape(len(part.data[port.name]), -1)
            found[f"shift.{port.name}"], found[f"scale.{port.name}"] = rows.mean(0), np.array([rms(rows)])
    return {name: a.astype(np.float32) for name, a in found.items()}


def shapes_of_scales(part: LearnedFactor) -> dict[str, tuple[int, ...]]:
    """The shapes of `scales`."""
    return {"shift": shape_of(part), "scale": (1,), **shapes_of_input_scales(part)}


def shapes_of_input_scales(part: LearnedFactor) -> dict[str, tuple[int, ...]]:
    """The shapes of `input_scales`."""
    found: dict[str, tuple[int, ...]] = {}
    for port in part.inputs:
        if not port.type.domain.is_finite:
            found[f"shift.{port.name}"] = (math.prod(port.type.full_shape),)
            found[f"scale.{port.name}"] = (1,)
    return found


def places(b: Backend, port: Port, value: Array) -> Array:
    """Which of its domain's values, counted from 0, each element of a finite port takes: (n, elements)."""
    values = port.type.domain.values
    flat = value.reshape((value.shape[0], math.prod(port.type.full_shape)))
    return (b.xp.astype(flat, b.integer) - values[0]) // values.step


def rms(x: np.ndarray) -> float:
    """The root of the mean variance; 1 where nothing varies."""
    return float(np.sqrt(x.var(0).mean())) or 1.0


def condition_size(part: LearnedFactor) -> int:
    return sum(size_of(port) for port in part.inputs)


def size_of(port: Port) -> int:
    each = len(port.type.domain.values) if port.type.domain.is_finite else 1
    return math.prod(port.type.full_shape) * each + port.is_optional


def conditions(
    part: LearnedFactor, b: Backend, weights: Mapping[str, Array], inputs: Inputs, rows: Any, n: int
) -> Array:
    """Features (n, condition_size) of inputs: one-hot where finite, scaled where real; all 0 where left out.

    rows: a batch of training, where `given.NAME` says which rows have an optional input.
    """
    xp, found = b.xp, []
    for port, value in zip(part.inputs, inputs, strict=True):
        size = size_of(port) - port.is_optional
        given = xp.ones((n, 1), dtype=b.real)
        if value is None:
            given = 0.0 * given
            features = xp.zeros((n, size), dtype=b.real)
        elif port.type.domain.is_finite:
            values = b.asarray(np.array(port.type.domain.values), b.integer)
            flat = xp.astype(value.reshape((n, -1, 1)), b.integer)
            features = xp.astype(flat == values, b.real).reshape((n, size))
        else:
            shift, scale = weights[f"shift.{port.name}"], weights[f"scale.{port.name}"]
            features = (value.reshape((n, size)) - shift) / scale
        if port.is_optional:
            if f"given.{port.name}" in rows:
                given = rows[f"given.{port.name}"].reshape((n, 1))
            features = xp.concat([features * given, given], axis=1)
        found.append(features)
    return xp.concat(found, axis=1) if found else xp.zeros((n, 0), dtype=b.real)


WAVES = 8
LEVEL_SIZE = 2 * WAVES + 1


def level_features(b: Backend, sigma: Array, finest: float, coarsest: float) -> Array:
    """Features (n, LEVEL_SIZE) of noise levels (n,): waves of their logarithm, scaled to (-1, 1)."""
    xp = b.xp
    low, high = math.log(finest), math.log(coarsest)
    place = (2.0 * xp.log(sigma) - (low + high)) / (high - low)
    angles = place[:, None] * b.asarray(0.5 * math.pi * np.arange(1, WAVES + 1), b.real)
    return xp.concat([place[:, None], xp.sin(angles), xp.cos(angles)], axis=1)
