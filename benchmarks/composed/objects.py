"""Answers for objects that may not overlap: rods, discs, rectangles, boxes on shelves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from benchmarks.composed.truth import Numbers, Sampler, Truth, Values, normal1, uniform, wall

Box = tuple[tuple[float, float], ...]


def placed(boxes: Sequence[Box], fit: Callable[[int, Numbers, int, Numbers], Numbers]) -> Sampler:
    """Objects one after the other, each uniform in its box; a row is rejected as soon as two do not fit.

    fit(i, places of i, j, places of j) says where objects i and j may both stand. What is left is uniform over the
    placements that fit, as if all objects had been drawn before any was looked at.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        chosen = np.empty((n, 0, len(boxes[0])))
        for j, box in enumerate(boxes):
            low, high = np.transpose(box)
            new = rng.uniform(low, high, (len(chosen), len(box)))
            good = np.ones(len(chosen), dtype=bool)
            for i in range(j):
                good &= fit(i, chosen[:, i], j, new)
            chosen = np.concatenate([chosen, new[:, None]], axis=1)[good]
        return {"at": chosen}, np.zeros(len(chosen))

    return draw


def renamed(sampler: Sampler, names: Callable[[Numbers], dict[str, Numbers]]) -> Sampler:
    """The sampler with places (n, objects, coordinates) given to a program's variables."""

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        values, log_density = sampler(rng, n)
        return names(values["at"]), log_density

    return draw


def rods2() -> Truth:
    return Truth(
        energy=lambda v: (
            wall((v["a"] + 0.35 <= v["b"]) | (v["b"] + 0.15 <= v["a"])) + normal1(v["a"], 0.4, 0.3)
        ),
        lets=lambda v: {
            "long_first": v["a"] < v["b"],
            "gap": np.maximum(v["b"] - v["a"] - 0.35, v["a"] - v["b"] - 0.15),
        },
        by=uniform(a=(0, 0.65, ()), b=(0, 0.85, ())),
    )


def rods3() -> Truth:
    length = np.array([0.1, 0.2, 0.3])

    def energy(v: Values) -> Numbers:
        at = v["at"]
        good = (at + length <= 1).all(1)
        for i, j in combinations(range(3), 2):
            good &= (at[:, i] + length[i] <= at[:, j]) | (at[:, j] + length[j] <= at[:, i])
        return wall(good)

    def lets(v: Values) -> dict[str, Numbers]:
        a, b, c = v["at"].T
        return {
            "short_first": (a < b) & (a < c),
            "middle_is_long": ((a < c) & (c < b)) | ((b < c) & (c < a)),
        }

    return Truth(energy, lets, uniform(at=(0, 1, (3,))))


def apart(x: Numbers, i: int, j: int) -> Numbers:
    return np.asarray(np.linalg.norm(x[:, i] - x[:, j], axis=-1))


def discs3() -> Truth:
    r = np.array([0.22, 0.16, 0.1])

    def energy(v: Values) -> Numbers:
        x = v["x"]
        good = ((x >= r[:, None]) & (x <= 1 - r[:, None])).all((1, 2))
        for i, j in combinations(range(3), 2):
            good &= apart(x, i, j) >= r[i] + r[j]
        return wall(good)

    return Truth(
        energy,
        lambda v: {"apart01": apart(v["x"], 0, 1), "apart12": apart(v["x"], 1, 2)},
        uniform(x=(0, 1, (3, 2))),
    )


def discs4() -> Truth:
    r, n = 0.16, 4
    pairs = list(combinations(range(n), 2))

    def energy(v: Values) -> Numbers:
        x = v["x"]
        good = np.all([apart(x, i, j) >= 2 * r for i, j in pairs], axis=0)
        return wall(good) + 1.5 * x[:, :, 0].sum(1)

    def lets(v: Values) -> dict[str, Numbers]:
        x = v["x"]
        return {
            "apart": apart(x, 0, 1),
            "nearest": np.min([apart(x, i, j) for i, j in pairs], axis=0),
            "first_is_left": (x[:, :1, 0] <= x[:, :, 0]).all(1),
        }

    sampler = placed([((r, 1 - r),) * 2] * n, lambda i, a, j, b: np.linalg.norm(a - b, axis=1) >= 2 * r)
    return Truth(energy, lets, renamed(sampler, lambda at: {"x": at}))


