"""Answers for posteriors with walls or two explanations, and for energies with several wells."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.composed.truth import Grid, Numbers, Truth, Values, mixed, normal, normal1, wall

Drawn = tuple[dict[str, Numbers], Numbers]


def truncated_hierarchy() -> Truth:
    def energy(v: Values) -> Numbers:
        mu, tau, theta = v["mu"], v["tau"], v["theta"]
        groups = normal1(theta, mu[:, None], tau[:, None]).sum(1)
        good = (theta.sum(1) > 6) & (tau > 0)
        return np.asarray(normal1(mu, 0, 2) + 0.5 * (tau / 1.5) ** 2 + groups + wall(good))

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        mu, tau = 2 * rng.standard_normal(n), 1.5 * np.abs(rng.standard_normal(n))
        theta = mu[:, None] + tau[:, None] * rng.standard_normal((n, 5))
        log_density = (
            -normal1(mu, 0, 2) - 0.5 * (tau / 1.5) ** 2 - normal1(theta, mu[:, None], tau[:, None]).sum(1)
        )
        return {"mu": mu, "tau": tau, "theta": theta}, log_density

    return Truth(energy, lambda v: {"total": v["theta"].sum(1)}, draw)


def funnel_wall() -> Truth:
    def energy(v: Values) -> Numbers:
        return normal1(v["v"], 0, 2) + normal1(v["x"], 0, np.exp(v["v"] / 2)) + wall(v["x"] > 1)

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        v = 2 * rng.standard_normal(n)
        x = np.exp(v / 2) * np.abs(rng.standard_normal(n))
        return {"v": v, "x": x}, -normal1(v, 0, 2) - normal1(x, 0, np.exp(v / 2))

    # x itself has moments of a log-normal's size, which no finite run shows
    return Truth(energy, lambda v: {"log_x": np.log(v["x"])}, draw, skip=frozenset({"x"}))


def budget() -> Truth:
    def energy(v: Values) -> Numbers:
        x, y, z = v["x"], v["y"], v["z"]
        good = (x >= 0) & (y >= 0) & (z >= 0) & (x + y + z <= 1)
        return normal1(x, 0.6, 0.3) + normal1(y, 0.5, 0.2) + 2 * z + wall(good)

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        x, y = 0.6 + 0.3 * rng.standard_normal(n), 0.5 + 0.2 * rng.standard_normal(n)
        z = rng.exponential(0.5, n)
        return {"x": x, "y": y, "z": z}, -normal1(x, 0.6, 0.3) - normal1(y, 0.5, 0.2) - 2 * z

    return Truth(energy, lambda v: {"left_over": 1 - v["x"] - v["y"] - v["z"]}, draw)


def cut_gaussian() -> Truth:
    mean, held = np.array([0.3, 0.5, 0.2, 0.1]), np.array([0.4, 0.3, 0.2, 0.1])
    covariance = np.array(
        [[1.0, 0.8, 0.5, 0.1], [0.8, 1.5, 0.6, 0.0], [0.5, 0.6, 0.8, -0.2], [0.1, 0.0, -0.2, 0.6]]
    )

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        r = mean + rng.standard_normal((n, 4)) @ np.linalg.cholesky(covariance).T
        return {"r": r}, -normal(r, mean, covariance)

    return Truth(
        lambda v: normal(v["r"], mean, covariance) + wall(v["r"] @ held <= -1),
        lambda v: {"portfolio": v["r"] @ held},
        draw,
    )


def ordered_rates() -> Truth:
    n, k = np.array([12, 15, 10, 14]), np.array([4, 3, 5, 6])

    def log_beta(p: Numbers) -> Numbers:
        return np.asarray(((k + 0.5) * np.log(p) + (n - k + 1) * np.log1p(-p)).sum(1))

    def draw(rng: np.random.Generator, count: int) -> Drawn:
        p = rng.beta(1.5 + k, 2 + n - k, (count, 4))
        return {"p": p}, log_beta(p)

    return Truth(
        lambda v: wall((np.diff(v["p"], axis=1) >= 0).all(1)) - log_beta(v["p"]),
        lambda v: {"rise": v["p"][:, 3] - v["p"][:, 0]},
        draw,
    )


def fusion() -> Truth:
    def energy(v: Values) -> Numbers:
        x = v["x"]
        seen = normal1(2.1, np.abs(x), 0.2) + normal1(1.8, np.abs(x - 0.1), 0.15) + normal1(0.3, x, 3)
        return np.asarray(normal1(x, 0, 3) + seen)

    return Truth(energy, lambda v: {"right": v["x"] > 0}, Grid((("x", None, -8, 8, 200_000),)))


def ranges() -> Truth:
    beacons, measured = np.array([[-1, 0], [1, 0.1], [3, 0]]), np.array([2.0, 1.9, 2.9])

    def energy(v: Values) -> Numbers:
        away = np.linalg.norm(v["p"][:, None] - beacons, axis=2)
        return np.asarray(normal1(measured, away, 0.1).sum(1))

    return Truth(
        energy,
        lambda v: {"north": v["p"][:, 1] > 0, "off": np.abs(v["p"][:, 1])},
        Grid((("p", 0, -6, 6, 2400), ("p", 1, -6, 6, 2400))),
    )


def shares() -> Truth:
    alpha = np.array([3, 2, 2, 1])

    def log_dirichlet(w: Numbers) -> Numbers:
        return np.asarray(((alpha - 1) * np.log(w)).sum(1))

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        w = rng.dirichlet(alpha, n)
        return {"w": w}, log_dirichlet(w)

    def energy(v: Values) -> Numbers:
        w = v["w"]
        good = (w[:, 0] + w[:, 1] >= 0.5) & (w[:, 0] <= 0.5) & (w[:, 1] <= 0.5)
        return wall(good) - log_dirichlet(w)

    return Truth(energy, lambda v: {"lead": v["w"][:, 0] - v["w"][:, 2]}, draw)


def unknown_sign() -> Truth:
    t = np.array([-1.5, -1.2, -0.9, -0.6, -0.3, 0.0, 0.2, 0.5, 0.8, 1.0, 1.3, 1.6])
    y = np.array([-1.9, 1.6, 1.2, -0.5, -0.3, 0.2, -0.4, 0.6, -1.2, 1.3, -1.5, 2.2])

    def energy(v: Values) -> Numbers:
        slope, level = v["slope"], v["level"]
        total = normal1(slope, 0.2, 1) + normal1(level, 0, 0.5)
        for ti, yi in zip(t, y, strict=True):
            total = total + mixed(
                (0.5, normal1(yi, level + slope * ti, 0.3)), (0.5, normal1(yi, level - slope * ti, 0.3))
            )
        return np.asarray(total)

    return Truth(
        energy,
        lambda v: {"up": v["slope"] > 0, "steep": np.abs(v["slope"])},
        Grid((("slope", None, -4, 4, 1600), ("level", None, -1.5, 1.5, 800))),
    )


def cut_ring() -> Truth:
    def energy(v: Values) -> Numbers:
        x, y = v["p"].T
        return 0.5 * ((np.hypot(x, y) - 1) / 0.05) ** 2 - 0.5 * y + wall(np.abs(y) >= 0.35)

    return Truth(
        energy,
        lambda v: {"up": v["p"][:, 1] > 0},
        Grid((("p", 0, -2, 2, 2000), ("p", 1, -2, 2, 2000))),
    )


def ring_bar() -> Truth:
    def energy(v: Values) -> Numbers:
        x, y = v["p"].T
        return np.asarray(0.5 * ((np.hypot(x, y) - 2) / 0.1) ** 2 + 0.5 * ((x - 0.3) / 0.15) ** 2 - 0.25 * y)

    return Truth(
        energy,
        lambda v: {"up": v["p"][:, 1] > 0},
        Grid((("p", 0, -4, 4, 2000), ("p", 1, -4, 4, 2000))),
    )


def double_well() -> Truth:
    def energy(v: Values) -> Numbers:
        x, y = v["x"], v["y"]
        return np.asarray(9 * (x**2 - 1) ** 2 - 0.3 * x + 0.5 * ((y - x) / 0.4) ** 2)

    return Truth(
        energy,
        lambda v: {"right": v["x"] > 0},
        Grid((("x", None, -2.5, 2.5, 1500), ("y", None, -3, 3, 1500))),
    )


def compass() -> Truth:
    def energy(v: Values) -> Numbers:
        h = v["heading"]
        return np.asarray(-6 * np.cos(2 * (h - 0.5)) - 0.3 * np.cos(h - 1.2))

    def lets(v: Values) -> dict[str, Numbers]:
        h = v["heading"]
        return {"east": np.cos(h), "north": np.sin(h), "forward": np.cos(h - 0.5) > 0}

    grid = Grid((("heading", None, -math.pi, math.pi, 200_000),))
    return Truth(energy, lets, grid, skip=frozenset({"heading"}))


def preferences() -> Truth:
    def over(x: Numbers) -> Numbers:
        return np.maximum(x, 0.0)

    def energy(v: Values) -> Numbers:
        x, y, z = v["x"], v["y"], v["z"]
        order = 8 * over(x - y) + 6 * over(y - z) + 7 * over(z - x)
        return order + 12 * np.abs(x + y - 1) + 20 * np.minimum(over(z - 0.2), over(0.7 - z))

    return Truth(
        energy,
        lambda v: {"high": v["z"] > 0.45},
        Grid(tuple((name, None, 0.0, 1.0, 200) for name in "xyz")),
    )


TRUTHS = {
    f.__name__: f
    for f in (
        *(truncated_hierarchy, funnel_wall, budget, cut_gaussian, ordered_rates, fusion, ranges, shares),
        *(unknown_sign, cut_ring, ring_bar, double_well, compass, preferences),
    )
}
