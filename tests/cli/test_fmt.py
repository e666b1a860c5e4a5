"""`compose fmt` on files, folders and standard input."""

from __future__ import annotations

import io
import os
from pathlib import Path

UGLY = "var x:real~Normal( 0,1 )  # a note\n"
PRETTY = "var x: real ~ Normal(0, 1)  # a note\n"


def test_a_file_is_rewritten_once(compose):
    Path("a.cg").write_text(UGLY)
    Path("a.cg").chmod(0o640)
    done = compose("fmt", "a.cg")
    assert (done.code, done.out) == (0, "a.cg\n")
    assert Path("a.cg").read_text() == PRETTY
    assert Path("a.cg").stat().st_mode & 0o777 == 0o640
    os.utime("a.cg", (1, 1))
    assert compose("fmt", "a.cg").out == ""
    assert Path("a.cg").stat().st_mtime == 1
    assert sorted(p.name for p in Path().iterdir()) == ["a.cg", "mixed.cg"]


def test_check_and_diff_write_nothing(compose):
    Path("a.cg").write_text(UGLY)
    done = compose("fmt", "--check", "a.cg")
    assert (done.code, done.out) == (1, "a.cg\n")
    done = compose("fmt", "--diff", "a.cg")
    assert done.code == 0
    assert f"-{UGLY}+{PRETTY}" in done.out
    assert Path("a.cg").read_text() == UGLY
    assert compose("fmt", "--check", "mixed.cg").code == 0
    assert compose("fmt", "--check", "a.cg", "--json").document == {"changed": ["a.cg"], "diagnostics": []}


def test_line_ends_and_byte_order_mark(compose):
    Path("a.cg").write_bytes(b"\xef\xbb\xbf" + PRETTY.replace("\n", "\r\n").encode())
    assert compose("fmt", "a.cg").out == "a.cg\n"
    assert Path("a.cg").read_bytes() == PRETTY.encode()


def test_folders_and_links(compose):
    Path("below").mkdir()
    Path("below/a.cg").write_text(UGLY)
    Path("link.cg").symlink_to("below/a.cg")
    assert compose("fmt", "link.cg").code == 0
    assert Path("link.cg").is_symlink()
    assert Path("below/a.cg").read_text() == PRETTY
    Path("below/a.cg").write_text(UGLY)
    assert compose("fmt", ".").out.splitlines() == ["below/a.cg", "link.cg"][:1]


def test_a_mistake_leaves_the_file_and_formats_the_others(compose):
    Path("bad.cg").write_text("var x: real ~ Normal(0,\n")
    Path("good.cg").write_text(UGLY)
    done = compose("fmt", "bad.cg", "good.cg")
    assert done.code == 1
    assert "CG0101" in done.err
    assert Path("bad.cg").read_text() == "var x: real ~ Normal(0,\n"
    assert Path("good.cg").read_text() == PRETTY
    assert compose("fmt", "nowhere.cg").code == 1


def test_standard_input(compose, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(UGLY))
    done = compose("fmt", "-")
    assert (done.code, done.out) == (0, PRETTY)
