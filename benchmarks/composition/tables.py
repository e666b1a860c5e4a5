"""Section 2 of the paper on tables: how many samples a factored and a joint distribution need.

    python -m benchmarks.composition.tables      # under a minute; writes tables.csv and prints its means

Four variables of k values, p(a) p(b) p(c, d). Both programs of `examples/tables` learn from the same samples; the
divergence KL(truth | learned), in nats, is summed over all k⁴ states. The joint table is given the best of several
smoothings, chosen by the truth itself; the factors are smoothed by their default.
"""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import compose_lang as cg
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part
from examples.tables import truth

EXAMPLE = Path(__file__).parents[2] / "examples/tables"
RESULTS = Path(__file__).with_suffix(".csv")

VALUES = [2, 4, 6, 8]
SIZES = [30, 100, 300, 1000, 3000, 10_000]
SEEDS = range(5)
SMOOTHINGS = [0.01, 0.05, 0.5]
FIELDS = ["k", "size", "seed", "model", "kl"]


def divergence(p: NDArray[np.float64], model: cg.Model) -> float:
    """KL of the truth (k, k, k, k) from a program, over all states."""
    density = Density(model.program.graph, load_backend("numpy"), by_part(model.learn()))
    states = np.stack([g.reshape(-1) for g in np.indices(p.shape)])
    energy = np.asarray(density.energy_of_values(dict(zip(truth.NAMES, states, strict=True))))
    log_z = np.log(np.exp(-energy).sum())
    weights = p.reshape(-1)
    return float(np.sum(weights * (np.log(weights) + energy + log_z)))


def compiled(program: str, k: int, rows: dict[str, NDArray[np.int64]], **constants: float) -> cg.Model:
    """A program of the example on some samples, from its text: what it learns is not kept beside it."""
    text = (EXAMPLE / program).read_text(encoding="utf-8")
    data = {f"seen_{name}": values for name, values in rows.items()}
    return cg.compile(text, data=data, constants={"k": k, **constants})


def measured(k: int, size: int, seed: int) -> dict[str, float]:
    """KL of either program."""
    p = truth.probabilities(k, seed)
    rows = truth.samples(p, size, seed=10_000 * seed + size)
    joint = [divergence(p, compiled("joint.cg", k, rows, smoothing=s)) for s in SMOOTHINGS]
    return {"factored": divergence(p, compiled("factored.cg", k, rows)), "joint": min(joint)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, RESULTS.open("w", newline="", encoding="utf-8") as file:
        os.environ["XDG_CACHE_HOME"] = folder  # where what programs without a file learn is kept
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for k in VALUES:
            for size in SIZES:
                found = [measured(k, size, seed) for seed in SEEDS]
                for seed, kl in zip(SEEDS, found, strict=True):
                    writer.writerows([k, size, seed, model, f"{value:.5f}"] for model, value in kl.items())
                means = {m: np.mean([f[m] for f in found]) for m in ("factored", "joint")}
                ahead = sum(f["factored"] < f["joint"] for f in found)
                print(f"k = {k}, {size:6,} samples: factored {means['factored']:.4f} nats, joint "
                      f"{means['joint']:.4f}; factored is nearer in {ahead} of {len(found)}")  # fmt: skip


if __name__ == "__main__":
    main()
