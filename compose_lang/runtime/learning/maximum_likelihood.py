"""Params by maximum likelihood: L-BFGS on the energy, or EM where the program has variables to be summed out.

In: a `Fitting`. Out: the params' values, and what is to be told of the fit.

Given all else, the energy of the params is minus the log-likelihood of data and variables, and L-BFGS minimises it in
unconstrained coordinates, with no Jacobian: a maximum does not depend on coordinates. Where the program's weight is
not normalised, the log of its total over data and variables is added (`log_total`; by chains, `contrast`). With
variables x the likelihood of the data is an integral over them, whose gradient is the mean of the energy's over x given
the data (Fisher's identity). So chains of x, moved by the program's own kernels, take turns with the minimiser on the
mean energy over the chains: stochastic EM (Celeux and Diebolt 1985). What it comes to still jumps by the chains' noise;
from half of the steps on θ moves to it by 1/k of the way, which takes the mean and converges (Robbins and Monro 1951;
Nielsen 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.elaborate.declarations.variables import some_value
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.sweep import Batch, Sweeper
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.kernels.common.kernel import Position
from compose_lang.runtime.learning.contrast import ITERATIONS, WARM, Arrays, Stopped, contrast, drifts
from compose_lang.runtime.learning.model_chains import ModelChains
from compose_lang.runtime.learning.obtain import Learned, by_part, obtain
from compose_lang.runtime.learning.trainer import Progress, Watch
from compose_lang.runtime.planning.plan import Plan, plan
from compose_lang.runtime.views.coordinates import Coordinates

if TYPE_CHECKING:
    from compose_lang.compiler.likelihood.partition_functions import LogPartition

SPREAD = 0.1  #: of first coordinates around the middle of a type: alike, params that are alike would stay so
LONGEST = 20.0  #: a bounded param whose coordinate lies farther out than this has come to its bound
SETTLED = 1e-4  #: the longest gradient, over the size of the energy, at a minimum
WALL = 10.0  #: how much dearer than the best point one without a likelihood seems to be, in its size
RESTARTS = 20  #: of the minimiser, which may give up where the likelihood falls off

Coordinate = NDArray[np.float64]


class Fitted(NamedTuple):
    """What a fit found: values by name, a report for their file, and warnings."""

    values: dict[str, NDArray[np.float64]]
    report: dict[str, Any]
    findings: list[Diagnostic]


class MaximumLikelihood:
    """One fit: coordinates u (D,) of the params in a row, and chains of the variables."""

    def __init__(self, fitting: Fitting) -> None:
        self.fitting = fitting
        self.backend = load_backend("jax")
        graph, targets, options = fitting.graph, fitting.fit.targets, fitting.fit.options
        self.params = tuple(v.name for v in graph.variables if v.name in targets)
        self.rest = tuple(v.name for v in graph.variables if v.free_sites and v.name not in targets)
        self.steps, self.seed = int(options["steps"]), int(options["seed"])
        self.chains = int(options["chains"]) if self.rest else 1
        learned = by_part(obtain(fitting.parts))
        self.density = Density(graph, self.plan(graph, self.rest), self.backend, learned)
        self.density.steady = False
        self.block = Coordinates(self.density, self.params)
        self.alone = Density(only(graph, self.params), Plan(()), self.backend, {})
        self.totals = [LogTotal(t, self.backend, learned) for t in fitting.totals if not t.is_drawn]
        self.models = [
            ModelChains(
                t, self.plan(t.graph, t.names), self.params, int(options["chains"]), self.backend, learned
            )
            for t in fitting.totals
            if t.is_drawn
        ]
        others = (*(t.constants for t in self.totals), *(m.constants for m in self.models))
        self.constants = (self.density.constants, *others)
        self.slope = self.backend.compile(self.slope_of)

    def plan(self, graph: FactorGraph, names: tuple[str, ...]) -> Plan:
        """How chains of some variables of a graph move."""
        if not names:
            return Plan(())
        found = plan(replace(graph, variables=tuple(v for v in graph.variables if v.name in names)), "jax")
        if found.annealing is not None:
            moved = ", ".join(found.annealing.anneal.transported)
            text = f"{moved} live at levels of noise, over which maximum likelihood cannot sum them out"
            raise ComposeError(Diagnostic("CG0601", text, self.fitting.span))
        return found

    # --- coordinates ---

    def first(self) -> Coordinate:
        """Where the fit begins."""
        rng = np.random.default_rng(self.seed)
        values, spread = {}, {}
        for v in self.fitting.graph.variables:
            if v.name in self.params:
                start = self.fitting.starts[v.name]
                spread[v.name] = SPREAD if start is None else 0.0
                whole = some_value(v.support) if start is None else start
                values[v.name] = np.broadcast_to(whole, v.type.full_shape)[None].astype(float)
        position = self.alone.position_of(values)
        for name, u in position.items():
            on_bound = np.nan_to_num(np.asarray(u), posinf=LONGEST, neginf=-LONGEST)
            position[name] = on_bound + spread[name] * rng.standard_normal(u.shape)
        return np.asarray(self.block.ravel(position))[0]

    def placed(self, u: Coordinate, chains: int) -> Position:
        """The params' part of a position."""
        whole = self.block.unravel({}, self.backend.asarray(np.tile(u, (chains, 1))))
        return {name: whole[name] for name in self.params}

    def values(self, u: Coordinate) -> dict[str, NDArray[np.float64]]:
        found, _ = self.alone.constrain(self.placed(u, 1))
        return {name: np.asarray(np.asarray(found[name])[0]) for name in self.params}

    # --- the minimiser ---

    def slope_of(
        self, constants: Any, u: Array, position: Position, drawn: tuple[Position, ...] = ()
    ) -> tuple[Array, Array]:
        """The mean energy over the chains and the log of what the weight is divided by, and their gradient (D,).

        drawn: where chains of the model stand, whose mean energy stands for minus the log of a total.
        """
        own, *others = constants
        density = self.density.with_constants(own)
        of_totals, of_models = others[: len(self.totals)], others[len(self.totals) :]

        def energy(us: Array) -> Array:
            wide = self.backend.xp.broadcast_to(us, (self.chains, us.shape[1]))
            whole = self.block.unravel(position, wide)
            each = density.energy_of(whole, density.graph.groups, self.rest)
            mean = self.backend.xp.mean(each, axis=0, keepdims=True)
            params, _ = self.alone.constrain(self.block.unravel({}, us)) if self.totals else ({}, None)
            for total, theirs in zip(self.totals, of_totals, strict=True):
                mean = mean + total.of(theirs, params)
            for model, theirs, at in zip(self.models, of_models, drawn, strict=True):
                mean = mean - model.mean_energy(theirs, us, at)
            return mean

        each, gradient = self.backend.value_and_grad(energy)(u[None])
        return each[0], gradient[0]

    def minimise(
        self,
        u: Coordinate,
        position: Position,
        iterations: int,
        near: Callable[[Coordinate], tuple[float, Coordinate]] | None = None,
        farthest: float = np.inf,
    ) -> Any:
        """scipy's result of L-BFGS from u, where the chains stand at a position.

        near: something to add, and its gradient; farthest: how far a coordinate may go.
        """
        from scipy.optimize import minimize

        best = 0.0
        drawn = tuple(model.position for model in self.models)

        def both(u: Coordinate) -> tuple[float, Coordinate]:
            nonlocal best
            e, g = self.slope(self.constants, self.backend.asarray(u), position, drawn)
            value, gradient = float(e), np.asarray(g, dtype=np.float64)
            if near is not None:
                more, slope = near(u)
                value, gradient = value + more, gradient + slope
            if not np.isfinite(value) or not np.isfinite(gradient).all():
                # a step too far, which the line search takes back by as much as it is dear
                return best + WALL * (1.0 + abs(best)), np.zeros_like(gradient)
            best = value if best == 0.0 else min(best, value)
            return value, gradient

        options = {"maxiter": iterations, "ftol": 1e-13, "gtol": 1e-7, "maxfun": 20 * iterations + 20}
        bounds = None if farthest == np.inf else np.stack([u - farthest, u + farthest], axis=1)
        return minimize(both, u, jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    # --- fits ---

    def run(
        self,
        watch: Watch | None = None,
        begun: Arrays | None = None,
        keep: Callable[[Arrays], None] = lambda state: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Fitted:
        """Fit to the end, from an earlier state where it is given. Raises Stopped where `stop` says so before that.

        keep: given the state after each step of EM.
        """
        with self.backend.scope():
            u = self.first()
            if self.models:
                found = contrast(self, u, watch, begun, keep, stop)
            else:
                found = self.expectation(u, watch, begun, keep, stop) if self.rest else self.direct(u)
            u, report, told = found
            return Fitted(self.values(u), report, self.on_bounds(u) or told)

    def direct(self, u: Coordinate) -> tuple[Coordinate, dict[str, Any], list[Diagnostic]]:
        """A fit to data alone."""
        self.require_finite(u, {})
        result, steps = self.minimise(u, {}, self.steps), 0
        for _ in range(RESTARTS):
            steps += int(result.nit)
            if self.is_flat(result) or steps >= self.steps:
                break
            result = self.minimise(result.x, {}, self.steps - steps)
        told = []
        if not self.is_flat(result):
            told.append(self.unsettled(f"after {steps} steps the likelihood still rises"))
        report = {"steps": steps, "log_likelihood": -float(result.fun), "by": "L-BFGS"}
        return result.x, report, told

    def is_flat(self, result: Any) -> bool:
        """Whether the likelihood rises no more where the minimiser stands."""
        return bool(np.abs(result.jac).max() <= SETTLED * max(1.0, abs(result.fun)))

    def expectation(
        self,
        u: Coordinate,
        watch: Watch | None,
        begun: Arrays | None,
        keep: Callable[[Arrays], None],
        stop: Callable[[], bool],
    ) -> tuple[Coordinate, dict[str, Any], list[Diagnostic]]:
        """A fit with variables: EM, then averages of it."""
        self.density.held = self.placed(u, self.chains)
        half = self.steps // 2
        sweeper = Sweeper(
            self.density, self.density.plan.blocks, self.backend,
            seed=self.seed, warmup=WARM + half, chains=self.chains, keep=(),
        )  # fmt: skip
        batch: Batch = sweeper.start(range(self.chains))
        reached, first = np.zeros((self.steps, len(u))), 0
        if begun is not None:
            first, u = int(begun["step"]), np.asarray(begun["u"])
            reached[:first], batch = begun["reached"], sweeper.unpack(begun, batch)
        began = monotonic()
        for step in range(first, self.steps):
            sweeps, done = (1, WARM + step - 1) if step else (WARM, 0)
            batch = sweeper.advance(batch, done, 1, sweeps).batch
            if step == first:
                self.require_finite(u, batch.position)
            result = self.minimise(u, batch.position, ITERATIONS)
            reached[step] = result.x
            u = u + (result.x - u) / max(1, step - half + 1)
            batch = batch._replace(position={**batch.position, **self.placed(u, self.chains)})
            state = {
                "step": np.array(step + 1),
                "u": u,
                "reached": reached[: step + 1],
                **sweeper.pack(batch),
            }
            if stop() and step + 1 < self.steps:
                raise Stopped(state)
            keep(state)
            if watch is not None:
                rate = (step + 1 - first) / max(monotonic() - began, 1e-9)
                watch(Progress(self.fitting, step + 1, self.steps, float(result.fun), np.inf, rate))
        told = [self.unsettled("its params still move from step to step")] if drifts(reached[half:]) else []
        return u, {"steps": self.steps, "chains": self.chains, "log_likelihood": None, "by": "EM"}, told

    # --- faults ---

    def require_finite(self, u: Coordinate, position: Mapping[str, Array]) -> None:
        """CG0701 where the likelihood is no number where the fit stands."""
        drawn = tuple(model.position for model in self.models)
        e, _ = self.slope(self.constants, self.backend.asarray(u), dict(position), drawn)
        if np.isfinite(float(e)):
            return
        whole = {**position, **self.placed(u, self.chains)}
        values, _ = self.density.constrain(whole)
        groups = self.density.graph.groups
        energies = self.density.group_energies(groups, values)
        wrong = [
            g.label
            for g, x in zip(groups, energies, strict=True)
            if not np.isfinite(self.backend.to_numpy(x)).all()
        ]
        at = ", ".join(f"{name} = {shown(value)}" for name, value in self.values(u).items())
        text = (
            f"the likelihood is {'0' if float(e) == np.inf else 'not a number'} at {at}: {', '.join(wrong)}"
        )
        help = "start a param where the data are possible: param k: positive = 3"
        raise ComposeError(Diagnostic("CG0701", text, self.fitting.span, help=help))

    def on_bounds(self, u: Coordinate) -> list[Diagnostic]:
        """CG0711 for params that have run to a bound of their type, where the likelihood has no maximum inside."""
        found = []
        for v in self.fitting.graph.variables:
            if v.name in self.params:
                at = np.asarray(self.placed(u, 1)[v.name])
                plain = v.support.kind == "real" and not np.isfinite([v.support.lower, v.support.upper]).any()
                if not plain and v.support.kind != "angle" and np.abs(at).max() > LONGEST:
                    found.append(self.unsettled(f"`{v.name}` runs to a bound of {v.type}"))
        return found

    def unsettled(self, why: str) -> Diagnostic:
        text = f"the fit of {self.fitting.shown} has not converged: {why}"
        help = "more steps, other first values (param k: real = 3), or a penalty on the params: k ~ Normal(0, 10)"
        return Diagnostic("CG0711", text, self.fitting.span, "warning", help=help)


def only(graph: FactorGraph, names: tuple[str, ...]) -> FactorGraph:
    return FactorGraph(tuple(v for v in graph.variables if v.name in names), ())


def shown(value: NDArray[np.float64]) -> str:
    """A value in few words."""
    return f"{value:.4g}" if not value.shape else f"[{', '.join(f'{x:.4g}' for x in value.reshape(-1)[:4])}…]"


class LogTotal:
    """log Z of one `LogPartition`. constants: the arrays it reads, which compiled functions take as an argument."""

    def __init__(self, total: LogPartition, backend: Backend, learned: Learned) -> None:
        self.total = total
        exact = total.exact
        plan = Plan(()) if exact is None else Plan((exact.block,), exact={exact.names: exact})
        self.density = Density(total.graph, plan, backend, learned)
        summed = () if exact is None else exact.groups
        self.rest = [g for g in total.graph.groups if g not in summed]

    @property
    def constants(self) -> dict[str, Any]:
        return self.density.constants

    def of(self, constants: Mapping[str, Any], params: Mapping[str, Array]) -> Array:
        """log Z (1,) in nats, where the params have these values (1, *shape)."""
        density = self.density.with_constants(constants)
        energy = density.backend.xp.zeros((1,), dtype=density.backend.real)
        for each in density.group_energies(self.rest, params):
            energy = energy + each
        if self.total.exact is not None:
            energy = energy + density.joint(self.total.exact.names).free_energy(params)
        return -self.total.count * energy