def discs5() -> Truth:
    r, n = 0.14, 5

    def distance(v: Values, i: int, j: int) -> Numbers:
        return np.hypot(v["x"][:, i] - v["x"][:, j], v["y"][:, i] - v["y"][:, j])

    def lets(v: Values) -> dict[str, Numbers]:
        x = v["x"]
        return {"apart": distance(v, 0, 1), "order": x[:, 0] < x[:, 1], "spread": np.ptp(x, axis=1)}

    sampler = placed(
        [((r, 1.2 - r), (r, 0.8 - r))] * n, lambda i, a, j, b: np.linalg.norm(a - b, axis=1) >= 2 * r
    )
    return Truth(
        lambda v: wall(np.all([distance(v, i, j) >= 2 * r for i, j in combinations(range(n), 2)], axis=0)),
        lets,
        renamed(sampler, lambda at: {"x": at[:, :, 0], "y": at[:, :, 1]}),
    )


def discs_middle() -> Truth:
    def from_middle(x: Numbers) -> Numbers:
        return np.asarray(np.linalg.norm(x - 0.5, axis=1))

    def energy(v: Values) -> Numbers:
        a, b = v["a"], v["b"]
        inside = ((a > 0) & (a < 1) & (b > 0) & (b < 1)).all(1)
        return (
            wall(inside & (np.linalg.norm(a - b, axis=1) >= 0.25))
            + 25 * np.maximum(from_middle(a) - 0.05, 0)
            + 10 * np.maximum(from_middle(b) - 0.15, 0)
        )

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        """Each around the middle with density exp(-rate · distance) in the plane: a gamma radius."""
        values, log_density = {}, np.zeros(n)
        for name, rate in (("a", 15.0), ("b", 7.0)):
            radius, angle = rng.gamma(2.0, 1 / rate, n), rng.uniform(0, 2 * np.pi, n)
            values[name] = 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            log_density -= rate * radius
        return values, log_density

    return Truth(
        energy,
        lambda v: {
            "apart": np.linalg.norm(v["a"] - v["b"], axis=1),
            "a_left": v["a"][:, 0] < v["b"][:, 0],
        },
        draw,
    )


def rectangles() -> Truth:
    w, h = np.array([0.5, 0.3, 0.25, 0.2]), np.array([0.2, 0.35, 0.25, 0.15])

    def clear(i: int, a: Numbers, j: int, b: Numbers) -> Numbers:
        return np.asarray(
            (a[:, 0] + w[i] <= b[:, 0])
            | (b[:, 0] + w[j] <= a[:, 0])
            | (a[:, 1] + h[i] <= b[:, 1])
            | (b[:, 1] + h[j] <= a[:, 1])
        )

    def energy(v: Values) -> Numbers:
        at = np.stack([v["x"], v["y"]], axis=2)
        good = (at[:, :, 0] + w <= 1).all(1) & (at[:, :, 1] + h <= 1).all(1)
        for i, j in combinations(range(4), 2):
            good &= clear(i, at[:, i], j, at[:, j])
        return wall(good)

    return Truth(
        energy,
        lambda v: {
            "below": v["y"][:, 0] + h[0] <= v["y"][:, 1],
            "highest": (v["y"] + h).max(1),
        },
        renamed(
            placed([((0, 1 - w[i]), (0, 1 - h[i])) for i in range(4)], clear),
            lambda at: {"x": at[:, :, 0], "y": at[:, :, 1]},
        ),
    )


def shelves() -> Truth:
    width, weight = np.array([0.4, 0.3, 0.2]), np.array([2.0, 1.0, 0.5])
    heights = np.array([[0, 0.1], [0.8, 0.95], [1.6, 1.8]])

    def energy(v: Values) -> Numbers:
        x, y = v["x"], v["y"]
        on = ((y[..., None] >= heights[:, 0]) & (y[..., None] <= heights[:, 1])).any(-1)
        good = on.all(1) & (x + width <= 1).all(1)
        for i, j in combinations(range(3), 2):
            good &= (
                (np.abs(y[:, i] - y[:, j]) >= 0.3)
                | (x[:, i] + width[i] <= x[:, j])
                | (x[:, j] + width[j] <= x[:, i])
            )
        return wall(good) + y @ weight

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        """Uniform on the shelves."""
        depth = np.ptp(heights, axis=1)
        shelf = rng.choice(3, (n, 3), p=depth / depth.sum())
        y = heights[shelf, 0] + depth[shelf] * rng.random((n, 3))
        return {"x": rng.random((n, 3)) * (1 - width), "y": y}, np.zeros(n)

    def lets(v: Values) -> dict[str, Numbers]:
        y = v["y"]
        return {"low": y[:, 0] < 0.5, "together": np.abs(y[:, 0] - y[:, 1]) < 0.3}

    return Truth(energy, lets, draw)


TRUTHS = {f.__name__: f for f in (rods2, rods3, discs3, discs4, discs5, discs_middle, rectangles, shelves)}
