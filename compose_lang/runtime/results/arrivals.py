"""Whether populations that walked from a reference arrived together.

In: the draws of a run with each particle's ancestor and each population's estimate of the evidence. Out: a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.planning.populations import WALKERS
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.results.genealogy import LEAST_FAMILIES

MOST_SPREAD = 0.5
"""Nats, the standard deviation of the populations' log evidence: their draws are then worth less than they seem."""


def spread(run: StoredDraws) -> float:
    """The standard deviation of the populations' log evidence in nats; 0 where there are not several."""
    if run.chains < 2 or not is_walk(run):
        return 0.0
    return float(run.statistics["log_z"][:, -1].std(ddof=1))


def is_walk(run: StoredDraws) -> bool:
    """Whether a run's chains are populations that walked from a reference."""
    return bool(run.draws) and any(block["kernel"] in WALKERS for block in run.manifest.plan)


def apart(run: StoredDraws) -> Iterator[Diagnostic]:
    """CG0715 where few particles have descendants, or populations disagree."""
    if not is_walk(run):
        return
    families = min(len(np.unique(roots)) for roots in run.statistics["root"])
    said = []
    if families < min(LEAST_FAMILIES, run.draws):
        said.append(f"the particles of a population descend from {families} of the first ones")
    if spread(run) > MOST_SPREAD:
        said.append(f"their log evidences differ by {spread(run):.1f} nats (standard deviation)")
    if said:
        yield Diagnostic(
            "CG0715",
            f"the populations have not arrived together: {', and '.join(said)}",
            severity="warning",
            help="more particles, shorter stages and more moves: "
            "`infer by smc(particles=4000, share=0.8, sweeps=10)`",
        )
