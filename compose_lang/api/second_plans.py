"""What a run goes over to where the draws of the planner's own choice have faults.

In: a finished run. Out: its faults, the plans that are left to try, and which of two runs is the better one. What the
program or the command line asks for is never replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compose_lang.compiler.references.quadratic import work
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.planning.plan import by_populations
from compose_lang.runtime.results import arrivals
from compose_lang.runtime.results.summary import measured

if TYPE_CHECKING:
    from compose_lang.compiler.graph.factor_graph import FactorGraph
    from compose_lang.runtime.planning.plan import Plan
    from compose_lang.runtime.results.run import Run
    from compose_lang.runtime.runs.settings import Settings

MOST_RHAT = 1.03  #: above it chains are elsewhere than each other; below it more draws would do
LEAST_ESS = 200
MOST_DIVERGING = 0.02  #: of the draws
LEAST_DRAWS = 200  #: of a chain: of fewer a measure tells little
TELLING = (
    "CG0701",
    "CG0717",
)  #: what else tells of draws that are wrong: undefined slopes, parts not visited
MOST_WORK = 10_000
"""Numbers that an energy takes to compute, for which populations take a minute or two; with care a third of it."""


def others(graph: FactorGraph, plan: Plan, settings: Settings) -> Iterator[Plan]:
    """The plans to try after the planner's own, in order, each made when it is asked for.

    None where a method is asked for, or so few draws that nothing is told of them.
    """
    is_asked = settings.method is not None or any(r.method != "auto" for r in graph.requests)
    if is_asked or settings.draws < LEAST_DRAWS:
        return
    walks = plan if plan.populations is not None else by_populations(graph, plan, settings.backend)
    if walks is None or walks.populations is None:
        return
    cost = work(g.energy for g in graph.groups)
    if walks is not plan and cost <= MOST_WORK:
        yield walks
    if cost <= MOST_WORK / 3:
        yield replace(walks, populations=walks.populations.with_care())


def kernels_of(plan: Plan) -> list[str]:
    """The methods of a plan, as manifests have them."""
    return [block.kernel for block in plan.described]


def faults_of(run: Run) -> list[str]:
    """What is wrong with a run's draws, so that another plan is worth trying."""
    if not run.draws or run.optimum is not None:
        return []
    faults = []
    rhat, ess = measured(run.summaries, "rhat", max), measured(run.summaries, "ess_bulk", min)
    if rhat > MOST_RHAT:
        faults.append(f"R-hat {rhat:.2f}")
    if ess < min(LEAST_ESS, 0.05 * run.chains * run.draws):
        faults.append(f"{ess:.0f} effective draws")
    diverging = [v.mean() for name, v in run.statistics.items() if name.startswith("diverging")]
    if diverging and max(diverging) > MOST_DIVERGING:
        faults.append(f"{100 * max(diverging):.0f} % of transitions diverged")
    faults += [told.message.partition(": ")[2] for told in arrivals.apart(run)]
    return faults + [d["message"] for d in run.diagnostics if d["code"] in TELLING]


def is_better(run: Run, other: Run) -> bool:
    """Whether a run's draws are to be trusted more than another's: by their faults, then by R-hat."""
    return rank(run) < rank(other)


def rank(run: Run) -> tuple[int, float]:
    """The number of faults, and the largest R-hat."""
    rhat = measured(run.summaries, "rhat", max)
    return len(faults_of(run)), rhat if np.isfinite(rhat) else math.inf


def gone_over(plan: Plan, to: Plan, faults: Sequence[str]) -> Diagnostic:
    """CG0716: that the draws are by another plan than the first."""
    first, second = (", ".join(dict.fromkeys(kernels_of(p))) for p in (plan, to))
    how = "the same with more care" if first == second else f"`{second}`"
    text = f"the draws are by {how}: those by `{first}` had faults ({', '.join(faults)})"
    return Diagnostic("CG0716", text, severity="note", help=f"`infer by {second}` goes straight there")
