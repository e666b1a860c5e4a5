"""Draws of what was learned: those that a density gives outright, and chains that follow an energy."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.graph.learned_factor import Port
from compose_lang.compiler.ir.types import BOOL, UNIT, Type
from compose_lang.runtime.arrays import noise
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.backends.numpy import NumpyBackend
from compose_lang.runtime.learned import splines
from compose_lang.runtime.learned.learners import autoregressive, ebm, flow
from compose_lang.runtime.learning.trainer import Trainer
from tests.runtime.learned_parts import (
    BOX,
    CHAIN,
    NUMPY,
    PLANE,
    all_values,
    banana,
    chain,
    energies,
    finite_part,
    grid,
    line,
    p_value,
    part,
    shaken,
)

JAX32 = load_backend("jax", "float32")
SOUND, BROKEN = 1e-3, 1e-6
"""p-values: no sound check of this file is below the one, every planted mistake is below the other."""


def chain_draws(b: Any, c: int | None, n: int = 30_000) -> float:
    p, w = chain()
    uniforms = np.random.default_rng(7).random((n, 5))
    given = None if c is None else np.full(n, c)
    found = autoregressive.draw(p, b, {k: b.asarray(a) for k, a in w.items()}, [given], uniforms)
    counts = np.bincount(found @ 4 ** np.arange(5)[::-1], minlength=1024)
    given = None if c is None else np.full(1024, c)
    return p_value(counts, np.exp(-energies(p, w, all_values(CHAIN), [given])))


@pytest.mark.parametrize("c", [1, None])
def test_autoregressive_draws_follow_their_density(c: int | None) -> None:
    assert chain_draws(NUMPY, c) > SOUND


class OneShort(NumpyBackend):
    """A loop that ends one pass too early: the last element is drawn given what was there before."""

    def loop(self, start: Any, stop: Any, body: Any, state: Any) -> Any:
        return super().loop(start, stop - 1, body, state)


def test_autoregressive_draws_one_pass_short() -> None:
    assert chain_draws(OneShort(), 1) < BROKEN


def test_autoregressive_draws_are_values_of_their_types() -> None:
    p, _ = finite_part("autoregressive")
    uniforms = np.random.default_rng(1).random((2000, 4))
    given = [np.zeros(2000, dtype=int), np.zeros((2000, 2))]
    found = autoregressive.draw(p, NUMPY, shaken(p), given, uniforms)
    for column, values in zip(found.T, autoregressive.ranges(p), strict=True):
        assert set(column) == set(values)


def banana_draws(n: int = 30_000) -> float:
    """The p-value of draws in square cells against the integral of their density over each."""
    p, w = banana()
    normals = np.random.default_rng(8).standard_normal((n, 2))
    found = flow.draw(p, NUMPY, {k: NUMPY.asarray(a) for k, a in w.items()}, [], normals)
    points, cell = grid(*BOX)
    fine = (np.exp(-energies(p, w, [points])) * cell).reshape(60, 5, 60, 5)
    edges = [np.linspace(lo, up, 61) for lo, up in zip(*BOX[:2], strict=True)]
    counts, *_ = np.histogram2d(found[:, 0], found[:, 1], bins=edges)
    return p_value(counts.reshape(-1), fine.sum(axis=(1, 3)).reshape(-1))


def test_flow_draws_follow_their_density() -> None:
    assert banana_draws() > SOUND


def test_flow_draws_without_their_splines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splines, "back", lambda b, free, y: y)
    assert banana_draws() < BROKEN


def test_flow_draws_go_through_the_inverse_of_the_map() -> None:
    """Far outside the splines' box too: the density at a draw is the normal's over the map's slope."""
    p, w = line()
    b = NUMPY
    weights = {k: b.asarray(a) for k, a in w.items()}
    z = np.linspace(-9.0, 9.0, 40_001)
    given = np.ones(len(z), dtype=int)
    x = flow.draw(p, b, weights, [given], z[:, None])[:, 0]
    assert (np.diff(x) > 0).all()
    between = (np.log(np.diff(z)) - np.log(np.diff(x)) - 0.125 * (z[1:] + z[:-1]) ** 2)[:, None]
    logs = -energies(p, w, [x], [given]) + 0.5 * np.log(2.0 * np.pi)
    away = np.abs(0.5 * (logs[1:] + logs[:-1]) - between[:, 0])
    assert np.mean(away > 0.02) < 1e-3  # a difference is no slope where the map bends sharply


