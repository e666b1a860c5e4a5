"""`compose learn`, and what the other verbs do with learned factors."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.runtime.learning import trainer
from compose_lang.runtime.results.run import Run
from tests.cli.conftest import COMMAND

PROGRAM = """\
data flips: bool[6] = [true, true, false, true, false, true]
density Coin(x: bool) = learn autoregressive(x=flips, net=mlp(4), steps=3)
density Die(x: int(1, 6)) = learn categorical(x=[1, 2, 3, 6, 6, 6])
var x: bool ~ Coin
"""
RUN = ("--backend", "numpy", "--chains", "1", "--warmup", "5", "--draws", "20")


@pytest.fixture
def learned(compose, monkeypatch, tmp_path):
    """A folder with a program that learns."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("coin.cg").write_text(PROGRAM)
    return compose


def test_learns_all_that_is_declared_and_shows_it(learned):
    result = learned("learn", "coin.cg")
    assert result.code == 0
    head, coin, die = result.out.splitlines()
    assert head.split() == ["part", "method", "net", "rows", "steps", "held-out", "learned", "weights"]
    assert coin.split()[:5] == ["Coin", "autoregressive", "mlp(4)", "6", "3"] and "coin.learned/Coin-" in coin
    assert die.split()[:3] == ["Die", "categorical", "6"]
    assert "learning Coin: 3 steps" in result.err and "learned Coin in" in result.err
    again = learned("learn", "coin.cg")
    assert "learned Coin in" not in again.err and "Coin was learned before" in again.err
    assert "before" in again.out


def test_as_json(learned):
    result = learned("learn", "coin.cg", "--json")
    document = result.document
    assert list(document) == ["program", "parts", "diagnostics"]
    coin, die = document["parts"]
    assert (coin["name"], coin["how"], coin["net"], coin["rows"], coin["steps"]) == (
        "Coin",
        "learned",
        "mlp(4)",
        6,
        3,
    )
    assert coin["held_out"] > 0 and coin["seconds"] > 0 and Path(coin["weights"]).exists()
    assert (die["held_out"], die["steps"], die["net"]) == (None, None, None)
    assert [p["how"] for p in learned("learn", "coin.cg", "--json").document["parts"]] == ["kept", "kept"]
    Path("bad.cg").write_text("density P(x: real) = learn diffusion(y=[1, 2])\n")
    result = learned("learn", "bad.cg", "--json")
    assert result.code == 1 and [d["code"] for d in result.document["diagnostics"]] == ["CG0206"]


def test_writes_weights_where_load_finds_them(learned):
    result = learned("learn", "coin.cg", "--out", "parts")
    assert result.code == 0 and {f.name for f in Path("parts").iterdir()} == {
        "Coin.safetensors",
        "Die.safetensors",
    }
    Path("other.cg").write_text('density C(x: bool) = load("parts/Coin.safetensors")\nvar x: bool ~ C\n')
    assert learned("check", "other.cg").code == 0
    assert "C is loaded" in learned("learn", "other.cg").err
    assert learned("run", "other.cg", *RUN).code == 0
    Path("one.cg").write_text(PROGRAM.replace("density Die", "# density Die"))
    assert learned("learn", "one.cg", "--out", "coin.safetensors").code == 0
    assert Path("coin.safetensors").exists()


@pytest.mark.parametrize("out", ["all.safetensors", "weights.pt", "coin.cg/inside"])
def test_where_weights_cannot_be_written(learned, out):
    """Said before anything is learned."""
    result = learned("learn", "coin.cg", "--out", out)
    assert result.code == 2 and "CG0707" in result.err and not Path("coin.learned").exists()


def test_nothing_to_learn(learned):
    result = learned("learn", "mixed.cg")
    assert result.code == 1 and "CG0604" in result.err


def test_a_run_learns_first_and_reports_it(learned):
    result = learned("run", "coin.cg", "--json", *RUN)
    assert "learned Coin in" in result.err
    assert [(p["name"], p["how"]) for p in result.document["learned"]] == [("Coin", "learned")]
    assert set(Run.open("coin.out").manifest.data) >= {"flips", "Coin (weights)"}
    assert "learned Coin" not in learned("run", "coin.cg", *RUN).err
    assert "Coin was learned before" in learned("run", "coin.cg", "-v", *RUN).err


def test_other_weights_make_another_run(learned):
    learned("learn", "coin.cg", "--out", ".")
    Path("other.cg").write_text('density C(x: bool) = load("Coin.safetensors")\nvar x: bool ~ C\n')
    assert learned("run", "other.cg", *RUN).code == 0
    Path("coin.cg").write_text(PROGRAM.replace("steps=3", "steps=4"))
    learned("learn", "coin.cg", "--out", ".")
    result = learned("run", "other.cg", "--resume", *RUN)
    assert result.code != 0 and "CG0708" in result.err and "`C (weights)` has changed" in result.err


def test_other_verbs_say_what_will_be_learned_and_learn_nothing(learned, monkeypatch):
    def refuse(self: trainer.Trainer, part: LearnedFactor) -> None:
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(trainer.Trainer, "__init__", refuse)
    for verb in (["check"], ["graph"], ["fmt", "--check"]):
        assert learned(*verb, "coin.cg").code == 0
    text = learned("explain", "coin.cg").out
    assert "Coin: autoregressive, mlp(4), 3 steps on 6 rows, to be learned by the first run" in text
    assert "Die: categorical, 6 rows, to be learned" in text
    states = [p["state"] for p in learned("explain", "coin.cg", "--json").document["learned"]]
    assert states == ["new", "new"]
    monkeypatch.undo()


def test_explain_says_where_weights_are(learned):
    learned("learn", "coin.cg")
    assert "learned already: coin.learned/Coin-" in learned("explain", "coin.cg").out


LONG = """\
data xs: real[6] = [0.1, 0.4, -0.3, 1.2, 0.8, -0.9]
density P(x: real) = learn diffusion(x=xs, net=mlp(8), steps=1_000_000, form="score")
var x: real ~ P
"""


@pytest.mark.parametrize("verb", [["learn"], pytest.param(["run"], marks=pytest.mark.slow)], ids=" ".join)
def test_ctrl_c_keeps_what_was_learned(learned, verb):
    Path("long.cg").write_text(LONG)
    process = subprocess.Popen(
        [*COMMAND, *verb, "long.cg", "-v", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "P: step" not in (line := process.stderr.readline()) or " 0," in line:
        assert process.poll() is None, line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (
        "of 1,000,000 steps" in err
        and "the same command goes on from there" in err
        and "Traceback" not in err
    )
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["CG0706"]
    assert "its training was cut short" in learned("explain", "long.cg").out


def test_a_bar_where_somebody_sees_it(learned):
    Path("long.cg").write_text(LONG)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "learn", "long.cg"],
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "140", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = ""
    while "held-out" not in shown:
        shown += os.read(ours, 4096).decode(errors="replace")
    assert "learning P" in shown and "steps/s, loss" in shown and "/1000000" in shown
    process.send_signal(signal.SIGINT)
    with suppress(OSError):  # the terminal goes with its last user
        while text := os.read(ours, 4096).decode(errors="replace"):
            shown += text
    os.close(ours)
    assert process.wait(timeout=120) == 130 and "CG0706" in shown
