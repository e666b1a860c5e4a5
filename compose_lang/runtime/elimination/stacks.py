"""What the passes do to arrays: stacks of rounds, rows of messages, and the tables of buckets.

A stack is an array with the rounds first, or, where rounds are a loop of Python's, a `Listed`. Messages are
(chains, rows, *shape), tables of buckets (chains, width, *shape).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.elimination import Own, Shape
from compose_lang.runtime.arrays.categorical import softmax_weights
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree


class Listed(list[Tree]):
    """What each round left, where rounds are a loop of Python's."""


def mapped(function: Callable[[Array], Array], tree: Tree) -> Tree:
    """A tree of dicts, lists and tuples with a function applied to its arrays; a `Listed` counts as an array."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple) and not isinstance(tree, Listed):
        return type(tree)(mapped(function, part) for part in tree)
    return function(tree)


def at_round(tree: Tree, k: int) -> Tree:
    """What of a tree of stacks belongs to a round."""
    return mapped(lambda leaf: leaf[k], tree)


def reverse(xp: Any, tree: Tree) -> Tree:
    """The rounds of a tree of stacks from the last to the first."""
    return mapped(
        lambda leaf: Listed(leaf[::-1]) if isinstance(leaf, Listed) else xp.flip(leaf, axis=0), tree
    )


def everywhere(xp: Any, ys: Tree, path: Sequence[int]) -> Array:
    """One array (rounds, …) of what every round left at a path."""

    def there(y: Tree) -> Array:
        for k in path:
            y = y[k]
        return y

    return xp.stack([there(y) for y in ys]) if isinstance(ys, Listed) else there(ys)


def in_order(rows: np.ndarray, count: int) -> bool:
    """Whether rows are all of as many as there are, in their order, so that nothing has to be gathered."""
    return rows.size == count and np.array_equal(rows.reshape(-1), np.arange(count))


def rows_of(xp: Any, part: Array, own: Own, rows: Array) -> Array:
    """What instances (chains, instances or 1, *axes) of a table give to buckets, (chains, rounds, width, *axes)."""
    rounds, width, k = own.rows.shape
    axes = part.shape[2:]
    if k == 1 and part.shape[1] == 1 and (own.rows >= 0).all():
        return xp.broadcast_to(part[:, :, None], (part.shape[0], rounds, width, *axes))
    if k == 1 and in_order(own.rows, part.shape[1]):
        return part.reshape((part.shape[0], rounds, width, *axes))
    if part.shape[1] == 1:
        rows = xp.where(rows >= 0, 0, -1)
    part = xp.concat([part, xp.zeros_like(part[:, :1])], axis=1)
    rows = xp.where(rows >= 0, rows, part.shape[1] - 1)
    return xp.sum(taken(xp, part, rows), axis=3)


def taken(xp: Any, array: Array, rows: Array) -> Array:
    """Rows of the second axis: (chains, *rows, …)."""
    found = xp.take(array, rows.reshape((-1,)), axis=1)
    return found.reshape((array.shape[0], *rows.shape, *array.shape[2:]))


def resized(xp: Any, array: Array, room: int) -> Array:
    """An array with `room` rows on its second axis: zeros put behind, or the last ones left out."""
    missing = room - array.shape[1]
    if missing <= 0:
        return array[:, :room]
    zeros = xp.zeros((array.shape[0], missing, *array.shape[2:]), dtype=array.dtype)
    return xp.concat([array, zeros], axis=1)


def repeated(xp: Any, array: Array, room: int) -> Array:
    """One row (n, 1, …) as often as there is room."""
    return xp.broadcast_to(array, (array.shape[0], room, *array.shape[2:]))


def spread(part: Array, places: Sequence[int], shape: Shape) -> Array:
    """(chains, width, *axes) with axes of 1 put in where a bucket has more."""
    full = (n if a in places else 1 for a, n in enumerate(shape))
    return part.reshape((*part.shape[:2], *full))


def marginal(xp: Any, belief: Array, places: Sequence[int]) -> Array:
    """A belief (chains, width, *shape) summed over all but some of its axes."""
    others = tuple(2 + a for a in range(belief.ndim - 2) if a not in places)
    return xp.sum(belief, axis=others) if others else belief


def summed(total: Array, backend: Backend) -> Array:
    """-log Σ exp(-E) over the first axis of buckets; infinite where all of them are."""
    xp = backend.xp
    if total.shape[2] == 2:  # half the exponentials
        low = xp.minimum(total[:, :, 0], total[:, :, 1])
        gap = xp.maximum(total[:, :, 0], total[:, :, 1]) - low
        return low - xp.where(low < math.inf, xp.log(1.0 + xp.exp(-gap)), 0.0)
    low = xp.min(total, axis=2)
    low = xp.where(xp.isfinite(low), low, 0.0)
    return low - xp.log(xp.sum(xp.exp(low[:, :, None] - total), axis=2))


def least(total: Array, backend: Backend) -> Array:
    """The least energy over the first axis of buckets."""
    return backend.xp.min(total, axis=2)


def distribution(energy: Array, backend: Backend) -> Array:
    """The distribution function (…, values) of what has these energies."""
    cumulative = backend.xp.cumulative_sum(softmax_weights(energy, backend), axis=-1)
    return cumulative / backend.xp.where(cumulative[..., -1:] > 0.0, cumulative[..., -1:], 1.0)


def place_in(distribution: Array, uniform: Array, backend: Backend) -> Array:
    """Which value a uniform number falls to, by the inverse of the distribution function."""
    below = distribution[..., :-1] <= uniform[..., None]
    return backend.xp.sum(backend.xp.astype(below, backend.integer), axis=-1)
