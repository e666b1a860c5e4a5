"""`compose new` and `compose examples`: something that runs, to begin with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from compose_lang.diagnostics import ComposeError, Diagnostic, did_you_mean

PROGRAM = """\
# Does the dose change the response? Data beside the program, a line, and how far the points are from it.
data dose: real[_] = read("measured.csv", "dose")
data response: real[_] = read("measured.csv", "response")

var slope: real ~ Normal(0, 5)
var level: real ~ Normal(0, 5)
var sigma: positive ~ HalfNormal(2)

response ~ Normal(level + slope * dose, sigma)
let at_10 = level + slope * 10
"""
MEASURED = "dose,response\n1,2.1\n2,2.9\n3,4.2\n4,4.8\n5,6.1\n6,6.8\n"
README = """\
A first Compose program.

    compose run first.cg        # draws, and a summary
    compose explain first.cg    # how it is sampled, and why
    compose repl first.cg       # try things
"""


def new(folder: Path) -> list[Path]:
    """Write a small program with its data into a new or empty folder; a ComposeError where it holds something."""
    name = f"{folder.name}.cg" if folder.name.isidentifier() else "first.cg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            text = f"{folder} is not empty"
            raise ComposeError(Diagnostic("CG0707", text, help="name a new folder"), exit_code=2)
        made = []
        contents = {name: PROGRAM, "measured.csv": MEASURED, "README.md": README.replace("first.cg", name)}
        for each, content in contents.items():
            (folder / each).write_text(content, encoding="utf-8")
            made.append(folder / each)
    except OSError as problem:
        text = f"{folder} cannot be written: {problem.strerror or problem}"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None
    return made


def library() -> Path:
    """Where the examples are: in an installed package, or beside the source."""
    inside = Path(str(files("compose_lang"))) / "examples"
    return inside if inside.is_dir() else Path(str(files("compose_lang"))).parent / "examples"


def examples() -> Iterator[tuple[str, str]]:
    """Each example's name, and the first line of its first program."""
    for folder in sorted(p for p in library().iterdir() if p.is_dir()):
        programs = sorted(folder.glob("*.cg"))
        if programs:
            first = programs[0].read_text(encoding="utf-8").splitlines()[0]
            yield folder.name, first.lstrip("# ")


def copy_example(name: str, target: Path) -> Path:
    """Copy an example out; a ComposeError where there is none of that name, or something is in the way."""
    known = [each for each, _ in examples()]
    if name not in known:
        help = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise ComposeError(Diagnostic("CG0302", f"there is no example `{name}`", help=help), exit_code=2)
    if target.exists():
        text = f"{target} exists"
        raise ComposeError(
            Diagnostic("CG0707", text, help=f"compose examples {name} OTHER_FOLDER"), exit_code=2
        )
    try:
        shutil.copytree(library() / name, target, ignore=shutil.ignore_patterns("*.out", "__pycache__"))
    except OSError as problem:
        text = f"{target} cannot be written: {problem}"
        raise ComposeError(Diagnostic("CG0707", text), exit_code=2) from None
    return target
