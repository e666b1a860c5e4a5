"""A mixture's parts that no draw is near are named with their weight, and those that data speak against are not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.unvisited import unvisited

THREE = "var x: real[3]\n0.5 * Normal(x | -8, 1) + 0.3 * Normal(x | 8, 0.5) + 0.2 * Normal(x | 40, 2)"
AGAINST = """
var x: real
0.5 * Normal(x | -8, 1) + 0.5 * Normal(x | 8, 1)
data y: real[4] = [-8.2, -7.9, -8, -8.1]
y ~ Normal(x, 1)
"""


def told(text: str, x: np.ndarray) -> list[str]:
    """What is told of draws (chains, draws, *shape) of x."""
    columns = (Column("x", Type(REAL, x.shape[2:])),)
    run = SimpleNamespace(columns=columns, values=lambda _: x, chains=x.shape[0], draws=x.shape[1])
    return [d.message for d in unvisited(run, compile_program(Source("<text>", text)).graph)]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def test_parts_that_no_chain_found_are_named_with_their_weight() -> None:
    (message,) = told(THREE, -8 + normal(4, 500, 3))
    assert "part 2 (about 0.30), 3 (about 0.20) of the 3" in message
    some = -8 + normal(4, 500, 3)
    some[1] = 8 + 0.5 * normal(500, 3)
    (message,) = told(THREE, some)
    assert "part 3 (about 0.20) of the 3" in message
    some[2, :100] = 40 + 2 * normal(100, 3)
    assert not told(THREE, some)


def test_a_mixture_over_a_range() -> None:
    text = "var x: real\nmixture(0.25 * Normal(x | 10 * k, 0.5) for k in range(4))\nNormal(x | 5, 5)"
    (message,) = told(text, 0.5 * normal(4, 500))
    # the other factor has exp(-z^2 / 2) at 0, 10, 20, 30: 1, 1, .011, 0 of the first
    assert "part 2 (about 0.50) of the 4" in message


@pytest.mark.parametrize(
    "text", [AGAINST, "var x: real(-20, 0)\n0.5 * Normal(x | -8, 1) + 0.5 * Normal(x | 8, 1)"]
)
def test_what_the_program_speaks_against_is_not_missed(text: str) -> None:
    assert not told(text, -8 + 0.3 * normal(4, 500))
