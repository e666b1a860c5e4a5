"""`compose verify`: is a program sampled as it says? By enumeration where it is small, else by calibration.

A discrete program with few joint states is summed up, and each value's share of the draws held against its exact
probability. One over one or two real numbers that does not say how it is drawn (a composition, say) is integrated on
a grid, and the shares of the draws below deciles and in a quarter are held against those. Any other is simulated:
parameters and data are drawn from the program many times, the parameters are inferred again from each data set, and
the rank of the true value among its draws must be uniform (Talts, Betancourt, Simpson, Vehtari, Gelman 2018). It finds
a density whose `draw` is not its `energy`, and a sampler that is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.api.model import Model
from compose_lang.compiler.elaborate.forward import ForwardSimulation, Replicated, outcomes_of
from compose_lang.compiler.ir.node import Axis
from compose_lang.compiler.passes import graph_of
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.results.convergence import ess_bulk
from compose_lang.runtime.results.genealogy import effective
from compose_lang.validation.ancestral import simulate
from compose_lang.validation.enumeration import enumerate_states, is_small
from compose_lang.validation.quadrature import integrate, is_flat

if TYPE_CHECKING:
    from rich.table import Table

    from compose_lang.runtime.chains.driver import Watch
    from compose_lang.runtime.density.columns import Column

REJECTED = 0.001
"""A program is miscalibrated where the least p-value, times the number of them, is below this."""

MOST_RANKS = 100  #: draws that a true value is ranked among
BINS = 10


@dataclass(frozen=True)
class Check:
    """One quantity's test. ranks: in (0, 1), of a calibration; exact and share: of an enumeration."""

    name: str
    p: float
    ranks: NDArray[np.float64] | None = None
    exact: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What `verify` found. method: `enumeration`, `quadrature` or `calibration`; log_z: of an enumeration, in nats."""

    method: str
    checks: tuple[Check, ...]
    replicates: int = 0
    log_z: float | None = None
    findings: tuple[Diagnostic, ...] = ()  #: faults of the draws themselves

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        how = {
            "enumeration": "the exact probabilities",
            "quadrature": "the probabilities on a grid",
            "calibration": f"{self.replicates} simulated data sets",
        }[self.method]
        if self.passed:
            return f"passed: the draws agree with {how} (p = {self.p:.3g} over {len(self.checks)} checks)"
        worst = min(self.checks, key=lambda c: c.p)
        return (
            f"failed: the draws do not agree with {how}: p = {worst.p:.2g} for {worst.name}. A density whose `draw`"
            " is not its `energy` shows like this, and so do chains that have not mixed."
        )

    @property
    def p(self) -> float:
        """The p-value of the whole, by Bonferroni."""
        return min(1.0, min((c.p for c in self.checks), default=1.0) * len(self.checks))

    @property
    def passed(self) -> bool:
        return self.p >= REJECTED

    def document(self) -> dict[str, Any]:
        """The JSON document of `compose verify --json`, less the program's name."""
        return {
            "method": self.method,
            "passed": self.passed,
            "p": self.p,
            "replicates": self.replicates or None,
            "log_evidence": None if self.log_z is None else {"value": self.log_z, "error": 0.0},
            "checks": [
                {"name": c.name, "p": c.p}
                | ({} if c.exact is None else {"exact": c.exact, "share": c.share})
                | ({} if c.ranks is None else {"ranks": histogram(c.ranks).tolist()})
                for c in self.checks
            ],
        }


def verify(model: Model, replicates: int = 100, watch: Watch | None = None, **options: Any) -> Verdict:
    """Hold a program's draws against what they should be; options are those of `Model.sample`.

    Raises a ComposeError (CG0605) where the program is neither small and discrete, nor says how to draw all of its
    variables and data.
    """
    model = model.fitted()
    if is_small(model.program.graph):
        return by_enumeration(model, watch, options)
    try:
        return by_calibration(model, replicates, watch, options)
    except ComposeError as refused:
        if not is_flat(model.program.graph) or refused.diagnostics[0].code != "CG0605":
            raise
    return by_quadrature(model, watch, options)


