"""`compose repl` in a pseudo-terminal, as a user drives it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from pexpect import fdpexpect

PATIENCE = 180  #: seconds, on a machine with other work
ENTER, UP, CTRL_C, CTRL_D, TAB = "\r", "\x1b[A", "\x03", "\x04", "\t"


class Terminal:
    """A session's terminal: what is typed, and what is waited for."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        code = "from compose_lang.cli import main; main()"
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = os.environ | {
            "TERM": "xterm", "XDG_STATE_HOME": str(folder / "state"), "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1",
        }  # fmt: skip
        # opened by the session's leader, so that it is the terminal that Ctrl-C interrupts
        tty = shlex.quote(os.ttyname(slave))
        command = shlex.join([sys.executable, "-c", code, "repl", "--no-progress", *arguments])
        self.process = subprocess.Popen(
            ["sh", "-c", f"exec {command} <{tty} >{tty} 2>&1"],
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self.child = fdpexpect.fdspawn(self.master, encoding="utf-8", timeout=PATIENCE)
        self.slave = slave

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def ends(self) -> None:
        """Wait for the session to end by itself."""
        assert self.process.wait(timeout=PATIENCE) == 0

    def sees(self, text: str) -> str:
        """Wait for a text; returns what came before it."""
        self.child.expect(re.escape(text))
        return self.child.before

    def types(self, text: str) -> None:
        self.child.send(text)

    def at_prompt(self, number: int) -> None:
        self.sees(f"[{number}]>")


@pytest.fixture
def terminal(tmp_path):
    """Opens terminals, and closes them at the end."""
    opened: list[Terminal] = []

    def make(*arguments: str) -> Terminal:
        opened.append(Terminal(tmp_path, *arguments))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_a_session(terminal, tmp_path):
    t = terminal()
    t.sees("Compose.")
    t.at_prompt(1)
    t.types("var x: real ~ Normal(7, 1)" + ENTER)
    t.at_prompt(2)
    t.types("let y = zz" + ENTER)  # a mistake
    t.sees("unknown name `zz`")
    t.at_prompt(2)
    t.types("let y = x + 1" + ENTER)
    t.at_prompt(3)
    t.types("for i in range(2) {" + ENTER)  # several lines
    t.sees("...")
    t.types("prefer x > i" + ENTER)
    t.sees("...")
    t.types("\b\b}" + ENTER)
    t.at_prompt(4)
    t.types("let y = x + 2" + ENTER)  # redefined
    t.at_prompt(5)
    t.types(":cells" + ENTER)
    assert "x + 1" not in t.sees("let y = x + 2")
    t.at_prompt(5)
    t.types("2 * 21" + ENTER)
    t.sees("42")
    t.at_prompt(5)
    t.types(UP)  # history
    t.sees("21")  # its parts are coloured each by itself
    t.types(" + 1" + ENTER)
    t.sees("43")
    t.at_prompt(5)
    t.types("z ~ Cauch" + TAB)  # completion
    t.sees("y")
    t.types(CTRL_C)
    t.at_prompt(5)
    t.types(":sample draws=50 warmup=50 chains=2 backend=numpy" + ENTER)
    t.sees("rhat")
    t.at_prompt(5)
    t.types(":plot x" + ENTER)
    t.sees("▔▔▔")
    t.at_prompt(5)
    t.types(":undo" + ENTER)
    t.sees("undone")
    t.at_prompt(5)
    t.types(":save kept.cg" + ENTER)
    t.sees("kept.cg")  # which what is typed shows already: the next answer comes after it
    t.types("100 + 11" + ENTER)
    t.sees("111")
    t.at_prompt(5)
    t.types(CTRL_D)
    t.ends()
    kept = (tmp_path / "kept.cg").read_text()
    assert "let y = x + 1" in kept and "for i in range(2)" in kept
    assert "2 * 21" in (tmp_path / "state/compose/history").read_text()


def test_ctrl_c_stops_the_sampler_and_not_the_session(terminal, tmp_path):
    (tmp_path / "p.cg").write_text("var x: real ~ Normal(0, 1)\n")
    t = terminal("p.cg")
    t.at_prompt(2)
    t.types("1 + 1" + ENTER)
    t.sees("2")
    t.at_prompt(2)
    t.types(":sample draws=100000000 warmup=10 chains=1 backend=numpy" + ENTER)
    t.sees("numpy")
    time.sleep(3)  # let it draw
    t.types(CTRL_C)
    t.at_prompt(2)
    t.types("3 + 4" + ENTER)
    t.sees("7")
    t.types(":quit" + ENTER)
    t.ends()
