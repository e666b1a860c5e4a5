"""A learner that knows its density: in the place of `diffusion`, it gives the data's rows with noise of SD around them.

What it "learns" is the mixture of N(row, SD²) over the rows, whose noised densities, energies and scores are known, so
that whatever a walk along the levels does wrong is not the training's fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, LearnerDeclaration
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import features
from compose_lang.runtime.learned.learner import Learner, Weights
from compose_lang.runtime.learned.learners import diffusion

SD = 0.1


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    n = len(part.data[part.subjects[0].name])
    rows = np.concatenate([part.data[p.name].reshape(n, -1) for p in part.subjects], axis=1)
    return {"scale": np.array([features.rms(rows)]), "rows": rows.astype(np.float64)}


def parts(b: Backend, weights: Weights, level: Array, subjects: Sequence[Array]) -> tuple[Any, Any, Any]:
    """Differences (n, rows, d) of subjects and rows, variances (n,), and log-weights (n, rows) of the rows."""
    n = subjects[0].shape[0]
    x = b.xp.concat([s.reshape((n, -1)) for s in subjects], axis=1)
    away = x[:, None, :] - weights["rows"][None]
    variance = SD**2 + level * level
    return away, variance, -0.5 * b.xp.sum(away * away, axis=2) / variance[:, None]


def energy(
    part: LearnedFactor,
    b: Backend,
    weights: Weights,
    level: Array,
    subjects: Sequence[Array],
    inputs: Sequence[Array | None],
) -> Array:
    away, variance, logs = parts(b, weights, level, subjects)
    top = b.xp.max(logs, axis=1, keepdims=True)
    total = top[:, 0] + b.xp.log(b.xp.mean(b.xp.exp(logs - top), axis=1))
    return 0.5 * away.shape[2] * b.xp.log(2.0 * math.pi * variance) - total


def score(
    part: LearnedFactor,
    b: Backend,
    weights: Weights,
    level: Array,
    subjects: Sequence[Array],
    inputs: Sequence[Array | None],
) -> list[Array]:
    away, variance, logs = parts(b, weights, level, subjects)
    share = b.xp.exp(logs - b.xp.max(logs, axis=1, keepdims=True))
    share = share / b.xp.sum(share, axis=1, keepdims=True)
    gradient = b.xp.sum(share[:, :, None] * away, axis=1) / variance[:, None]
    return features.split(part, gradient)


SAID = {field.name: getattr(diffusion.LEARNER, field.name) for field in fields(LearnerDeclaration)}
LEARNER = Learner(**SAID, begin=begin, energy=energy, score=score)
