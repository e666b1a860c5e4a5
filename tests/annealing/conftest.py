"""Programs whose learned diffusions are known exactly, and their truth on a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.learned.learners import diffusion

from .exact_diffusion import LEARNER, SD

ROWS = {"A": [-1.0, 1.0, 1.2], "C": [-1.1, -0.9, 0.8]}
GRID = np.linspace(-5.0, 5.0, 20_001)

PROGRAM = """
data a: real[_] = [-1, 1, 1.2]
data c: real[_] = [-1.1, -0.9, 0.8]
density A(x: real) = learn diffusion(x=a{options})
density C(x: real) = learn diffusion(x=c{options})
"""


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """`learn diffusion` knows its density, and keeps nothing outside the test."""
    monkeypatch.setattr(diffusion, "LEARNER", LEARNER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield


def program(statements: str, form: str = "energy") -> str:
    return PROGRAM.format(options="" if form == "energy" else ', form="score"') + statements


def weight(name: str, x: np.ndarray = GRID) -> np.ndarray:
    """The exact density of A or C with the noise of the last level."""
    rows = np.array(ROWS[name])
    variance = SD**2 + (0.01 * rows.std()) ** 2
    return np.exp(-0.5 * (x[..., None] - rows) ** 2 / variance).mean(-1) / np.sqrt(2 * np.pi * variance)


def populations(text: str, count: int = 16, particles: int = 400, **settings: Any) -> Any:
    return cg.sample(text, seed=3, chains=count, draws=particles, **settings)


def z_score(draws: np.ndarray, of: Callable[[np.ndarray], np.ndarray], truth: float) -> float:
    """How many standard errors the mean over populations (count, particles) is from the truth; the error is theirs."""
    means = of(draws).mean(1)
    return float((means.mean() - truth) / (means.std(ddof=1) / np.sqrt(len(means))))


MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "right": lambda x: (x > 0.0).astype(float),
    "mean": lambda x: x,
    "square": lambda x: x * x,
    "tail": lambda x: (np.abs(x) > 1.15).astype(float),
}


def worst(draws: np.ndarray, weights: np.ndarray) -> float:
    """The largest |z| of some measures against unnormalised weights on the grid."""
    share = weights / weights.sum()
    return max(abs(z_score(draws, of, float((of(GRID) * share).sum()))) for of in MEASURES.values())
