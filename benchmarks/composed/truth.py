"""Moments of a density that is written by hand in NumPy: by a grid, or by independent weighted draws.

Nothing of the compiler or of its samplers is used. An energy takes the variables by name, each (n, *shape), and gives
(n,), infinite where a constraint fails; it may leave out a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Values = Mapping[str, Numbers]

CHUNK = 500_000
WANTED = 1_000_000  #: effective draws
SAME = 1e-9  #: an sd below it is a constant's
COARSER = 0.8  #: the second grid, which tells the first one's error


@dataclass(frozen=True)
class Grid:
    """Midpoints of a box: by variable its lower and upper bounds and the points along each axis.

    axes: (variable, element, low, high, points), element None for a scalar.
    """

    axes: tuple[tuple[str, int | None, float, float, int], ...]

    def batches(self, scale: float) -> Iterator[tuple[dict[str, Numbers], Numbers]]:
        """Points with the log of their density, which is constant, in chunks."""
        counts = [round(points * scale) for *_, points in self.axes]
        total = math.prod(counts)
        for first in range(0, total, CHUNK):
            places = np.unravel_index(np.arange(first, min(first + CHUNK, total)), counts)
            columns: dict[str, list[Numbers]] = {}
            for (name, _, low, high, _), place, count in zip(self.axes, places, counts, strict=True):
                columns.setdefault(name, []).append(low + (high - low) * (place + 0.5) / count)
            scalars = {name for name, element, *_ in self.axes if element is None}
            yield (
                {n: c[0] if n in scalars else np.stack(c, axis=-1) for n, c in columns.items()},
                np.zeros(len(places[0])),
            )


#: A sampler: a generator and a count give draws by name, and the log of their density up to a constant. It may give
#: fewer draws than asked for, where it rejects some itself.
Sampler = Callable[[np.random.Generator, int], tuple[dict[str, Numbers], Numbers]]


@dataclass(frozen=True)
class Truth:
    """A program's meaning, written again: its energy, its `let`s, and how to integrate it."""

    energy: Callable[[Values], Numbers]
    lets: Callable[[Values], Mapping[str, Any]]
    by: Grid | Sampler
    skip: frozenset[str] = field(default_factory=frozenset)  #: variables without (or with circular) moments

    def draw(self, rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        """Some points, with the log of their density."""
        if not isinstance(self.by, Grid):
            return self.by(rng, n)
        columns: dict[str, list[Numbers]] = {}
        for name, element, low, high, _ in self.by.axes:
            column = rng.uniform(low, high, n)
            columns.setdefault(name, []).append(column)
            if element is None:
                columns[name] = column  # type: ignore[assignment]
        return {
            name: np.stack(c, axis=-1) if isinstance(c, list) else c for name, c in columns.items()
        }, np.zeros(n)

    def quantities(self, values: Values) -> dict[str, Numbers]:
        """Every element of every variable, and every `let`, by the names of the summary."""
        found: dict[str, Numbers] = {}
        for name, x in {**values, **self.lets(values)}.items():
            if name in self.skip:
                continue
            x = np.asarray(x, dtype=np.float64)
            for place in np.ndindex(x.shape[1:]):
                found[name + (f"[{','.join(map(str, place))}]" if place else "")] = x[:, *place]
        return found

    def moments(self, seed: int = 0, wanted: float = WANTED) -> dict[str, dict[str, float]]:
        """Mean, sd and kurtosis of each quantity, with standard errors of the first two."""
        if isinstance(self.by, Grid):
            fine, coarse = (self._summed(self.by.batches(scale)).moments() for scale in (1.0, COARSER))
            return {
                name: {**m, **{f"{k}_error": abs(m[k] - coarse[name][k]) for k in ("mean", "sd")}}
                for name, m in fine.items()
            }
        sums = self._summed(self._draws(self.by, seed, wanted), wanted)
        ess = sums.weight**2 / sums.weight_squared
        return {
            name: {
                **m,
                "mean_error": m["sd"] / math.sqrt(ess),
                "sd_error": m["sd"] * math.sqrt(max(m["kurtosis"] - 1, 0) / (4 * ess)),
            }
            for name, m in sums.moments().items()
        }

    @staticmethod
    def _draws(sampler: Sampler, seed: int, wanted: float) -> Iterator[tuple[dict[str, Numbers], Numbers]]:
        rng = np.random.default_rng(seed)
        while True:
            yield sampler(rng, CHUNK)

    def _summed(
        self, batches: Iterator[tuple[dict[str, Numbers], Numbers]], wanted: float = math.inf
    ) -> Sums:
        sums = Sums()
        for values, log_density in batches:
            with np.errstate(all="ignore"):
                log_weights = -self.energy(values) - log_density
            kept = log_weights > -np.inf
            sums.add(log_weights[kept], self.quantities({k: v[kept] for k, v in values.items()}))
            if sums.weight_squared and sums.weight**2 / sums.weight_squared >= wanted:
                break
        return sums


class Sums:
    """Weighted power sums of quantities around a first guess of their means, at one scale of weights."""

    def __init__(self) -> None:
        self.log_scale = -np.inf
        self.weight = self.weight_squared = 0.0
        self.centres: dict[str, float] = {}
        self.powers: dict[str, Numbers] = {}

    def add(self, log_weights: Numbers, quantities: Mapping[str, Numbers]) -> None:
        if not log_weights.size:
            return
        top = max(self.log_scale, float(log_weights.max()))
        shrink = math.exp(self.log_scale - top)
        self.log_scale = top
        w = np.exp(log_weights - top)
        self.weight = self.weight * shrink + w.sum()
        self.weight_squared = self.weight_squared * shrink**2 + (w**2).sum()
        if not self.centres:
            self.centres = {name: float(w @ x / w.sum()) for name, x in quantities.items()}
            self.powers = {name: np.zeros(4) for name in quantities}
        for name, x in quantities.items():
            d = x - self.centres[name]
            wd = w * d
            wd2 = wd * d
            self.powers[name] = self.powers[name] * shrink + [wd.sum(), wd2.sum(), wd2 @ d, (wd2 * d) @ d]

    def moments(self) -> dict[str, dict[str, float]]:
        """Mean, sd and kurtosis of each quantity; what is observed, and always the same, is left out."""
        found = {}
        for name, powers in self.powers.items():
            m1, m2, m3, m4 = powers / self.weight
            variance = m2 - m1**2
            fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
            if variance < SAME**2:
                continue
            found[name] = {
                "mean": self.centres[name] + m1,
                "sd": math.sqrt(variance),
                "kurtosis": fourth / variance**2,
            }
        return {name: {k: float(v) for k, v in m.items()} for name, m in found.items()}


@dataclass(frozen=True)
class GaussianMixture:
    """Weights (k,), means (k, d), covariances (k, d, d): drawn from, and its log density."""

    weights: Numbers
    means: Numbers
    covariances: Numbers

    @staticmethod
    def isotropic(weights: Any, means: Any, sds: Any) -> GaussianMixture:
        means = np.asarray(means, dtype=float)
        sds = np.broadcast_to(np.asarray(sds, dtype=float), len(means))
        return GaussianMixture(
            np.asarray(weights, dtype=float), means, sds[:, None, None] ** 2 * np.eye(means.shape[1])
        )

    def draw(self, rng: np.random.Generator, n: int) -> Numbers:
        k = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        factors = np.linalg.cholesky(self.covariances)
        x = rng.standard_normal((n, self.means.shape[1]))
        for j in range(len(self.weights)):
            x[k == j] = self.means[j] + x[k == j] @ factors[j].T
        return x

    def log_density(self, x: Numbers) -> Numbers:
        terms = [
            np.log(w / self.weights.sum()) - normal(x, m, c)
            for w, m, c in zip(self.weights, self.means, self.covariances, strict=True)
        ]
        return np.logaddexp.reduce(terms, axis=0)


def normal(x: Numbers, mean: Numbers, covariance: Numbers) -> Numbers:
    """The energy of a multivariate normal, in nats; x (n, d)."""
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T)
    return 0.5 * (z**2).sum(0) + np.log(np.diag(factor)).sum() + 0.5 * len(factor) * math.log(2 * math.pi)


def normal1(x: Any, mean: Any, sd: Any) -> Numbers:
    """The energy of a normal, in nats, elementwise."""
    return np.asarray(0.5 * ((x - mean) / sd) ** 2 + np.log(sd) + 0.5 * math.log(2 * math.pi))


def mixed(*parts: tuple[float, Numbers]) -> Numbers:
    """The energy of a mixture of (weight, energy)."""
    return -np.logaddexp.reduce([math.log(w) - e for w, e in parts], axis=0)


def wall(holds: Any) -> Numbers:
    """0 where it holds, infinite where not."""
    return np.where(holds, 0.0, np.inf)


def uniform(**bounds: tuple[float, float, tuple[int, ...]]) -> Sampler:
    """Uniform draws: by name lower and upper bound, and the shape."""

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        return {k: rng.uniform(lo, hi, (n, *shape)) for k, (lo, hi, shape) in bounds.items()}, np.zeros(n)

    return draw
