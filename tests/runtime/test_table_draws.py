"""Draws of a learned table follow its probabilities, for each way to give its inputs, on every backend."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.compiler.ir.types import BOOL, Domain, Type
from compose_lang.discovery import LEARNERS
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned.learners import categorical
from tests.runtime.checks import BROKEN, SOUND

SUBJECTS = (
    Port("s", Type(Domain("spin"))),
    Port("k", Type(Domain("int", 2, 4), (2,))),
    Port("t", Type(BOOL)),
)
INPUTS = (Port("c", Type(Domain("category", size=3)), True), Port("e", Type(BOOL)))
VALUES = np.array(list(product((-1, 1), (2, 3, 4), (2, 3, 4), (0, 1))))
DRAWS = 20_000


def table() -> LearnedFactor:
    rng = np.random.default_rng(0)
    c = rng.integers(0, 3, 400)
    rows = {
        "s": 2 * rng.integers(0, 2, 400) - 1, "k": np.stack([2 + c, rng.integers(2, 5, 400)], axis=1),
        "t": rng.random(400) < 0.3, "c": c, "e": rng.integers(0, 2, 400),
    }  # fmt: skip
    return LearnedFactor(
        "P", "categorical", SUBJECTS, INPUTS, None, LEARNERS["categorical"].options, rows, None
    )


def p_value(at: str) -> float:
    """The least p-value, over ways to give the inputs, of draws against the table."""
    part, b, found = table(), load_backend(at), []
    weights = categorical.begin(part)
    uniforms = np.random.default_rng(9).random((DRAWS, 4))
    for c, e in product((None, 0, 2), (0, 1)):
        given = [None if c is None else np.full(DRAWS, c), np.full(DRAWS, e)]
        with b.scope():
            inputs = [None if g is None else b.asarray(g) for g in given]
            held = {name: b.asarray(a) for name, a in weights.items()}
            drawn = np.asarray(b.to_numpy(categorical.draw(part, b, held, inputs, b.asarray(uniforms))))
        counts = (drawn[:, None] == VALUES).all(axis=2).sum(axis=0)
        assert counts.sum() == DRAWS
        # as the table's own energies say it, which other tests hold against the counts
        subjects = [VALUES[:, 0], VALUES[:, 1:3], VALUES[:, 3]]
        few = [None if g is None else g[: len(VALUES)] for g in given]
        host = load_backend("numpy")
        energies = categorical.energy(part, host, weights, np.zeros(len(VALUES)), subjects, few)
        found.append(float(scipy.stats.chisquare(counts, np.exp(-energies) * DRAWS).pvalue))
    return min(found)


@pytest.mark.parametrize("at", ["numpy", "jax", "torch"])
def test_draws_follow_the_table(at: str) -> None:
    assert p_value(at) > SOUND


def test_a_table_read_in_another_order_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = categorical.decoded
    monkeypatch.setattr(categorical, "decoded", lambda p, b, state: right(p, b, state)[:, [0, 2, 1, 3]])
    assert p_value("numpy") < BROKEN


def test_what_was_never_seen_is_never_drawn() -> None:
    x = Port("x", Type(Domain("int", 0, 4)))
    options = {"smoothing": 0.0}
    part = LearnedFactor("P", "categorical", (x,), (), None, options, {"x": np.array([1, 1, 3])}, None)
    b = load_backend("numpy")
    uniforms = np.array([[0.0], [0.3], [0.66], [0.67], [1.0 - 1e-16]])
    drawn = categorical.draw(part, b, categorical.begin(part), [], uniforms)
    assert drawn.ravel().tolist() == [1, 1, 1, 3, 3]