# energies without a total


def langevin_p_value(corrected: bool = True) -> float:
    """Whether visits to chains leave the density invariant, on an interval with a step that is too long for it."""
    port = Port("x", Type(UNIT))
    rows = {"x": np.random.default_rng(0).beta(2.0, 2.0, 100)}
    n = 4000
    p = part("ebm", (port,), (), rows, buffer=n, langevin=10, step=0.6)
    w = shaken(p, seed=3, size=0.3)
    b = JAX32
    with b.scope():
        weights = {k: b.asarray(a) for k, a in w.items()}
        state = jax.tree.map(b.asarray, ebm.state(p, n))
        keys = b.asarray(noise.chain_keys(0, np.arange(n), 0, NUMPY), b.word)

        @jax.jit
        def visit(state: Any, t: Any) -> Any:
            drawn = noise.draw(ebm.noise(p), keys, t, b)
            if not corrected:
                drawn["accept"] = 0.0 * drawn["accept"]
            return ebm.advance(p, b, weights, {}, state, drawn)

        for t in range(30):
            extra, state = visit(state, t)
        z = np.asarray(extra["model.z"])[:, 0]
    x = z * w["scale"][0] + w["shift"][0]
    assert (x > -1e-6).all() and (x < 1 + 1e-6).all()
    points, _ = grid([0.0], [1.0], [4000])
    shares = np.exp(-energies(p, w, [points[:, 0]])).reshape(20, 200).sum(axis=1)
    return p_value(np.histogram(x, 20, (0.0, 1.0))[0], shares / shares.sum())


def test_chains_of_the_model_follow_its_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebm, "REBORN", 0.0)
    assert langevin_p_value() > SOUND
    assert langevin_p_value(corrected=False) < BROKEN


def ring_distance(steps: int, **options: Any) -> float:
    """Total variation, in cells of .05, of a learned energy to 8 normals (sd .06) on a ring of radius .5."""
    rng = np.random.default_rng(0)
    angles = np.arange(8) * np.pi / 4
    centres = 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rows = centres[rng.integers(0, 8, 10_000)] + 0.06 * rng.standard_normal((10_000, 2))
    p = part("ebm", PLANE, (), {"x": rows}, steps=steps, **options)
    w = Trainer(p).run().weights
    points, _ = grid([-1.0, -1.0], [1.0, 1.0], [160, 160])
    found = np.exp(-energies(p, w, [points]))
    truth = np.exp(-0.5 * ((points[:, None] - centres) ** 2).sum(2) / 0.06**2).sum(1)
    cells = [a.reshape(40, 4, 40, 4).sum(axis=(1, 3)) / a.sum() for a in (found, truth)]
    return float(0.5 * np.abs(cells[0] - cells[1]).sum())


def test_a_ring_is_learned_roughly_in_a_few_steps() -> None:
    assert ring_distance(800, langevin=20) < RING_BOUND


RING_BOUND = 0.4


@pytest.mark.slow
def test_a_ring_is_learned() -> None:
    assert ring_distance(3000) < 0.25


def test_an_input_shifts_an_energy_within_bounds() -> None:
    rng = np.random.default_rng(0)
    k = (rng.random(6000) < 0.3).astype(int)
    x = np.where(k == 0, rng.beta(2, 5, 6000), rng.beta(6, 2, 6000))
    p = part(
        "ebm",
        (Port("x", Type(UNIT)),),
        (Port("k", Type(BOOL), True),),
        {"x": x, "k": k},
        steps=600,
        langevin=10,
    )
    w = Trainer(p).run().weights
    points, cell = grid([0.0], [1.0], [400])
    low, high = scipy.stats.beta(2, 5).pdf(points[:, 0]), scipy.stats.beta(6, 2).pdf(points[:, 0])
    for given, truth in ((0, low), (1, high), (None, 0.7 * low + 0.3 * high)):
        found = np.exp(-energies(p, w, [points[:, 0]], [None if given is None else np.full(400, given)]))
        assert 0.5 * np.abs(found / found.sum() - truth * cell).sum() < 0.2
    assert 0.5 * np.abs(low - high).sum() * cell > 0.6
