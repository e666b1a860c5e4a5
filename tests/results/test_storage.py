"""The run folder: what it refuses, what it leaves alone, what it says of damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from stand_in import drive

from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.chains import driver
from compose_lang.runtime.results.run import Run
from compose_lang.runtime.runs.storage import RunFolder


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(ComposeError, match="CG0707") as refused:
        drive(tmp_path)
    assert refused.value.exit_code == 2
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"name": "a web app", "start_url": "/"}'])
def test_a_manifest_of_something_else_is_left_alone(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ComposeError, match="CG0707"):
        drive(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


def test_an_earlier_run_is_replaced_and_notes_beside_it_stay(tmp_path):
    drive(tmp_path / "out", draws=60)
    (tmp_path / "out" / "notes.txt").write_text("keep me")
    run, _ = drive(tmp_path / "out", seed=3)
    assert run.draws == 40
    assert (tmp_path / "out" / "notes.txt").read_text() == "keep me"
    counted = {chunk.name for lane in run.manifest.lanes for chunk in lane.chunks}
    counted |= {lane.checkpoint.name for lane in run.manifest.lanes if lane.checkpoint}
    found = {f"chunks/{file.name}" for file in (tmp_path / "out" / "chunks").iterdir()}
    assert found == counted


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ComposeError, match="CG0707"):
        drive(tmp_path / "out")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ComposeError, match="CG0707"):
        drive(tmp_path / "file" / "out")


def test_two_runs_do_not_share_a_folder(tmp_path):
    run, _ = drive(tmp_path / "out")
    holder = RunFolder.resume(tmp_path / "out", run.manifest, {})
    with pytest.raises(ComposeError, match="in use by another run"):
        drive(tmp_path / "out")
    holder.close()
    drive(tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 4}, "seed was 0, is 4"),
        ({"chains": 2}, "chains was 3, is 2"),
        ({"warmup": 5}, "warmup was 20, is 5"),
        ({"draws": 30}, "draws was 40, is 30"),
        ({"text": "another program"}, "the program has changed"),
        ({"scale": 2.0}, "the data `scale` has changed"),
    ],
)
def test_resume_says_what_differs(tmp_path, changed, said):
    before, _ = drive(tmp_path / "out")
    with pytest.raises(ComposeError, match=said) as refused:
        drive(tmp_path / "out", resume=True, **changed)
    assert refused.value.diagnostics[0].code == "CG0708"
    np.testing.assert_array_equal(Run.open(tmp_path / "out").posterior["x"], before.posterior["x"])


def test_resume_finds_damage(tmp_path):
    run, _ = drive(tmp_path / "out")
    chunk = tmp_path / "out" / run.manifest.lanes[0].chunks[0].name
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ComposeError, match="is damaged"):
        drive(tmp_path / "out", resume=True)


def test_resume_ignores_torn_and_unnamed_files(tmp_path):
    whole, _ = drive(tmp_path / "whole")
    drive(tmp_path / "out", draws=10)
    torn = tmp_path / "out" / "chunks" / "lane-00-draw-0000010.safetensors"
    torn.write_bytes(b"half of a chunk")
    (torn.parent / (torn.name + ".partial")).write_bytes(b"")
    run, _ = drive(tmp_path / "out", resume=True)
    np.testing.assert_array_equal(run.posterior["x"], whole.posterior["x"])
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(ComposeError, match="CG0708"):
        Run.open(tmp_path / "nowhere")
    run, _ = drive(tmp_path / "out")
    (tmp_path / "out" / run.manifest.lanes[0].chunks[0].name).unlink()
    with pytest.raises(ComposeError, match="damaged or missing"):
        Run.open(tmp_path / "out").posterior["x"].load()


def test_a_full_disk_keeps_what_is_written(tmp_path, monkeypatch):
    whole, _ = drive(tmp_path / "whole")
    monkeypatch.setattr(driver.ChunkSize, "sweeps_in", lambda pace, seconds: 1)
    replace, written = Path.replace, []

    def full(self: Path, target: Path) -> Path:
        written.append(target)
        if len(written) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ComposeError, match="No space left") as refused:
        drive(tmp_path / "out")
    assert refused.value.exit_code == 5
    monkeypatch.undo()
    kept = Run.open(tmp_path / "out")
    assert 0 < kept.draws < 40
    np.testing.assert_array_equal(kept.posterior["x"], whole.posterior["x"][:, : kept.draws])
    resumed, _ = drive(tmp_path / "out", resume=True)
    np.testing.assert_array_equal(resumed.posterior["x"], whole.posterior["x"])
