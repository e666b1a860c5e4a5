"""`learn … by maximum_likelihood()` where the program's weight has a total that varies with the params.

The maxima come from another implementation: every joint value listed in NumPy, and the same likelihood climbed by scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logsumexp

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.learn.log_total import LogTotal

Numbers = NDArray[Any]
SPINS = np.array([-1, 1])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")


def fit(text: str, **data: Any) -> dict[str, Numbers]:
    model = cg.compile(text, data=data)
    assert not model.diagnostics, model.diagnostics
    found = model.params
    assert not model.diagnostics, model.diagnostics  # nor does the fit warn
    return found


def every(values: Numbers, *shape: int) -> Numbers:
    """All arrays of a shape, (states, *shape)."""
    return np.array(list(product(values, repeat=int(np.prod(shape))))).reshape(-1, *shape)


def drawn(energy: Numbers, count: int, seed: int) -> Numbers:
    """Exact draws among states of these energies: their numbers."""
    p = np.exp(-energy - logsumexp(-energy))
    return np.random.default_rng(seed).choice(len(p), count, p=p)


def best(
    energy: Callable[[Numbers, Numbers], Numbers], rows: Numbers, states: Numbers, start: Any
) -> tuple[Numbers, float]:
    """The params of the greatest likelihood of rows, and its log. energy(params, states): (states,)."""

    def loss(u: Numbers) -> float:
        return float(energy(u, rows).sum() + len(rows) * logsumexp(-energy(u, states)))

    found = scipy.optimize.minimize(loss, start, tol=1e-12)
    return found.x, -found.fun


# --- an Ising model on a torus ---

ISING = """\
data rows: spin[_, 3, 4]
param J: real
param h: real
factor Ising(s: spin[3, 4] | J: real, h: real) {
  for (a, b) in torus(3, 4) { energy -J * s[a] * s[b] }
  energy -h * sum(s)
}
rows ~ Ising(J, h)
learn J, h by maximum_likelihood()
"""
OBSERVED = """\
data rows: spin[_, 3, 4]
param J: real
param h: real
var s: spin[len(rows), 3, 4]
observe s = rows
for r in range(len(rows)), (a, b) in torus(3, 4) { energy -J * s[r, a[0], a[1]] * s[r, b[0], b[1]] }
energy -h * sum(s)
learn J, h by maximum_likelihood()
"""


def ising(u: Numbers, s: Numbers) -> Numbers:
    pairs = s * np.roll(s, -1, axis=1) + s * np.roll(s, -1, axis=2)
    return -u[0] * pairs.sum(axis=(1, 2)) - u[1] * s.sum(axis=(1, 2))


def configurations(count: int = 150) -> tuple[Numbers, Numbers]:
    """Exact draws, and all states."""
    states = every(SPINS, 3, 4)
    return states[drawn(ising(np.array([0.3, -0.1]), states), count, 1)], states


@pytest.mark.parametrize("text", [ISING, OBSERVED], ids=["factor", "observed"])
def test_the_couplings_of_an_ising_model(text: str) -> None:
    rows, states = configurations()
    expected, likelihood = best(ising, rows, states, [0.0, 0.0])
    model = cg.compile(text, data={"rows": rows})
    np.testing.assert_allclose([model.params["J"], model.params["h"]], expected, atol=1e-5)
    (lesson,) = model.lessons
    assert lesson.report["log_likelihood"] == pytest.approx(likelihood, abs=1e-6)
    assert not model.diagnostics


def test_rows_are_copies_of_one_total() -> None:
    rows, _ = configurations()
    fitting = cg.compile(ISING, data={"rows": rows}).program.fitting
    assert fitting is not None
    (total,) = fitting.totals
    assert total.count == len(rows)
    assert total.exact is not None and total.exact.sites.count == 12


@pytest.mark.parametrize("mutant", ["left out", "sign", "one copy"])
def test_a_wrong_total_is_seen(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maximum hangs on the model's term: without it, against its sign, or once for all rows it is elsewhere."""
    rows, states = configurations()
    expected, _ = best(ising, rows, states, [0.0, 0.0])
    of = LogTotal.of

    def wrong(self: LogTotal, constants: Any, params: Any) -> Any:
        return (
            of(self, constants, params) * {"left out": 0.0, "sign": -1.0, "one copy": 1 / len(rows)}[mutant]
        )

    monkeypatch.setattr(LogTotal, "of", wrong)
    found = cg.compile(ISING.replace("()\n", "(steps=30)\n"), data={"rows": rows}).params
    assert abs(found["J"] - expected[0]) > 0.1
