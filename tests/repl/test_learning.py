"""Learned factors in a session: a cell trains when it is drawn from, once; Ctrl-C ends the training only."""

from __future__ import annotations

import pytest

from compose_lang.diagnostics import ComposeError
from compose_lang.repl.commands import Repl
from compose_lang.runtime.learning import obtain
from compose_lang.runtime.learning.loop import Stopped
from compose_lang.runtime.learning.trainer import Trainer

CELL = """\
data flips: bool[6] = [true, true, false, true, false, true]
density Coin(x: bool) = learn autoregressive(x=flips, net=mlp(4), steps=3)
"""


@pytest.fixture
def repl(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Repl()


def test_a_cell_is_learned_once(repl, capsys, monkeypatch):
    begun = []
    before = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, *given: begun.append(self) or before(self, *given))
    repl.enter(CELL)
    repl.enter("var x: bool ~ Coin")
    repl.line(":explain")
    assert not begun and "to be learned by the first run" in capsys.readouterr().out
    repl.line(":sample draws=20 chains=1 warmup=5 backend=numpy")
    assert "learned Coin in" in capsys.readouterr().err
    repl.enter("let y = not x")
    repl.line(":learn")
    assert "before" in capsys.readouterr().out
    assert len(begun) == 1


def test_ctrl_c_ends_the_training_and_not_the_session(repl, monkeypatch):
    def stopped(self: Trainer, *given: object) -> None:
        raise Stopped(self.start(), 0)

    repl.enter(CELL)
    repl.enter("var x: bool ~ Coin")
    with monkeypatch.context() as patch:
        patch.setattr(obtain.Trainer, "run", stopped)
        with pytest.raises(ComposeError) as wrong:
            repl.line(":learn")
    assert [d.code for d in wrong.value.diagnostics] == ["CG0706"]
    repl.line(":learn")  # goes on


def test_nothing_to_learn(repl):
    with pytest.raises(ComposeError, match="nothing to learn"):
        repl.line(":learn")
