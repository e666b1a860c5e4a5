"""Samplers of discrete variables on tasks like those of DISCS (Goshvadi et al., NeurIPS 2023), at equal energy calls.

`python -m benchmarks.discs [TASK]` draws from four models at CPU size by six methods and writes `discs.json`: the
effective draws of the slowest of some random projections for 1,000 energy calls, and for a second. Calls are counted as
that benchmark counts them, the model a black box: one for a proposal of a random walk at one site, one for each other
value of a site that Gibbs weighs, one for an energy with its gradient. `planned` is what Compose does by itself; it
evaluates only the factors around a site, or sums variables out, and is counted by how often it evaluates all factors.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

import compose_lang as cg

RESULTS = Path(__file__).with_suffix(".json")
MOVES = 10
PROJECTIONS = 6
SETTINGS: dict[str, Any] = {"seed": 0, "chains": 8, "warmup": 400, "draws": 600}
METHODS = {
    "random walk": "mh",
    "blocked Gibbs": "gibbs",
    "gradients, one site": f'gwg(propose="site", moves={MOVES})',
    "Langevin": f'gwg(propose="langevin", moves={MOVES})',
    "path": f'gwg(propose="path", moves={MOVES})',
    "planned": None,
}

INDEPENDENT = """
data edges: int(0, {n} - 1)[_, 2]
var x: bool[{n}]
for i in range({n}) {{ energy -2.5 * x[i] }}
for (i, j) in edges {{ energy 2.6 * x[i] * x[j] }}
"""
CUT = """
data edges: int(0, {n} - 1)[_, 2]
var x: spin[{n}]
for (i, j) in edges {{ energy 0.35 * x[i] * x[j] }}
"""
BOLTZMANN = """
data W: real[_, {n}]
data b: real[{n}]
data c: real[_]
var x: bool[{n}]
energy -sum(softplus(c + W @ x)) - sum(b * x)
"""
FACTORIAL = """
data y: real[{n}]
data w: real[{k}]
var x: bool[{n}, {k}]
for t in range({n}), j in range({k}) {{ energy if x[t, j] then 1.0 else 0.2 }}
for t in range({n} - 1), j in range({k}) {{ energy if x[t, j] == x[t + 1, j] then 0.2 else 1.7 }}
for t in range({n}) {{ energy 0.5 * ((y[t] - sum(w * x[t])) / 1.0)^2 }}
"""


@dataclass(frozen=True)
class Task:
    """A program with its data; `share`: factors that a sweep of single sites evaluates, over how many there are.

    exact: the entries of all joint tables of an elimination, over how many factors there are.
    """

    text: str
    data: dict[str, Any]
    sites: int
    share: float
    exact: float = float("nan")


def tasks() -> dict[str, Task]:
    """The four models."""
    rng = np.random.default_rng(0)
    graph = np.array(nx.gnp_random_graph(200, 0.03, seed=1).edges)
    cut = np.array(nx.gnp_random_graph(150, 0.05, seed=2).edges)
    n, hidden = 100, 40
    # strong and sparse weights: each hidden unit ties some visible ones together
    weights = rng.normal(0.0, 1.5, (hidden, n)) * (rng.random((hidden, n)) < 0.1)
    boltzmann = {"W": weights, "b": rng.normal(0.0, 0.5, n), "c": rng.normal(0.0, 0.5, hidden)}
    length, chains = 60, 5
    w = np.linspace(0.6, 1.6, chains)
    hidden_chains = np.cumsum(rng.random((length, chains)) < 0.1, axis=0) % 2
    y = hidden_chains @ w + rng.normal(0.0, 1.0, length)
    elimination = length * chains * 2.0 ** (chains + 1) / (length * chains + (length - 1) * chains + length)
    pairs = 4.0  # both values of both ends of a factor over two
    return {
        "independent set": Task(INDEPENDENT.format(n=200), {"edges": graph}, 200, pairs),
        "max cut": Task(CUT.format(n=150), {"edges": cut}, 150, pairs),
        "Boltzmann machine": Task(BOLTZMANN.format(n=n), boltzmann, n, 2.0 * n),
        "factorial chain": Task(
            FACTORIAL.format(n=length, k=chains),
            {"y": y, "w": w},
            length * chains,
            2.0 * chains,
            elimination,
        ),
    }


def calls(method: str, task: Task, run: Any) -> float:
    """Energy calls of a sweep."""
    kernels = [block["kernel"] for block in run.manifest.plan]
    if kernels == ["gwg"]:
        return MOVES + 1
    if kernels == ["exact"]:
        return task.exact
    if method == "planned":
        return task.share * len(kernels)
    return task.sites


def measured(method: str, how: str | None, task: Task) -> dict[str, Any]:
    """Effective draws of one method on one task."""
    run = cg.sample(task.text, task.data, method=how, **SETTINGS)
    x = np.asarray(run.posterior["x"]).reshape(SETTINGS["chains"], SETTINGS["draws"], -1).astype(float)
    weights = np.random.default_rng(3).choice([-1.0, 1.0], (x.shape[-1], PROJECTIONS))
    from compose_lang.runtime.results.convergence import convergence

    found = convergence(x @ weights)
    ess, sweeps = float(found.ess_bulk.min()), SETTINGS["chains"] * SETTINGS["draws"]
    return {
        "ess": round(ess, 1),
        "rhat": round(float(found.rhat.max()), 3),
        "ess per 1000 calls": round(1000 * ess / (sweeps * calls(method, task, run)), 3),
        "ess per second": round(ess / run.manifest.seconds["sample"], 1),
        "kernels": [block["kernel"] for block in run.manifest.plan],
    }


def main(wanted: list[str]) -> None:
    """Measure the tasks wanted, or all, and write the results beside this file."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, task in tasks().items():
        if wanted and name not in wanted:
            continue
        results[name] = {}
        for method, how in METHODS.items():
            results[name][method] = found = measured(method, how, task)
            print(f"{name:18} {method:20} {found}", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
