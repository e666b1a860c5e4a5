"""How a program without levels of noise is tempered: replicas of all of it, each at a share of its energy.

Before: `methods`. After: `plan`, and `runtime/chains/tempering.py`, which runs them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request, Variable
from compose_lang.diagnostics import fail
from compose_lang.runtime.kernels import find_kernel, load_kernel
from compose_lang.runtime.kernels.common.method import Method, Option
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.moves import MOVE, MOVES

REPLICAS = 12
HOTTEST = 0.1
"""The least share unasked of a program that has no weight to be drawn by where its energy counts for nothing."""
OPTIONS = ("levels", "moves", "hottest")
"""Those that count at shares of the energy; the others are about levels of noise."""
METHOD = Method(
    name="tempering",
    summary="replicas at all levels of noise, or at shares of the energy, that exchange their states",
    serves=frozenset({"continuous", "finite", "counts", "permutation"}),
    options={
        "levels": Option(None, "replicas", "whole number"),
        "moves": Option(1, "moves of each replica in a sweep", "whole number", may_be_zero=True),
        "hottest": Option(None, "the least share of the energy", may_be_zero=True),
        "move": Option(MOVE, "how replicas move at a level of noise", "text", tuple(MOVES)),
        "coarsest": Option(None, "the coarsest level of noise"),
        "finest": Option(None, "the finest"),
    },
)


@dataclass(frozen=True)
class Tempering:
    """Replicas at shares β of the energy, from `hottest` to 1."""

    variables: tuple[str, ...]
    levels: int
    moves: int
    hottest: float
    log_states: float | None  #: the log of how many states there are, where the evidence follows from it

    @property
    def block(self) -> Block:
        """How the plan tells of it."""
        options = {"levels": self.levels, "moves": self.moves, "hottest": self.hottest}
        if self.log_states is not None:
            options["log_states"] = round(self.log_states, 12)
        why = (
            f"{self.levels} replicas at shares of the energy from {self.hottest:g} to 1, set so that neighbours "
            "exchange equally often: what one at the full energy seldom does comes down from those at a small share"
        )
        return Block(self.variables, METHOD.name, options, why=why)


def tempering(
    graph: FactorGraph, chosen: Mapping[str, Request]
) -> tuple[Tempering | None, dict[str, Request]]:
    """How a program is tempered, if it is asked for, and the requests that are left for what moves the replicas."""
    asked = [r for r in chosen.values() if r.method == METHOD.name]
    rest = {name: r for name, r in chosen.items() if r.method != METHOD.name}
    if not asked:
        return None, rest
    request = asked[0]
    for r in asked[1:]:
        if dict(r.options) != dict(request.options):
            fail(
                "CG0602", "tempering is of the whole program: one `infer` with its options is enough", r.span
            )
    require_shares(rest, METHOD.name)
    for name in request.options:
        if name not in OPTIONS:
            text = f"the option `{name}` of `tempering` is about levels of noise, and the program has none"
            fail("CG0602", text, request.span, help=f"it has {', '.join(OPTIONS)}")
    free = [v for v in graph.variables if v.free_sites]
    states = log_states(free)
    hottest = float(request.options.get("hottest", 0.0 if states is not None else HOTTEST))
    levels = int(request.options.get("levels", REPLICAS))
    if levels < 2 or not hottest < 1.0:
        text = "tempering takes at least 2 levels, the hottest below 1"
        fail("CG0602", text, request.span)
    if states is None and hottest == 0.0:
        names = ", ".join(f"`{v.name}`" for v in free if log_states([v]) is None)
        text = f"without the energy nothing holds {names}: `hottest` must be above 0"
        fail("CG0602", text, request.span)
    return Tempering(
        tuple(v.name for v in free),
        levels,
        max(1, int(request.options.get("moves", 1))),
        hottest,
        states if hottest == 0.0 else None,
    ), rest


def require_shares(requests: Mapping[str, Request], beside: str) -> None:
    """CG0601 where a kernel is asked for that runs at the full energy only."""
    for r in requests.values():
        kernel = find_kernel(r.method)
        if kernel is not None and kernel.at_shares:
            text = f"`{r.method}` does not run at shares of the energy"
            fail(
                "CG0601", text, r.span, help=f"{kernel.at_shares} does, and needs no `infer` beside {beside}"
            )


def log_states(variables: Sequence[Variable]) -> float | None:
    """The log of how many values some variables have together; None where they are not finite."""
    total = 0.0
    for v in variables:
        domain = v.support
        if domain.kind == "permutation":
            total += v.free_sites * math.lgamma(domain.size + 1)
        elif domain.is_finite:
            total += (v.free_sites - int(v.fixed.sum())) * math.log(len(domain.values))
        else:
            return None
    return total


def at_shares(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks, by kernels that run at shares of the energy, and in no form that is made for all of it."""
    return tuple(at_share(b) for b in blocks)


def at_share(block: Block) -> Block:
    """A block as it runs at any share of the energy, or at any price of its constraints."""
    kernel = load_kernel(block.kernel)
    if kernel.at_shares:
        why = "continuous with a gradient, at every share of the energy"
        return replace(block, kernel=kernel.at_shares, why=why)
    if isinstance(block.structure, Form):  # of the whole energy
        why = "each site is drawn from its exact conditional, at every share of the energy"
        return replace(block, structure=None, why=why)
    return block
