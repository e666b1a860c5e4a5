"""Errors of populations by their common ancestors, against what many populations show."""

from __future__ import annotations

import numpy as np

from compose_lang.runtime.annealing import population as resampling
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.results.genealogy import effective, worth

B = load_backend("numpy")


def population(rng: np.random.Generator, n: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Particles that are weighed by exp(x / 5), resampled and moved a little, some times over; and their roots."""
    x, roots = rng.standard_normal(n), np.arange(n)
    for _ in range(rounds):
        chosen = resampling.systematic(resampling.normalised(0.2 * x, B), rng.random(), B)
        x, roots = x[chosen], roots[chosen]
        x = np.sqrt(0.9) * x + np.sqrt(0.1) * rng.standard_normal(n)
    return x, roots


def test_the_variance_of_a_mean_is_that_over_populations():
    rng = np.random.default_rng(0)
    many = [population(rng, 200, 4) for _ in range(400)]
    x = np.stack([p[0] for p in many])
    seen = x.mean(1).var(ddof=1)
    told = np.mean([x.var() / effective(p[0][None, :, None], p[1][None])[0] for p in many])
    assert abs(told / seen - 1) < 0.25  # the relative error of a variance of 400 is 0.07
    assert told > 1.5 * x.var() / 200  # counting particles as draws promises too much


def test_a_population_is_worth_no_more_than_its_ancestors():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 500, 1))
    roots = np.zeros((2, 500), dtype=int)
    assert effective(x, roots)[0] == 2.0
    assert worth(x, roots).mcse_mean[0] > 0.5
    apart = np.tile(np.arange(500), (2, 1))
    assert 700 < effective(x, apart)[0] <= 1000
    assert worth(x, apart).rhat[0] < 1.02


def test_systematic_copies_are_as_many_as_weights_are_worth():
    rng = np.random.default_rng(2)
    weights = resampling.normalised(rng.standard_normal(50), B)
    for place in (0.001, 0.5, 0.999):
        copies = np.bincount(resampling.systematic(weights, place, B), minlength=50)
        assert (np.abs(copies - 50 * weights) < 1).all()
