"""Params of a program whose total cannot be summed: stochastic approximation over chains of the model.

In: a `MaximumLikelihood` whose totals are drawn. Out: the params' coordinates, a report, and what is to be told.

The gradient of the log-likelihood is E_model[dE/dk] - E_data[dE/dk]. The first is a mean over chains of the model
without its data, the second one of the data, or over chains of the variables given them. At each step the chains make
some sweeps; near where the params are, the likelihood is then

    -E_data(k) + E_model(k) - half the quadratic form of the slopes' covariance over the model,

with both energies as the chains see them: its first two derivatives are estimates of the likelihood's. Where this is
greatest is a Newton step (Gu and Kong 1998), of which a share is taken that falls with the steps, slower than 1/t; the
params are the mean over the second half of the path, which then is as good as by any shares (Polyak and Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.chains.sweep import Batch, Sweeper
from compose_lang.runtime.learning.model_chains import Curvature
from compose_lang.runtime.learning.trainer import Progress, Watch

if TYPE_CHECKING:
    from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood

SWEEPS = 5  #: of the chains at each step
FARTHEST = 1.0  #: that a step may aim at, in each coordinate: beyond, few chains tell nothing of the model
SLOW, POWER = 5.0, 0.6  #: the share of a step that is taken: (1 + t / SLOW) ^ -POWER


def contrast(
    fit: MaximumLikelihood,
    u: NDArray[np.float64],
    watch: Watch | None,
    begun: Arrays | None,
    keep: Callable[[Arrays], None],
    stop: Callable[[], bool],
) -> tuple[NDArray[np.float64], dict[str, Any], list[Diagnostic]]:
    """Climb the likelihood from u, or from the state of an earlier fit, to its end."""
    half = fit.steps // 2
    warmup = WARM + half * SWEEPS
    for number, model in enumerate(fit.models):
        model.start(u, fit.seed + 1 + number, warmup)
    sweeper, batch = given_data(fit, u, warmup)
    curvature, path, first = Curvature(), np.zeros((fit.steps, len(u))), 0
    if begun is not None:
        first, path[: int(begun["step"])] = int(begun["step"]), begun["path"]
        u = path[first - 1]
        curvature.steps, curvature.mean = first, np.asarray(begun["curvature"])
        for model, theirs in zip(fit.models, named(begun, len(fit.models)), strict=True):
            model.batch = model.sweeper.unpack(theirs, model.batch)
        if sweeper is not None and batch is not None:
            batch = sweeper.unpack(begun, batch)
    began = monotonic()
    for step in range(first, fit.steps):
        sweeps, done = (SWEEPS, WARM + (step - 1) * SWEEPS) if step else (WARM, 0)
        for model in fit.models:
            model.advance(u, done, sweeps)
        if sweeper is not None and batch is not None:
            at = {**batch.position, **fit.placed(u, fit.chains)}
            batch = sweeper.advance(batch._replace(position=at), done, 1, sweeps).batch
        position = {} if batch is None else batch.position
        if step == first:
            fit.require_finite(u, position)
        spread = sum((model.spread(u) for model in fit.models), np.zeros(()))
        if not np.isfinite(spread).all() or any(model.is_lost for model in fit.models):
            raise ComposeError(endless(fit, step))
        curvature.add(spread)
        near = curvature.around(u, fit.models[0].chains)
        result = fit.minimise(u, position, ITERATIONS, near, FARTHEST)
        u = path[step] = u + (result.x - u) / (1.0 + step / SLOW) ** POWER
        state = {"step": np.array(step + 1), "path": path[: step + 1], "curvature": curvature.mean}
        for number, model in enumerate(fit.models):
            packed = model.sweeper.pack(model.batch)
            state |= {f"model{number}{name}": a for name, a in packed.items()}
        if sweeper is not None and batch is not None:
            state |= sweeper.pack(batch)
        if stop() and step + 1 < fit.steps:
            raise Stopped(state)
        keep(state)
        if watch is not None:
            rate = (step + 1 - first) / max(monotonic() - began, 1e-9)
            watch(Progress(fit.fitting, step + 1, fit.steps, float(result.fun), np.inf, rate))
    told = [fit.unsettled("its params still move from step to step")] if drifts(path[half:]) else []
    chains = fit.models[0].chains
    report = {"steps": fit.steps, "chains": chains, "log_likelihood": None, "by": "persistent chains"}
    return path[half:].mean(axis=0), report, told


def endless(fit: MaximumLikelihood, step: int) -> Diagnostic:
    """CG0701 where chains of the model have run off, or have gone where its energy is no number."""
    names = ", ".join(f"`{name}`" for model in fit.models for name in model.names)
    text = f"the model without its data has no total: {names} ran off at step {step + 1}"
    help = "its energy has to rise outwards for all params that are tried: bound the type, or start nearer: param k = 3"
    return Diagnostic("CG0701", text, fit.fitting.span, help=help)


def given_data(
    fit: MaximumLikelihood, u: NDArray[np.float64], warmup: int
) -> tuple[Sweeper | None, Batch | None]:
    """Chains of the program's own variables given its data, where it has any."""
    if not fit.rest:
        return None, None
    fit.density.held = fit.placed(u, fit.chains)
    sweeper = Sweeper(
        fit.density, fit.density.plan.blocks, fit.backend,
        seed=fit.seed, warmup=warmup, chains=fit.chains, keep=(),
    )  # fmt: skip
    return sweeper, sweeper.start(range(fit.chains))


def named(begun: Arrays, models: int) -> list[Arrays]:
    """The arrays of each model's chains in a state."""
    return [
        {name.removeprefix(f"model{k}"): a for name, a in begun.items() if name.startswith(f"model{k}/")}
        for k in range(models)
    ]


WARM = 20  #: sweeps before the first look at the chains
ITERATIONS = 10  #: of the minimiser at each step
DRIFT = 6.0  #: standard errors between two quarters of a fit that show that it has not converged

Arrays = Mapping[str, NDArray[Any]]


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A fit was told to stop before its end."""

    def __init__(self, state: Arrays) -> None:
        super().__init__()
        self.state = state


def drifts(reached: NDArray[np.float64]) -> bool:
    """Whether what a fit comes to in the last quarter of its steps differs from the quarter before."""
    quarters = np.array_split(reached, 2)
    if min(map(len, quarters)) < 20:
        return False
    batches = [np.array([b.mean(0) for b in np.array_split(q, 5)]) for q in quarters]
    error = np.sqrt(sum(b.var(0, ddof=1) / len(b) for b in batches)) + 1e-3
    return bool((np.abs(batches[0].mean(0) - batches[1].mean(0)) > DRIFT * error).any())
