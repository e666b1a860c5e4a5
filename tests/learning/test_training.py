"""Training: what is held out, averaged weights, early stopping, and going on as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.learning import trainer as module
from compose_lang.runtime.learning.checkpoints import Checkpoint
from compose_lang.runtime.learning.loop import Progress, Stopped
from compose_lang.runtime.learning.trainer import State, Trainer
from tests.learning.conftest import part_of

SMALL: dict[str, dict[str, Any]] = {
    "autoregressive": {},
    "ebm": {"buffer": 64, "langevin": 2},
    "diffusion": {"form": "score"},
}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], strict=True)


def after(looks: int) -> Any:
    """`stop` that says so at a look."""
    seen = iter(range(looks))
    return lambda: next(seen, None) is None


@pytest.mark.parametrize("method", SMALL)
def test_goes_on_as_if_it_had_never_stopped(method, tmp_path, monkeypatch):
    """Weights and scores to the bit, though it is looked at differently: the noise of a step knows its number only."""
    part = part_of(method, steps=300, batch=32, **SMALL[method])
    whole, end, *_ = Trainer(part).run()
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.03)
    path, state = tmp_path / "P.checkpoint.safetensors", None
    for looks in (2, 4):
        with pytest.raises(Stopped) as stopped:
            trainer = Trainer(part)
            begun = Checkpoint(path, trainer).read()
            assert (begun is None) == (state is None) and (state is None or begun.step == state.step)
            trainer.run(begun=begun, stop=after(looks))
        state = stopped.value.state
        assert 0 < state.step < 300 and Checkpoint(path, trainer).write(state)
    trainer = Trainer(part)
    again, resumed, *_ = trainer.run(begun=Checkpoint(path, trainer).read())
    same(again, whole)
    assert (resumed.step, resumed.held_out, resumed.best, resumed.best_step) == (
        300,
        end.held_out,
        end.best,
        end.best_step,
    )


def test_a_damaged_checkpoint_is_not_gone_on_from(tmp_path):
    part = part_of("autoregressive", steps=2)
    trainer = Trainer(part)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", trainer)
    _, state, *_ = trainer.run()
    assert checkpoint.write(state)
    found = checkpoint.read()
    assert found is not None and found.step == 2
    whole = bytearray(checkpoint.path.read_bytes())
    whole[-3] ^= 1
    checkpoint.path.write_bytes(whole)
    assert checkpoint.read() is None
    checkpoint.path.write_bytes(whole[:100])
    assert checkpoint.read() is None
    checkpoint.write(state)
    other = Trainer(replace(part, net=replace(part.net, sizes=(5,))))
    assert Checkpoint(checkpoint.path, other).read() is None
    checkpoint.remove()
    assert checkpoint.read() is None


def test_held_out_rows_are_not_trained_on():
    """Changed, they change the score and no weight; a row that is trained on changes both."""
    part = part_of("autoregressive", steps=20)
    trainer = Trainer(part)
    assert set(trainer.held) | set(trainer.used) == set(range(200)) and not set(trainer.held) & set(
        trainer.used
    )

    def with_changed(places: Any) -> tuple[dict[str, np.ndarray], float]:
        x = part.data["x"].copy()
        x[places] = 1 - x[places]
        weights, state, *_ = Trainer(replace(part, data={**part.data, "x": x})).run()
        return weights, state.held_out

    whole, score = with_changed([])
    again, same_score = with_changed([])
    same(again, whole)
    assert score == same_score
    held, other = with_changed(trainer.held)
    same(held, whole)
    assert other != score
    used, _ = with_changed(trainer.used)
    assert any((used[name] != whole[name]).any() for name in whole)


def test_the_average_of_weights_is_what_it_should_be(monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    states: list[State] = []
    weights = Trainer(part_of("autoregressive", steps=12, ema=0.3)).run(keep=states.append).weights
    assert [s.step for s in states] == list(range(1, 13))
    average = np.zeros_like(Trainer(part_of("autoregressive")).begun["net.out.b"])
    for k, state in enumerate(states):
        share = min(0.3, (1 + k) / (10 + k))
        average = share * average + (1 - share) * np.asarray(state.weights["net.out.b"])
    np.testing.assert_allclose(weights["net.out.b"], average, rtol=1e-5, atol=1e-8)
    assert np.abs(average - np.asarray(states[-1].weights["net.out.b"])).max() > 1e-6


def test_stops_early_with_the_best_weights(monkeypatch):
    """Few rows and a wide net: it soon learns them by heart, and the held-out score rises."""
    monkeypatch.setattr(module, "JUDGED_EVERY", 20)
    part = replace(part_of("autoregressive", rows=24, steps=2000, patience=60, rate=0.03, ema=0.1, seed=3))
    part = replace(part, data={**part.data, "x": np.random.default_rng(0).integers(0, 2, (24, 3))})
    seen: list[Progress] = []
    weights, state, *_ = Trainer(part).run(watch=seen.append)
    scores = {now.step: now.held_out for now in seen if now.step % 20 == 0 and np.isfinite(now.held_out)}
    assert state.step < 2000 and state.step == state.best_step + 60
    assert state.best == min(scores.values()) == scores[state.best_step] < scores[state.step]
    same(weights, {name: np.asarray(a) for name, a in state.best_weights.items()})
    last = Trainer(replace(part, options={**part.options, "patience": 0, "steps": state.step})).run().weights
    assert any((last[name] != weights[name]).any() for name in weights)


def test_a_training_that_diverges_says_so():
    part = part_of("diffusion", steps=100, rate=1e8, form="score")
    with pytest.raises(ComposeError) as wrong:
        Trainer(part).run()
    (found,) = wrong.value.diagnostics
    assert found.code == "CG0710" and "`P` diverged by step" in found.message and "rate=3e+07" in found.help
