"""What is right for each program: `python -m benchmarks.composed.answers [NAME…]` writes `answers.json`.

Each answer comes from the program's meaning written again in NumPy (`objects.py`, `paths.py`, `mixtures.py`,
`posteriors.py`), summed over a grid or over independent weighted draws. `check` holds the energies written by hand
against those of the compiled programs, at random points.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import compose_lang as cg
from benchmarks.composed import mixtures, objects, paths, posteriors
from benchmarks.composed.truth import Truth

PROGRAMS = Path(__file__).parent / "programs"
ANSWERS = Path(__file__).with_name("answers.json")
TRUTHS: dict[str, Callable[[], Truth]] = {
    **objects.TRUTHS,
    **paths.TRUTHS,
    **mixtures.TRUTHS,
    **posteriors.TRUTHS,
}
MOST_ERROR = 0.003  #: of an answer, in units of the quantity's sd


def check(name: str, points: int = 12, seed: int = 0) -> float:
    """How far the two energies differ at random points, but for a constant, in nats; infinities must agree."""
    truth, model = TRUTHS[name](), cg.compile(PROGRAMS / f"{name}.cg")
    rng = np.random.default_rng(seed)
    values, _ = truth.draw(rng, 100_000)
    with np.errstate(all="ignore"):
        ours = truth.energy(values)
    finite, broken = np.flatnonzero(np.isfinite(ours)), np.flatnonzero(~np.isfinite(ours))
    chosen = np.concatenate([rng.choice(finite, points), broken[:3]])
    theirs = np.array([model.energy({k: v[i] for k, v in values.items()}) for i in chosen])
    if (np.isfinite(theirs) != np.isfinite(ours[chosen])).any():
        return float("inf")
    apart = theirs[:points] - ours[chosen[:points]]
    return float(np.ptp(apart) / (1 + np.abs(theirs[:points]).max()))


def main(wanted: list[str]) -> None:
    """Compute the answers wanted, or all, and write them beside this file."""
    answers = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
    for name in wanted or sorted(TRUTHS):
        began = time.perf_counter()
        apart = check(name)
        if not apart < 1e-9:
            raise SystemExit(f"{name}: the energies differ by {apart}")
        answers[name] = found = TRUTHS[name]().moments()
        worst = max(max(m["mean_error"], m["sd_error"]) / m["sd"] for m in found.values())
        print(f"{name:22} error {worst:.4f} sd, {time.perf_counter() - began:.0f} s", flush=True)
        if worst > MOST_ERROR:
            raise SystemExit(f"{name}: an answer is not known well enough")
        rounded = {q: {k: float(f"{v:.7g}") for k, v in m.items()} for q, m in found.items()}
        answers[name] = rounded
        ANSWERS.write_text(json.dumps(dict(sorted(answers.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
