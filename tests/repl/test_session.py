"""The session without a terminal: cells, redefinition, undo, values, and what a mistake leaves."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.diagnostics import ComposeError
from compose_lang.repl import pictures
from compose_lang.repl.commands import COMMANDS, Repl, is_expression, signature
from compose_lang.repl.prompt import candidates, script, styled_line
from compose_lang.repl.session import Session, is_complete


def session(*cells: str) -> Session:
    made = Session()
    for cell in cells:
        made.enter(cell)
    return made


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("let a = 1", True), ("var x: real ~", False), ("for i in range(3) {", False), ("f(1,\n2", False),
        ("for i in range(3) {\n energy x\n}", True), ("", True), ("let a = 1 +", False), ("# only a comment", True),
        ("let a = )", True),
    ],
)  # fmt: skip
def test_what_is_a_whole_cell(text, complete):
    assert is_complete(text) is complete


def test_a_program_grows_and_says_what_it_lacks():
    made = Session()
    assert [(d.code, d.severity) for d in made.enter("var x: real")] == [("CG0402", "note")]
    assert made.enter("x ~ Normal(0, 1)") == []
    assert [d.code for d in made.enter("data y: real[_]")] == ["CG0301"]
    made.bind({"y": [1.0, 2.0]}, {})
    assert made.enter("y ~ Normal(x, 1)") == []
    assert made.model().energy({"x": 0.0}) == pytest.approx(2.5 + 3 * 0.9189385332046727)


def test_a_declaration_takes_the_place_of_the_old_one():
    made = session("var x: real ~ Normal(0, 1)", "let y = x + 1\nlet z = 2 * y", "const n = 2")
    made.enter("let y = x + 10")
    assert made.text == "const n = 2\nvar x: real ~ Normal(0, 1)\nlet y = x + 10\nlet z = 2 * y\n"
    made.enter("var x: real[n] ~ Normal(5, 1)")
    assert made.model().program.graph.variable("x").type.shape == (2,)
    made.enter("let s[0] = 1.0\nlet s[t] = s[t - 1] / 2 for t in range(1, 3)")
    made.enter("let s[0] = 8.0")
    assert made.value("s[2]").value.item() == 2.0


def test_a_mistake_changes_nothing():
    made = session("var x: real ~ Normal(0, 1)")
    for wrong in ("let q = nope", "x ~ Norml(0, 1)", "var x real", "var x: real[3]\nrequire x > y"):
        before = (made.cells, made.text)
        with pytest.raises(ComposeError) as found:
            made.enter(wrong)
        assert (made.cells, made.text) == before
        assert found.value.diagnostics[0].span.source.name == "[2]"
    assert made.enter("let a = x") == []


def test_undo_drop_and_reset():
    made = session("var x: real ~ Normal(0, 1)", "let y = x", "let z = 1")
    with pytest.raises(ComposeError, match="CG0201"):
        made.drop(1)
    made.drop(3)
    assert "let z" not in made.text
    assert made.undo()
    assert "let z" in made.text
    made.reset()
    assert made.text == ""
    assert [made.undo() for _ in range(5)] == [True, True, True, True, False]


def test_values_and_draws():
    made = session("const n = 3", "type C = {red, green}", "var c: C", "var x: real[n] ~ Normal(100, 1)")
    assert made.value("n * 2").value.item() == 6
    assert made.value("C.green").value.item() == 1
    found = made.value("x[1] - 100")
    run = made.run
    assert found.draws.shape == (4, 500)
    assert abs(found.draws.mean()) < 0.2
    np.testing.assert_array_equal(made.value("sum(x)").draws, np.asarray(run.posterior["x"]).sum(-1))
    assert made.run is run  # not drawn anew
    made.enter("let a = 1")
    assert made.run is None
    assert set(np.unique(made.value("c == green").draws)) <= {0, 1}


def test_values_are_printed(capsys):
    repl = Repl()
    for text in ("2 * 21", "[1 > 2, true]", '"a"', '["a", "b"]', "none", "Normal(0, 1)"):
        repl.line(text)
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "42",
        "[false,  true]",
        '"a"',
        '["a", "b"]',
        "none",
        "density Normal(x: real | mu: real, sigma: positive)",
    ]


def test_expressions_and_statements():
    assert is_expression("2 + 3")
    assert is_expression("Normal(0, 1)")
    assert is_expression("x")
    assert not is_expression("x ~ Normal(0, 1)")
    assert not is_expression("Normal(x | 0, 1)")
    assert not is_expression("let a = 1")


def test_signatures():
    made = session("fn sq(a: real) -> real = a * a", "density D(x: real | m: real = 2) { x ~ Normal(m, 1) }")
    assert signature(made.value("D").value) == "density D(x: real | m: real = 2)"
    assert signature(made.value("sq").value).startswith("fn sq(a: real) -> real")
    assert signature(made.value("Normal").value) == "density Normal(x: real | mu: real, sigma: positive)"
    assert signature(made.value("exp").value) == "the function `exp`"


def completions(text: str, *cells: str) -> list[str]:
    return list(candidates(Repl(session(*cells)), text))


def test_completion():
    assert "sample" in completions(":sa")
    assert "draws=" in completions(":sample dr")
    assert completions("let a = long_n", "const long_name = 1") == ["long_name"]
    assert "Normal" in completions("x ~ Nor")
    assert "positive" in completions("var x: po")
    assert completions("y ~ Normal(si")[0] == "sigma="
    assert "let" in completions("le")
    assert completions("# Nor") == []
    assert completions('read("Nor') == []


def test_pictures():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 500))
    assert pictures.picture("x", x, None).count("\n") >= 8
    assert "red" in pictures.picture("c", (x > 0).astype(float), {"red": 0, "green": 1})
    assert pictures.picture("x", rng.normal(size=(4, 100, 3)), None).splitlines()[2].startswith("x[2]")
    assert "means from" in pictures.picture("s", rng.normal(size=(4, 10, 5, 6)), None)
    assert pictures.picture("x", np.full((2, 3), 2.0), None) == "every draw is 2"
    assert pictures.trace(x).count("\n") == 4


def test_highlighting_keeps_the_text():
    line = 'var x: real ~ Normal(0, 1.5)  # "note" ²'
    assert "".join(text for _, text in styled_line(line)) == line


def test_every_command_is_helped(capsys):
    Repl().line(":help")
    shown = capsys.readouterr().out
    assert all(command.usage in shown for command in COMMANDS.values())


def test_a_script_runs_to_its_end(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        "var x: real\n", "x ~ Normal(0,\n", "1)\n", "let q = nope\n", "1 + 1\n", ":energy x=2\n", ":save p.cg\n",
        ":save p.cg\n", ":load p.cg\n", ":cells\n", ":nope\n", "x?\n", ":graph\n", ":graph g.svg\n",
        ":explain CG0203\n", ":drop 99\n", ":undo\n",
    ]  # fmt: skip
    assert script(Repl(), lines) == 1
    shown = capsys.readouterr()
    assert "2\n2.918" in shown.out
    assert (tmp_path / "p.cg").read_text() == "var x: real\nx ~ Normal(0,\n1)\n"
    assert "exists" in shown.err
    assert "did you mean" in shown.err or "`:help`" in shown.err
    assert (tmp_path / "g.svg").exists()
    assert "Traceback" not in shown.err
