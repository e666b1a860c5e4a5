"""Starts by a solver where chance fails: different for each chain, the same for a seed; and proofs of no solution."""

from __future__ import annotations

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.arrays.noise import chain_keys
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains import starts
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination import solver
from compose_lang.runtime.elimination.solver import Impossible, solve
from tests.compiler.points import hard_of

QUEENS = """
var queen: int(0, 11)[12]
require all_different(queen)
require all_different([queen[i] + i for i in range(12)])
require all_different([queen[i] - i for i in range(12)])
"""


def begin(text: str, chains: list[int], backend: str = "numpy", seed: int = 5) -> dict[str, np.ndarray]:
    """Where chains of these numbers start; every start has finite energy."""
    graph = cg.compile(text).program.graph
    density = Density(graph, load_backend(backend))
    with density.backend.scope():
        position = find_start(density, chain_keys(seed, np.array(chains), 0, density.backend))
        assert np.isfinite(density.backend.to_numpy(density.energy(position))).all()
        return {name: np.asarray(density.backend.to_numpy(x)) for name, x in density.record(position).items()}


def never(*given: object, **more: object) -> None:
    raise AssertionError("this was not to be asked")


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_queens_are_placed_by_the_solver(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "search", never)
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    queens = begin(QUEENS, [0, 1, 2], backend)["queen"]
    for row in queens:
        assert len(set(row)) == len(set(row + np.arange(12))) == len(set(row - np.arange(12))) == 12
    assert len(np.unique(queens, axis=0)) == 3
    np.testing.assert_array_equal(begin(QUEENS, [2], "numpy")["queen"][0], queens[2])
    assert not np.array_equal(begin(QUEENS, [2], "numpy", seed=6)["queen"][0], queens[2])


def test_solutions_of_many_seeds_are_spread_out() -> None:
    """All 576 squares are not equally likely as starts, but none of their parts is left out."""
    square = (
        "var c: category(4)[4, 4]\n"
        "for i in range(4) { require all_different(c[i, :]); require all_different(c[:, i]) }"
    )
    known = hard_of(cg.compile(square).program.graph)
    assert known is not None
    found = solve(known, range(150))
    assert isinstance(found, np.ndarray) and len(np.unique(found, axis=0)) > 115
    shares = np.stack([(found == k).mean(axis=0) for k in range(4)])
    assert shares.min() > 0.15 and shares.max() < 0.35


def test_what_is_continuous_is_searched_from_there() -> None:
    text = QUEENS + 'var x: real ~ Normal(0, 1)\nrequire "far": x > 4 + 0.1 * queen[0]'
    found = begin(text, [0, 1], "jax")
    assert (found["x"] > 4 + 0.1 * found["queen"][:, 0]).all()


def test_without_the_solver_a_search_finds_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "var c: category(4)[10]\n"
        "for (i, j) in pairs(10) if (i + j) % 3 == 1 { require c[i] != c[j] }\nrequire sum(c) == 12"
    )
    monkeypatch.setattr(solver, "find_spec", lambda name: None)
    assert (begin(text, [0, 1])["c"].sum(axis=1) == 12).all()


def test_a_program_too_large_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    known = hard_of(cg.compile(QUEENS).program.graph)
    assert known is not None
    monkeypatch.setattr(solver, "MOST_READS", 10)
    assert solve(known, [1]) is None


def test_time_that_is_over_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = hard_of(cg.compile(QUEENS).program.graph)
    assert known is not None
    monkeypatch.setattr(solver, "attempt", lambda *given, **more: solver.Ended.UNKNOWN)
    assert solve(known, [1]) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'var b: bool[6]\nrequire "many": sum(b) >= 4\nrequire "few": at_most(b, 3)\n'
            'require "first": b[0] or b[1]\nrequire "last": implies(b[4], b[5])',
            {"many", "few"},
        ),
        (
            'var c: category(3)[4]\nfor (i, j) in pairs(4) { require "apart": c[i] != c[j] }\n'
            'require "low": c[0] + c[1] <= 3',
            {"apart"},
        ),
        (
            'var z: int(0, 3)[4]\nrequire "odd": (z[0] + z[1]) % 2 == 1\nrequire "even": (z[0] + z[2]) % 2 == 0\n'
            'require "same": z[1] == z[2]\nrequire "other": z[3] > z[0]',
            {"odd", "even", "same"},
        ),
    ],
)
def test_what_cannot_hold_is_proved_and_named(
    text: str, told: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "search", never)
    graph = cg.compile(text).program.graph
    answer = solve(hard_of(graph), [1])
    assert isinstance(answer, Impossible) and {g.label for g in answer.groups} == told
    with pytest.raises(cg.ComposeError) as wrong:
        begin(text, [0])
    assert wrong.value.exit_code == 4
    (d,) = wrong.value.diagnostics
    assert d.code == "CG0502" and all(f"`{label}`" in d.message for label in told)
    assert "proved" in d.help


def test_sums_of_reals_are_tried_and_not_proved() -> None:
    """Rounding decides whether 0.1 + 0.2 is 0.3: the solver is not asked, and its answer is checked."""
    text = (
        "const w = [0.1, 0.2, 0.4, 0.8]\nvar b: bool[4]\nrequire sum(w[i] * b[i] for i in range(4)) >= 1.25"
    )
    found = begin(text, [0, 1, 2])
    assert ((found["b"] * [0.1, 0.2, 0.4, 0.8]).sum(axis=1) >= 1.25).all()
