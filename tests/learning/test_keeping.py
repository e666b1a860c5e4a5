"""What was learned is found again if, and only if, nothing that it depends on has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.graph import learned_factor
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.learning import files, obtain, trainer
from compose_lang.runtime.learning.loop import Progress
from compose_lang.runtime.learning.trainer import Trainer
from compose_lang.runtime.learning.weights import read
from tests.learning.conftest import part_of

PROGRAM = """\
# Three flips, learned.
data flips: bool[6] = [true, true, false, true, false, true]
density Coin(x: bool) = learn autoregressive(x=flips, net=mlp(4), steps=3)
var x: bool ~ Coin
"""


def kept_by(path: Path) -> set[str]:
    return {f.name for f in path.iterdir()} if path.exists() else set()


def how(program: str, folder: Path) -> str:
    path = folder / "p.cg"
    path.write_text(program)
    (lesson,) = cg.compile(path).learn()
    return lesson.how


def test_what_is_learned_is_kept_beside_the_program(tmp_path, cache):
    assert how(PROGRAM, tmp_path) == "learned"
    (name,) = kept_by(tmp_path / "p.learned")
    assert name.startswith("Coin-") and name.endswith(".safetensors") and not cache.exists()
    assert how(PROGRAM, tmp_path) == "kept"
    run = cg.compile(tmp_path / "p.cg").sample(backend="numpy", draws=20, warmup=0, chains=1)
    assert run.draws == 20 and "Coin (weights)" in run.manifest.data


def test_comments_and_what_is_not_learned_change_nothing(tmp_path):
    assert how(PROGRAM, tmp_path) == "learned"
    assert how("# another one\n" + PROGRAM.replace("steps=3)", "steps=3)  # few"), tmp_path) == "kept"
    assert how(PROGRAM + "var y: real ~ Normal(0, 1)\n", tmp_path) == "kept"
    assert how(PROGRAM.replace("flips", "throws"), tmp_path) == "kept"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("false, true]", "false, false]"), ("[6]", "[7]"), ("mlp(4)", "mlp(5)"), ("steps=3", "steps=4"),
        ("steps=3", "steps=3, seed=1"), ("steps=3", "steps=3, ema=0.5"), ("learn autoregressive", "learn categorical"),
        ("Coin(x: bool)", "Coin(x: int(0, 1))"),
    ],
    ids=lambda text: text,
)  # fmt: skip
def test_all_else_changes_the_key(tmp_path, old, new):
    """Nothing is trained: the key decides."""

    def key(program: str) -> str:
        (part,) = cg.compile(program).program.parts
        return part.key

    changed = PROGRAM.replace(old, new).replace("[7] = [", "[7] = [true, ")
    if "categorical" in new:
        changed = changed.replace(", net=mlp(4), steps=3", "")
    if "int" in new:
        changed = changed.replace("var x: bool", "var x: int(0, 1)")
    assert key(changed) != key(PROGRAM) == key(PROGRAM)


def test_an_input_that_may_be_left_out_and_a_new_revision_change_the_key(monkeypatch):
    part = part_of("autoregressive")
    other = part_of("autoregressive")
    assert part.key == other.key
    monkeypatch.setattr(learned_factor, "REVISION", learned_factor.REVISION + 1)
    assert part_of("autoregressive").key != part.key
    assert part_of("autoregressive", seed=1).key != part.key  # of the data, too


def test_a_damaged_file_of_ours_is_learned_anew(tmp_path):
    part = part_of("categorical", home=tmp_path)
    (lesson,) = obtain.obtain([part])
    whole = lesson.path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-4] + b"\0\0\0\1"):
        lesson.path.write_bytes(damaged)
        (again,) = obtain.obtain([part])
        assert again.how == "learned" and lesson.path.read_bytes()[-20:] == whole[-20:]
    assert obtain.obtain([part])[0].how == "kept"


def test_a_folder_that_cannot_be_written_is_told_and_the_cache_serves(tmp_path, cache):
    (tmp_path / "home").write_text("a file, where a folder should be")
    part = part_of("categorical", home=tmp_path / "home")
    (lesson,) = obtain.obtain([part])
    assert lesson.path.parent == cache
    (told,) = lesson.findings
    assert (told.code, told.severity) == ("CG0707", "warning") and "home cannot be written" in told.message
    (again,) = obtain.obtain([part])
    assert (again.how, again.path, again.findings) == ("kept", lesson.path, ())


def test_where_nothing_can_be_written_it_is_learned_and_told(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (lesson,) = obtain.obtain([part_of("categorical", home=tmp_path / "home")])
    assert lesson.how == "learned" and lesson.path is None
    assert "kept nowhere" in lesson.findings[0].message


def test_what_exists_is_given_and_nothing_is_trained_for_it(tmp_path):
    part = part_of("categorical", home=tmp_path)
    with pytest.raises(ComposeError) as wrong:
        obtain.existing([part])
    assert wrong.value.diagnostics[0].code == "CG0714" and not kept_by(tmp_path)
    (lesson,) = obtain.obtain([part])
    (known,) = obtain.existing([part])
    assert known.how == "kept" and known.weights.keys() == lesson.weights.keys()


def test_interrupted_it_leaves_a_checkpoint_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "LOOK_SECONDS", 0.0)
    part = part_of("autoregressive", home=tmp_path, steps=20, batch=16)
    looks = iter(range(4))
    with pytest.raises(ComposeError) as wrong:
        obtain.obtain([part], stop=lambda: next(looks, None) is None)
    assert wrong.value.exit_code == 130
    (told,) = wrong.value.diagnostics
    assert told.code == "CG0706" and "4 of 20 steps" in told.message and "goes on from there" in told.help
    (name,) = kept_by(tmp_path)
    assert name.endswith(".checkpoint.safetensors")
    seen: list[Progress] = []
    (lesson,) = obtain.obtain([part], seen.append)
    assert seen[0].step == 4 and seen[-1].step == 20 == lesson.steps
    assert kept_by(tmp_path) == {lesson.path.name}
    whole = Trainer(part).run().weights
    for name, array in whole.items():
        np.testing.assert_array_equal(lesson.weights[name], array)


def test_two_who_learn_the_same_do_not_write_into_each_other(tmp_path):
    """Many writers of one file: whoever reads it finds a whole one at any time."""
    part = part_of("categorical", home=tmp_path)
    (lesson,) = obtain.obtain([part])
    metadata = {"compose": "{}", "report": "{}"}

    def write(number: int) -> None:
        for _ in range(20):
            files.publish(lesson.path, {"table": np.full((1, 50_000), float(number))}, metadata)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        while not all(w.done() for w in writers):
            (table,) = files.opened(lesson.path)[0].values()
            assert len(np.unique(table)) == 1 or table.shape != (1, 50_000)
        for w in writers:
            w.result()
    assert kept_by(tmp_path) == {lesson.path.name}


LONG = """\
data xs: real[6] = [0.1, 0.4, -0.3, 1.2, 0.8, -0.9]
density P(x: real) = learn diffusion(x=xs, net=mlp(8), steps=STEPS, form="score")
var x: real ~ P
"""
COMMAND = """
import sys
from compose_lang.runtime.learning import checkpoints
checkpoints.EVERY_SECONDS = 0.1
from compose_lang.cli import main
main()
"""


@pytest.mark.slow
def test_killed_at_any_time_it_learns_the_same(tmp_path):
    """kill -9 in the middle, several times over: the weights are those of a training left alone, to the bit."""

    def learn(folder: Path, kill: bool) -> bool:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "learn", str(folder / "p.cg"), "-q"], stdout=subprocess.DEVNULL
        )
        checkpoint = None
        while kill and process.poll() is None:
            found = list(folder.glob("p.learned/*.checkpoint.safetensors"))
            if found and found[0].stat().st_mtime_ns != checkpoint:
                if checkpoint is not None:
                    time.sleep(np.random.default_rng(len(killed)).uniform(0.0, 0.3))
                    os.kill(process.pid, signal.SIGKILL)
                checkpoint = found[0].stat().st_mtime_ns
            time.sleep(0.01)
        return process.wait() == 0

    weights, killed = [], []
    for name, times in (("whole", 0), ("killed", 3)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "p.cg").write_text(LONG.replace("STEPS", "12000"))
        killed = []
        while not learn(folder, kill=len(killed) < times):
            killed.append(name)
        assert len(killed) == times
        (part,) = cg.compile(folder / "p.cg").program.parts
        (path,) = folder.glob("p.learned/*.safetensors")
        weights.append(read(path, part).weights)
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])
