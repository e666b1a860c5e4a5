"""Feasible starts by descent on violations: what chance does not find, on each backend that differentiates."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.arrays.noise import chain_keys
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains import descent
from compose_lang.runtime.chains.descent import descend
from compose_lang.runtime.density.density import Density

DISCS = """
use std.geometry (distance)
const n = 8
const r = 0.15
var x: real(r, 1 - r)[n, 2]
for (i, j) in pairs(n) { require "apart": distance(x[i], x[j]) >= 2 * r }
"""
RECTANGLES = """
var x: real(0.15, 0.85)[6]
var y: real(0.1, 0.9)[6]
for (i, j) in pairs(6) { require "apart": abs(x[i] - x[j]) >= 0.3 or abs(y[i] - y[j]) >= 0.2 }
"""
PATH = """
use std.planning (SmoothPath, clear_of_ball)
var q: real[9, 2]
observe q[0] = [-1.5, 0]
observe q[8] = [1.5, 0]
SmoothPath(q | sd=0.2)
require "gate": abs(q[4, 0]) <= 0.02 and (abs(q[4, 1] - 0.8) <= 0.1 or abs(q[4, 1] + 0.8) <= 0.1)
require "ball": clear_of_ball(q, [0.5, 0], 0.3)
"""


def energies(text: str, backend: str, chains: int) -> np.ndarray:
    """The energy (chains,) of the program where descent leads."""
    density = Density(compile_program(Source("<text>", text)).graph, load_backend(backend))
    with density.backend.scope():
        position = descend(density, chain_keys(3, np.arange(chains), 0, density.backend))
        return np.asarray(density.backend.to_numpy(density.energy(position)))


@pytest.mark.parametrize(("text", "backend"), [(DISCS, "jax"), (DISCS, "torch"), (RECTANGLES, "torch")])
def test_crowded_objects_are_placed_twenty_times_of_twenty(text: str, backend: str) -> None:
    assert np.isfinite(energies(text, backend, 20)).all()


def test_what_is_soft_is_descended_too_and_stays_feasible(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = energies(PATH, "torch", 2)
    monkeypatch.setattr(descent.Descent, "has_soft", False)
    assert np.isfinite(lowered).all() and (lowered < 0.5 * energies(PATH, "torch", 2)).all()


def test_a_chain_starts_where_it_would_alone() -> None:
    together = energies(RECTANGLES, "torch", 3)
    np.testing.assert_allclose(energies(RECTANGLES, "torch", 2), together[:2], rtol=1e-9)


def test_steps_the_other_way_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "RELAXATION", -1.5)
    monkeypatch.setattr(descent, "STEPS", 50)
    assert not np.isfinite(energies(DISCS, "torch", 4)).any()
