"""Ways of learning: what is normalised sums to 1, known truths come back, draws follow their own density."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.compiler.ir.types import BOOL, REAL, Domain, Type
from compose_lang.discovery import LEARNERS
from compose_lang.runtime.learned import splines
from compose_lang.runtime.learned.learners import autoregressive, categorical, load_learner
from compose_lang.runtime.learning.trainer import Trainer
from tests.runtime.learned_parts import (
    BOX,
    CHAIN,
    FINITE,
    MIXED,
    NUMPY,
    Weights,
    all_values,
    banana,
    bent_log_density,
    bent_rows,
    chain,
    chain_truth,
    energies,
    finite_part,
    finite_rows,
    grid,
    line,
    of_ports,
    part,
    shaken,
)

# what is said of them


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_exports_what_it_is(name: str) -> None:
    learner = load_learner(name)
    assert learner.name == name
    assert (learner.wanted is None) == (learner.net is None) == (not learner.nets)
    assert (learner.loss is None) == ("steps" not in learner.options)
    assert (learner.draw is None) == (learner.draws_from == "")


def test_learners_and_nets_are_listed_and_read_without_array_libraries() -> None:
    """So that `check` may ask them."""
    asked = "import sys; from compose_lang.discovery import LEARNERS, NETS; [*LEARNERS.values(), *NETS.values()]; "
    told = "print([name for name in ('jax', 'torch', 'scipy', 'optax') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked + told], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# normalisation


def totals(p: LearnedFactor, w: Weights, ways: Sequence[Sequence[np.ndarray | None]]) -> list[float]:
    values = all_values(p.subjects)
    n = len(values[0])
    given = [[None if c is None else np.repeat(c, n, axis=0) for c in way] for way in ways]
    return [float(np.exp(-energies(p, w, values, way)).sum()) for way in given]


@pytest.mark.parametrize("method", ["categorical", "autoregressive"])
def test_finite_densities_sum_to_one(method: str) -> None:
    p, ways = finite_part(method)
    for w in (shaken(p), Trainer(p).run()[0]):
        np.testing.assert_allclose(totals(p, w, ways), 1.0, atol=1e-12)


def test_an_element_that_sees_itself_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    p, ways = finite_part("autoregressive")
    right = autoregressive.masks
    monkeypatch.setattr(autoregressive, "masks", lambda p: {**right(p), "skip.w": np.ones((12, 12))})
    assert np.abs(np.array(totals(p, shaken(p), ways)) - 1.0).max() > 0.01


def test_an_element_depends_on_those_before_it_only() -> None:
    p, _ = finite_part("autoregressive")
    d, k = autoregressive.shape_of_logits(p)
    w = {n: NUMPY.asarray(a) for n, a in shaken(p).items()}
    c = np.zeros((2, 6))
    for i in range(d):
        x = np.zeros((2, d), dtype=int)
        x[1, i] = 1
        shares = autoregressive.log_shares(p, NUMPY, w, x, c)
        changed = np.abs(shares[0] - shares[1]).max(axis=1) > 1e-9
        assert changed.tolist() == [j > i for j in range(d)]
    assert k == 3


def line_total(w: Weights, far: int | None) -> float:
    p, _ = line()
    points, cell = grid([-40.0], [40.0], [80_000])
    given = None if far is None else np.full(len(points), far)
    return float(np.exp(-energies(p, w, [points[:, 0]], [given])).sum() * cell)


@pytest.mark.parametrize("far", [0, 1, None])
def test_a_flow_in_one_dimension_integrates_to_one(far: int | None) -> None:
    p, w = line()
    assert line_total(shaken(p), far) == pytest.approx(1.0, abs=1e-4)
    assert line_total(w, far) == pytest.approx(1.0, abs=1e-4)


def test_a_flow_in_two_dimensions_integrates_to_one() -> None:
    p, w = banana()
    points, cell = grid(*BOX)
    assert np.exp(-energies(p, w, [points])).sum() * cell == pytest.approx(1.0, abs=2e-3)
    wide, volume = grid([-40.0, -40.0], [46.0, 46.0], [300, 300])
    total = np.exp(-energies(p, shaken(p, size=0.03), [wide])).sum() * volume
    assert total == pytest.approx(1.0, abs=5e-3)


def test_a_flow_with_a_wrong_slope_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    right = splines.slope_at
    monkeypatch.setattr(splines, "slope_at", lambda b, p, share: 0.9 * right(b, p, share))
    assert abs(line_total(line()[1], 1) - 1.0) > 0.01


# backends


@pytest.mark.parametrize("method", ["categorical", "autoregressive", "flow", "ebm"])
def test_backends_agree(method: str) -> None:
    rng = np.random.default_rng(2)
    if method in ("categorical", "autoregressive"):
        p, ways = finite_part(method)
        subjects = all_values(p.subjects)
    else:
        p = part(method, (Port("x", Type(REAL, (2,))), Port("y", Type(REAL))), MIXED, {
            "x": bent_rows(100), "y": rng.standard_normal(100), **of_ports(finite_rows(100), *MIXED),
        })  # fmt: skip
        subjects = [bent_rows(500, seed=5), 3.0 * rng.standard_normal(500)]
        ways = finite_part("autoregressive")[1]
    w, n = shaken(p), len(subjects[0])
    for way in ways:
        given = [None if c is None else np.repeat(c, n, axis=0) for c in way]
        want = energies(p, w, subjects, given)
        assert want.shape == (n,)
        for at in ("jax", "torch"):
            np.testing.assert_allclose(energies(p, w, subjects, given, at), want, rtol=1e-8, atol=1e-8)


# tables


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 3.0])
def test_a_table_is_the_smoothed_counts(smoothing: float) -> None:
    p, _ = finite_part("categorical")
    p = part("categorical", p.subjects, p.inputs, dict(p.data), smoothing=smoothing)
    w, state, *_ = Trainer(p).run()
    assert state.step == 0
    values, n = all_values(p.subjects), len(all_values(p.subjects)[0])
    for c, e in product((None, 0, 1, 2), (0, 1)):
        shown = (p.data["e"] == e) & (True if c is None else p.data["c"] == c)
        rows = [p.data[port.name][shown].reshape(shown.sum(), -1) for port in p.subjects]
        seen = np.concatenate(rows, axis=1)
        joint = np.concatenate([v.reshape(n, -1) for v in values], axis=1)
        counts = (seen[:, None] == joint).all(axis=2).sum(axis=0)
        want = (counts + smoothing) / (shown.sum() + smoothing * n)
        given = [None if c is None else np.full(n, c), np.full(n, e)]
        np.testing.assert_allclose(np.exp(-energies(p, w, values, given)), want, atol=1e-12)


def test_without_smoothing_an_unseen_context_is_uniform() -> None:
    x, c = Port("x", Type(BOOL)), Port("c", Type(BOOL))
    p = part("categorical", (x,), (c,), {"x": np.array([0, 0]), "c": np.array([1, 1])}, smoothing=0.0)
    w = Trainer(p).run().weights
    found = np.exp(-energies(p, w, [np.array([0, 1, 0, 1])], [np.array([0, 0, 1, 1])]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 1.0, 0.0])


@pytest.mark.parametrize("shape, domain", [((20,), BOOL), ((10**6,), BOOL), ((), Domain("int", 0, 10**30))])
def test_a_table_too_large_to_hold_is_an_error(shape: tuple[int, ...], domain: Domain) -> None:
    p = part("categorical", (Port("x", Type(domain, shape)),), (), {"x": np.zeros((2, *shape), dtype=int)})
    with pytest.raises(ValueError, match="more than 1,000,000 entries"):
        Trainer(p)


def test_a_table_of_just_what_it_may_hold() -> None:
    side = Port("x", Type(Domain("int", 1, 1000), (2,)))
    p = part("categorical", (side,), (), {"x": np.array([[1000, 1000], [1, 2]])})
    assert categorical.begin(p)["table"].shape == (1, 10**6)


def test_a_table_of_reals_is_an_error() -> None:
    rows = finite_rows(10)
    p = part("categorical", FINITE, MIXED, of_ports(rows, *FINITE, *MIXED))
    with pytest.raises(ValueError, match="`r` is real"):
        Trainer(p)


@pytest.mark.parametrize("port", [Port("x", Type(BOOL, (64, 64))), Port("x", Type(Domain("int", 0, 10**30)))])
def test_too_many_elements_for_a_perceptron_are_an_error(port: Port) -> None:
    p = part("autoregressive", (port,), (), {"x": np.zeros((2, *port.type.full_shape), dtype=int)})
    with pytest.raises(ValueError, match="more than 4,096 numbers"):
        Trainer(p)


# a Markov chain of 5 elements of 4 values, whose steps depend on an input


def chain_divergence(w: Weights, truth: np.ndarray, c: int | None) -> float:
    """KL from the truth in nats."""
    p, _ = chain()
    found = -energies(p, w, all_values(CHAIN), [None if c is None else np.full(1024, c)])
    return float(np.sum(truth * (np.log(truth) - found)))


def test_a_markov_chain_is_learned() -> None:
    p, w = chain()
    truth = chain_truth()
    for c, want in ((0, truth[0]), (1, truth[1]), (2, truth[2]), (None, np.array([0.25, 0.5, 0.25]) @ truth)):
        assert chain_divergence(w, want, c) < CHAIN_BOUND
        assert chain_divergence(shaken(p, size=0.0), want, c) > 5 * CHAIN_BOUND
    assert chain_divergence(w, truth[0], 2) > 5 * CHAIN_BOUND
    assert chain_divergence(w, truth[0], None) > 2 * CHAIN_BOUND


CHAIN_BOUND = 0.07


def banana_divergence(w: Weights) -> float:
    """KL from the truth in nats, by quadrature."""
    p, _ = banana()
    points, cell = grid(*BOX)
    truth = bent_log_density(points)
    kept = truth > -40.0
    logs = -energies(p, w, [points[kept]])
    return float(np.sum(np.exp(truth[kept]) * (truth[kept] - logs)) * cell)


def test_a_banana_is_learned() -> None:
    p, w = banana()
    assert -1e-3 < banana_divergence(w) < BANANA_BOUND
    assert banana_divergence(shaken(p, size=0.0)) > 10 * BANANA_BOUND


BANANA_BOUND = 0.03


def test_two_modes_on_a_line_are_learned() -> None:
    p, w = line()
    points, cell = grid([-12.0], [12.0], [4000])
    x = points[:, 0]

    def truth(apart: float) -> np.ndarray:
        return 0.5 * (scipy.stats.norm.pdf(x, apart, 0.5) + scipy.stats.norm.pdf(x, -apart, 0.5))

    for far, want in ((0, truth(1.0)), (1, truth(3.0)), (None, 0.5 * (truth(1.0) + truth(3.0)))):
        given = None if far is None else np.full(len(x), far)
        found = np.exp(-energies(p, w, [x], [given]))
        assert 0.5 * np.abs(found - want).sum() * cell < LINE_BOUND


LINE_BOUND = 0.1
