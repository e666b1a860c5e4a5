"""A factor whose gradient is no number is named where it keeps chains from moving."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.slopes import undefined_slopes

TEXT = "var x: real ~ Normal(0, 1)\nvar y: real ~ Normal(0, 1)\nenergy sqrt(abs(x * 0)) + y^2"


def told(share: float) -> list[str]:
    draws = np.random.default_rng(1).normal(size=(2, 100))
    run = SimpleNamespace(
        columns=(Column("x", Type(REAL)), Column("y", Type(REAL))),
        values=lambda _: draws,
        statistics={"diverging": np.arange(200).reshape(2, 100) < 200 * share},
        manifest=SimpleNamespace(settings={"backend": "torch"}),
    )
    return [d.message for d in undefined_slopes(run, compile_program(Source("<text>", TEXT)).graph)]


def test_the_factor_is_named() -> None:
    (message,) = told(1.0)
    assert message.endswith("they do not move: `energy sqrt(abs(x * 0)) + y^2`")
    assert told(0.1) == []
