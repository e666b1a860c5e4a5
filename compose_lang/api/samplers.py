"""Which sampler draws a planned program, with the settings that it works by.

In: a program, its plan, settings and weights. Out: a `Choice`, from which the sampler is made when the run folder is
open. Before: `planning`, which chose the kernels. After: `execute`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from compose_lang.compiler.passes import CompiledProgram
from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.path import schedule
from compose_lang.runtime.annealing.population import PopulationSweeper
from compose_lang.runtime.annealing.replicas import REACH, ReplicaSweeper
from compose_lang.runtime.annealing.softening import Softening
from compose_lang.runtime.backends import facts, load_backend
from compose_lang.runtime.chains.driver import Sampler, lanes_of
from compose_lang.runtime.chains.independent import BestPoint, IndependentSweeper
from compose_lang.runtime.chains.optimise import Optimiser
from compose_lang.runtime.chains.sweep import Sweeper
from compose_lang.runtime.chains.tempering import TemperedSweeper
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination.solved import Solved
from compose_lang.runtime.kernels.gibbs import KERNEL as GIBBS
from compose_lang.runtime.kernels.hmc import KERNEL as HMC
from compose_lang.runtime.kernels.mh import KERNEL as MH
from compose_lang.runtime.learned.energy import Learned
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.exact import on_graph
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.populations.moves import Moves
from compose_lang.runtime.populations.objects import object_moves
from compose_lang.runtime.populations.path import Path
from compose_lang.runtime.populations.reference import reference_of
from compose_lang.runtime.populations.sampler import MOST_STAGES, PopulationSampler
from compose_lang.runtime.runs.manifest import Lane
from compose_lang.runtime.runs.settings import Settings
from compose_lang.runtime.views.views import views_of

TOGETHER = 4  #: populations that are moved as one array


@dataclass(frozen=True)
class Choice:
    """A sampler to be made. make: of the names of the columns to store."""

    density: Density
    settings: Settings
    lanes: list[Lane]
    make: Callable[[Sequence[str]], Sampler]
    solved: Solved | None = None  #: whose log Z is that of the run

    @property
    def log_evidence(self) -> dict[str, float] | None:
        """log Z in nats where it is known exactly: `value` and `error`."""
        return None if self.solved is None else {"value": self.solved.log_evidence, "error": 0.0}


def choose_sampler(program: CompiledProgram, plan: Plan, settings: Settings, learned: Learned) -> Choice:
    """The sampler that serves a plan."""
    if plan.optimising is not None:  # each chain comes to one point
        settings = replace(settings, draws=1, thin=1)
    if plan.is_exact and not learned:
        return drawn_outright(program, plan, settings)
    backend = load_backend(settings.backend, settings.precision)  # type: ignore[arg-type]
    density = Density(program.graph, backend, learned)
    if plan.annealing is not None:
        return along_levels(density, plan, settings, learned)
    if plan.populations is not None:
        return along_path(density, plan, settings)
    return by_sweeps(density, plan, settings)


def drawn_outright(program: CompiledProgram, plan: Plan, settings: Settings) -> Choice:
    """Independent draws, or the best point, by elimination: it needs no compiler and no warm-up."""
    solved = Solved(program.graph, next(iter(plan.exact.values())))
    settings = replace(settings, warmup=0, thin=1)
    lanes = lanes_on(solved.backend.name, plan, settings)
    sampler: type[IndependentSweeper] = IndependentSweeper if plan.optimising is None else BestPoint

    def make(names: Sequence[str]) -> Sampler:
        return sampler(solved, seed=settings.seed, chains=len(lanes[0].chains), keep=names)

    return Choice(solved.density, settings, lanes, make, solved if plan.optimising is None else None)


def by_sweeps(density: Density, plan: Plan, settings: Settings) -> Choice:
    """Chains whose blocks are moved in turn; with replicas at shares of the energy, or to the best point."""
    lanes = lanes_on(settings.backend, plan, settings)
    sampler: Any = Sweeper
    if plan.tempering is not None:
        sampler = partial(TemperedSweeper, tempering=plan.tempering)
    elif plan.optimising is not None:
        sampler = partial(Optimiser, optimising=plan.optimising)

    def make(names: Sequence[str]) -> Sampler:
        made: Sampler = sampler(
            views_of(density, plan.blocks),
            seed=settings.seed,
            warmup=settings.warmup,
            chains=len(lanes[0].chains),
            keep=names,
        )
        return made

    def kept(names: Sequence[str]) -> Sampler:
        """The sampler of an earlier run with another seed, whose functions are compiled."""
        blocks = tuple(str(block.describe()) for block in plan.blocks)
        size = settings.warmup, len(lanes[0].chains)
        key = (by_sweeps, settings.backend, settings.precision, *size, tuple(names), blocks)
        known = density.graph.analyses
        if key not in known:
            known[key] = make(names)
        again: Sweeper = copy(known[key])
        again.seed = settings.seed
        return again

    is_alone = sampler is Sweeper and not density.parts
    return Choice(density, settings, lanes, kept if is_alone else make)


def along_levels(density: Density, plan: Plan, settings: Settings, learned: Learned) -> Choice:
    """Populations or replicas along a program's levels of noise, a chain each."""
    walk = plan.annealing
    assert walk is not None
    by_population = walk.by_population
    if by_population:  # a chain is a population, its warm-up the walk down the levels
        settings = replace(settings, warmup=walk.levels, thin=1)

    def make(names: Sequence[str]) -> Sampler:
        freed = Density(walk.anneal.graph, density.backend, learned)
        others = [b for b in plan.blocks if b.variables != walk.anneal.transported]
        views = views_of(freed, on_graph(others, walk.anneal.graph), is_steady=False)
        reach = math.inf if by_population or walk.anneal.choices else REACH
        levels = schedule(walk.anneal, learned, walk.levels, dict(walk.options), reach)
        softening = Softening(float(levels.levels[0]), float(levels.levels[-1]))
        return (PopulationSweeper if by_population else ReplicaSweeper)(
            Field(walk.anneal, views.density, softening),
            walk,
            views,
            levels,
            seed=settings.seed,
            particles=settings.draws if by_population else walk.levels,
            keep=names,
            whole=density,
            warmup=settings.warmup,
        )

    return Choice(density, settings, [Lane([chain]) for chain in range(settings.chains)], make)


