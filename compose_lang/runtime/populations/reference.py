"""What a population starts from: the part of a program that can be drawn exactly, with the log of its integral.

In: a factor graph. Out: its `Reference`, whose draws are exact and independent. Where what is left of the program keeps
enough of them, it is drawn by rejection, and the reference is the program itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, once
from compose_lang.compiler.references.contrasts import contrasts_apart
from compose_lang.compiler.references.elements import Values
from compose_lang.compiler.references.parts import ReferenceParts, reference_parts
from compose_lang.runtime.populations.drawing import (
    admitted,
    can_be_refused,
    most_at_once,
    statement_admits,
    tries,
)
from compose_lang.runtime.populations.rejection import Rest, rest_of

LEAST_ACCEPTED = 0.01  #: share of whole draws that must meet the bounds of what is drawn in order
LEAST_KEPT = 0.0002  #: share of draws that the rest of the program must keep, where it is drawn by rejection
MOST_WORK = 10**9  #: numbers that are computed for `DRAWS` draws by rejection
DRAWS = 4_000
MOST_TRIED = 4_000_000  #: draws that shares are found from, where they are cheap
PILOT = (2_000, 20_000)  #: draws that shares are found from: where all are kept, and at the least otherwise
PRECISE = 0.03  #: error of the log of a share that is small enough


class Tries(NamedTuple):
    """Draws of all variables, and the log of the probability (count,) that each is kept with."""

    values: Values
    log_kept: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """A density whose draws are exact: the product of `groups`, within the types of all free variables.

    graph: the program's, of which `groups` are some, or the same density with contrasts in two groups each.
    description: what is drawn how, in words. log_z: the log of its integral over the variables' own values, bounds
    included, with its standard error. rest: the other factors, where draws are kept by them, so that groups are all.
    """

    graph: FactorGraph
    groups: tuple[FactorGroup, ...]
    description: str
    log_z: float
    log_z_error: float
    parts: ReferenceParts = field(repr=False)
    rest: Rest | None = field(repr=False, default=None)
    share: float = 1.0  #: of draws, that are kept

    def draw(self, count: int, seed: Sequence[int]) -> Values:
        """Independent draws (count, *shape, *event) of every variable with free sites."""
        rng = np.random.default_rng(list(seed))
        kept: list[Values] = []
        found = 0
        most = at_once(self.parts, self.rest)
        while found < count:
            size = int(np.clip(1.1 * (count - found) / self.share + 16, 16, most))
            values, log_kept = tried(self.parts, self.rest, size, rng)
            with np.errstate(divide="ignore", invalid="ignore"):
                chosen = np.log(rng.random(size)) < log_kept
            kept.append({name: array[chosen] for name, array in values.items()})
            found += int(chosen.sum())
        return {name: np.concatenate([k[name] for k in kept])[:count] for name in kept[0]}

    def log_z_from(self, seed: Sequence[int]) -> float:
        """The log of the integral, as other draws estimate it where it is not known: independent for each seed."""
        if self.log_z_error == 0.0:
            return self.log_z
        log_z = self.parts.log_z_from(np.random.default_rng([*seed, 2012]))
        if self.share < 1.0:
            log_z += math.log(kept(self.parts, self.rest, seed, LEAST_KEPT / 10)[0])
        return log_z - (sum(self.rest.floors) if self.rest is not None else 0.0)


def at_once(parts: ReferenceParts, rest: Rest | None) -> int:
    return (
        most_at_once(parts)
        if rest is None
        else max(64, min(most_at_once(parts), 10**7 // (1 + rest.elements)))
    )


def tried(parts: ReferenceParts, rest: Rest | None, count: int, rng: np.random.Generator) -> Tries:
    values = tries(parts, count, rng)
    inside = admitted(parts, values, count)
    log_kept = np.where(inside, 0.0, -np.inf)
    if rest is not None:
        left = np.flatnonzero(inside)
        leaves = {name: id(v.node) for name, v in parts.elements.variables.items()}
        log_kept[left] = rest.log_weights(leaves, {name: x[left] for name, x in values.items()})
    return Tries(values, log_kept)


@once
def reference_of(graph: FactorGraph, seed: int = 0) -> Reference | None:
    """What of a program can be drawn exactly, by rejection too; None where some free variable is drawn by nothing.

    seed: of the draws that the integrals of what is cut or kept in part are estimated from.
    """
    drawn = drawn_outright(graph, seed)
    return drawn if drawn is None else kept_by_rest(drawn, seed) or drawn


def drawn_outright(graph: FactorGraph, seed: int = 0) -> Reference | None:
    """What of a program can be drawn exactly without regard to the rest of it."""
    apart = contrasts_apart(graph)
    without: frozenset[int] = frozenset()
    while (parts := reference_parts(apart.graph, without=without)) is not None:
        share, error = 1.0, 0.0
        if can_be_refused(parts):
            share, error = kept(parts, None, (seed,), LEAST_ACCEPTED)
        if share >= LEAST_ACCEPTED:
            log_z, error = parts.log_z + math.log(share), math.hypot(parts.log_z_error, error)
            graph = apart.keeping(parts.groups)
            return Reference(graph, parts.groups, parts.description, log_z, error, parts, share=share)
        if not parts.statements:
            return None  # bounds between variables leave almost nothing
        values = tries(parts, PILOT[0], np.random.default_rng([seed, 2011]))
        worst = min(parts.statements, key=lambda s: statement_admits(parts, s, values).mean())
        without |= {worst.place}
    return None


def kept_by_rest(drawn: Reference, seed: int) -> Reference | None:
    """The whole program, as draws of a reference that its other factors keep; None where these are too few."""
    parts, rest = drawn.parts, rest_of(drawn.graph, drawn.parts)
    if rest is None or not rest.groups:
        return None
    least = max(LEAST_KEPT, DRAWS * (parts.work + rest.elements) / MOST_WORK)
    share, error = kept(parts, rest, (seed,), least)
    if share < least:
        return None
    log_z = parts.log_z + math.log(share) - sum(rest.floors)
    error = math.hypot(parts.log_z_error, error)
    description = f"{drawn.description}; the other factors keep one draw in {1 / share:.3g}"
    return Reference(drawn.graph, drawn.graph.groups, description, log_z, error, parts, rest, share)


def kept(parts: ReferenceParts, rest: Rest | None, seed: Sequence[int], least: float) -> tuple[float, float]:
    """The share of draws that is kept, and the error of its log: precisely where it is more than `least`."""
    rng = np.random.default_rng([*seed, 2011])
    most = at_once(parts, rest)
    numbers = parts.work + (0 if rest is None else rest.elements)
    enough = min(MOST_TRIED, MOST_WORK // (8 * (1 + numbers)))
    wanted, count, total, squares = PILOT[0], 0, 0.0, 0.0
    while True:
        size = min(wanted - count, most)
        weights = np.exp(tried(parts, rest, size, rng).log_kept)
        if np.isnan(weights).any():
            return 0.0, math.inf  # chains tell of energies that are no numbers
        count, total, squares = count + size, total + weights.sum(), squares + (weights**2).sum()
        share = total / count
        variance = max(squares / count - share**2, 0.0)
        error = math.sqrt(variance / count) / share if share > 0 else math.inf
        if count < wanted:
            continue
        if wanted == PILOT[0]:
            if variance == 0.0 and share == 1.0:
                return 1.0, 0.0
            if least * count > 10 and share < 0.2 * least:
                return share, error
        if (wanted >= PILOT[1] and (share < least or error <= PRECISE)) or count >= enough:
            return share, error
        wanted = max(PILOT[1], 2 * wanted) if wanted > PILOT[0] else PILOT[1]
