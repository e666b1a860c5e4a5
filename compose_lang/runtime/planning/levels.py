"""How a program's levels of noise are walked, where it has any: by a population, or by replicas that exchange.

Before: `anneal`, which says how the terms depend on the level. After: `plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compose_lang.compiler.analyses.noise_levels import Anneal, anneal
from compose_lang.compiler.graph.factor_graph import FactorGraph, Request
from compose_lang.diagnostics import fail
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.planning.options import (
    ANNEALED,
    GRADIENT,
    LEVEL_MOVES,
    LEVELS,
    MOVES,
    TEMPERING,
    WALKS,
)


@dataclass(frozen=True)
class Annealing:
    """How the levels of a program are walked: by a population, or by replicas that exchange."""

    anneal: Anneal
    levels: int
    moves: int
    move: str
    method: str = ANNEALED
    weights: bool = True  #: whether the population is weighed and resampled, or only carried and moved
    options: Mapping[str, float] = field(default_factory=dict)  #: coarsest and finest, where they are given


def annealing(graph: FactorGraph, chosen: Mapping[str, Request], backend: str) -> Annealing | None:
    """How to walk the levels of a program that has some, unless another method is asked for."""
    found = anneal(graph)
    if found is None or not found.transported:
        for r in chosen.values():
            if r.method == ANNEALED:
                text = "`annealed` walks levels of noise, and nothing in the program depends on one"
                help = "learned diffusions do, and factors that read `noise_level`"
                fail("CG0601", text, r.span, help=help)
        return None
    requests = [chosen[name] for name in found.transported if name in chosen]
    if any(r.method not in WALKS for r in requests):
        return None
    if backend not in GRADIENT:
        for r in requests:
            text = f"levels of noise are walked by gradients, which {backend} does not have"
            fail("CG0601", text, r.span, help=f"there are {', '.join(sorted(GRADIENT))}")
        return None
    options = dict(requests[0].options) if requests else {}
    method = requests[0].method if requests else ANNEALED
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
        if method == TEMPERING and options.get(name, least) < least:
            text = f"the option `{name}` of `tempering` must be a whole number, at least {least}"
            fail("CG0602", text, requests[0].span)
    return Annealing(
        found,
        int(options.get("levels", LEVELS[method])),
        int(options.get("moves", LEVEL_MOVES[method])),
        str(options.get("move", "mala")),
        method,
        options.get("weights", "on") == "on",
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
    if walked.method == TEMPERING:
        weights = "weights of paths" if found.flows else "weights by energies"
        how = f"{walked.moves} {walked.move} a sweep, exchanges by {weights}"
        why = f"{parts}, a replica at every level of noise: {how}"
    return Block(found.transported, walked.method, options, why=why)


def level_notes(walked: Annealing) -> list[str]:
    """What is approximate in a walk, and how terms are weighed that are no flows."""
    found = list(walked.anneal.notes)
    if MOVES[walked.move]:
        found.append(MOVES[walked.move])
    exact = "learned densities are as exact as what was learned"
    if walked.method == TEMPERING:
        steps = "exchanges are exact for fine levels" if walked.anneal.flows else "exchanges are exact"
        found.append(f"{exact}; {steps}")
    elif walked.weights:
        found.append(f"{exact}; weights are exact for many particles")
    else:
        found.append(f"{exact}; without weights the draws are as right as the moves at each level make them")
    if walked.anneal.has_scores_only:
        found.append("scores without energies: moves are accepted by the work along their way")
    return found
