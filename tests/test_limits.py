"""What is far too large, too deep or not a program is told in bounded work and memory, in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.work import calls

CALLS, BYTES = 5 * 10**7, 3 * 2**30

COUNTED = """
import atexit, cProfile
from compose_lang.cli import main

profile = cProfile.Profile()

def told():
    profile.disable()
    open("work", "w").write(str(sum(entry.callcount for entry in profile.getstats())))

atexit.register(told)
profile.enable()
main()
"""

TEXTS = {
    "parentheses": ("let a = " + "(" * 10_000 + "1" + ")" * 10_000, 1, "CG0104"),
    "brackets": ("let a = " + "[" * 10_000 + "1" + "]" * 10_000, 1, "CG0104"),
    "blocks": ("if true { " * 10_000 + "let a = 1" + "}" * 10_000, 1, "CG0104"),
    "signs": ("let a = " + "-" * 10_000 + "1", 1, "CG0104"),
    "nots": ("require " + "not " * 10_000 + "true", 1, "CG0104"),
    "powers": ("let a = " + "2^" * 10_000 + "1", 1, "CG0104"),
    "a long sum": ("var x: real ~ Normal(0, 1)\nlet a = " + "x + " * 20_000 + "x", 1, "CG0104"),
    "open parentheses": ("(" * 1_000_000, 1, "CG01"),
    "a comment of 10 MB": ("# " + "a" * 10_000_000 + "\nlet a = b", 5, "CG0801"),
    "a line of 10 MB": ("let a = " + "a" * 10_000_000, 5, "CG0801"),
    "a name of 10,000 letters": ("let a = " + "a" * 10_000, 1, "CG0201"),
    "a text of 10 MB": ('let a = "' + "a" * 10_000_000 + '" + b', 5, "CG0801"),
    "a NUL": ("let a = 1\0", 1, "CG0106"),
    "a huge number": ("let a = 10^10^10\nvar x: real[a]", 1, "CG0"),
    "a plate of 10^12": ("var x: real ~ Normal(0, 1)\nfor i in range(10^12) { x ~ Normal(i, 1) }", 5, "CG0801"),
    "a plate of plates": (
        "var x: real ~ Normal(0, 1)\nfor i in range(10^6), j in range(10^6) { x ~ Normal(i + j, 1) }", 5, "CG0801"
    ),
    "an array of 10^12": ("var x: real[10^6, 10^6] ~ Normal(0, 1)", 5, "CG0801"),
    "a sum of 10^12": ("var x: real ~ Normal(0, 1)\nlet a = sum(i * x for i in range(10^12))", 5, "CG0801"),
    "a recurrence of 10^12": ("let s[0] = 1.0\nlet s[t] = s[t - 1] for t in range(1, 10^12)", 5, "CG0801"),
    "a step of 0": ("let a = sum(i for i in range(0, 10, 0))", 1, "CG0"),
    "a factor of itself": ("factor F(x: real) { F(x |) }\nvar x: real ~ F", 5, "CG0801"),
    "functions of each other": (
        "fn f(x: real) -> real = g(x)\nfn g(x: real) -> real = f(x)\nlet a = f(1)", 5, "CG0801"
    ),
    "a doubling of functions": (
        "fn f0(x: real) -> real = x\n"
        + "".join(f"fn f{i}(x: real) -> real = f{i - 1}(x) + f{i - 1}(x)\n" for i in range(1, 40))
        + "var x: real ~ Normal(f39(1), 1)", 5, "CG0801"
    ),
    "links in a circle": ('use "p.cg" as p', 1, "CG0214"),
    "a path above": ('data y: real[_] = read("../../../etc/hosts", "y")', 1, "CG0308"),
    "an absolute path": ('data y: real[_] = read("/etc/hosts", "y")', 1, "CG0308"),
    "a folder": ('data y: real[_] = read(".", "y")', 1, "CG030"),
}  # fmt: skip


def checked(folder: Path, program: bytes) -> tuple[int, str, int]:
    """`compose check` under a limit of memory: exit code, all it printed, functions it called."""
    (folder / "p.cg").write_bytes(program)
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, "check", "--format", "concise", "p.cg"],
        cwd=folder,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, int((folder / "work").read_text())


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize("name", TEXTS)
def test_it_is_told(name, tmp_path):
    text, code, diagnostic = TEXTS[name]
    ended, shown, work = checked(tmp_path, text.encode())
    assert ended == code, shown[-2000:]
    assert diagnostic in shown
    assert "bug in Compose" not in shown and "Traceback" not in shown
    assert len(shown) < 20_000
    assert work < CALLS


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\xff\xfel\x00e\x00t\x00", 1), (b"\x80\x81", 1), (b"let a = 1\rlet b = 2", 1), (b"", 0)],
)
def test_what_is_no_text(content, code, tmp_path):
    ended, shown, _ = checked(tmp_path, content)
    assert ended == code, shown
    assert "bug in Compose" not in shown


def test_a_program_that_is_no_file(tmp_path):
    (tmp_path / "folder.cg").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from compose_lang.cli import main; main()", "check", "folder.cg", "no.cg", "/dev/null"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.count("CG0302") == 2


def thousands(lines: int) -> dict[str, str]:
    """Programs of three kinds, of so many lines each."""
    return {
        "scalars": "".join(f"var x{i}: real ~ Normal({f'x{i - 1}' if i else 0}, 1)\n" for i in range(lines)),
        "factors": "".join(
            f"factor F{i}(x: real | k: positive = 1) {{\n  let u = x * k\n  energy u^2\n}}\nvar y{i}: real ~ F{i}(2)\n"
            for i in range(lines // 5)
        ),
        "lets": "var x: real ~ Normal(0, 1)\n"
        + "".join(f"let a{i} = {f'a{i - 1}' if i else 'x'} + {i}\n" for i in range(lines - 1)),
    }


#: functions called for a line, of which a million took a second where this was written: 2,730, 750 and 780 were
A_LINE = {"scalars": 3500, "factors": 1000, "lets": 1000}


@pytest.mark.parametrize("kind", A_LINE)
def test_a_check_takes_so_much_work_for_a_line(kind, tmp_path):
    """However many lines there are: a thousand are checked within seconds, which `benchmarks/check_time.py` takes."""
    from compose_lang.api.check import check

    def work(lines: int) -> int:
        path = tmp_path / "p.cg"
        path.write_text(thousands(lines)[kind])
        return calls(lambda: found.extend(d for d in check(path) if d.severity == "error"))

    found: list[object] = []
    work(10)  # reads the standard library
    few, many = work(100), work(500)
    assert found == []
    assert many < 5.25 * few
    assert many < 500 * A_LINE[kind]
