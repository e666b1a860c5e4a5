"""`compose run`: what it prints where, what it writes, how it ends."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from compose_lang.runtime.chains import driver
from compose_lang.runtime.results.run import Run
from tests.cli.conftest import COMMAND, MIXED, QUICK

FIELDS = [
    "program", "seed", "backend", "draws", "chains", "plan", "summary", "log_evidence", "diagnostics", "seconds",
    "out",
]  # fmt: skip
PLAIN = "var x: real ~ Normal(0, 1)\n"


def test_prints_seed_and_plan_then_a_summary_and_where_the_draws_are(compose):
    result = compose("run", "mixed.cg", *QUICK)
    assert result.code == 0
    assert result.err.index("seed 0: 2 chains of 20 draws") < result.err.index("exact draws s exactly")
    assert "compose export mixed.out" in result.err
    assert "s[5]" in result.out and "central 90 %" in result.out
    assert "seed" not in result.out
    assert Run.open("mixed.out").posterior["s"].shape == (2, 20, 6)


def test_json_is_all_that_standard_output_gets(compose):
    result = compose("run", "mixed.cg", "--json", *QUICK)
    document = result.document
    assert list(document) == FIELDS
    assert document["program"] == "mixed.cg" and document["out"] == "mixed.out"
    assert document["draws"] == 20 and document["chains"] == 2 and document["backend"] == "numpy"
    assert [set(block) for block in document["plan"]] == [{"variables", "kernel", "exact", "why"}] * 2
    assert list(document["summary"]) == [*(f"s[{i}]" for i in range(6)), "x", "m"]
    assert sum(document["summary"]["s[0]"]["p"].values()) == pytest.approx(1)
    assert set(document["seconds"]) == {"compile", "warmup", "sample"}
    for found in document["diagnostics"]:
        assert set(found) == {
            "code", "severity", "message", "file", "line", "column", "end_line", "end_column", "help",
        }  # fmt: skip
    assert json.loads(Path("mixed.out/summary.json").read_text()) == document


def test_a_failing_run_prints_the_document_too(compose):
    Path("bad.cg").write_text("var x: real ~ Norml(0, 1)\n")
    result = compose("run", "bad.cg", "--json")
    assert result.code == 1
    assert list(result.document) == FIELDS
    (found,) = result.document["diagnostics"]
    assert (found["code"], found["file"], found["line"], found["column"]) == ("CG0201", "bad.cg", 1, 15)
    assert not Path("bad.out").exists()


def test_quiet_leaves_the_result(compose):
    result = compose("run", "mixed.cg", "-q", *QUICK)
    assert result.err == "" and "s[0]" in result.out


def test_no_bar_where_nobody_sees_it(compose):
    assert "sweeps/s" not in compose("run", "mixed.cg", *QUICK).err


def test_flags_beat_the_program_which_beats_the_environment_which_beats_defaults(compose, monkeypatch):
    Path("program.cg").write_text(PLAIN + "infer by auto(chains=3, draws=12)\n")
    monkeypatch.setenv("COMPOSE_DRAWS", "99")
    monkeypatch.setenv("COMPOSE_WARMUP", "7")
    monkeypatch.setenv("COMPOSE_BACKEND", "numpy")
    compose("run", "program.cg", "--chains", "2")
    settings = Run.open("program.out").manifest.settings
    assert (settings["chains"], settings["draws"], settings["warmup"], settings["seed"]) == (2, 12, 7, 0)


def test_constants_and_data_from_outside(compose):
    Path("given.cg").write_text("const n = 2\ndata y: real[_]\nvar x: real[n] ~ Normal(mean(y), 1)\n")
    Path("all.json").write_text(json.dumps({"y": [1, 2, 3], "unused": "text"}))
    Path("y.csv").write_text("a,b\n5,6\n7,8\n")
    assert compose("run", "given.cg", *QUICK).code == 1
    result = compose("run", "given.cg", "--data", "all.json", "--set", "n=3", "--json", *QUICK)
    assert list(result.document["summary"]) == ["x[0]", "x[1]", "x[2]"]
    result = compose("run", "given.cg", "--data", "y=y.csv:b", "--json", *QUICK)
    assert Run.open("given.out").folder.data()["constant_data.y"].tolist() == [6, 8]


@pytest.mark.parametrize(
    "flags",
    [
        ["--chains", "0"], ["--draws", "many"], ["--unknown"], ["--backend", "abacus"], ["--precision", "int8"],
        ["--data", "y"], ["--data", "z=y.csv"], ["--set", "n"], ["--method", "hmc("], ["--keep", "nothing"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_in_2(compose, flags):
    result = compose("run", "mixed.cg", *flags)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_a_method_that_cannot_serve(compose):
    result = compose("run", "mixed.cg", "--method", "gibbs", "--backend", "numpy")
    assert result.code == 1 and "CG0601" in result.err


def test_strict_ends_in_3_where_the_draws_have_faults(compose):
    assert compose("run", "mixed.cg", *QUICK).code == 0
    result = compose("run", "mixed.cg", "--strict", *QUICK)
    assert result.code == 3 and "CG0703" in result.err


def test_no_point_satisfies_the_constraints(compose):
    Path("none.cg").write_text("var a: int(0, 3)\nvar b: int(0, 3)\nrequire (a + b) % 8 == 7\n")
    result = compose("run", "none.cg", *QUICK)
    assert result.code == 4 and "CG0502" in result.err


@pytest.mark.parametrize("program", ["", "var x: real ~ Normal(0, 1)\nobserve x = 0.5\n"])
def test_nothing_to_sample(compose, program):
    Path("none.cg").write_text(program)
    result = compose("run", "none.cg", *QUICK)
    assert result.code == 1 and "CG0604" in result.err


def test_an_unwritable_folder_is_refused_before_sampling(compose):
    Path("precious").mkdir()
    Path("precious/thesis.tex").write_text("years of work")
    result = compose("run", "mixed.cg", "--out", "precious", *QUICK)
    assert result.code == 2 and "CG0707" in result.err
    assert [file.name for file in Path("precious").iterdir()] == ["thesis.tex"]


def test_thin_and_keep(compose):
    compose("run", "mixed.cg", *QUICK, "--out", "whole")
    compose("run", "mixed.cg", *QUICK, "--out", "some", "--keep", "m, x", "--thin", "4", "--draws", "5")
    whole, some = Run.open("whole").posterior, Run.open("some").posterior
    assert set(some) == {"m", "x"}
    np.testing.assert_array_equal(some["m"], whole["m"][:, 3::4])


def test_time_limit_ends_in_5_and_resumes(compose, monkeypatch):
    monkeypatch.setattr(driver.ChunkSize, "sweeps_in", lambda pace, seconds: 1)
    compose("run", "mixed.cg", *QUICK, "--out", "whole")
    with monkeypatch.context() as here:
        here.setattr(driver, "monotonic", itertools.count().__next__)  # a second each time it is asked
        result = compose("run", "mixed.cg", *QUICK, "--seed", "0", "--time-limit", "50")
    assert result.code == 5 and "CG0802" in result.err
    # seed, draws and the others are those of the run that is resumed
    assert compose("run", "mixed.cg", "--resume").code == 0
    np.testing.assert_array_equal(Run.open("mixed.out").posterior["s"], Run.open("whole").posterior["s"])


def test_resume_of_another_program_says_what_differs(compose):
    compose("run", "mixed.cg", *QUICK)
    Path("mixed.cg").write_text(MIXED + "prefer x > 0\n")
    result = compose("run", "mixed.cg", "--resume", *QUICK)
    assert result.code == 1 and "the program has changed" in result.err
    result = compose("run", "mixed.cg", "--resume", "--seed", "1", *QUICK)
    assert "seed was 0, is 1" in result.err


def test_resume_where_nothing_is_begins(compose):
    assert compose("run", "mixed.cg", "--resume", *QUICK).code == 0


def test_our_own_bug_is_a_short_report(compose, monkeypatch):
    def broken(*arguments: object) -> None:
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr("compose_lang.runtime.planning.plan.plan", broken)
    result = compose("run", "mixed.cg", "--json")
    assert result.code == 70
    assert "bug in Compose" in result.err and "Traceback" not in result.err
    assert "a wheel came off" in result.document["error"]
    assert "Traceback" in compose("run", "mixed.cg", "--debug").err


LONG = ["--backend", "numpy", "--chains", "2", "--warmup", "100", "--draws", "3000"]


def test_ctrl_c_ends_in_130_and_resumes(tmp_path):
    (tmp_path / "mixed.cg").write_text(MIXED)
    command = [*COMMAND, "run", "mixed.cg", *LONG]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        while not list(tmp_path.glob("mixed.out/chunks/*-draw-*.safetensors")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert "CG0706" in err and "--resume" in err
    assert "s[0]" in out
    run = Run.open(tmp_path / "mixed.out")
    assert run.manifest.status == "interrupted" and 0 < run.draws < 3000


@pytest.mark.slow
def test_a_program_killed_twenty_times_resumes_to_the_same_draws(tmp_path):
    """Each process has its own order of sets and its own chunks: neither may show."""
    (tmp_path / "mixed.cg").write_text(MIXED)
    whole = [*COMMAND, "run", "mixed.cg", *LONG, "--out", "whole"]
    subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True)
    command = [*COMMAND, "run", "mixed.cg", *LONG, "--resume"]
    clock, kills = random.Random(3), 0
    while kills < 20:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
        )
        time.sleep(clock.uniform(0.5, 3.0))
        process.kill()
        kills += process.wait() == -signal.SIGKILL or 20
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    killed, expected = Run.open(tmp_path / "mixed.out"), Run.open(tmp_path / "whole")
    for name in expected.posterior:
        np.testing.assert_array_equal(killed.posterior[name], expected.posterior[name], err_msg=name)
