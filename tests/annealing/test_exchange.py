"""An exchange between two levels leaves both densities as they are: from exact pairs, with planted mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.annealing import exchange
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.softening import Softening
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import density_of

from .conftest import ROWS, program
from .exact_diffusion import SD

PAIRS = 40_000
WIDE = np.linspace(-8.0, 8.0, 40_001)
COARSE, FINE = 0.35, 0.28  #: between these the modes part
SOUND, BROKEN = 4.5, 7.0
MEASURES: list[Callable[[np.ndarray], np.ndarray]] = [lambda x: (x > 0.0) * 1.0, lambda x: x, lambda x: x * x]


def field(statements: str, form: str = "energy") -> Field:
    graph = cg.compile(program(statements + "\ninfer x by tempering", form)).program.graph
    made = plan(graph, "torch")
    assert made.annealing is not None
    found = made.annealing.anneal
    gentle = (0.0,) * len(found.tempered)
    density = density_of(found.graph, "torch")
    return Field(found, density, Softening(4.0, 0.01, gentle, gentle))


def log_weight(name: str, level: float) -> np.ndarray:
    """The exact log-density of A or C with noise, up to a constant."""
    variance = SD**2 + level**2
    return np.asarray(np.log(np.exp(-0.5 * (WIDE[:, None] - ROWS[name]) ** 2 / variance).mean(1) + 1e-300))


def drawn_from(log_weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sums = np.cumsum(np.exp(log_weights - log_weights.max()))
    return np.interp(rng.random(PAIRS), sums / sums[-1], WIDE)


def distance(at: Field, truth: Callable[[float], np.ndarray]) -> float:
    """The largest |z| of what an exchange does to some means over exact pairs, at either level."""
    b, rng = at.backend, np.random.default_rng(1)
    x, y = drawn_from(truth(COARSE), rng), drawn_from(truth(FINE), rng)
    s, t = (b.asarray(np.full(PAIRS, level), b.real) for level in (COARSE, FINE))
    normals = {name: b.asarray(rng.standard_normal((PAIRS, 1)), b.real) for name in ("step", "noise")}
    position = [{"x": b.asarray(u[:, None], b.real)} for u in (x, y)]
    up, down, probability = exchange.proposed(at, *position, s, t, normals)
    taken = rng.random(PAIRS) < np.asarray(b.to_numpy(probability))
    assert taken.mean() > 0.5
    worst = 0.0
    for old, new in ((x, up), (y, down)):
        u = np.where(taken, np.asarray(b.to_numpy(new["x"]))[:, 0], old)
        for measure in MEASURES:
            change = measure(u) - measure(old)
            worst = max(worst, abs(float(change.mean() / (change.std() / np.sqrt(PAIRS)))))
    return worst


CASES: dict[str, tuple[str, str, Callable[[float], np.ndarray]]] = {
    "product": ("var x: real ~ A * C", "energy", lambda v: log_weight("A", v) + log_weight("C", v)),
    "power of scores": ("var x: real ~ A ^ 2", "score", lambda v: 2.0 * log_weight("A", v)),
    "contrast": (
        "var x: real ~ contrast(A, C)", "energy",
        lambda v: 2.0 * log_weight("A", v) - np.logaddexp(log_weight("A", v), log_weight("C", v)),
    ),
    "family": (
        "var x: real ~ A\nenergy 0.5 * (x - 0.5)^2 / (0.1 + noise_level)", "energy",
        lambda v: log_weight("A", v) - 0.5 * (WIDE - 0.5) ** 2 / (0.1 + v),
    ),
    "tempered": (
        "var x: real ~ C\nenergy 2 * (x - 0.3)^2", "score", lambda v: log_weight("C", v) - 2.0 * (WIDE - 0.3) ** 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_pairs_stay_as_they_are(name: str):
    statements, form, truth = CASES[name]
    assert distance(field(statements, form), truth) < SOUND


@pytest.mark.parametrize("name", ["product", "family"])
def test_an_exchange_that_is_always_taken_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    def always(energy: Any, *others: Any) -> Any:
        return 0.0 * energy + 1.0

    monkeypatch.setattr(exchange, "acceptance", always)
    statements, form, truth = CASES[name]
    assert distance(field(statements, form), truth) > BROKEN


def test_without_the_growth_of_weights_it_is_caught(monkeypatch: pytest.MonkeyPatch):
    def flow(self: Field, u: Any, position: Any, level: Any) -> Any:
        pull, growth = whole(self, u, position, level)
        return pull, 0.0 * growth

    whole = Field.flow
    monkeypatch.setattr(Field, "flow", flow)
    statements, form, truth = CASES["product"]
    assert distance(field(statements, form), truth) > BROKEN


def test_the_drift_of_other_terms_is_weighed(monkeypatch: pytest.MonkeyPatch):
    """A proposal whose drift the weights know nothing of is caught."""
    statements, form, truth = CASES["family"]
    monkeypatch.setattr(exchange, "drift_of", lambda push, dv, field: 0.0 * push)
    assert distance(field(statements, form), truth) > BROKEN
