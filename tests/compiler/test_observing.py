"""What `observe` fixes: elements, slices, in loops and under conditions that are known at compile time."""

from __future__ import annotations

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import ComposeError, Source

X = "var x: real[2, 3] ~ Normal(0, 1)\n"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("observe x = 1", [[1, 1, 1], [1, 1, 1]]),
        ("observe x[0] = [1, 2, 3]", [[1, 2, 3], [None] * 3]),
        ("observe x[:, 1] = [4, 5]", [[None, 4, None], [None, 5, None]]),
        ("for i in range(2) { observe x[i, i] = 10 + i }", [[10, None, None], [None, 11, None]]),
        ("for i in range(2) { observe x[i] = [i, 2, 3] }", [[0, 2, 3], [1, 2, 3]]),
        ("for i in range(2), j in range(3) if i != j { observe x[i, j] = j }", [[None, 1, 2], [0, None, 2]]),
        ("for i in range(2), j in range(i + 1) { observe x[i, j] = 7 }", [[7, None, None], [7, 7, None]]),
        ("for i in range(2) { if i == 1 { observe x[i, 0] = 3 } else { observe x[i, 2] = 4 } }",
         [[None, None, 4], [3, None, None]]),
        ("const on = true; if on { observe x[0, 0] = 1 } else { observe x[1, 1] = 2 }",
         [[1, None, None], [None] * 3]),
        ("for i in range(2) { let k = i + 1; let m = x[0, k]; m ~ Normal(0, 1); observe x[i, k] = k }",
         [[None, 1, None], [None, None, 2]]),
        ("for i in range(0) { observe x[i, i] = 1 }", [[None] * 3, [None] * 3]),
    ],
)  # fmt: skip
def test_it_fixes_what_it_says(program, expected):
    (x,) = cg.compile(X + program).program.graph.variables
    fixed = np.array(expected, dtype=float)
    np.testing.assert_array_equal(x.free, np.isnan(fixed))
    np.testing.assert_array_equal(np.where(x.free, np.nan, x.observed), fixed)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("for i in range(2) { observe x[i, 0] = 1 }\nobserve x[1] = 0", "CG0202"),
        ("for i in range(2) { observe x[0, 0] = i }", "CG0202"),
        ("for i in range(3) { observe x[i, 0] = 1 }", "CG0207"),
        ("for i in range(2) { observe x[i] = [1, 2] }", "CG0203"),
        ("for i in range(2) { observe x[i, 0] = x[0, 1] }", "CG0208"),
        ("var z: bool; if z { observe x[0, 0] = 1 }", "CG0208"),
        ("var p: positive; for i in range(2) { observe p = i - 1 }", "CG0504"),
        ("for i in range(2) { observe y[i] = 1 }", "CG0201"),
        ("factor F(a: real) { observe a = 1; energy a^2 }\nx ~ F", "CG0209"),
    ],
)
def test_what_it_cannot_fix_is_told(program, code):
    with pytest.raises(ComposeError) as told:
        compile_program(Source("<test>", X + program))
    assert [d.code for d in told.value.diagnostics] == [code]


def test_a_program_that_observes_may_be_a_factor_in_a_plate(tmp_path):
    (tmp_path / "part.cg").write_text(
        "data k: real\nvar x: real[3] ~ Normal(0, 1)\nvar y: real ~ Normal(x[0], 1)\n"
        "observe x[2] = 7\nfor i in range(2) if i > 0 { observe x[i] = i + 1 }\ny ~ Normal(k, 1)\n"
    )
    whole = tmp_path / "whole.cg"
    whole.write_text(
        'use "part.cg" as part\nvar z: bool[2]\nvar y: real[2]\n'
        "for i in range(2) { if z[i] { part.Main(y=y[i] | k=i) } else { y[i] ~ Normal(0, 1) } }\n"
    )
    (x,) = [v for v in cg.compile(whole).program.graph.variables if v.name.endswith("x")]
    np.testing.assert_array_equal(x.free, [[True, False, False]] * 2)
    np.testing.assert_array_equal(x.observed[:, 1:], [[2, 7]] * 2)
    wrong = tmp_path / "wrong.cg"
    (tmp_path / "part.cg").write_text(
        "data k: real\nvar x: real ~ Normal(0, 1)\nvar y: real\nobserve x = k\ny ~ Normal(x, 1)\n"
    )
    wrong.write_text('use "part.cg" as part\nvar y: real[2]\nfor i in range(2) { part.Main(y=y[i] | k=i) }\n')
    with pytest.raises(ComposeError) as told:
        cg.compile(wrong)
    assert told.value.diagnostics[0].code == "CG0208"