# --- enumeration ----------------------------------------------------------------------------------------


def by_enumeration(model: Model, watch: Watch | None, options: Mapping[str, Any]) -> Verdict:
    exact = enumerate_states(model.program.graph)
    run = model.sample(watch=watch, **options)
    checks = []
    for column in run.columns:
        if column.name not in exact.marginals:
            continue
        draws = run.values(column).reshape((run.chains, run.draws, -1))[:, :, column.free]
        for site, name in enumerate(column.element_names(column.free)):
            for k, value in enumerate(column.type.domain.values):
                p = float(exact.marginals[column.name][site, k])
                checks.append(share_check(f"{name} = {shown(column, value)}", draws[:, :, site] == value, p))
    return Verdict("enumeration", tuple(checks), log_z=exact.log_z, findings=tuple(run.findings()))


def shown(column: Column, value: int) -> str:
    names = column.type.domain.names
    return names[value] if names else str(value)


def share_check(name: str, hits: NDArray[np.bool_], p: float, roots: NDArray[Any] | None = None) -> Check:
    """Whether the share of the draws (chains, draws) that hit agrees with a probability; roots: of populations."""
    from scipy.stats import norm

    share = float(hits.mean())
    if p in (0.0, 1.0) or hits.all() or not hits.any():
        size = hits.size if p not in (0.0, 1.0) else np.inf
    else:
        counted = hits.astype(float)[..., None]
        size = float((ess_bulk(counted) if roots is None else effective(counted, roots.astype(np.intp)))[0])
    error = np.sqrt(p * (1 - p) / size) if np.isfinite(size) else 0.0
    # half a draw, for counts so small that no normal curve describes them
    z = max(0.0, abs(share - p) - 0.5 / hits.size) / error if error else (0.0 if share == p else np.inf)
    return Check(name, float(2 * norm.sf(z)), exact=p, share=share)


# --- quadrature -----------------------------------------------------------------------------------------

DECILES = np.arange(1, 10) / 10


def by_quadrature(model: Model, watch: Watch | None, options: Mapping[str, Any]) -> Verdict:
    """Shares of draws below each coordinate's exact deciles and, of two, in the quarters about their medians."""
    exact = integrate(model.program.graph)
    run = model.sample(watch=watch, **options)
    roots = run.statistics.get("root")
    columns = {c.name: c for c in run.columns}
    checks, halves = [], []
    for axis, (name, site) in enumerate(exact.sites):
        column = columns[name]
        element = [*column.element_names(column.free)][site]
        draws = run.values(column).reshape((run.chains, run.draws, -1))[:, :, column.free[site]]
        below = np.cumsum(exact.marginal(axis))
        cuts = [int(np.searchsorted(below, q)) for q in DECILES]
        edges = 0.5 * (exact.axes[axis][:-1] + exact.axes[axis][1:])
        for cut in dict.fromkeys(c for c in cuts if c < len(edges)):
            where = f"{element} < {edges[cut]:.4g}"
            checks.append(share_check(where, draws < edges[cut], float(below[cut]), roots))
        middle = min(cuts[4], len(edges) - 1)
        halves.append((element, middle, edges[middle], draws))
    if len(halves) == 2:
        (a, i, x, left), (b, j, y, right) = halves
        p = float(exact.mass[: i + 1, : j + 1].sum())
        checks.append(share_check(f"{a} < {x:.4g} and {b} < {y:.4g}", (left < x) & (right < y), p, roots))
    return Verdict("quadrature", tuple(checks), findings=tuple(run.findings()))


# --- calibration ----------------------------------------------------------------------------------------


