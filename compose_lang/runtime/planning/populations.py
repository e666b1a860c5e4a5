"""When a population walks from a reference to the program, and how: for walls and modes that chains do not cross.

Before: `methods`. After: `plan`, and `runtime/populations`, which walks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Request, Variable
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.references.contrasts import likes_of
from compose_lang.compiler.references.parts import reference_parts
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
MOST_DISCRETE = 64  #: sites of discrete variables that are moved one by one unasked
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
        """How the plan tells of it, with the options that are not as they are unasked."""
        numbers = {"particles": self.particles, "share": self.share, "sweeps": self.sweeps, "rest": self.rest}
        options = {name: n for name, n in numbers.items() if n != OPTIONS[name].default}
        name = METHOD.name if self.resamples else AIS.name
        return Block(self.variables, name, options, why=self.why)


def populations(
    graph: FactorGraph, chosen: Mapping[str, Request], backend: str
) -> tuple[Populations | None, dict[str, Request]]:
    """How populations walk, where they are asked for or the program needs them, and the requests that are left."""
    asked = [r for r in chosen.values() if r.method in WALKERS]
    free = [v for v in graph.variables if v.free_sites]
    names = tuple(v.name for v in free)
    if asked:
        request = asked[0]
        wanted = request.method, dict(request.options)
        if len(chosen) < len(free) or any((r.method, dict(r.options)) != wanted for r in chosen.values()):
            text = f"{request.method} is of the whole program: one `infer by {request.method}` is enough"
            fail("CG0602", text, request.span)
        require_served(graph, free, request)
        given = {name: option.default for name, option in OPTIONS.items()} | dict(request.options)
        particles, sweeps, rest = (int(given[name]) for name in ("particles", "sweeps", "rest"))
        resamples = request.method == METHOD.name
        why = f"asked for; {beginning(graph)}"
        return Populations(names, particles, float(given["share"]), sweeps, rest, resamples, why), {}
    discrete = sum(v.free_sites for v in free if v.is_discrete)
    if chosen or not has_gradient(backend) or discrete > MOST_DISCRETE:
        return None, dict(chosen)
    why = reason(walls(graph), choices(graph))
    if not why or not can_serve(graph):
        return None, dict(chosen)
    return Populations(names, why=f"{why}; {beginning(graph)}"), {}


def can_serve(graph: FactorGraph) -> bool:
    """Whether populations can start from something and move all variables."""
    free = [v for v in graph.variables if v.free_sites]
    if not all(v.kind in METHOD.serves for v in free) or all(v.is_discrete for v in free):
        return False
    return not any(v.is_discrete for v in free) or reference_parts(graph) is not None


def require_served(graph: FactorGraph, free: list[Variable], request: Request) -> None:
    """CG0601 where populations have nothing to start from, or nothing but discrete variables to move."""
    if all(v.is_discrete for v in free):
        text, help = "no variable is continuous", "`tempering` takes discrete variables along a path"
    elif not can_serve(graph):
        text = "it has discrete variables, and some other is drawn by nothing"
        help = "a bound for each variable, or a density that can be drawn, gives populations a place to start from"
    else:
        return
    fail("CG0601", f"`{request.method}` does not serve this program: {text}", request.span, help=help)


def beginning(graph: FactorGraph) -> str:
    """What populations start from, in words."""
    parts = reference_parts(graph)
    return "from a Gaussian that is fitted to it" if parts is None else f"from {parts.description}"


def walls(graph: FactorGraph) -> list[FactorGroup]:
    """The constraints on free continuous variables that are more than bounds of single ones."""
    continuous = free_continuous(graph)
    return [
        g for g in graph.groups if g.kind == "require" and g.variables & continuous and not is_bound(graph, g)
    ]


def choices(graph: FactorGraph) -> list[FactorGroup]:
    """The factors, few enough, that choose between parts over free continuous variables: mixtures and contrasts."""
    continuous = free_continuous(graph)
    few = [g for g in graph.groups if g.variables & continuous and g.instances <= MOST_CHOICES]
    return [g for g in few if likes_of(g.energy) or any(n.variables & continuous for n in mixed_in(g.energy))]


def mixed_in(energy: Node) -> Iterator[Node]:
    """The logs of sums of exponentials that an energy falls with; those that it rises with are totals."""
    signs = {id(energy): 1.0}
    for n in reversed(postorder([energy])):
        sign = signs.get(id(n), 0.0)
        if sign < 0.0 and is_log_of_sum(n):
            yield n
        for a, own in zip(n.args, slopes(n), strict=True):
            signs.setdefault(id(a), sign * own)


def is_log_of_sum(n: Node) -> bool:
    """Whether an expression adds up exponentials and takes the log."""
    is_written = n.op == "log" and adds(n.args[0]) and any(m.op == "exp" for m in postorder(n.args))
    return is_logsumexp(n) or is_written


def is_logsumexp(n: Node) -> bool:
    """Whether an expression is logsumexp, of an array or over a plate."""
    return bool(n.op == "logsumexp" or (n.op == "reduce_axis" and n.attrs[0] == "logsumexp"))


def adds(n: Node) -> bool:
    rule = op_of(n)
    is_sum = rule.reduction is not None and (rule.linear is not None or n.op == "reduce_axis")
    return rule.symbol == "+" or is_sum


def slopes(n: Node) -> tuple[float, ...]:
    """Whether an expression rises (1) or falls (-1) with each of its arguments; 0 where that is not plain."""
    rule = op_of(n)
    if n.op == "neg":
        return (-1.0,)
    if rule.symbol == "-":
        return (1.0, -1.0)
    if rule.symbol == "*":
        first, second = (float(np.sign(a.item())) if a.is_static_scalar else 0.0 for a in n.args)
        return second, first
    rises = rule.selects or adds(n) or n.op == "where"
    return (1.0 if rises else 0.0,) * len(n.args)


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
