"""The log of a program's evidence, with its error: by populations, or from the energies of all replicas.

Each population that walks from a reference estimates Z without bias; the estimates differ as they err. Of replicas,
log Z = log(number of states) + Σ log(Z_{k+1} / Z_k), each ratio by bridge sampling between neighbours (Bennett 1976,
with the geometric bridge): mean_k exp(-d E) / mean_{k+1} exp(d E), d half the difference of their shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.runtime.planning.populations import WALKERS
from compose_lang.runtime.planning.tempering import METHOD as TEMPERING
from compose_lang.runtime.results.draws import StoredDraws

PARTS = 10  #: of a chain, each left out in turn: longer than what its draws remember


def log_evidence(run: StoredDraws) -> dict[str, float] | None:
    """`value` and `error`, a standard error, in nats; None where the run does not tell."""
    if any(b["kernel"] in WALKERS for b in run.manifest.plan) and run.draws:
        return of_populations(run.statistics["log_z"][:, -1])
    return of_replicas(run)


def of_populations(log_z: NDArray[Any]) -> dict[str, float] | None:
    """The evidence by independent populations, each with its own estimate (chains,); None by one.

    Few estimates tell their deviation badly: so the error is widened until twice of it covers 95 % by Student's t.
    """
    from scipy.stats import t

    count = len(log_z)
    if count < 2 or not np.isfinite(log_z).all():
        return None
    value = float(logmeanexp(log_z))
    relative = np.exp(log_z - value).std(ddof=1) / np.sqrt(count)
    return {"value": value, "error": float(relative * t.ppf(0.975, count - 1) / 1.96)}


def of_replicas(run: StoredDraws) -> dict[str, float] | None:
    """The evidence by replicas at shares of the energy."""
    tempered = [b for b in run.manifest.plan if b["kernel"] == TEMPERING.name]
    states = tempered[0].get("options", {}).get("log_states") if tempered else None
    if states is None or run.draws < 2 * PARTS or "replica_energy" not in run.statistics:
        return None
    energy, shares = run.statistics["replica_energy"], run.statistics["share"][:, -1]
    value = np.array([log_ratio(e, s) for e, s in zip(energy, shares, strict=True)])
    parts = np.array_split(np.arange(run.draws), PARTS)
    without = np.array([
        [log_ratio(np.delete(e, part, axis=0), s) for part in parts] for e, s in zip(energy, shares, strict=True)
    ])  # fmt: skip
    inside = (PARTS - 1) * without.var(axis=1)  # the jackknife's variance of each chain
    error = np.sqrt(inside.mean() / len(value))
    if len(value) > 1:
        error = max(error, value.std(ddof=1) / np.sqrt(len(value)))
    return {"value": float(states + value.mean()), "error": float(error)}


def log_ratio(energy: NDArray[Any], shares: NDArray[Any]) -> float:
    """log Z at the last share over Z at the first, by energies (draws, K) of replicas at shares (K,)."""
    half = 0.5 * np.diff(shares)
    with np.errstate(over="ignore", invalid="ignore"):
        forth = logmeanexp(-half * energy[:, :-1])
        back = logmeanexp(half * energy[:, 1:])
    return float((forth - back).sum())


def logmeanexp(x: NDArray[Any]) -> NDArray[Any]:
    """log mean exp over the draws."""
    top = x.max(axis=0)
    found: NDArray[Any] = np.log(np.exp(x - top).mean(axis=0)) + top
    return found
