"""`compose verify` on the command line."""

from __future__ import annotations

from pathlib import Path

SMALL = "var x: bool[2]\nenergy -x[0] * x[1]\n"
WRONG = """
density Wide(x: real | m: real) {
  energy 0.5 * (x - m)^2
  draw m + 2 * std_normal()
}
data y: real[3] = [1, 2, 3]
var mu: real ~ Normal(0, 3)
y ~ Wide(mu)
"""
QUICK = ("--chains", "2", "--warmup", "200", "--draws", "200")


def test_a_small_program_passes(compose):
    Path("small.cg").write_text(SMALL)
    done = compose("verify", "small.cg", "--json", *QUICK)
    assert done.code == 0
    assert done.document["passed"]
    assert done.document["method"] == "enumeration"
    assert done.document["log_evidence"]["value"] > 1.38
    assert compose("verify", "small.cg", *QUICK).out.count("x[") == 4


def test_a_wrong_draw_fails(compose):
    Path("wrong.cg").write_text(WRONG)
    done = compose("verify", "wrong.cg", "--replicates", "60", *QUICK)
    assert done.code == 3
    assert "failed" in done.out
    assert "mu" in done.out


def test_a_program_that_cannot_be_drawn(compose):
    Path("loose.cg").write_text("var x: real[3] ~ Normal(0, 1)\nenergy x[0]\n")
    done = compose("verify", "loose.cg", *QUICK)
    assert done.code == 1
    assert "CG0605" in done.err
