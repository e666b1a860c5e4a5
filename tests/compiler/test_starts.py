"""Chains start where the constraints hold, found by search where chance does not find it."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import ComposeError, Source
from compose_lang.runtime.arrays.noise import chain_keys
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import Density

CHAINS = np.arange(3)


def start(text: str, backend: str) -> dict[str, np.ndarray]:
    graph = compile_program(Source("<text>", text)).graph
    density = Density(graph, load_backend(backend))
    with density.backend.scope():
        position = find_start(density, chain_keys(5, CHAINS, 0, density.backend))
        assert np.isfinite(density.backend.to_numpy(density.energy(position))).all()
        recorded = density.record(position)
        return {name: np.asarray(density.backend.to_numpy(value)) for name, value in recorded.items()}


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_a_corner_that_chance_does_not_find(backend: str) -> None:
    text = """
    var a: real[2] ~ Normal(0, 1)
    var b: real[2] ~ Normal(0, 1)
    require "apart": norm(a - b) >= 6
    require a + b <= [-5, -5]
    """
    found = start(text, backend)
    assert (np.linalg.norm(found["a"] - found["b"], axis=-1) >= 6).all()
    assert (found["a"] + found["b"] <= -5).all()


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_a_latin_square(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    text = """
    var cell: int(1, 4)[4, 4]
    for i in range(4) { require all_different(cell[i, :]) }
    for j in range(4) { require all_different(cell[:, j]) }
    observe cell[0, :] = [2, 1, 4, 3]
    """
    square = start(text, backend)["cell"]
    rows = [1, 2, 3, 4]
    for one in square:
        assert all(sorted(row) == rows for row in one) and all(sorted(column) == rows for column in one.T)
        assert one[0].tolist() == [2, 1, 4, 3]


def test_what_nothing_satisfies_is_told() -> None:
    with pytest.raises(ComposeError) as told:
        start("var x: bool[3]\nrequire sum(x) >= 2\nrequire sum(x) <= 1", "numpy")
    assert told.value.exit_code == 4
    assert {d.code for d in told.value.diagnostics} == {"CG0502"}
