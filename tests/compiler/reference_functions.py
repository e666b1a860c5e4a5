"""The language's operators, functions and index sets in NumPy and scipy, for the reference interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special as special


def pairwise(lattice: Sequence[int], periodic: bool) -> list[Any]:
    """Each pair of neighbouring cells once."""
    found = set()
    for cell in itertools.product(*map(range, lattice)):
        for axis, n in enumerate(lattice):
            to = list(cell)
            to[axis] += 1
            if periodic:
                to[axis] %= n
            if to[axis] < n and tuple(to) != cell:
                found.add(tuple(sorted((cell, tuple(to)))))
    pairs = sorted(found)
    return [(a[0], b[0]) for a, b in pairs] if len(lattice) == 1 else pairs


def least(reduce: Any, pair: Any, xs: Sequence[Any], axis: int | None) -> Any:
    """`min` or `max`: of one array along an axis, or of several element by element."""
    return reduce(xs[0], axis) if len(xs) == 1 else pair.reduce(np.broadcast_arrays(*xs))


def truth(x: Any) -> Any:
    return np.asarray(x, bool)


def norm(x: Any, axis: int | None = None) -> Any:
    return np.sqrt(np.sum(np.square(x), axis))


SUPPORTS = {"positive": (0, np.inf), "unit": (0, 1), "bool": (0, 1), "spin": (-1, 1)}
CONSTANTS = {"true": True, "false": False, "inf": np.inf, "pi": np.pi, "none": None}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": np.floor_divide, "%": np.mod,
    "^": lambda x, y: np.power(np.asarray(x, float), y), "@": np.matmul,
}  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "in": lambda x, group: np.isin(x, list(group)), "not in": lambda x, group: ~np.isin(x, list(group)),
}  # fmt: skip
NUMBERS_OVER_GENERATOR: dict[str, Callable[[list[Any]], Any]] = {
    "sum": lambda items: np.sum(items, axis=0) if items else 0.0,
    "prod": lambda items: np.prod(items, axis=0) if items else 1.0,
    "mean": lambda items: np.mean(items, axis=0),
    "min": lambda items: np.min(items, axis=0) if items else np.inf,
    "max": lambda items: np.max(items, axis=0) if items else -np.inf,
    "logsumexp": lambda items: special.logsumexp(items, axis=0) if items else -np.inf,
    "any": lambda items: any(np.all(i) for i in items),
    "all": lambda items: all(np.all(i) for i in items),
}
NUMBER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "abs": np.abs, "sin": np.sin,
    "cos": np.cos, "tanh": np.tanh, "logistic": special.expit, "logit": special.logit, "atan2": np.arctan2,
    "softplus": lambda x: np.logaddexp(0, x), "xlogy": special.xlogy, "lgamma": special.gammaln, "floor": np.floor,
    "sign": np.sign, "round": np.round, "normal_cdf": special.ndtr, "log_normal_cdf": special.log_ndtr,
    "softmax": lambda x: special.softmax(x, axis=-1), "cumsum": lambda x: np.cumsum(x, axis=-1),
    "sort": lambda x: np.sort(x, axis=-1), "argsort": lambda x: np.argsort(x, axis=-1, kind="stable"),
    "norm": norm, "dot": lambda x, y: np.sum(x * y, axis=-1), "outer": np.outer,
    "sum": lambda x, axis=None: np.sum(x, axis), "mean": lambda x, axis=None: np.mean(x, axis),
    "prod": lambda x, axis=None: np.prod(x, axis), "any": np.any, "all": np.all,
    "logsumexp": lambda x, axis=None: special.logsumexp(x, axis),
    "min": lambda *xs, axis=None: least(np.min, np.minimum, xs, axis),
    "max": lambda *xs, axis=None: least(np.max, np.maximum, xs, axis),
    "clip": np.clip, "where": np.where, "variance": np.var, "sd": np.std, "len": len, "shape": np.shape,
    "stack": lambda *xs: np.stack(xs), "concat": lambda *xs: np.concatenate(xs), "transpose": np.transpose,
    "reshape": lambda x, *n: np.reshape(x, n), "diag": np.diag, "trace": np.trace, "eye": np.eye,
    "zeros": lambda *n: np.zeros(n), "ones": lambda *n: np.ones(n), "cholesky": np.linalg.cholesky,
    "inverse": np.linalg.inv, "det": np.linalg.det, "log_det": lambda x: np.linalg.slogdet(x)[1],
    "solve": np.linalg.solve, "all_different": lambda x: len(np.unique(x)) == np.size(x),
    "exactly_one": lambda x: np.sum(truth(x)) == 1, "at_most": lambda x, k: np.sum(truth(x)) <= k,
    "at_least": lambda x, k: np.sum(truth(x)) >= k, "implies": lambda p, q: ~truth(p) | truth(q),
    "range": range, "pairs": lambda n: list(itertools.combinations(range(n), 2)),
    "chain": lambda n: [(i, i + 1) for i in range(n - 1)], "grid": lambda *n: pairwise(n, False),
    "torus": lambda *n: pairwise(n, True), "zip": lambda *xs: list(zip(*xs, strict=True)),
}  # fmt: skip
