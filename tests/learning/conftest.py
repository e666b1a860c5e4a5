"""Small parts to learn, and a cache of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port
from compose_lang.compiler.ir.types import REAL, Domain, Type
from compose_lang.discovery import LEARNERS


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """The user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compose_lang" / "learned"


def part_of(
    method: str, home: Path | None = None, rows: int = 200, seed: int = 0, **options: Any
) -> LearnedFactor:
    """A part over three choices (or a point) whose data depend on an input that may be left out."""
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 2, rows)
    finite = "finite" in LEARNERS[method].domains
    x = (rng.random((rows, 3)) < 0.2 + 0.5 * k[:, None]).astype(int) if finite else rng.normal(k, 0.3, rows)
    subject = Port("x", Type(Domain("bool"), (3,)) if finite else Type(REAL))
    given = Port("k", Type(Domain("bool")), True)
    net = Net("mlp", (4,)) if LEARNERS[method].net else None
    chosen = {**LEARNERS[method].options, **options}
    return LearnedFactor("P", method, (subject,), (given,), net, chosen, {"x": x, "k": k}, None, home=home)
