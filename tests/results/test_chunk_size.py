"""Chunks come to take the time they should, whatever a chunk takes by itself."""

from __future__ import annotations

import random

import pytest

from compose_lang.runtime.chains.driver import ChunkSize


@pytest.mark.parametrize("fixed", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("each", [1e-6, 1e-3, 0.2, 2.0])
def test_sweeps_take_half_a_second_or_as_long_as_all_else(fixed: float, each: float) -> None:
    noise, size, sweeps = random.Random(1), ChunkSize(), []
    for _ in range(60):
        sweeps.append(size.sweeps_in(0.5))
        size.learn(sweeps[-1], (fixed + each * sweeps[-1]) * noise.uniform(0.95, 1.1))
    assert max(sweeps) * each <= max(8.0, 4 * each)
    wanted = max(0.5, fixed)
    mean = sum(sweeps[30:]) / 30 * each
    assert 0.4 * wanted <= mean <= max(2.5 * wanted, 1.5 * each)


def test_a_rate_of_all_would_stay_at_one_sweep() -> None:
    size = ChunkSize()
    for _ in range(10):
        size.learn(size.sweeps_in(0.5), 1.0 + 1e-3 * size.sweeps_in(0.5))
    assert size.sweeps_in(0.5) > 100
