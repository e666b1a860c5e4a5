"""Exact inference beside its peers: marginals of a chain, log Z of Ising lattices, a mixture with its sum and without.

`python -m benchmarks.exact [--peers PYTHON]` prints the numbers and writes them beside itself (exact.json). PYTHON is
an interpreter that has pgmpy and PGMax; without it they are left out. All runs alternate; seconds are
medians. pgmpy takes minutes for each.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent
STEPS, STATES, REPEATS = 1000, 16, 3
CHAIN = """
const K = 16
data single: real[_, K]
data pairs: real[_, K, K]
var z: category(K)[len(single)]
for t in range(len(single)) { energy single[t, z[t]] }
for t in range(len(pairs)) { energy pairs[t, z[t], z[t + 1]] }
"""
ISING = "const n = 12\nvar s: spin[n, n]\nfor (p, q) in grid(n, n) { energy -0.4406868 * s[p] * s[q] }"
MIXTURE = """
data y: real[_]
var mu: ordered(2) ~ Normal(0, 5)
var z: category(2)[len(y)]
for i in range(len(y)) { z[i] ~ Categorical([0.4, 0.6]); y[i] ~ Normal(mu[z[i]], 1) }
"""


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = run()
    return time.perf_counter() - began, found


def chain(peers: str | None, tools: Sequence[str]) -> dict[str, Any]:
    """Marginals of a chain: seconds of each tool, and how far the peers' marginals are from ours."""
    rng = np.random.default_rng(0)
    # like a hidden Markov model's, so that Z stays in the range of numbers: pgmpy multiplies without scaling
    jumps = rng.gamma(1.0, size=(STEPS - 1, STATES, STATES))
    data = {
        "single": 0.3 * rng.normal(size=(STEPS, STATES)),
        "pairs": -np.log(jumps / jumps.sum(axis=2, keepdims=True)),
    }
    model = cg.compile(CHAIN, data=data)
    ours: np.ndarray = model.marginals()["z"]
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {"compose": []}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.npz"
        np.savez(source, **data)
        for _ in range(REPEATS):
            seconds["compose"].append(timed(model.marginals)[0])
            for name in tools if peers else ():
                target = Path(folder) / f"{name}.npz"
                script = str(HERE / "exact_peers.py")
                subprocess.run([str(peers), script, name, str(source), str(target), "1"], check=True)
                told = np.load(target)
                seconds.setdefault(name, []).extend(told["seconds"].tolist())
                found[f"largest difference from {name}"] = float(np.abs(told["marginals"] - ours).max())
    return {"seconds": {name: median(s) for name, s in seconds.items()}, **found}


def transfer_matrix(n: int, coupling: float) -> float:
    """log Z of an open n x n Ising lattice, a site at a time."""
    spins = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    within = np.exp(coupling * (spins[:, 1:] * spins[:, :-1]).sum(axis=1))
    vector, scale = within.copy(), 0.0
    for _ in range(n - 1):
        for k in range(n):
            pair = vector.reshape(-1, 2, 2**k)
            same, other = np.exp(coupling), np.exp(-coupling)
            vector = np.stack(
                [same * pair[:, 0] + other * pair[:, 1], other * pair[:, 0] + same * pair[:, 1]], axis=1
            ).reshape(-1)
        vector = vector * within
        scale += float(np.log(vector.sum()))
        vector /= vector.sum()
    return scale + float(np.log(vector.sum()))


def lattice(n: int) -> dict[str, float]:
    """log Z of a lattice, from its text to the number."""
    seconds, value = timed(lambda: cg.compile(ISING, constants={"n": n}).log_evidence())
    truth = transfer_matrix(n, 0.4406868)
    return {"seconds": seconds, "log_z": value, "relative error": abs(value - truth) / truth}


def mixture(low: float, high: float) -> dict[str, Any]:
    """Least effective draws a second of a mixture of 200 points around two means, summed out and by Gibbs."""
    rng = np.random.default_rng(1)
    y = np.where(rng.random(200) < 0.4, low, high) + rng.normal(size=200)
    found = {}
    for name, text in (("summed out", MIXTURE), ("gibbs", MIXTURE + "infer z by gibbs")):
        model = cg.compile(text, data={"y": y})
        run = model.sample(seed=0, chains=4, draws=1000, warmup=500, keep=["mu"])
        least = min(row["ess_bulk"] for row in run.summary().values())
        seconds = run.manifest.seconds
        found[name] = {
            "ess": least, "seconds": seconds["sample"], "compile": seconds["compile"],
            "ess a second": least / seconds["sample"],
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="a Python interpreter that has pgmpy and PGMax")
    parser.add_argument("--tools", nargs="*", default=["pgmpy", "pgmax"], help="which of the two to run")
    chosen = parser.parse_args()
    results = {
        f"chain of {STEPS} steps, {STATES} states": chain(chosen.peers, chosen.tools),
        **{f"Ising {n} x {n}": lattice(n) for n in (12, 20)},
        "largest memory (GB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "mixture of 200 points, apart": mixture(-1.0, 1.2),
        "mixture of 200 points, overlapping": mixture(-0.5, 0.9),
    }
    text = json.dumps(results, indent=2)
    print(text)
    (HERE / "exact.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
