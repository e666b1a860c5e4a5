"""When a population walks from a reference to the program, and how: for walls and modes that chains do not cross.

Before: `methods`. After: `plan`, and `runtime/populations`, which walks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Request
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.rewrites.tighten_bounds import is_bound
from compose_lang.diagnostics import fail
from compose_lang.runtime.backends import has_gradient
from compose_lang.runtime.kernels.common.method import Method, Option
from compose_lang.runtime.planning.block import Block

SHARE, SWEEPS, REST = 0.5, 5, 60
PARTICLES = 1000
CAREFUL_SHARE = 0.8
MOST_CHOICES = 32
"""Mixtures of a program at most: one that chooses for each row of data is a likelihood, whose modes are few."""
OPTIONS = {
    "particles": Option(PARTICLES, "particles of a population", "whole number"),
    "share": Option(SHARE, "of the population, that is effective after a stage", most=0.999),
    "sweeps": Option(SWEEPS, "sweeps of moves at each stage", "whole number"),
    "rest": Option(REST, "sweeps after the last stage, before the draws", "whole number"),
}
METHOD = Method(
    name="smc",
    summary="populations that walk from what can be drawn exactly to the program, weighed, copied and moved",
    serves=frozenset({"continuous", "finite", "counts"}),
    options=OPTIONS,
    needs_gradient=True,
)
AIS = Method(
    name="ais",
    summary="annealed importance sampling: the walk of `smc`, with weights that are kept to its end",
    serves=METHOD.serves,
    options=OPTIONS,
    needs_gradient=True,
)
WALKERS = (METHOD.name, AIS.name)


@dataclass(frozen=True)
class Populations:
    """How populations walk: with so many particles, a stage as long as a share of them stays effective."""

    variables: tuple[str, ...]
    particles: int = PARTICLES
    share: float = SHARE
    sweeps: int = SWEEPS
    rest: int = REST
    resamples: bool = True
    why: str = "asked for"

    def with_care(self) -> Populations:
        """The same walk in shorter stages, with twice the particles and the moves."""
        return replace(self, particles=2 * self.particles, share=CAREFUL_SHARE, sweeps=2 * self.sweeps)

    @property
    def block(self) -> Block:
        """How the plan tells of it."""
        options = {"particles": self.particles, "share": self.share, "sweeps": self.sweeps, "rest": self.rest}
        name = METHOD.name if self.resamples else AIS.name
        return Block(self.variables, name, options, why=self.why)


def populations(
    graph: FactorGraph, chosen: Mapping[str, Request], backend: str
) -> tuple[Populations | None, dict[str, Request]]:
    """How populations walk, where they are asked for or the program needs them, and the requests that are left."""
    asked = [r for r in chosen.values() if r.method in WALKERS]
    rest = {name: r for name, r in chosen.items() if r.method not in WALKERS}
    free = tuple(v.name for v in graph.variables if v.free_sites and not v.is_discrete)
    if asked:
        request = asked[0]
        for r in asked[1:]:
            if (r.method, dict(r.options)) != (request.method, dict(request.options)):
                text = f"{request.method} is of the whole program: one `infer` with its options is enough"
                fail("CG0602", text, r.span)
        given = {name: option.default for name, option in OPTIONS.items()} | dict(request.options)
        particles, sweeps, least = (int(given[name]) for name in ("particles", "sweeps", "rest"))
        resamples = request.method == METHOD.name
        return Populations(free, particles, float(given["share"]), sweeps, least, resamples), rest
    if chosen or not has_gradient(backend) or any(v.is_discrete for v in graph.variables if v.free_sites):
        return None, dict(chosen)
    why = reason(walls(graph), choices(graph))
    return (Populations(free, why=why) if why else None), dict(chosen)


def walls(graph: FactorGraph) -> list[FactorGroup]:
    """The constraints on free continuous variables that are more than bounds of single ones."""
    continuous = free_continuous(graph)
    return [
        g for g in graph.groups if g.kind == "require" and g.variables & continuous and not is_bound(graph, g)
    ]


def choices(graph: FactorGraph) -> list[FactorGroup]:
    """The factors, few enough, that add up the weights of several parts over free continuous variables."""
    continuous = free_continuous(graph)

    def chooses(n: Node) -> bool:
        adds = n.op == "logsumexp" or (n.op == "reduce_axis" and n.attrs[0] == "logsumexp")
        return adds and bool(n.variables & continuous)

    few = [g for g in graph.groups if g.variables & continuous and g.instances <= MOST_CHOICES]
    return [g for g in few if any(map(chooses, postorder([g.energy])))]


def free_continuous(graph: FactorGraph) -> frozenset[str]:
    return frozenset(v.name for v in graph.variables if v.free_sites and not v.is_discrete)


def reason(walls: list[FactorGroup], choices: list[FactorGroup]) -> str:
    """Why chains would not do, or nothing where they would."""
    said = []
    if walls:
        names = ", ".join(dict.fromkeys(g.label for g in walls))
        said.append(f"walls ({names}) that join several numbers stop chains")
    if choices:
        names = ", ".join(dict.fromkeys(g.label for g in choices))
        said.append(f"the parts of {names} may lie far apart")
    return "; ".join(said)