def by_calibration(model: Model, replicates: int, watch: Watch | None, options: Mapping[str, Any]) -> Verdict:
    module = model.program.module
    settings = model.settings(**options)
    forwards = ForwardSimulation(outcomes_of(module))
    truth = simulate(
        graph_of(module, model.program.session(interpretation=forwards)), forwards, replicates, settings.seed
    )
    if not forwards.outcomes:
        text = "no data stands left of a `~`, so there is nothing to infer from"
        raise ComposeError(Diagnostic("CG0605", f"the program cannot be calibrated: {text}"))
    copies = Replicated({name: truth[name] for name in forwards.outcomes}, Axis(replicates, "copy"))
    graph = graph_of(module, model.program.session(interpretation=copies))
    beside = Model(replace(model.program, graph=graph), model.constants, trust=model.trust)
    run = beside.sample(watch=watch, **options)
    rng = np.random.default_rng(settings.seed)
    checks = []
    for column in run.columns:
        if column.name not in truth:
            continue
        draws = run.values(column)  # (chains, draws, copies, *shape)
        draws = draws.reshape((run.chains, run.draws, replicates, -1)).astype(float)
        true = truth[column.name].reshape((replicates, -1)).astype(float)
        own = replace(column, type=column.type.with_shape(column.type.shape[1:]))  # of one copy
        for element, name in enumerate(own.element_names(np.arange(own.size))):
            ranks = ranks_of(true[:, element], draws[:, :, :, element], rng)
            checks.append(Check(name, uniform_p(ranks), ranks=ranks))
    return Verdict("calibration", tuple(checks), replicates, findings=tuple(run.findings()))


def uniform_p(ranks: NDArray[np.float64]) -> float:
    """The p-value of ranks in (0, 1) being uniform.

    Of two tests the lower, doubled: Kolmogorov and Smirnov's, and the sum of squared normal scores, which sees
    draws too wide or too narrow (Cook, Gelman, Rubin 2006).
    """
    from scipy.stats import chi2, kstest, norm

    squares = float((norm.ppf(ranks) ** 2).sum())
    tails = chi2.cdf(squares, len(ranks)), chi2.sf(squares, len(ranks))
    return float(min(1.0, 2 * min(kstest(ranks, "uniform").pvalue, 2 * min(tails))))


def ranks_of(true: NDArray[Any], draws: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """Where each true value (copies,) stands among its draws (chains, draws, copies): in (0, 1).

    Draws are thinned to about as many as are independent of each other; equal values share their place at random.
    """
    chains, count, copies = draws.shape
    independent = np.nan_to_num(ess_bulk(draws), nan=float(MOST_RANKS))
    size = int(np.clip(np.median(independent) / 2, 10, MOST_RANKS))
    kept = draws.reshape((chains * count, copies))[:: max(1, chains * count // size)]
    below = (kept < true).sum(0)
    equal = (kept == true).sum(0)
    place = below + rng.integers(0, equal + 1)
    ranks: NDArray[np.float64] = (place + rng.random(copies)) / (len(kept) + 1)
    return ranks


def histogram(ranks: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.histogram(ranks, BINS, (0, 1))[0]


BARS = " ▁▂▃▄▅▆▇█"


def table(verdict: Verdict, most: int = 60) -> Table:
    """The checks for the screen, the least p-values first."""
    from rich.table import Table

    by_rank = verdict.method == "calibration"
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("check")
    for name in ("p", "ranks") if by_rank else ("p", "exact", "share of draws"):
        shown.add_column(name, justify="left" if name == "ranks" else "right")
    for c in sorted(verdict.checks, key=lambda c: c.p)[:most]:
        cells = [bars(c.ranks)] if c.ranks is not None else [f"{c.exact:.4f}", f"{c.share:.4f}"]
        shown.add_row(c.name, f"{c.p:.3g}", *cells)
    return shown


def bars(ranks: NDArray[np.float64]) -> str:
    """A histogram of ranks in a line of text; flat is right."""
    counts = histogram(ranks)
    return "".join(BARS[int(np.ceil(8 * n / counts.max()))] for n in counts)
