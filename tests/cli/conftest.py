"""Runs the command in this process (imports are paid once) or in one of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compose_lang.cli import main

COMMAND = [sys.executable, "-c", "from compose_lang.cli import main; main()"]

MIXED = """\
const n = 6
data y: real[3] = [0.2, -0.1, 0.4]
var s: spin[n]
var x: real ~ Normal(0, 1)
for (i, j) in chain(n) { energy -0.5 * s[i] * s[j] }
energy -0.3 * x * s[0]
y ~ Normal(x, 1)
let m = mean(s)
"""
QUICK = ("--backend", "numpy", "--chains", "2", "--warmup", "10", "--draws", "20")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; anything else there fails."""
        return json.loads(self.out)


@pytest.fixture
def compose(monkeypatch, capsys, tmp_path) -> Callable[..., Result]:
    """Call `compose` with arguments in an empty folder that holds `mixed.cg`."""
    monkeypatch.chdir(tmp_path)
    Path("mixed.cg").write_text(MIXED)

    def call(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["compose", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        streams = capsys.readouterr()
        return Result(int(code or 0), streams.out, streams.err)

    return call
