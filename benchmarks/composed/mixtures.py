"""Answers for mixtures, their products, quotients and contrasts."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.composed.truth import (
    GaussianMixture,
    Grid,
    Numbers,
    Sampler,
    Truth,
    Values,
    mixed,
    normal1,
    wall,
)

TWENTY = np.array(
    [
        [2.18, 5.76], [8.67, 9.59], [4.24, 8.48], [8.41, 1.68], [3.93, 8.82],
        [3.25, 3.47], [1.70, 0.50], [4.59, 5.60], [6.91, 5.81], [6.87, 5.40],
        [5.41, 2.65], [2.70, 7.88], [4.98, 3.70], [1.14, 2.39], [8.33, 9.50],
        [4.93, 1.50], [1.83, 0.09], [2.26, 0.31], [5.54, 6.86], [1.69, 8.11],
    ]
)  # fmt: skip
SHARES = np.array(
    [
        *(0.02, 0.08, 0.05, 0.03, 0.07, 0.02, 0.10, 0.04, 0.06, 0.03),
        *(0.05, 0.08, 0.02, 0.06, 0.04, 0.05, 0.03, 0.07, 0.04, 0.06),
    ]
)


def drawn(points: GaussianMixture, name: str, scalar: bool = False) -> Sampler:
    """Draws of one variable from a mixture of Gaussians."""

    def draw(rng: np.random.Generator, n: int) -> tuple[dict[str, Numbers], Numbers]:
        x = points.draw(rng, n)
        return {name: x[:, 0] if scalar else x}, points.log_density(x)

    return draw


def isotropic(x: Numbers, mean: object, sd: float) -> Numbers:
    """The energy of independent normals of one sd; x (n, d)."""
    return np.asarray(normal1(x, np.asarray(mean, dtype=float), sd).sum(1))


def product_mixtures() -> Truth:
    def energy(v: Values) -> Numbers:
        x = v["x"]
        first = mixed((0.5, normal1(x, -3, 0.6)), (0.5, normal1(x, 2, 0.6)))
        second = mixed((0.3, normal1(x, -2.5, 0.8)), (0.7, normal1(x, 3, 0.8)))
        return first + second + normal1(x, 0, 4)

    return Truth(energy, lambda v: {"right": v["x"] > 0}, Grid((("x", None, -12, 12, 200_000),)))


def product33() -> Truth:
    def energy(v: Values) -> Numbers:
        p = v["p"]
        a = mixed(
            (0.2, isotropic(p, [-4, 0], 0.9)),
            (0.5, isotropic(p, [0, 3], 1.2)),
            (0.3, isotropic(p, [5, -1], 0.7)),
        )
        b = mixed(
            (0.4, isotropic(p, [-3, 1], 1.0)),
            (0.3, isotropic(p, [0.5, 2], 0.8)),
            (0.3, isotropic(p, [4, -2], 1.5)),
        )
        return a + b

    return Truth(
        energy,
        lambda v: {"place0": v["p"][:, 0] < -2, "place2": v["p"][:, 0] > 2.5},
        Grid((("p", 0, -10, 11, 2100), ("p", 1, -8, 10, 1800))),
    )


def far3() -> Truth:
    return Truth(
        lambda v: mixed(
            (0.3, normal1(v["x"], -20, 0.1)), (0.5, normal1(v["x"], 0, 0.5)), (0.2, normal1(v["x"], 25, 2))
        ),
        lambda v: {"left": v["x"] < -10, "right": v["x"] > 10},
        drawn(GaussianMixture.isotropic([0.3, 0.5, 0.2], [[-20], [0], [25]], [0.1, 0.5, 2]), "x", True),
    )


def far3_10d() -> Truth:
    shares, places, widths = (0.25, 0.35, 0.4), (-6.0, 0.0, 7.0), (0.5, 1.0, 2.0)

    def energy(v: Values) -> Numbers:
        return mixed(*((s, isotropic(v["x"], m, w)) for s, m, w in zip(shares, places, widths, strict=True)))

    def lets(v: Values) -> dict[str, Numbers]:
        level = v["x"].mean(1)
        return {"level": level, "narrow": level < -3, "wide": level > 3.5}

    points = GaussianMixture.isotropic(shares, np.repeat(np.array(places)[:, None], 10, axis=1), widths)
    return Truth(energy, lets, drawn(points, "x"))


def corner(v: Values) -> dict[str, Numbers]:
    return {"corner": (v["x"] < 3).all(1)}


def twenty() -> Truth:
    return Truth(
        lambda v: mixed(*((s, isotropic(v["x"], c, 0.1)) for s, c in zip(SHARES, TWENTY, strict=True))),
        corner,
        drawn(GaussianMixture.isotropic(SHARES, TWENTY, 0.1), "x"),
    )


def twenty_black_box() -> Truth:
    def energy(v: Values) -> Numbers:
        x = v["x"]
        terms = [(s, 0.5 * ((x - c) ** 2).sum(1) / 0.15**2) for s, c in zip(SHARES, TWENTY, strict=True)]
        return mixed(*terms) + wall(((x > -2) & (x < 12)).all(1))

    return Truth(energy, corner, drawn(GaussianMixture.isotropic(SHARES, TWENTY, 0.15), "x"))


def contrast_ring() -> Truth:
    def energy(v: Values) -> Numbers:
        p = v["p"]
        wide = mixed((0.6, isotropic(p, [0, 0], 1.2)), (0.4, isotropic(p, [5, 2], 0.6)))
        middle = isotropic(p, [0, 0], 0.5)
        return 2 * wide + np.logaddexp(-wide, math.log(20) - middle)

    return Truth(
        energy,
        lambda v: {"side": v["p"][:, 0] > 3, "far": np.linalg.norm(v["p"], axis=1)},
        Grid((("p", 0, -8, 11, 2400), ("p", 1, -8, 9, 2200))),
    )


def quotient() -> Truth:
    def energy(v: Values) -> Numbers:
        x = v["x"]
        return mixed((0.4, normal1(x, -2, 0.7)), (0.6, normal1(x, 3, 0.5))) - 0.5 * normal1(x, -2, 1.5)

    return Truth(energy, lambda v: {"right": v["x"] > 0.5}, Grid((("x", None, -6, 6, 200_000),)))


def student(x: Numbers, nu: float, mu: float, sigma: float) -> Numbers:
    z = (x - mu) / sigma
    constant = (
        math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi) + math.log(sigma)
    )
    return np.asarray(0.5 * (nu + 1) * np.log1p(z**2 / nu) + constant)


def student_mixture() -> Truth:
    def energy(v: Values) -> Numbers:
        x = v["x"]
        return mixed((0.4, student(x, 3, -4, 0.5)), (0.6, student(x, 4, 3, 0.8))) + normal1(x, -1, 3)

    return Truth(energy, lambda v: {"left": v["x"] < -1}, Grid((("x", None, -30, 30, 400_000),)))


def rare_part() -> Truth:
    points = GaussianMixture.isotropic([0.9, 0.1], [[0, 0, 0], [12, -8, 5]], [1.5, 0.3])

    def energy(v: Values) -> Numbers:
        x = v["x"]
        parts = mixed((0.9, isotropic(x, [0, 0, 0], 1.5)), (0.1, isotropic(x, [12, -8, 5], 0.3)))
        return parts + student(x[:, 0], 5, 3, 8)

    return Truth(energy, lambda v: {"rare": v["x"][:, 0] > 8}, drawn(points, "x"))


TRUTHS = {
    f.__name__: f
    for f in (
        *(product_mixtures, product33, far3, far3_10d, twenty, twenty_black_box),
        *(contrast_ring, quotient, student_mixture, rare_part),
    )
}
