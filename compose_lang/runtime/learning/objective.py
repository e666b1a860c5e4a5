"""What maximum likelihood minimises: minus the log-likelihood of the params' coordinates u (D,), and its gradient.

In: a `Fitting` and the weights of its learned parts. Given all else, the energy of the params is minus the
log-likelihood of data and variables, in unconstrained coordinates with no Jacobian: a maximum does not depend on
coordinates. Where the program's weight is not normalised, the log of its total over data and variables is added:
summed exactly (`LogTotal`), or by the mean energy of chains of the model (`ModelChains`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.elaborate.variables import some_value
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.backends import DEFAULT, load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.learning.model_chains import Coordinate, ModelChains, PersistentChains
from compose_lang.runtime.planning.exact import exact_block, on_graph
from compose_lang.runtime.planning.plan import Plan, plan
from compose_lang.runtime.views.coordinates import Coordinates
from compose_lang.runtime.views.views import views_of

if TYPE_CHECKING:
    from compose_lang.compiler.likelihood.partition_functions import LogPartition

SPREAD = 0.1  #: of first coordinates around the middle of a type: alike, params that are alike would stay so
LONGEST = 20.0  #: a bounded param whose coordinate lies farther out than this has come to its bound
WALL = 10.0  #: how much dearer than the best point one without a likelihood seems to be, in its size


class Objective:
    """Minus the log-likelihood. params: in the order of their coordinates; rest: variables that are summed out."""

    def __init__(self, fitting: Fitting, learned: Learned) -> None:
        self.fitting = fitting
        self.backend = load_backend(DEFAULT)
        graph, targets, options = fitting.graph, fitting.fit.targets, fitting.fit.options
        self.params = tuple(v.name for v in graph.variables if v.name in targets)
        self.rest = tuple(v.name for v in graph.variables if v.free_sites and v.name not in targets)
        chains = int(options["chains"])
        self.chains = chains if self.rest else 1
        self.walk = self.plan(graph, self.rest)
        self.density = Density(graph, self.backend, learned)
        self.block = Coordinates(self.density, self.params)
        self.alone = Density(only(graph, self.params), self.backend)
        self.totals = [LogTotal(t, self.backend, learned) for t in fitting.totals if not t.is_drawn]
        self.models = [
            ModelChains(t, self.plan(t.graph, t.names), self.params, chains, self.backend, learned)
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
        found = plan(replace(graph, variables=tuple(v for v in graph.variables if v.name in names)), DEFAULT)
        if found.annealing is not None:
            moved = ", ".join(found.annealing.anneal.transported)
            text = f"{moved} live at levels of noise, over which maximum likelihood cannot sum them out"
            raise ComposeError(Diagnostic("CG0601", text, self.fitting.span))
        return replace(found, blocks=tuple(on_graph(found.blocks, graph)))

    def chains_given_data(self) -> PersistentChains | None:
        """Chains of the variables given the data; None where all is data."""
        if not self.rest:
            return None
        return PersistentChains(self.density, self.walk, self.params, self.chains, self.backend)

    def first(self, seed: int) -> Coordinate:
        """Where the fit begins."""
        rng = np.random.default_rng(seed)
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
        """SciPy's result of L-BFGS from u, where the chains stand at a position.

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
        parts = [] if exact is None else [exact_block(exact)]
        self.views = views_of(Density(total.graph, backend, learned), parts)
        summed = () if exact is None else exact.groups
        self.rest = [g for g in total.graph.groups if g not in summed]

    @property
    def constants(self) -> Tree:
        return self.views.constants

    def of(self, constants: Tree, params: Mapping[str, Array]) -> Array:
        """log Z (1,) in nats, where the params have these values (1, *shape)."""
        views = self.views.on(constants)
        density = views.density
        energy = density.backend.xp.zeros((1,), dtype=density.backend.real)
        for each in density.group_energies(self.rest, params):
            energy = energy + each
        if self.total.exact is not None:
            energy = energy + views.joint(self.total.exact.names).free_energy(params)
        return -self.total.count * energy
