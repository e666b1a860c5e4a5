"""Moves of one object at a time: their energies are the program's, and they leave its density as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compose_lang.runtime.arrays import noise as generator
from compose_lang.runtime.arrays import transforms
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.populations.objects import ObjectMoves, object_moves
from compose_lang.runtime.views import objects as views
from tests.compiler.points import density_of, graph_of, random_values
from tests.once import once
from tests.populations.planes import PAIR, PLANES, RODS, SOUND, STARTS, by_quadrature, scores

DISCS = """
use std.geometry (distance)
var x: real(0.15, 0.85)[4, 2]
for (i, j) in pairs(4) { require distance(x[i], x[j]) >= 0.3 }
"""
BOUNDED = """
var r: real(0.1, 1)
var x: real(r, 2)[3]
x ~ Normal(r, 1)
for (i, j) in chain(3) { energy x[i] * x[j] }
"""
HIERARCHY = """
var mu: real ~ Normal(0, 2)
var tau: real ~ HalfNormal(1)
var theta: real[4] ~ Normal(mu, tau)
data y: real[4] = [1, 2, 3, 4]
y ~ Normal(theta, 2)
"""
OBSERVED = """
var x: real(0, 1)[3, 2]
observe x[0, 1] = 0.5
observe x[1] = [0.2, 0.3]
for (i, j) in pairs(3) { energy norm(x[i] - x[j]) }
"""
ANGLES = """
var t: angle[3]
var p: real(0, 1)
for (i, j) in chain(3) { energy -cos(t[i] - t[j]) }
energy p * cos(t[0])
"""
POINTS = (
    "use std.geometry (distance)\nvar a: real(0, 1)[2]\nvar b: real[2] ~ Normal(0, 1)\nenergy distance(a, b)"
)
PROGRAMS = {
    "discs": (DISCS, {"x": (4, 2)}),
    "rods": (RODS, {"a": (1, 1), "b": (1, 1)}),
    "pair": (PAIR, {"x": (2, 1)}),
    "bounded": (BOUNDED, {"r": (1, 1), "x": (3, 1)}),
    "hierarchy": (HIERARCHY, {"mu": (1, 1), "tau": (1, 1), "theta": (4, 1)}),
    "observed": (OBSERVED, {"x": (2, 2)}),
    "angles": (ANGLES, {"t": (3, 1), "p": (1, 1)}),
    "points": (POINTS, {"a": (1, 2), "b": (1, 2)}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_energies_of_an_object_are_those_of_the_program(name: str) -> None:
    with np.errstate(all="ignore"):
        compare_energies(name)


def compare_energies(name: str) -> None:
    text, objects = PROGRAMS[name]
    rng, graph = np.random.default_rng(3), graph_of(text)
    moves = object_moves(density_of(graph))
    assert {
        n: (moves.block(n, Level()).objects, moves.block(n, Level()).size) for n in moves.names
    } == objects
    values = random_values(graph, rng, 20)
    if name == "bounded":
        values["x"] = values["r"][:, None] + (2 - values["r"][:, None]) * rng.random((20, 3))
    if name == "hierarchy":
        values["tau"] = np.abs(values["tau"])
    whole = np.broadcast_to(moves.density.energy_of_values(values), (20,))
    for variable in moves.names:
        block = moves.block(variable, Level())
        for cls in range(block.classes):
            now = block.current(values, cls)
            steps = 0.2 * rng.normal(size=(*now.shape[:2], 3, now.shape[2])) * [[0.0], [1.0], [1.0]]
            candidates = block.wrap(now[:, :, None] + steps)
            local = block.energies(values, cls, candidates)
            for choice in range(3):
                moved = block.assign(values, cls, candidates[:, :, choice])
                then = np.broadcast_to(moves.density.energy_of_values(moved), (20,))
                fits = block.inside(moved[variable].reshape(20, -1)).all(axis=1)
                finite = np.isfinite(local).all(axis=(1, 2)) & np.isfinite(whole)
                change = (local[finite, :, choice] - local[finite, :, 0]).sum(axis=1)
                assert np.allclose(change, (then[finite] - whole[finite]), atol=1e-9)
                broken = np.isfinite(whole) & ~(fits & np.isfinite(then))
                assert not np.isfinite(local[broken, :, choice]).all(axis=1).any()


PARTICLES, SWEEPS = 3000, 40


def worst(name: str) -> float:
    start = {n: np.broadcast_to(x, (PARTICLES, *np.shape(x))) for n, x in STARTS[name].items()}
    record, _, _ = swept("numpy", PLANES[name], start, SWEEPS)
    late = {n: x[SWEEPS // 2 :] for n, x in record.items()}
    return max(abs(z) for z in scores(late, by_quadrature(PLANES[name])).values())


@pytest.mark.parametrize("name", PLANES)
def test_sweeps_leave_the_density_as_quadrature_has_it(name: str) -> None:
    assert worst(name) < SOUND


def test_discs_come_out_as_independent_draws_have_them() -> None:
    start = {"x": np.broadcast_to([[0.3, 0.3], [0.3, 0.7], [0.7, 0.3], [0.7, 0.7]], (PARTICLES, 4, 2))}
    record, statistics, _ = swept("numpy", DISCS, start, SWEEPS)
    x = record["x"][SWEEPS // 2 :]
    apart = np.stack(
        [np.linalg.norm(x[..., i, :] - x[..., j, :], axis=-1) for i in range(4) for j in range(i)]
    )
    in_corner = (np.abs(x - 0.5) > 0.3).all(axis=-1).mean(axis=-1)
    for value, right, digits in (
        (apart.mean(axis=0), 0.4924, 5e-5),
        (apart.min(axis=0), 0.3385, 5e-5),
        (in_corner, 0.050, 5e-4),
    ):
        error = np.std(value.mean(axis=0)) / np.sqrt(value.shape[1])
        assert abs(value.mean() - right) < SOUND * error + digits
    assert 0.3 < statistics["walk"].mean() < 0.4
    assert statistics["swap"].min() == 1  # of like discs


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_move_the_same_way(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    start = {"r": np.full(8, 0.5), "x": np.full((8, 3), 1.2)}
    expected, _, _ = swept("numpy", BOUNDED, start, 3)
    record, _, _ = swept(backend, BOUNDED, start, 3)
    assert all(np.allclose(record[n], x, atol=1e-9) for n, x in expected.items())


# --- planted bugs ---------------------------------------------------------------------------------------


def forget_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.ObjectView, "inside", lambda self, x: np.isfinite(x))
    # where a coordinate is none, the particle would be lost
    monkeypatch.setattr(transforms, "_real_inverse", lambda x, *_: x)
    monkeypatch.setattr(transforms, "_real", lambda u, *_: (u, np.zeros_like(u)))


def count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views.of_objects

    def doubled(*given: Any) -> Any:
        found = whole(*given)
        return replace(found, groups=(*found.groups, found.groups[-1]))

    monkeypatch.setattr(views, "of_objects", doubled)


def keep_a_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views.ObjectView.energies

    def in_coordinates(self: Any, held: Any, cls: Any, candidates: Any) -> Any:
        low, high = self.variable.support.lower, self.variable.support.upper
        slope = np.clip((candidates - low) * (high - candidates), 1e-9, None)
        return whole(self, held, cls, candidates) - np.log(slope).sum(axis=-1)

    monkeypatch.setattr(views.ObjectView, "energies", in_coordinates)


def swap_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.ObjectView, "energy", lambda self, held: 0.0 * self.flat(held)[:, 0])


MUTANTS = {
    "bounds forgotten": ("pair", forget_bounds),
    "a factor counted twice": ("pair", count_twice),
    "a Jacobian": ("pair", keep_a_jacobian),
    "swaps of unlike objects": ("pair", swap_unasked),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bugs_are_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, plant = MUTANTS[mutant]
    plant(monkeypatch)
    assert worst(name) > 2 * SOUND


def test_an_energy_at_a_share_is_that_share_of_it() -> None:
    moves = object_moves(density_of(graph_of(PAIR)))
    values = {"x": np.array([[0.3, 0.2]])}
    candidates = np.array([[[[0.3], [0.8], [3.0]]]])
    half = moves.block("x", Level(share=np.array([0.5]))).energies(values, 0, candidates)
    whole = moves.block("x", Level()).energies(values, 0, candidates)
    assert np.allclose(half[0, 0, :2], 0.5 * whole[0, 0, :2])
    assert np.isinf(half[0, 0, 2])


# --- helpers --------------------------------------------------------------------------------------------


def swept(
    backend_name: str, text: str, start: dict[str, np.ndarray], sweeps: int
) -> tuple[Any, Any, ObjectMoves]:
    """Values recorded after each sweep (sweeps, particles, …), and the statistics of the last one."""
    backend = load_backend(backend_name)
    moves = object_moves(density_of(graph_of(text), backend))
    with backend.scope():
        keys = generator.chain_keys(
            5, backend.asarray(np.arange(len(next(iter(start.values()))))), 1, backend
        )

        def sweep(constants: Any, position: Any, scales: Any, t: Any) -> Any:
            here = moves.on(constants)
            return here.sweep(position, scales, generator.draw(here.noise, keys, t, backend), Level())

        step = once(backend, sweep)
        position = moves.density.position_of(start)
        scales = moves.begin(position)
        record: dict[str, list[np.ndarray]] = {}
        for t in range(sweeps):
            position, scales, statistics = step(moves.constants, position, scales, backend.asarray(t))
            for n, x in moves.density.constrain(position)[0].items():
                record.setdefault(n, []).append(np.asarray(backend.to_numpy(x)))
    return {n: np.stack(x) for n, x in record.items()}, statistics, moves
