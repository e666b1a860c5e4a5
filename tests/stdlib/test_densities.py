"""The standard library's densities: energy, gradient, normalisation and draws each against a reference."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case

import compose_lang as cg

STDLIB = Path(cg.__file__).parent / "stdlib"
SOURCES = [(STDLIB / name).read_text(encoding="utf-8") for name in ("distributions.cg", "discrete.cg")]
EXAMPLES = [
    found
    for text in SOURCES
    for found in re.findall(r"^# example: (\w+)\((.*) \| (.*)\) -> (.*)$", text, re.M)
]
BY_NAME = {case.name: case for case in CASES}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def declared() -> list[str]:
    return [name for text in SOURCES for name in re.findall(r"^density (\w+)", text, re.M)]


def program(case: Case) -> str:
    """The density with its inputs as data."""
    names = [f"input_{name}" for name in case.inputs]
    data = [f"data {name}: {type}" for name, type in zip(names, case.inputs.values(), strict=True)]
    return "\n".join([*data, f"var x: {case.subject} ~ {case.name}({', '.join(names)})"])


def bound(case: Case, setting: tuple[Any, ...]) -> dict[str, Any]:
    return {f"input_{name}": value for name, value in zip(case.inputs, setting, strict=True)}


def test_every_density_has_a_case_and_an_example():
    assert sorted(declared()) == sorted(BY_NAME) == sorted(name for name, *_ in EXAMPLES)


@every_case
def test_energy_is_the_reference(case: Case):
    for setting in case.settings:
        model = cg.compile(program(case), data=bound(case, setting))
        for x in case.xs:
            with np.errstate(all="ignore"):
                expected = -float(case.reference(x, *setting))
            assert model.energy({"x": x}) == pytest.approx(expected, rel=1e-10, abs=1e-10), (x, setting)


@pytest.mark.parametrize(("name", "subject", "inputs", "energy"), EXAMPLES, ids=lambda text: text[:24])
def test_the_example_in_the_comment_is_right(name: str, subject: str, inputs: str, energy: str):
    text = f"var u: unit\ndata x: {BY_NAME[name].subject} = {subject}\nx ~ {name}({inputs})"
    assert cg.compile(text).energy({"u": 0.5}) == pytest.approx(float(energy), rel=1e-11)


def nodes(support: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Double-exponential quadrature (Takahasi and Mori 1974): points, and logs of their weights."""
    t = np.linspace(-4.2, 4.2, 2001)
    inner, slope = 0.5 * math.pi * np.sinh(t), 0.5 * math.pi * np.cosh(t)
    low, high = support
    if math.isinf(low):
        x, weight = np.sinh(inner), slope * np.cosh(inner)
    elif math.isinf(high):
        x, weight = low + np.exp(inner), slope * np.exp(inner)
    else:
        x, weight = (
            low + (high - low) / (1 + np.exp(-2 * inner)),
            0.5 * (high - low) * slope / np.cosh(inner) ** 2,
        )
    kept = (x > low) & (x < high) & (np.abs(x) < 1e100)
    return x[kept], np.log(weight[kept] * (t[1] - t[0]))


@pytest.mark.parametrize(
    "case", [c for c in CASES if "(3)" not in c.subject and "[2]" not in c.subject], ids=lambda c: c.name
)
def test_weights_sum_to_one(case: Case):
    """By quadrature or summation, within a program: an energy that is the log of the sum of weights."""
    setting = case.settings[0]
    if case.is_discrete:
        top = {"bool": 2, "int(-5, 9)": 10}.get(case.subject, 400)
        x, log_weights = np.arange(top), np.zeros(top)
    else:
        x, log_weights = nodes(case.support)
    text = f"""
    var u: unit
    {chr(10).join(program(case).split(chr(10))[:-1])}
    data points: {case.subject}[_]
    data log_weights: real[_]
    energy logsumexp(log_weights[i] + log_weight({case.name}(points[i] | {", ".join(bound(case, setting))}))
                     for i in range(len(points)))
    """
    data = {**bound(case, setting), "points": x, "log_weights": log_weights}
    assert cg.compile(text, data=data).energy({"u": 0.5}) == pytest.approx(0, abs=1e-5)
