"""How a program's levels of noise are walked, where it has any: by a population, or by replicas that exchange.

Before: `noise_levels`, which says how the terms depend on the level. After: `plan`, and `runtime/annealing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compose_lang.compiler.analyses.noise_levels import Anneal, anneal
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request
from compose_lang.diagnostics import fail
from compose_lang.runtime.backends import has_gradient, with_gradients
from compose_lang.runtime.kernels.common.method import Method, Option
from compose_lang.runtime.planning import tempering
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.moves import MOVE, MOVES

METHOD = Method(
    name="annealed",
    summary="carries a population down levels of noise",
    serves=frozenset({"continuous"}),
    options={
        "levels": Option(120, "levels of noise", "whole number"),
        "moves": Option(2, "moves at each level", "whole number", may_be_zero=True),
        "move": Option(MOVE, "how particles move at a level", "text", tuple(MOVES)),
        "weights": Option("on", "whether particles are weighed and resampled", "text", ("on", "off")),
        "coarsest": Option(None, "the level that the walk begins at"),
        "finest": Option(None, "the level that it ends at"),
    },
    needs_gradient=True,
)
WALKS = (METHOD.name, tempering.METHOD.name)
"""Methods that go along levels of noise."""
REPLICAS, REPLICA_MOVES = 40, 1
"""Levels of noise that hold a replica each unasked, and moves of each in a sweep."""


@dataclass(frozen=True)
class Annealing:
    """How the levels of a program are walked: by a population, or by replicas that exchange."""

    anneal: Anneal
    levels: int
    moves: int
    move: str
    method: str = METHOD.name
    weights: bool = True  #: whether the population is weighed and resampled, or only carried and moved
    options: Mapping[str, float] = field(default_factory=dict)  #: coarsest and finest, where they are given

    @property
    def by_population(self) -> bool:
        """Whether particles walk down the levels together, rather than a replica at each."""
        return self.method == METHOD.name


def annealing(graph: FactorGraph, chosen: Mapping[str, Request], backend: str) -> Annealing | None:
    """How to walk the levels of a program that has some, unless another method is asked for."""
    found = anneal(graph)
    if found is None or not found.transported:
        for r in chosen.values():
            if r.method == METHOD.name:
                text = "`annealed` walks levels of noise, and nothing in the program depends on one"
                help = "learned diffusions do, and factors that read `noise_level`"
                fail("CG0601", text, r.span, help=help)
        return None
    requests = [chosen[name] for name in found.transported if name in chosen]
    if any(r.method not in WALKS for r in requests):
        return None
    if not has_gradient(backend):
        for r in requests:
            text = f"levels of noise are walked by gradients, which {backend} does not have"
            fail("CG0601", text, r.span, help=f"there are {', '.join(with_gradients())}")
        return None
    options = dict(requests[0].options) if requests else {}
    method = requests[0].method if requests else METHOD.name
    for r in requests[1:]:
        if (r.method, dict(r.options)) != (method, options):
            names = ", ".join(found.transported)
            fail(
                "CG0601", f"{names} carry noise together: one method with the same options walks all", r.span
            )
    if "hottest" in options:
        text = "the option `hottest` is of programs without levels of noise: here there is `coarsest`"
        fail("CG0602", text, requests[0].span)
    for name, least in (("levels", 2), ("moves", 1)):
        if method == tempering.METHOD.name and options.get(name, least) < least:
            text = f"the option `{name}` of `tempering` must be a whole number, at least {least}"
            fail("CG0602", text, requests[0].span)
    unasked = {name: option.default for name, option in METHOD.options.items()}
    if method == tempering.METHOD.name:
        unasked |= {"levels": REPLICAS, "moves": REPLICA_MOVES}
    given = unasked | options
    return Annealing(
        found,
        int(given["levels"]),
        int(given["moves"]),
        str(given["move"]),
        method,
        given["weights"] == "on",
        {name: float(options[name]) for name in ("coarsest", "finest") if name in options},
    )


def annealed_block(walked: Annealing) -> Block:
    found = walked.anneal
    options = {"levels": walked.levels, "moves": walked.moves, "move": walked.move}
    options |= {} if walked.weights else {"weights": "off"}
    options |= walked.options
    weights = "Feynman-Kac weights" if found.flows else "weights by energies"
    weights = f"{weights}, systematic resampling" if walked.weights else "no weights"
    parts = ", ".join(dict.fromkeys(f.group.label for f in found.flows)) or "its factors"
    why = f"{parts} at every level of noise: {weights}, {walked.moves} {walked.move} a level"
    if walked.method == tempering.METHOD.name:
        weights = "weights of paths" if found.flows else "weights by energies"
        how = f"{walked.moves} {walked.move} a sweep, exchanges by {weights}"
        why = f"{parts}, a replica at every level of noise: {how}"
    return Block(found.transported, walked.method, options, why=why)


def level_notes(walked: Annealing) -> list[str]:
    """What is approximate in a walk, and how terms are weighed that are no flows."""
    found = list(walked.anneal.notes)
    if MOVES[walked.move].approximate:
        found.append(MOVES[walked.move].approximate)
    exact = "learned densities are as exact as what was learned"
    if walked.method == tempering.METHOD.name:
        steps = "exchanges are exact for fine levels" if walked.anneal.flows else "exchanges are exact"
        found.append(f"{exact}; {steps}")
    elif walked.weights:
        found.append(f"{exact}; weights are exact for many particles")
    else:
        found.append(f"{exact}; without weights the draws are as right as the moves at each level make them")
    if walked.anneal.has_scores_only:
        found.append("scores without energies: moves are accepted by the work along their way")
    return found
