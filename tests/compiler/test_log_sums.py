"""Logs of sums of exponentials become logsumexp, with the energies as they were."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.ir.node import postorder
from tests.compiler.points import density_of, graph_of

PARTS = "0.5 * exp(-0.5 * sum((x - 3)^2) / 0.01) * 1000 + exp(-0.5 * sum((x + 3)^2) / 4) / 16"
WRITTEN = f"var x: real[3]\nenergy -log({PARTS})"
LEFT = {
    "a difference": "var x: real\nenergy -log(exp(-x^2) - 0.1 * exp(-2 * x^2))",
    "one exponential": "var x: real\nenergy log(1 + exp(x))",
    "a factor that may be negative": "var x: real\nenergy -log(exp(-x^2) + x * exp(-x^2))",
}


def uses(text: str) -> bool:
    return any(n.op == "logsumexp" for n in postorder([g.energy for g in graph_of(text).groups]))


def test_energies_stay_and_are_finite_where_exponentials_are_not() -> None:
    assert uses(WRITTEN)
    density = density_of(graph_of(WRITTEN))
    x = np.array([[3.0, 3.1, 2.9], [-2.0, -3.0, -4.0], [80.0, 80.0, 80.0]])
    first = -0.5 * ((x - 3) ** 2).sum(1) / 0.01 + np.log(500)
    second = -0.5 * ((x + 3) ** 2).sum(1) / 4 - np.log(16)
    np.testing.assert_allclose(density.energy_of_values({"x": x}), -np.logaddexp(first, second))


@pytest.mark.parametrize("case", LEFT)
def test_what_is_no_such_sum_is_left(case: str) -> None:
    assert not uses(LEFT[case])
