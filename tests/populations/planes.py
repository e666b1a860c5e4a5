"""Programs of two numbers, whose answers quadrature knows."""

from __future__ import annotations

import numpy as np

from tests.compiler.points import density_of, graph_of

SOUND = 4.5  #: standard errors
RODS = "var a: real(0, 0.7)\nvar b: real(0, 0.8)\nrequire a + 0.3 <= b or b + 0.2 <= a"
PAIR = "var x: real(-0.5, 2)[2]\nx[0] ~ Normal(0, 1)\nx[1] ~ Normal(0.5 * x[0] + 0.8, 0.5)"
PLANES = {
    "rods": RODS,
    "pair": PAIR,
    "a bound that moves": "var r: real(0.1, 1)\nvar x: real(r, 2)\nx ~ Normal(r, 1)",
    "an offset": "var tau: real(0.4, 3)\nvar x: real ~ Normal(0, tau)\nx ~ Normal(1.5, 1)",
    "a straight wall": "var x: real(0, 1)[2]\nrequire 2 * x[0] + x[1] <= 1.2\nenergy -3 * x[0] * x[1]",
    "angles": "var t: angle[2]\nenergy -2 * cos(t[0] - t[1]) - cos(t[0])",
}
STARTS = {
    "rods": {"a": 0.1, "b": 0.6},
    "pair": {"x": [0.3, 0.2]},
    "a bound that moves": {"r": 0.4, "x": 1.0},
    "an offset": {"tau": 1.0, "x": 0.5},
    "a straight wall": {"x": [0.1, 0.3]},
    "angles": {"t": [0.1, 0.2]},
}
GRID = 500


def coordinates(values: dict[str, np.ndarray]) -> np.ndarray:
    """The two numbers of a plane's variables, (2, …)."""
    parts = [x if x.ndim == values_rank(values) else np.moveaxis(x, -1, 0) for x in values.values()]
    return np.stack(parts) if len(parts) == 2 else parts[0]


def values_rank(values: dict[str, np.ndarray]) -> int:
    return min(x.ndim for x in values.values()) - (len(values) == 1)


def numbers_of(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "first": first,
        "second": second,
        "first squared": first**2,
        "second squared": second**2,
        "product": first * second,
        "order": 1.0 * (first < second),
    }


def by_quadrature(text: str) -> dict[str, float]:
    """The means of some functions of a plane's two numbers."""
    density = density_of(graph_of(text))
    sides = []
    for v in density.graph.variables:
        low, high = v.support.lower, v.support.upper
        low, high = (-np.pi, np.pi) if v.type.domain.kind == "angle" else (max(low, -8.0), min(high, 8.0))
        low = 0.1 if v.lower is not None else low
        sides += [low + (high - low) * (np.arange(GRID) + 0.5) / GRID] * v.type.sites
    first, second = (x.reshape(-1) for x in np.meshgrid(*sides, indexing="ij"))
    names = [v.name for v in density.graph.variables]
    values = dict(zip(names, (first, second), strict=False))
    values = values if len(names) == 2 else {names[0]: np.stack([first, second], axis=-1)}
    weight = np.exp(-np.asarray(density.energy_of_values(values)))
    if any(v.lower is not None for v in density.graph.variables):
        weight = weight * (second > first)
    return {n: float((weight * x).sum() / weight.sum()) for n, x in numbers_of(first, second).items()}


def scores(record: dict[str, np.ndarray], right: dict[str, float]) -> dict[str, float]:
    """By how many standard errors means over independent particles, and over the last sweeps, are off."""
    return {
        n: float((np.mean(x) - right[n]) / (np.std(x.mean(axis=0)) / np.sqrt(x.shape[1])))
        for n, x in numbers_of(*coordinates(record)).items()
        if np.ptp(x) > 0
    }
