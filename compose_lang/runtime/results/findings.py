"""What is wrong with a run's draws, as warnings that name the variable and what to try.

In: the draws of a run with their summaries. Out: diagnostics; none means that nothing was found, not that all is well.
The thresholds are those of Vehtari et al., Bayesian Analysis 16(2), 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.ir.types import Type
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.planning.methods import find_method
from compose_lang.runtime.planning.moves import MOVES
from compose_lang.runtime.planning.tempering import METHOD as TEMPERING
from compose_lang.runtime.results import arrivals, modes
from compose_lang.runtime.results.divergences import divergent, on_walls
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.results.optimum import is_search
from compose_lang.runtime.results.summary import ColumnSummary

MOST_RHAT = 1.01
NEARLY_MIXED = 1.05
LEAST_ESS = 400
LEAST_ESS_A_CHAIN = 100
LEAST_DRAWS = 10  #: fewer draws say nothing about whether a chain moves
MOST_NAMES = 3
LEAST_EXCHANGE = 0.05


def findings(
    run: StoredDraws, summaries: Sequence[ColumnSummary], graph: FactorGraph | None = None
) -> list[Diagnostic]:
    """All warnings about a run's draws. graph: the program's, by which advice fits it."""
    warnings = [*_approximate(run)]
    if run.draws and not is_search(run):
        warnings += [
            *_stuck(run),
            *_unmixed(run, summaries),
            *_few(run, summaries),
            *divergent(run, graph),
            *_apart(run),
            *arrivals.apart(run),
        ]
    return warnings


def _warning(code: str, message: str, help: str) -> Diagnostic:
    return Diagnostic(code, message, severity="warning", help=help)


def _unmixed(run: StoredDraws, summaries: Sequence[ColumnSummary]) -> Iterator[Diagnostic]:
    worst = _beyond(summaries, "rhat", MOST_RHAT, above=True)
    if not worst:
        return
    listed = _listed(worst, ".3f")
    if worst[0][0] <= NEARLY_MIXED:
        yield _warning(
            "CG0702",
            f"the chains have nearly mixed: R-hat is above {MOST_RHAT} for {listed}",
            "run longer (--warmup, --draws): means may be off by more than their Monte-Carlo errors",
        )
        return
    where = modes.apart(run, [name for _, name in worst])
    if where:
        text = f"the chains are in parts of the distribution that none of them leaves: {where}; R-hat is {listed}"
        help = "how many chains are in a part says nothing of its weight: take a method that goes between parts (smc)"
    else:
        text = f"the chains have not mixed: R-hat is above {MOST_RHAT} for {listed}"
        help = (
            "run longer (--warmup, --draws); if R-hat stays, the chains sit in different modes, or the variable is "
            "hard to move: write the program with less dependence between its variables"
        )
    yield _warning("CG0702", text, on_walls(run) or help)


def _few(run: StoredDraws, summaries: Sequence[ColumnSummary]) -> Iterator[Diagnostic]:
    least = min(LEAST_ESS, LEAST_ESS_A_CHAIN * run.chains)
    for measure, what in (("ess_bulk", "means"), ("ess_tail", "the 5 % and 95 % quantiles")):
        worst = _beyond(summaries, measure, least, above=False)
        if worst:
            yield _warning(
                "CG0703",
                f"too few effective draws for {what}: {measure} is below {least} for {_listed(worst, '.0f')}",
                on_walls(run) or f"raise --draws (now {run.draws} a chain)",
            )
            return


def _apart(run: StoredDraws) -> Iterator[Diagnostic]:
    """Levels of noise, or shares of the energy, between which replicas hardly ever exchange."""
    for block in run.manifest.plan:
        rates = run.statistics.get("exchange_rate")
        if block["kernel"] != TEMPERING.name or rates is None:
            continue
        means = rates[:, -1].mean(0)  # (pairs,): each chain's last is its mean over all sweeps
        worst = int(means.argmin())
        if means[worst] < LEAST_EXCHANGE:
            what = "shares of the energy" if "share" in run.statistics else "levels of noise"
            yield _warning(
                "CG0712",
                f"{what} are too far apart: replicas {worst + 1} and {worst + 2} of {len(means) + 1} take "
                f"{100 * means[worst]:.1f} % of their exchanges, so few draws come down from where modes mix",
                f"raise levels= (now {len(means) + 1})",
            )


def _approximate(run: StoredDraws) -> Iterator[Diagnostic]:
    for block in run.manifest.plan:
        method = find_method(block["kernel"])  # a manifest may be of another version
        how = method.approximate if method is not None else ""
        move = MOVES.get(block.get("options", {}).get("move", ""))
        how = how or (move.approximate if move is not None else "")
        if how:
            variables = ", ".join(block.get("parts", block["variables"]))
            yield _warning(
                "CG0705",
                f"{block['kernel']} draws {variables} only approximately: {how}",
                "--method auto takes a kernel that is exact in the limit",
            )


def _stuck(run: StoredDraws) -> Iterator[Diagnostic]:
    """Chains in which a continuous element, or a discrete variable that differs elsewhere, never changes."""
    if run.draws < LEAST_DRAWS:
        return
    for column in run.columns:
        if column.is_let or not column.free.size:
            continue
        values = run.values(column).reshape(run.chains, run.draws, column.size)[:, :, column.free]
        still = (values == values[:, :1]).all(1) & varies(column.type)[column.free]  # (chains, elements)
        if column.type.domain.is_discrete:
            differs = (values[:, 0] != values[0, 0]).any(0)
            chains = np.flatnonzero(still.all(1) & differs.any())
            apart = np.flatnonzero(still.all(0) & differs)
            if apart.size and not chains.size:
                names = column.element_names(column.free[apart[:MOST_NAMES]])
                yield _warning(
                    "CG0709",
                    f"{', '.join(names)}{', …' if apart.size > MOST_NAMES else ''} differ between chains, and in "
                    "none do they ever change",
                    "each chain stays among the solutions it started from: see CG0713",
                )
        else:
            chains = np.flatnonzero(still.any(1))
        if chains.size:
            where = ", ".join(map(str, chains[:MOST_NAMES])) + (", …" if chains.size > MOST_NAMES else "")
            yield _warning(
                "CG0709",
                f"`{column.name}` never changes in chain {where}",
                "its kernel rejects every move: try another --method or smaller steps, or more warm-up; "
                "values that exclude each other need a move that changes them together",
            )


def varies(type: Type) -> NDArray[np.bool_]:
    """Which elements of a variable can differ from draw to draw: a Cholesky factor has a 1 and zeros that cannot."""
    domain = type.domain
    event = np.ones(domain.event_shape, dtype=bool)
    if domain.kind == "cholesky_corr":
        event = np.tri(domain.size, dtype=bool)
        event[0, 0] = False
    elif domain.kind == "simplex" and domain.size == 1:
        event[:] = False
    return np.broadcast_to(event, type.full_shape).reshape(-1)


def _beyond(
    summaries: Sequence[ColumnSummary], measure: str, limit: float, *, above: bool
) -> list[tuple[float, str]]:
    """Value and name of the elements whose measure is above (or below) a limit, the worst first."""
    found: list[tuple[float, str]] = []
    for summary in summaries:
        values = summary.measures[measure]
        with np.errstate(invalid="ignore"):
            chosen = np.flatnonzero(values > limit if above else values < limit)
        names = summary.column.element_names(summary.elements[chosen])
        found += zip(values[chosen].tolist(), names, strict=True)
    return sorted(found, reverse=above)


def _listed(worst: Sequence[tuple[float, str]], form: str) -> str:
    """`mu (1.05), theta[3] (1.02) and 7 more`"""
    shown = ", ".join(f"{name} ({value:{form}})" for value, name in worst[:MOST_NAMES])
    return shown + (f" and {len(worst) - MOST_NAMES} more" if len(worst) > MOST_NAMES else "")
