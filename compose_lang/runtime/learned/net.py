"""What a net is: `NET` in a file of `nets/`, written once over array operations, so that every backend runs it.

A net takes a batch x (n, *shape) and for each a condition c (n, condition), features of the noise level and of a
factor's inputs, and gives (n, *out). Its weights are a dict of arrays, stored as they are; whoever differentiates
does so through the backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from compose_lang.runtime.arrays.protocol import Array, Backend

Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Ports:
    """What goes into a net and what comes out, without the batch."""

    shape: tuple[int, ...]  #: of x
    condition: int  #: features beside x
    out: tuple[int, ...]  #: of the result: `shape` for what points along x, (k,) for k numbers


class Weight(NamedTuple):
    """An array of weights, and how it begins: `mean` plus normal numbers of standard deviation `spread`."""

    shape: tuple[int, ...]
    spread: float = 0.0
    mean: float = 0.0


@dataclass(frozen=True)
class Net:
    """A net as its file exports it.

    weights: the arrays it needs for widths and ports, by name; a ValueError says in the user's words why it does not
    fit them. apply: (backend, weights, widths, ports, x, c) -> (n, *out).
    """

    name: str
    summary: str  #: one line for the reference
    weights: Callable[[tuple[int, ...], Ports], dict[str, Weight]]
    apply: Callable[[Backend, Weights, tuple[int, ...], Ports, Array, Array], Array]


def dense(fan_in: int, fan_out: int, gain: float = 1.0) -> Weight:
    """A matrix (fan_in, fan_out) that keeps the size of what it is applied to."""
    return Weight((fan_in, fan_out), gain / math.sqrt(max(fan_in, 1)))


def begin(weights: Mapping[str, Weight], seed: int) -> dict[str, np.ndarray]:
    """Weights to start training from, in float32; the last layer of a net starts at 0 or near it."""
    rng = np.random.default_rng(seed)
    return {
        name: (w.mean + w.spread * rng.standard_normal(w.shape)).astype(np.float32)
        for name, w in sorted(weights.items())
    }


def silu(b: Backend, x: Any) -> Array:
    """x · logistic(x): smooth, so that energies have gradients everywhere."""
    return x * b.special.expit(x)
