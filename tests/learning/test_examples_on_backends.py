"""Every example that learns or loads, on both backends with the same weights: the same within Monte-Carlo error."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.results.convergence import mcse_mean

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = {"seed": 1, "chains": 1, "draws": 60, "warmup": 60}
QUICK = {"tables/factored.cg"}


def learns(program: Path) -> bool:
    """Whether a program learns or loads, and draws."""
    text = program.read_text(encoding="utf-8")
    return (
        re.search(r"=\s*(learn|load)\b", text) is not None
        and re.search(r"^var\b", text, re.MULTILINE) is not None
    )


LEARNED = [str(p.relative_to(EXAMPLES)) for p in sorted(EXAMPLES.glob("*/*.cg")) if learns(p)]


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether means of draws (chain, draw, element), and of their squares, differ by 5 standard errors at most."""
    one, other = (np.concatenate([x, x * x], axis=2) for x in (one, other))
    error = np.hypot(mcse_mean(one), mcse_mean(other))
    apart = np.abs(one.mean((0, 1)) - other.mean((0, 1)))
    return bool((apart <= 5 * np.where(np.isfinite(error), error, 0.0) + 1e-6).all())


def test_there_are_such_examples():
    assert set(LEARNED) > QUICK and len(LEARNED) >= 12


@pytest.mark.parametrize(
    "program", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in LEARNED]
)
def test_an_example_says_the_same_on_both_backends(program: str, tmp_path: Path):
    folder = tmp_path / "example"
    shutil.copytree((EXAMPLES / program).parent, folder, ignore=shutil.ignore_patterns("*.learned"))
    path = folder / Path(program).name
    constants = {"steps": 100} if "const steps" in path.read_text(encoding="utf-8") else {}
    found = {}
    for backend in ("jax", "torch"):  # the second finds what the first has learned
        run = cg.compile(path, constants=constants).sample(backend=backend, **FEW)
        drawn = [
            np.asarray(x, dtype=float).reshape(1, run.draws, -1) for x in run.posterior.data_vars.values()
        ]
        found[backend] = np.concatenate(drawn, axis=2)
    assert agree(found["jax"], found["torch"])


def test_draws_that_are_elsewhere_do_not_agree():
    x = np.random.default_rng(0).standard_normal((1, 200, 3))
    assert agree(x, x) and agree(x, x[:, ::-1])
    assert not agree(x, x + np.array([0, 0.9, 0])) and not agree(x, 2 * x)
