"""Some of the programs of `tests.fuzzing`; ten thousand of each kind by hand."""

from __future__ import annotations

import pytest

from compose_lang.diagnostics import InternalError
from tests import fuzzing as fuzz

COUNTS = {"tree": 120, "scoped": 80, "grammar": 150, "mutation": 150}


@pytest.mark.parametrize("kind", fuzz.SOURCES)
def test_only_diagnostics_come_out(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = sorted(fuzz.fuzz(kind, 0, COUNTS[kind]))
    assert work[int(0.99 * len(work))] < fuzz.MOST


def test_what_breaks_is_caught(tmp_path, monkeypatch):
    """Planted: a stage that raises, and a printer that loses a statement."""
    monkeypatch.chdir(tmp_path)

    def broken(*_):
        raise InternalError("planted")

    monkeypatch.setattr(fuzz, "dump_stage", broken)
    with pytest.raises(AssertionError, match="planted"):
        fuzz.fuzz("scoped", 0, 20)
    assert (tmp_path / "fuzz_failure.cg").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzz, "print_module", lambda tree: "")
    with pytest.raises(AssertionError, match="another"):
        fuzz.fuzz("mutation", 0, 40)
