"""Section 5.3 of the paper: a learned density proposes, the rest of the energy accepts; beside other discrete samplers.

    python -m benchmarks.composition.learned_proposal      # two minutes; writes learned_proposal.json

The program is `examples/learned_proposal/walk.cg`, sampled by its own proposal, by Gibbs, and by single-site
Metropolis–Hastings. Exact marginals are summed over all 6⁶ walks. ESS is the least over sites and values.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import compose_lang as cg
from compose_lang.runtime.results.convergence import ess_bulk
from compose_lang.validation.enumeration import enumerate_states

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples/learned_proposal/walk.cg"
RESULTS = Path(__file__).with_suffix(".json")
METHODS = {"a learned proposal": None, "gibbs": "gibbs", "mh, site by site": "mh"}


def sampled(
    model: cg.Model, exact: np.ndarray, method: str | None, chains: int, draws: int
) -> dict[str, float]:
    """How well and how fast a method samples the walk; exact: probabilities (sites, values)."""
    began = perf_counter()
    run = model.sample(seed=1, chains=chains, draws=draws, warmup=200, method=method)
    seconds = perf_counter() - began
    walks = np.asarray(run.posterior["w"])
    hits = (walks[..., None] == np.arange(exact.shape[1])).reshape((*walks.shape[:2], -1)).astype(float)
    ess = ess_bulk(hits)
    off = np.abs(hits.mean((0, 1)) - exact.reshape(-1)) / np.sqrt(exact * (1 - exact)).reshape(-1)
    found = {
        "ess a thousand draws": 1000 * float(ess.min()) / (chains * draws),
        "largest error of a marginal": float(np.abs(hits.mean((0, 1)) - exact.reshape(-1)).max()),
        "the same in standard errors": float((off * np.sqrt(ess)).max()),
        "seconds": seconds,
    }
    statistics = run.sample_stats
    if "acceptance_rate" in statistics:
        found["acceptance"] = float(np.asarray(statistics["acceptance_rate"]).mean())
    return found


def compared(model: cg.Model, chains: int, draws: int) -> dict[str, dict[str, float]]:
    exact = enumerate_states(model.program.graph).marginals["w"]
    return {name: sampled(model, exact, method, chains, draws) for name, method in METHODS.items()}


def main() -> None:
    data: dict[str, Any] = dict(np.load(PROGRAM.parent / "walks.npz"))
    found = compared(cg.compile(PROGRAM.read_text(encoding="utf-8"), data=data), chains=16, draws=2000)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
