"""Answers for paths and arms: bridges between fixed ends, gates, obstacles, elbows."""

from __future__ import annotations

import numpy as np
from scipy.special import i0e

from benchmarks.composed.truth import (
    GaussianMixture,
    Grid,
    Numbers,
    Sampler,
    Truth,
    Values,
    mixed,
    normal,
    normal1,
    wall,
)


def bridge(ends: Numbers, free: int, stiffness: float) -> tuple[Numbers, Numbers]:
    """Precision (2 free, 2 free) and precision times mean of free points (free, 2) between two fixed ones (2, 2)."""
    laplacian = 2 * np.eye(free) - np.eye(free, k=1) - np.eye(free, k=-1)
    shift = np.zeros((free, 2))
    shift[0] += ends[0]
    shift[-1] += ends[1]
    return stiffness * np.kron(laplacian, np.eye(2)), stiffness * shift.reshape(-1)


def between(ends: Numbers, points: GaussianMixture, name: str) -> Sampler:
    """Draws of the free points with the fixed ends put around them."""

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        x = points.draw(rng, n)
        first, last = (np.broadcast_to(end, (n, 1, 2)) for end in ends)
        path = np.concatenate([first, x.reshape(n, -1, 2), last], axis=1)
        return {name: path}, points.log_density(x)

    return draw


def inside(path: Numbers, bound: float) -> Numbers:
    return np.asarray((np.abs(path) <= bound).all((1, 2)))


def clear(path: Numbers, centre: tuple[float, float], radius: float) -> Numbers:
    return np.asarray((np.linalg.norm(path - np.array(centre), axis=2) >= radius).all(1))


def step_energy(path: Numbers, stiffness: float) -> Numbers:
    return np.asarray(0.5 * stiffness * (np.diff(path, axis=1) ** 2).sum((1, 2)))


def gates_path() -> Truth:
    ends, stiffness, sd = np.array([[-1.0, 0], [1, 0]]), 8.0, 0.12
    gates = ((0.7, np.array([0, 0.9])), (0.3, np.array([0.1, -0.7])))
    precision, shift = bridge(ends, 6, stiffness)
    mean, covariance = np.linalg.solve(precision, shift), np.linalg.inv(precision)
    at = slice(6, 8)  # path[4] is the fourth free point
    weights, means, covariances = [], [], []
    for share, gate in gates:
        joined = precision.copy()
        joined[at, at] += np.eye(2) / sd**2
        moved = shift.copy()
        moved[at] += gate / sd**2
        evidence = normal(gate[None], mean[at], covariance[at, at] + sd**2 * np.eye(2))[0]
        weights.append(share * np.exp(-evidence))
        means.append(np.linalg.solve(joined, moved))
        covariances.append(np.linalg.inv(joined))
    points = GaussianMixture(np.array(weights), np.array(means), np.array(covariances))

    def energy(v: Values) -> Numbers:
        path = v["path"]
        parts = [(share, normal1(path[:, 4], gate, sd).sum(1)) for share, gate in gates]
        good = inside(path, 2) & clear(path, (0, 0), 0.4)
        return step_energy(path, stiffness) + mixed(*parts) + wall(good)

    return Truth(energy, lambda v: {"over": v["path"][:, 4, 1] > 0}, between(ends, points, "path"))


def two_obstacles() -> Truth:
    ends, stiffness = np.array([[-1.5, 0], [1.5, 0.2]]), 1 / 0.4**2
    precision, shift = bridge(ends, 10, stiffness)
    covariance = np.linalg.inv(precision)
    points = GaussianMixture(np.ones(1), (covariance @ shift)[None], covariance[None])

    def energy(v: Values) -> Numbers:
        q = v["q"]
        good = inside(q, 3) & clear(q, (-0.6, 0.1), 0.45) & clear(q, (0.7, -0.1), 0.4)
        return step_energy(q, stiffness) + wall(good)

    return Truth(
        energy,
        lambda v: {"over": v["q"][:, 4, 1], "middle": v["q"][:, 6, 1], "height": v["q"][:, :, 1].mean(1)},
        between(ends, points, "q"),
    )


def narrow_gap() -> Truth:
    ends, stiffness = np.array([[-1.0, -0.3], [1, -0.3]]), 1 / 0.45**2
    precision, shift = bridge(ends, 5, stiffness)
    covariance = np.linalg.inv(precision)
    points = GaussianMixture(np.ones(1), (covariance @ shift)[None], covariance[None])

    def energy(v: Values) -> Numbers:
        x, y = v["w"][:, :, 0], v["w"][:, :, 1]
        good = ((np.abs(x) >= 0.25) | ((y >= 0.3) & (y <= 0.5))).all(1) & inside(v["w"], 2)
        return step_energy(v["w"], stiffness) + wall(good)

    return Truth(
        energy,
        lambda v: {"used": (np.abs(v["w"][:, :, 0]) < 0.25).sum(1), "third": v["w"][:, 2, 0]},
        between(ends, points, "w"),
    )


