"""Parts that have learned something known, and what their tests ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import scipy.stats

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port
from compose_lang.compiler.ir.types import BOOL, REAL, Domain, Type
from compose_lang.discovery import LEARNERS
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned.learners import load_learner
from compose_lang.runtime.learning.trainer import Trainer
from tests.once import once

NUMPY = load_backend("numpy")
Weights = dict[str, np.ndarray]
SPIN = Domain("spin")
THREE = Domain("category", size=3)


def part(
    method: str, subjects: Sequence[Port], inputs: Sequence[Port], data: dict[str, np.ndarray], **options: Any
) -> LearnedFactor:
    net = Net("mlp", (32, 32)) if LEARNERS[method].net else None
    options = {**LEARNERS[method].options, **options}
    return LearnedFactor("P", method, tuple(subjects), tuple(inputs), net, options, data, None)  # type: ignore[arg-type]


def energies(
    p: LearnedFactor,
    w: Weights,
    subjects: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray | None] = (),
    at: str = "numpy",
) -> np.ndarray:
    b = load_backend(at)
    n = len(subjects[0])
    with b.scope():
        weights = {name: b.asarray(a) for name, a in w.items()}
        given = [None if c is None else b.asarray(c) for c in inputs]
        energy = partial(load_learner(p.method).energy, p, b)
        return np.asarray(
            b.to_numpy(
                once(b, energy)(weights, b.asarray(np.zeros(n)), [b.asarray(x) for x in subjects], given)
            )
        )


def shaken(p: LearnedFactor, seed: int = 1, size: float = 0.4) -> Weights:
    """Weights far from where training begins, so that nothing is normalised by being simple."""
    rng = np.random.default_rng(seed)
    begun = load_learner(p.method).begin(p)
    return {n: a + size * rng.standard_normal(a.shape) * n.startswith("net.") for n, a in begun.items()}


def all_values(ports: Sequence[Port]) -> list[np.ndarray]:
    """Every joint value of finite ports, a row each."""
    sizes = [int(np.prod(p.type.full_shape)) for p in ports]
    each = [p.type.domain.values for p, size in zip(ports, sizes, strict=True) for _ in range(size)]
    flat = np.array(list(product(*each)))
    columns = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
    return [c.reshape((len(flat), *p.type.full_shape)) for c, p in zip(columns, ports, strict=True)]


FINITE = (Port("s", Type(SPIN)), Port("k", Type(Domain("int", 2, 4), (2,))), Port("t", Type(BOOL)))
GIVEN = (Port("c", Type(THREE), True), Port("e", Type(BOOL)))
MIXED = (Port("c", Type(THREE), True), Port("r", Type(REAL, (2,))))


def finite_rows(n: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    c = rng.integers(0, 3, n)
    k = np.stack([2 + c, rng.integers(2, 5, n)], axis=1)
    return {
        "s": 2 * rng.integers(0, 2, n) - 1, "k": k, "t": rng.random(n) < 0.3, "c": c,
        "e": rng.integers(0, 2, n), "r": rng.standard_normal((n, 2)),
    }  # fmt: skip


def of_ports(rows: dict[str, np.ndarray], *ports: Port) -> dict[str, np.ndarray]:
    return {p.name: rows[p.name] for p in ports}


@cache
def finite_part(
    method: str, steps: int = 60
) -> tuple[LearnedFactor, tuple[tuple[np.ndarray | None, ...], ...]]:
    """A part over finite subjects, and ways to give its inputs."""
    rows = finite_rows()
    if method == "categorical":
        return part(method, FINITE, GIVEN, of_ports(rows, *FINITE, *GIVEN)), (
            (np.array([2]), np.array([1])), (None, np.array([0])), (np.array([0]), np.array([0])),
        )  # fmt: skip
    found = part(method, FINITE, MIXED, of_ports(rows, *FINITE, *MIXED), steps=steps)
    return found, ((np.array([2]), np.array([[0.3, -1.0]])), (None, np.array([[2.0, 0.1]])))


FLAT = (Port("x", Type(REAL)),)
PLANE = (Port("x", Type(REAL, (2,))),)


def bent_rows(n: int, seed: int = 0) -> np.ndarray:
    """A banana: x₁ ~ N(0, 1), x₂ ~ N(x₁² - 1, .4²), times (2, 1) and moved."""
    u, v = np.random.default_rng(seed).standard_normal((2, n))
    return np.stack([2.0 * u + 3.0, u**2 - 1.0 + 0.4 * v], axis=1)


def bent_log_density(x: np.ndarray) -> np.ndarray:
    u = (x[:, 0] - 3.0) / 2.0
    logs = scipy.stats.norm.logpdf(u) - np.log(2.0) + scipy.stats.norm.logpdf(x[:, 1], u**2 - 1.0, 0.4)
    return np.asarray(logs)


@cache
def line() -> tuple[LearnedFactor, Weights]:
    """In one dimension: two modes whose distance is an input that may be left out."""
    rng = np.random.default_rng(0)
    far = rng.integers(0, 2, 4000)
    x = (1.0 + 2.0 * far) * (2 * rng.integers(0, 2, 4000) - 1) + 0.5 * rng.standard_normal(4000)
    inputs = (Port("far", Type(BOOL), True),)
    p = part("flow", FLAT, inputs, {"x": x, "far": far}, steps=600, layers=2, rate=2e-2, drop=0.4)
    return p, Trainer(p).run()[0]


@cache
def banana() -> tuple[LearnedFactor, Weights]:
    p = part("flow", PLANE, (), {"x": bent_rows(8000)}, steps=700, layers=4, rate=3e-3)
    return p, Trainer(p).run()[0]


def grid(lower: Sequence[float], upper: Sequence[float], counts: Sequence[int]) -> tuple[np.ndarray, float]:
    """Midpoints (n, d) of the cells of a box, and a cell's volume."""
    sides = [
        lo + (np.arange(n) + 0.5) * (up - lo) / n for lo, up, n in zip(lower, upper, counts, strict=True)
    ]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(lower))
    return points, float(np.prod((np.array(upper) - lower) / counts))


