"""Later runs of a model compile nothing, and draw what a new model would."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import compose_lang as cg

PROGRAM = """
data y: real[4] = [0.1, 1.2, 0.4, 2.2]
var mu: real ~ Normal(0, 2)
var tau: positive ~ HalfNormal(1)
y ~ Normal(mu, tau)
"""
SIZE = {"draws": 50, "warmup": 50, "chains": 2}


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The names of what XLA compiles meanwhile."""
    import jax

    names: list[str] = []

    def listen(name: str, seconds: float, **_: object) -> None:
        if "backend_compile" in name:
            names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_later_runs_compile_nothing(compiled: list[str]) -> None:
    model = cg.compile(PROGRAM)
    model.sample(seed=0, **SIZE)
    assert compiled  # or nothing is counted
    compiled.clear()
    again = model.sample(seed=1, **SIZE).posterior["mu"].values
    assert not compiled
    anew = cg.compile(PROGRAM).sample(seed=1, **SIZE).posterior["mu"].values
    np.testing.assert_array_equal(again, anew)


def test_other_settings_and_data_are_other_runs() -> None:
    model = cg.compile(PROGRAM)
    first = model.sample(seed=0, **SIZE).posterior["mu"].values
    hmc = model.sample(seed=0, method="hmc", **SIZE).posterior["mu"].values
    shifted = cg.compile(PROGRAM, data={"y": [10.1, 11.2, 10.4, 12.2]})
    assert not np.array_equal(first, hmc)
    assert abs(shifted.sample(seed=0, **SIZE).posterior["mu"].values.mean() - first.mean()) > 3.0