def elbow() -> Truth:
    def hand(v: Values) -> Numbers:
        first, second = v["shoulder"], v["shoulder"] + v["elbow"]
        return np.stack([np.cos(first) + 0.7 * np.cos(second), np.sin(first) + 0.7 * np.sin(second)], axis=1)

    def energy(v: Values) -> Numbers:
        return np.asarray(
            normal1(np.array([1.1, 0.6]), hand(v), 0.05).sum(1) - 0.5 * np.cos(v["elbow"] - 0.4)
        )

    return Truth(
        energy,
        lambda v: {
            "hand": hand(v),
            "bends_left": np.sin(v["elbow"]) > 0,
            "knee_height": np.sin(v["shoulder"]),
        },
        Grid((("shoulder", None, -np.pi, np.pi, 2500), ("elbow", None, -np.pi, np.pi, 2500))),
        skip=frozenset({"shoulder", "elbow"}),
    )


def arm3() -> Truth:
    link = (0.8, 0.7, 0.5)

    def joints(v: Values) -> list[Numbers]:
        heading = np.cumsum(v["q"], axis=1)
        at, found = np.zeros((len(heading), 2)), []
        for k, length in enumerate(link):
            at = at + length * np.stack([np.cos(heading[:, k]), np.sin(heading[:, k])], axis=1)
            found.append(at)
        return found

    def clear_of_disc(*joints: Numbers) -> Numbers:
        return np.all([np.linalg.norm(x - [0.65, 0.15], axis=1) >= 0.35 for x in joints], axis=0)

    def energy(v: Values) -> Numbers:
        first, second, hand = joints(v)
        good = clear_of_disc(first, second)
        reach = 0.5 * (((hand - [1.2, 0.3]) / 0.08) ** 2).sum(1)
        return np.asarray(reach - np.cos(v["q"][:, 1]) - np.cos(v["q"][:, 2]) + wall(good))

    def lets(v: Values) -> dict[str, Numbers]:
        first, _, hand = joints(v)
        return {
            "hand": hand,
            "over": first[:, 1] > 0.15,
            "joint_x": first[:, 0],
            "bend": np.cos(v["q"][:, 2]),
        }

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        """Two angles uniform, the third as the target wants it: von Mises around the direction from the joint.

        Where the walls fail, or the target is out of reach by six sds, the weight is nothing: left out.
        """
        q = rng.uniform(-np.pi, np.pi, (4 * n, 3))
        first, second, _ = joints({"q": q})
        reach = np.abs(np.linalg.norm(second - [1.2, 0.3], axis=1) - link[2])
        q, second = (x[(reach < 0.48) & clear_of_disc(first, second)] for x in (q, second))
        to = np.array([1.2, 0.3]) - second
        kappa, direction = 0.5 * np.linalg.norm(to, axis=1) / 0.08**2, np.arctan2(to[:, 1], to[:, 0])
        around = rng.vonmises(0, kappa)
        third = direction + around - q[:, 0] - q[:, 1]
        q[:, 2] = np.arctan2(np.sin(third), np.cos(third))
        return {"q": q}, kappa * (np.cos(around) - 1) - np.log(i0e(kappa))

    return Truth(energy, lets, draw, skip=frozenset({"q"}))


def chain_obstacle() -> Truth:
    y = np.array([0.3, 0.1, 0.4, 0.2, -0.1, 0.3, 0.5, 0.2])
    steps = len(y)
    # x = A^-1 noise, with noise of sd 1 at first and .5 afterwards
    difference = np.eye(steps) - 0.9 * np.eye(steps, k=-1)
    precision = difference.T @ np.diag([1.0, *[1 / 0.5**2] * (steps - 1)]) @ difference
    posterior = precision + np.eye(steps) / 0.6**2
    covariance = np.linalg.inv(posterior)
    points = GaussianMixture(np.ones(1), (covariance @ y / 0.6**2)[None], covariance[None])

    def energy(v: Values) -> Numbers:
        x = v["x"]
        walk = normal1(x[:, 0], 0, 1) + normal1(x[:, 1:], 0.9 * x[:, :-1], 0.5).sum(1)
        return np.asarray(walk + normal1(y, x, 0.6).sum(1) + wall(np.abs(x[:, 3] - 0.1) >= 0.5))

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        x = points.draw(rng, n)
        return {"x": x}, points.log_density(x)

    return Truth(energy, lambda v: {"above": v["x"][:, 3] > 0.1}, draw)


TRUTHS = {f.__name__: f for f in (gates_path, two_obstacles, narrow_gap, elbow, arm3, chain_obstacle)}
