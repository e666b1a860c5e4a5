"""Runs of a stand-in density: the same draws however they are cut, stopped, killed and resumed."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from stand_in import drive

from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import facts
from compose_lang.runtime.chains import driver
from compose_lang.runtime.results.run import Run

NAMES = ("x", "phi", "s", "total")


def draws_of(run: Run) -> dict[str, np.ndarray]:
    return {name: run.posterior[name].values for name in run.posterior}


def assert_same(run: Run, other: Run) -> None:
    for name, values in draws_of(run).items():
        np.testing.assert_array_equal(values, other.posterior[name].values, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    run, outcome = drive(tmp_path_factory.mktemp("whole") / "out")
    assert outcome.status == "finished"
    return run


def test_draws_follow_the_density(tmp_path):
    run, _ = drive(tmp_path / "out", chains=400, warmup=100, draws=20, thin=5)
    ess = run.summaries[0].measures["ess_bulk"][0]
    assert ess > 1000
    x, spin = run.posterior["x"].values, run.posterior["s"].values
    assert abs(x[..., 0].mean()) < 5 / math.sqrt(ess)
    assert abs(x[..., 0].var() - 1) < 5 * math.sqrt(2 / ess)
    assert abs(spin.mean() - math.tanh(stand_in.SPIN_PULL)) < 5 / math.sqrt(spin.size)
    np.testing.assert_allclose(run.posterior["total"], x.sum(-1))


def test_shapes_and_types(whole):
    assert whole.posterior["x"].shape == (3, 40, 2)
    assert whole.posterior["s"].dtype == np.int8
    assert whole.sample_stats["diverging"].shape == (3, 40)
    assert set(whole.tree.children) == {"posterior", "sample_stats", "observed_data", "constant_data"}


def of_sweeps(monkeypatch, sweeps: Callable[[], int]) -> None:
    """Chunks of as many sweeps as are said here, whatever the clock says."""
    monkeypatch.setattr(driver.ChunkSize, "sweeps_in", lambda pace, seconds: sweeps())


def test_chunks_do_not_show(whole, tmp_path, monkeypatch):
    of_sweeps(monkeypatch, lambda: 1)
    run, _ = drive(tmp_path / "out")
    assert len(run.manifest.lanes[0].chunks) == 40
    assert_same(run, whole)
    chance = random.Random(4)
    of_sweeps(monkeypatch, lambda: chance.randint(1, 9))
    run, _ = drive(tmp_path / "other")
    assert 4 < len(run.manifest.lanes[0].chunks) < 40
    assert_same(run, whole)


def test_chunks_follow_the_clock(tmp_path, monkeypatch):
    """Of a clock that says how long a sweep takes: chunks come to last what they should."""
    clock = [0.0]
    advance = stand_in.Sweeper.advance

    def timed(self: Any, batch: Any, done: int, draws: int, sweeps: int) -> Any:
        clock[0] += 0.01 * draws * sweeps
        return advance(self, batch, done, draws, sweeps)

    monkeypatch.setattr(stand_in.Sweeper, "advance", timed)
    monkeypatch.setattr(driver, "monotonic", lambda: clock[0])
    run, outcome = drive(tmp_path / "out", draws=1000)
    lengths = [chunk.count for chunk in run.manifest.lanes[0].chunks]
    assert sum(lengths) == 1000 and set(lengths[1:-1]) == {round(driver.CHUNK_SECONDS / 0.01)}
    assert sum(outcome.seconds.values()) == pytest.approx(10.2)


def test_a_chain_does_not_depend_on_the_others(whole, tmp_path):
    run, _ = drive(tmp_path / "out", chains=2)
    np.testing.assert_array_equal(run.posterior["x"].values, whole.posterior["x"].values[:2])


def test_seeds_differ(whole, tmp_path):
    run, _ = drive(tmp_path / "out", seed=1)
    assert not np.isin(run.posterior["x"].values, whole.posterior["x"].values).any()


def test_thin_takes_every_kth_sweep(whole, tmp_path):
    run, _ = drive(tmp_path / "out", thin=4, draws=10)
    np.testing.assert_array_equal(run.posterior["x"].values, whole.posterior["x"].values[:, 3::4])


def test_keep_stores_what_is_named(whole, tmp_path):
    run, _ = drive(tmp_path / "out", keep=("total",))
    assert list(run.posterior) == ["total"]
    np.testing.assert_array_equal(run.posterior["total"], whole.posterior["total"])


def test_jax_in_lanes_draws_what_numpy_draws(whole, tmp_path):
    run, _ = drive(tmp_path / "out", backend="jax")
    assert [lane.chains for lane in run.manifest.lanes] == [[0], [1], [2]]
    for name, values in draws_of(run).items():
        np.testing.assert_allclose(values, whole.posterior[name].values, atol=1e-12, err_msg=name)


def test_lanes_are_of_equal_size_and_cover_the_chains():
    for chains in (1, 3, 8, 9, 30, 1000):
        lanes = driver.lanes_of(chains, facts("jax").lanes)
        assert len({len(lane) for lane in lanes}) == 1
        assert [chain for lane in lanes for chain in lane][:chains] == list(range(chains))
        assert len(lanes) <= facts("jax").lanes
        assert sum(map(len, lanes)) < chains + len(lanes[0])
    assert len(driver.lanes_of(30, facts("torch").lanes)) == 1


def test_chains_that_fill_the_last_lane_are_not_shown(tmp_path):
    run, _ = drive(tmp_path / "out", backend="jax", chains=9, draws=5, warmup=0)
    assert len(run.manifest.lanes) == 5
    assert run.posterior["x"].shape[:2] == (9, 5)


def test_resume_after_a_time_limit(whole, tmp_path, monkeypatch):
    of_sweeps(monkeypatch, lambda: 1)
    with monkeypatch.context() as here:
        here.setattr(driver, "monotonic", itertools.count().__next__)  # a second each time it is asked
        stopped, outcome = drive(tmp_path / "out", time_limit=100)
    assert outcome.status == "time limit"
    assert stopped.draws < 40
    resumed, outcome = drive(tmp_path / "out", resume=True)
    assert outcome.status == "finished"
    assert_same(resumed, whole)


def test_ctrl_c_keeps_what_is_done(whole, tmp_path, monkeypatch):
    of_sweeps(monkeypatch, lambda: 1)
    handler = signal.getsignal(
        signal.SIGINT
    )  # a shell's background jobs ignore it: whatever it is, it comes back
    sent = []

    def interrupt(lanes):
        if not sent and all(lane.sweeps > 30 for lane in lanes):
            sent.append(os.kill(os.getpid(), signal.SIGINT))

    stopped, outcome = drive(tmp_path / "out", watch=interrupt)
    assert outcome.status == "interrupted"
    assert 10 <= stopped.draws < 40
    np.testing.assert_array_equal(stopped.posterior["x"], whole.posterior["x"][:, : stopped.draws])
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same(drive(tmp_path / "out", resume=True)[0], whole)


def test_more_draws_continue_a_finished_run(whole, tmp_path):
    drive(tmp_path / "out", draws=15)
    assert_same(drive(tmp_path / "out", resume=True, draws=40)[0], whole)


def test_runs_outside_the_main_thread(whole, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(drive(tmp_path / "out")))
    thread.start()
    thread.join()
    assert_same(found[0][0], whole)


def test_an_energy_that_is_no_number_ends_the_run(tmp_path):
    with pytest.raises(ComposeError, match="CG0701: the energy became nan in chain 0: all"):
        drive(tmp_path / "out", scale=math.nan)
    assert Run.open(tmp_path / "out").manifest.status == "failed"


STEPS = 1500  #: functions that the storage of the run below calls, and those that they call


@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_resumes_to_the_same_draws(tmp_path, times):
    """SIGKILL at random steps of the storage, from before the first byte to the last chunk."""
    settings = {"draws": 4000, "warmup": 500}
    command = [sys.executable, stand_in.__file__, str(tmp_path / "out"), json.dumps(settings)]
    chance = random.Random(5)
    for _ in range(times):
        dead = subprocess.run(
            [*command, str(chance.randint(1, STEPS // times))], capture_output=True, check=False
        )
        assert dead.returncode == -signal.SIGKILL
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    killed = Run.open(tmp_path / "out")
    assert killed.draws == 4000
    assert not list(Path(tmp_path / "out").rglob("*.partial"))
    assert_same(killed, drive(tmp_path / "whole", **settings)[0])