BOX = ([-12.0, -8.0], [18.0, 22.0], [300, 300])


CHAIN = (Port("x", Type(Domain("category", size=4), (5,))),)


@cache
def chain_truth() -> np.ndarray:
    """Probabilities (3, 1024) of all sequences for each input."""
    rng = np.random.default_rng(3)
    first, steps = rng.dirichlet(np.ones(4), 3), rng.dirichlet(0.7 * np.ones(4), (3, 4))
    (x,) = all_values(CHAIN)
    found = first[:, x[:, 0]]
    for i in range(4):
        found = found * steps[:, x[:, i], x[:, i + 1]]
    return np.asarray(found)


@cache
def chain() -> tuple[LearnedFactor, Weights]:
    rng = np.random.default_rng(4)
    (x,) = all_values(CHAIN)
    c = np.repeat([0, 1, 2], [5000, 10_000, 5000])
    rows = np.concatenate([x[rng.choice(1024, (c == k).sum(), p=chain_truth()[k])] for k in range(3)])
    p = part(
        "autoregressive",
        CHAIN,
        (Port("c", Type(THREE), True),),
        {"x": rows, "c": c},
        steps=1000,
        rate=2e-2,
        drop=0.3,
    )
    return p, Trainer(p).run()[0]


def p_value(counts: np.ndarray, shares: np.ndarray) -> float:
    """Pearson's chi-square of counts against shares, cells of fewer than 5 expected taken together."""
    expected = shares * counts.sum()
    few = expected < 5.0
    seen = np.append(counts[~few], counts[few].sum())
    want = np.append(expected[~few], expected[few].sum())
    seen, want = (seen[:-1], want[:-1]) if want[-1] < 1e-9 else (seen, want)
    return float(scipy.stats.chisquare(seen, want * seen.sum() / want.sum()).pvalue)
