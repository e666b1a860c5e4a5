"""The diagnostics equal ArviZ's, an implementation of the same paper by others."""

from collections.abc import Callable

import numpy as np
import pytest

from compose_lang.runtime.results import convergence as ours

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "independent": lambda rng, shape: rng.normal(size=shape),
    "random walk": lambda rng, shape: rng.normal(size=shape).cumsum(1),
    "autoregressive": lambda rng, shape: _autoregressive(rng, shape, 0.9),
    "antithetic": lambda rng, shape: _autoregressive(rng, shape, -0.9),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(size=shape),
    "counts with ties": lambda rng, shape: rng.poisson(2.0, size=shape),
    "spins": lambda rng, shape: np.where(rng.permuted(np.arange(np.prod(shape)).reshape(shape) % 2), 1, -1),
    "chains apart": lambda rng, shape: rng.normal(size=shape) + 3 * np.arange(shape[0])[:, None, None],
}
SHAPES = [(4, 1000, 3), (2, 101, 2), (3, 7, 4), (2, 5, 2), (2, 4, 1)]


def _autoregressive(rng: np.random.Generator, shape: tuple[int, ...], weight: float) -> np.ndarray:
    values = rng.normal(size=shape)
    for t in range(1, shape[1]):
        values[:, t] += weight * values[:, t - 1]
    return values


@pytest.fixture(scope="module")
def arviz_measures():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from arviz.stats import diagnostics as theirs
    return theirs


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_arviz(kind, shape, arviz_measures):
    draws = KINDS[kind](np.random.default_rng(7), shape)
    found = {
        "rhat": ours.rhat(draws), "bulk": ours.ess_bulk(draws), "tail": ours.ess_tail(draws),
        "mean": ours.mcse_mean(draws),
    }  # fmt: skip
    for i in range(shape[2]):
        x = np.asarray(draws[:, :, i], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = {
                "rhat": arviz_measures._rhat_rank(x), "bulk": arviz_measures._ess_bulk(x),
                "tail": arviz_measures._ess_tail(x), "mean": arviz_measures._mcse_mean(x),
            }  # fmt: skip
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][i], value, rtol=1e-8, err_msg=f"{name}[{i}]")


def test_a_constant_has_every_draw_and_no_rhat():
    found = ours.convergence(np.full((4, 100, 1), 2.5))
    assert np.isnan(found.rhat[0])
    assert found.ess_bulk[0] == found.ess_tail[0] == 400
    assert found.mcse_mean[0] == 0


def test_nan_spoils_its_own_element_only():
    draws = np.random.default_rng(1).normal(size=(4, 100, 3))
    alone = ours.convergence(draws[:, :, [0, 2]])
    draws[1, 50, 1] = np.nan
    for together, expected in zip(ours.convergence(draws), alone, strict=True):
        assert np.isnan(together[1])
        np.testing.assert_array_equal(together[[0, 2]], expected)


def test_too_few_draws_are_nan():
    assert all(np.isnan(measure).all() for measure in ours.convergence(np.zeros((4, 3, 2))))


def test_one_chain_is_split_in_two():
    rng = np.random.default_rng(3)
    drifting = np.concatenate([rng.normal(size=500), rng.normal(5, 1, size=500)])[None, :, None]
    assert ours.rhat(drifting)[0] > 1.5
    assert ours.rhat(rng.normal(size=(1, 1000, 1)))[0] < 1.01


def test_blocks_of_elements_change_nothing(monkeypatch):
    draws = np.random.default_rng(2).normal(size=(2, 50, 7))
    whole = ours.convergence(draws)
    monkeypatch.setattr(ours, "BLOCK_VALUES", 250)
    for blocked, expected in zip(ours.convergence(draws), whole, strict=True):
        np.testing.assert_allclose(blocked, expected, rtol=1e-12)
