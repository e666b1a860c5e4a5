"""Whatever a user gives, the command line answers with a diagnostic, a place and an exit code, never a traceback."""

from __future__ import annotations

import random
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compose_lang.api.check import check
from compose_lang.cli import main
from compose_lang.diagnostics import ComposeError, Source
from tests.work import calls

QUICK = ("--backend", "numpy", "--chains", "2", "--warmup", "20", "--draws", "20", "--no-progress")
Compose = Callable[..., tuple[int, str]]


@pytest.fixture
def compose(monkeypatch: Any, capsys: Any, tmp_path: Path) -> Compose:
    """Write a program into an empty folder and run a verb on it: the exit code and all that was printed."""
    monkeypatch.chdir(tmp_path)

    def call(verb: str, program: str, *flags: str) -> tuple[int, str]:
        Path("p.cg").write_text(program, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["compose", verb, "p.cg", *flags])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err and "bug in Compose" not in shown.err
        return int(end.value.code or 0), shown.out + shown.err

    return call


CHECKED = {
    "syntax": ("var x real", 1, "CG0101", "p.cg:1:7"),
    "unknown name": ("var mu: real ~ Normal(0, 1)\nmuu ~ Normal(0, 1)", 1, "CG0201", "did you mean `mu`"),
    "type": ('var x: real ~ Normal("a", 1)', 1, "CG0204", "not text"),
    "another language's type": ("var v: vector[3]", 1, "CG0205", "real[3]"),
    "missing file": ('data y: real[_] = read("no.csv", "y")\ny ~ Normal(0, 1)', 1, "CG0302", "no file no.csv"),
    "improper": ("var x: real", 1, "CG0402", "give it a distribution"),
    "false": ("var x: real ~ Normal(0, 1)\nrequire 1 > 2", 4, "CG0503", "p.cg:2:9"),
    "observed": ("var x: positive ~ Gamma(1, 1)\nobserve x = -1", 1, "CG0504", "-1 is not positive"),
    "scalar data": ("data s: positive = -1\nvar x: real ~ Normal(0, s)", 1, "CG0304", "-1 is not positive"),
    "method": ("var z: bool ~ Bernoulli(0.5)\ninfer z by nuts", 1, "CG0601", "gibbs"),
    "huge plate": ("var x: real ~ Normal(0, 1)\nfor i in range(10^12) { x ~ Normal(0, 1) }", 5, "CG0801", "1e+12"),
    "huge variable": ("var x: real[10^12] ~ Normal(0, 1)", 5, "CG0801", "1e+12"),
    "huge array": ("let a = zeros(10^12)", 5, "CG0801", "1e+12"),
    "deep": ("let a = " + "(" * 5000 + "1" + ")" * 5000, 1, "CG0104", "p.cg:1"),
    "applies itself": ("factor F(x: real) { F(x |) }\nvar x: real ~ F", 5, "CG0801", "applies itself"),
    "each other": (
        "factor F(x: real) { G(x |) }\nfactor G(x: real) { F(x |) }\nvar x: real ~ F",
        5,
        "CG0801",
        "applies itself",
    ),
    "a step too far": (
        "let s[0] = 1; let r[t] = s[t-1] for t in range(2, 5); let r[0] = 1; let r[1] = 2",
        1,
        "CG0207",
        "out of range",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKED)
def test_check_says_what_is_wrong(compose: Compose, name: str) -> None:
    program, code, diagnostic, part = CHECKED[name]
    found: list[tuple[int, str]] = []
    compose("check", "")  # what is imported on the way
    tracemalloc.start()
    try:
        work = calls(lambda: found.append(compose("check", program)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ended, shown = found[0]
    assert ended == code and f"error[{diagnostic}]" in shown and part in shown, shown
    assert work < 10**6 and most < 10**8  # nothing large is made before it is refused


def test_an_empty_recurrence_is_an_empty_array() -> None:
    assert check(Source("<t>", "for t in range(1, 0) { let u[t] = v[t - 1]; let v[t] = u[t] + 1 }")) == []


def test_a_mismatch_is_shown_as_the_language_says(compose: Compose) -> None:
    Path("effect.csv").write_text("effect\n" + "1\n" * 8)
    Path("schools.csv").write_text("stderr\n" + "1\n" * 7)
    program = (
        'data y: real[_] = read("effect.csv", "effect")\ndata sigma: positive[_] = read("schools.csv", "stderr")\n'
        "var theta: real[len(y)] ~ Normal(0, 1)\ny ~ Normal(theta, sigma)"
    )
    code, shown = compose("check", program)
    assert code == 1
    assert shown.startswith(
        "error[CG0203]: shapes do not match: theta is real[8], but sigma is positive[7]\n"
        "  --> p.cg:4:12\n   |\n 4 | y ~ Normal(theta, sigma)\n"
        "   |            ^^^^^  ^^^^^ real[8] against positive[7]\n"
        '   = help: sigma was read from schools.csv, column "stderr": 7 rows\n'
    )


@pytest.mark.parametrize(
    ("content", "code", "part"),
    [
        ("", "CG0306", "y.csv is empty"),
        ("y,z\n1,2\n3\n", "CG0306", "row 2"),
        ("y\n1\nnan\n", "CG0305", "row 2"),
        ("y\n1\n-3\n", "CG0304", "row 2: -3 is not positive"),
        ("x\n1\n", "CG0303", 'no column "y"'),
    ],
)
def test_faults_of_a_data_file(compose: Compose, content: str, code: str, part: str) -> None:
    Path("y.csv").write_text(content)
    ended, shown = compose("run", 'data y: positive[_] = read("y.csv", "y")\ny ~ Gamma(1, 1)', *QUICK)
    assert ended == 1 and f"error[{code}]" in shown and part in shown


def test_data_without_a_value(compose: Compose) -> None:
    program = "data y: real[_]\nvar m: real ~ Normal(0, 1)\ny ~ Normal(m, 1)\n"
    ended, shown = compose("check", program)
    assert ended == 0 and "note[CG0301]" in shown
    ended, shown = compose("check", program + 'm ~ Normal("a", 1)\n')
    assert ended == 1 and "error[CG0204]" in shown
    ended, shown = compose("run", program, *QUICK)
    assert ended == 1 and "error[CG0301]" in shown and "--data y=FILE" in shown


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("var a: int(0, 1)[3]\nrequire all_different(a)", "`all_different(a)` leaves no value for `a[0]`"),
        (
            "var b: bool[3]\nrequire sum(b) >= 2\nrequire sum(b) <= 1",
            "`sum(b) >= 2` cannot hold together with",
        ),
        ('var x: real(0, 1)\nrequire "far": x % 1 > 2', "`far` still fails"),
    ],
)
def test_constraints_that_nothing_satisfies(compose: Compose, program: str, told: str) -> None:
    ended, shown = compose("run", program, *QUICK)
    assert ended == 4 and "error[CG0502]" in shown and told in " ".join(shown.split())


def test_an_energy_that_is_no_number_names_its_factor(compose: Compose) -> None:
    ended, shown = compose("run", "var x: real(-2, -1)\nenergy log(x)", *QUICK)
    assert ended == 1 and "error[CG0701]" in shown and "p.cg:2:1" in shown


def test_an_unwritable_folder(compose: Compose) -> None:
    Path("taken").write_text("a file")
    ended, shown = compose("run", "var x: real ~ Normal(0, 1)", *QUICK, "--out", "taken")
    assert ended != 0 and "error[CG0707]" in shown


# --- broken programs ------------------------------------------------------------------------------------

HERE = Path(__file__).parent
FOLDERS = ("golden/good", "golden/syntax", "posteriordb")
GOOD = sorted(path for folder in FOLDERS for path in (HERE / folder).glob("*.cg"))
GOOD += sorted((HERE.parent / "examples").rglob("*.cg"))
TOKEN = re.compile(r"\w+|[^\w\s]+|\s+")


def mutant(text: str, others: str, chance: random.Random) -> str:
    """A program with a few tokens dropped, doubled, swapped or taken from another program."""
    tokens, foreign = TOKEN.findall(text) or [" "], TOKEN.findall(others) or [" "]
    for _ in range(chance.randint(1, 4)):
        at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        match chance.randrange(5):
            case 0:
                tokens[at] = ""
            case 1:
                tokens.insert(at, tokens[other])
            case 2:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] = chance.choice(foreign)
            case 4:
                tokens[at] = chance.choice(
                    ["0", "-1", "[]", "none", "x", '"a"', "Normal", "1e400", "inf", "true"]
                )
    return "".join(tokens)


def broken(start: int, count: int) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in GOOD}
    for seed in range(start, start + count):
        chance = random.Random(seed)
        path, other = chance.choice(GOOD), chance.choice(GOOD)
        text = mutant(texts[path], texts[other], chance)
        try:
            check(Source(str(path), text))
        except ComposeError as escaped:
            raise AssertionError(f"seed {seed}: {escaped}") from None
        except Exception as bug:
            raise AssertionError(f"seed {seed}, from {path.name}: {bug!r}\n{text}") from bug


def test_broken_programs_never_break_the_checker() -> None:
    broken(0, 300)


if __name__ == "__main__":  # thousands by hand: python -m tests.test_bad_input START COUNT
    broken(int(sys.argv[1]), int(sys.argv[2]))