def along_path(density: Density, plan: Plan, settings: Settings) -> Choice:
    """Populations that walk from a reference to the program, a chain each."""
    walk = plan.populations
    assert walk is not None
    settings = replace(settings, warmup=MOST_STAGES, thin=1)

    def make(names: Sequence[str]) -> Sampler:
        reference = reference_of(density.graph, settings.seed)
        absorbed = () if reference is None else reference.groups
        path = Path.to(density.graph if reference is None else reference.graph, absorbed)
        continuous = tuple(n for n in walk.variables if not density.variables[n].is_discrete)
        discrete = [density.variables[n] for n in walk.variables if n not in continuous]
        blocks = [Block((v.name,), GIBBS.name if v.kind in GIBBS.serves else MH.name) for v in discrete]
        on_path = Density(path.graph, density.backend, density.weights)
        views = views_of(on_path, [Block(continuous, HMC.name), *blocks], is_steady=False)
        objects = None if reference is None else object_moves(on_path)
        moves = Moves(
            views, continuous, objects, has_force=reference is None or bool(path.brought or absorbed)
        )
        return PopulationSampler(path, reference, moves, walk, density, seed=settings.seed, keep=names)

    together = [list(range(settings.chains))[i : i + TOGETHER] for i in range(0, settings.chains, TOGETHER)]
    return Choice(density, settings, [Lane(chains) for chains in together], make)


def lanes_on(backend: str, plan: Plan, settings: Settings) -> list[Lane]:
    """The chains that run together."""
    together = max((block.chains_together for block in plan.blocks), default=1)
    return [Lane(chains) for chains in lanes_of(settings.chains, facts(backend).lanes, together)]
