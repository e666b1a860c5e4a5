"""`check` and `explain` warn of all that `run` warns of before its first draw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compose_lang.cli import main
from compose_lang.runtime.chains.driver import Driver

PROGRAMS = {
    "solutions that no move joins": "var x: int(0, 3)[4]\nrequire sum(x) == 6\ninfer x by gibbs\n",
    "much to store": (
        "var x: real[3000] ~ Normal(0, 1)\ninfer x by mh\ninfer by auto(chains=8, draws=8000, warmup=1)\n"
    ),
    "a lint": "const unused = 3\nvar x: real ~ Normal(0, 1)\n",
    "nothing": "var s: bool[4]\nrequire sum(s) == 2\n",
}
CODES = {"solutions that no move joins": {"CG0713"}, "much to store": {"CG0801"}, "nothing": set()}


class FirstDrawError(Exception):
    """The run would draw now."""


def codes_of(
    verb: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> set[str]:
    """The codes of what a verb warns of."""
    monkeypatch.setattr("sys.argv", ["compose", *verb])
    with pytest.raises((SystemExit, FirstDrawError)):
        main()
    shown = capsys.readouterr()
    return set(re.findall(r"warning\[(CG\d{4})\]", shown.out + shown.err))


@pytest.mark.parametrize("name", PROGRAMS)
def test_check_and_explain_tell_what_run_tells(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("program.cg").write_text(PROGRAMS[name])
    told: list[str] = []

    def first_draw(self: Driver) -> None:
        raise FirstDrawError

    def recorded(*of: object) -> list[object]:
        found = ahead(*of)
        told.extend(d.code for d in found)
        return found

    from compose_lang.api import execute

    ahead = execute.warnings_ahead
    monkeypatch.setattr(execute, "warnings_ahead", recorded)
    monkeypatch.setattr(Driver, "run", first_draw)
    run = codes_of(
        ["run", "program.cg", "--backend", "numpy", "--debug", "--no-progress"], monkeypatch, capsys
    )
    run |= set(told)
    check, explain = (codes_of([verb, "program.cg"], monkeypatch, capsys) for verb in ("check", "explain"))
    assert check == explain == run
    assert run == CODES.get(name, run)
    assert run or name == "nothing"
