"""What a population starts from: the part of a program that can be drawn exactly, with the log of its integral.

In: a factor graph. Out: its `Reference`, whose draws are exact and independent: Gaussians in closed form, then
densities in the order of their inputs, then uniform boxes. Draws that leave a type or
a condition of what is drawn are drawn anew as a whole, which is exact, since bounds cut the joint density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, once
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.references.contrasts import contrasts_apart
from compose_lang.compiler.references.elements import Values
from compose_lang.compiler.references.parts import ReferenceParts, reference_parts
from compose_lang.compiler.references.statements import Statement, Target, noise_of, stages
from compose_lang.runtime.backends import load_backend

LEAST_ACCEPTED = 0.01  #: share of whole draws that must meet the bounds of what is drawn in order
PILOT = (2_000, 20_000)  #: draws that this share is found from, the second number where some are refused
ROUNDING = 1e-9  #: by how much a vector may fail its type
CHUNK = 10**7  #: numbers drawn at once


@dataclass(frozen=True, eq=False)
class Reference:
    """A density whose draws are exact: the product of `groups`, within the types of all free variables.

    graph: the program's, of which `groups` are some, or the same density with contrasts in two groups each.
    description: what is drawn how, in words. log_z: the log of its integral over the variables' own values, bounds
    included, with its standard error.
    """

    graph: FactorGraph
    groups: tuple[FactorGroup, ...]
    description: str
    log_z: float
    log_z_error: float
    parts: ReferenceParts = field(repr=False)

    def draw(self, count: int, seed: Sequence[int]) -> Values:
        """Independent draws (count, *shape, *event) of every variable with free sites."""
        rng = np.random.default_rng(list(seed))
        kept: list[Values] = []
        found, size = 0, count
        while found < count:
            values, inside = tries(self.parts, size, rng)
            kept.append({name: array[inside] for name, array in values.items()})
            found += int(inside.sum())
            share = max(float(inside.mean()), LEAST_ACCEPTED / 4)
            size = int(np.clip(1.1 * (count - found) / share + 16, 16, most_at_once(self.parts)))
        return {name: np.concatenate([k[name] for k in kept])[:count] for name in kept[0]}


def most_at_once(parts: ReferenceParts) -> int:
    return max(
        64, CHUNK // max(1, sum(math.prod(v.type.full_shape) for v in parts.elements.variables.values()))
    )


@once
def reference_of(graph: FactorGraph) -> Reference | None:
    """What of a program can be drawn exactly; None where some free variable is drawn by nothing."""
    apart = contrasts_apart(graph)
    without: frozenset[int] = frozenset()
    while (parts := reference_parts(apart.graph, without=without)) is not None:
        graph = apart.keeping(parts.groups)
        log_z = (
            sum(g.log_z for g in parts.gaussians) + sum(b.log_volume for b in parts.boxes) - parts.constant
        )
        variance = sum(g.log_z_error**2 for g in parts.gaussians)
        if not can_be_refused(parts):
            return Reference(graph, parts.groups, parts.description, log_z, math.sqrt(variance), parts)
        share, error, values = accepted(parts)
        if share >= LEAST_ACCEPTED:
            log_z, error = log_z + math.log(share), math.hypot(math.sqrt(variance), error)
            return Reference(graph, parts.groups, parts.description, log_z, error, parts)
        if not parts.statements:
            return None  # bounds between variables leave almost nothing
        worst = min(parts.statements, key=lambda s: statement_admits(parts, s, values).mean())
        without |= {worst.place}
    return None


def accepted(parts: ReferenceParts) -> tuple[float, float, Values]:
    """The share of draws that meet what they must, the error of its log, and the draws that it was found from."""
    for size in PILOT:
        count = min(size, most_at_once(parts))
        values, inside = tries(parts, count, np.random.default_rng(2011))
        share = float(inside.mean())
        if share in (0.0, 1.0):
            break
    return share, math.sqrt((1 - share) / (max(share, 1 / count) * count)), values


# --- one try ---


def tries(parts: ReferenceParts, count: int, rng: np.random.Generator) -> tuple[Values, NDArray[np.bool_]]:
    """Draws of all variables, and which of them (count,) lie within the types and conditions of what is drawn."""
    elements = parts.elements
    sites: dict[str, Any] = {}
    for name, v in elements.variables.items():
        shape = (count, v.free_sites, *v.type.domain.event_shape)
        sites[name] = np.zeros(shape) if not v.is_discrete else np.zeros(shape, dtype=np.int64)
    for box in parts.boxes:
        sites[box.variable.name][:, box.sites] = box.draw(count, rng)
    for gaussian in parts.gaussians:
        drawn, numbers = gaussian.draw(count, rng), gaussian.numbers
        for name, array in sites.items():
            own = elements.owner(name)
            mine = (numbers >= own.start) & (numbers < own.stop)
            if mine.any():
                array[:, numbers[mine] - own.start] = drawn[:, mine]
    values = {name: elements.whole(name, array) for name, array in sites.items()}
    draw_in_order(parts, values, count, rng)
    return values, admitted(parts, values, count)


def draw_in_order(parts: ReferenceParts, values: Values, count: int, rng: np.random.Generator) -> None:
    """Write the draws of all statements into values, each after those that it reads."""
    for statements, recurs in stages(parts.statements, parts.elements.count):
        draw_stage(parts, [t for s in statements for t in s.targets], recurs, values, count, rng)


def draw_stage(
    parts: ReferenceParts,
    targets: Sequence[Target],
    recurs: bool,
    values: Values,
    count: int,
    rng: np.random.Generator,
) -> None:
    """Write draws into values.

    What reads its own earlier elements is drawn again from noise that is kept until nothing changes: what depends on
    nothing is right after the first time, what depends on that after the second, and so on.
    """
    noise = {id(slot): noise_of(kind, slot, count, rng) for t in targets for kind, slot in t.drawn.noise}
    backend, changed = load_backend("numpy"), True
    with np.errstate(all="ignore"):
        while changed:
            changed = False
            results = interpret(backend, [t.drawn.draw for t in targets], noise | bindings(parts, values))
            for t, drawn in zip(targets, results, strict=True):
                shape = (count, *t.drawn.subject.shape)
                new = np.broadcast_to(np.asarray(drawn), shape).reshape((count, -1))
                flat = values[t.name].reshape((count, -1))
                changed |= recurs and not np.array_equal(
                    flat[:, t.places], new, equal_nan=new.dtype.kind == "f"
                )
                flat[:, t.places] = new


def bindings(parts: ReferenceParts, values: Values) -> dict[int, Any]:
    return {id(v.node): values[name] for name, v in parts.elements.variables.items()}


# --- which tries count ---


def can_be_refused(parts: ReferenceParts) -> bool:
    """Whether draws may leave the types, or conditions of what is drawn in order."""
    return bool(parts.statements) or any(
        v.lower is not None or v.upper is not None for v in parts.elements.variables.values()
    )


def admitted(parts: ReferenceParts, values: Values, count: int) -> NDArray[np.bool_]:
    """Which draws (count,) lie within bounds between variables, and within what their statements and types admit."""
    inside = np.ones(count, dtype=bool)
    for s in parts.statements:
        inside &= statement_admits(parts, s, values)
    backend = load_backend("numpy")
    for name, v in parts.elements.variables.items():
        for bound, sign in ((v.lower, 1), (v.upper, -1)):
            if bound is not None:
                (edge,) = interpret(backend, [bound], bindings(parts, values))
                holds = np.broadcast_to(sign * (values[name] - edge) >= 0, values[name].shape)
                inside &= holds[:, v.free].reshape((count, -1)).all(axis=1)
    return inside


def statement_admits(parts: ReferenceParts, s: Statement, values: Values) -> NDArray[np.bool_]:
    """Which draws (count,) have a finite energy of a statement, and lie in the types of what it draws."""
    backend = load_backend("numpy")
    with np.errstate(all="ignore"):
        energies = interpret(backend, [g.energy for g in s.groups], bindings(parts, values))
    count = len(next(iter(values.values())))
    inside = np.ones(count, dtype=bool)
    for energy in energies:
        inside &= np.isfinite(np.asarray(energy)).reshape((len(energy), -1)).all(axis=1)
    for t in s.targets:
        v = parts.elements.variables[t.name]
        drawn = values[t.name].reshape((count, -1))[:, t.places].astype(float)
        low, high = parts.limits.low[t.numbers], parts.limits.high[t.numbers]
        inside &= (np.isfinite(drawn) & (drawn >= low) & (drawn <= high)).all(axis=1)
        if event := v.type.domain.event_shape:
            inside &= belong(v.type.domain, drawn.reshape((count, -1, *event))).all(axis=1)
    return inside & allowed(parts, s, values)


def belong(domain: Domain, x: NDArray[Any]) -> NDArray[np.bool_]:
    """Which vectors and matrices (…, *event) are values of a domain, but for rounding."""
    good: Any = np.ones(x.shape[: x.ndim - len(domain.event_shape)], dtype=bool)
    match domain.kind:
        case "ordered" | "positive_ordered":
            good = (np.diff(x, axis=-1) > 0).all(axis=-1)
        case "simplex":
            good = np.abs(x.sum(axis=-1) - 1) < ROUNDING
        case "unit_vector":
            good = np.abs((x**2).sum(axis=-1) - 1) < ROUNDING
        case "cholesky_corr":
            good = (np.triu(x, 1) == 0).all(axis=(-2, -1)) & (np.diagonal(x, axis1=-2, axis2=-1) > 0).all(-1)
            good &= (np.abs((x**2).sum(axis=-1) - 1) < ROUNDING).all(axis=-1)
        case "permutation":
            good = (np.sort(x, axis=-1) == np.arange(domain.size)).all(axis=-1)
    return np.asarray(good)


def allowed(parts: ReferenceParts, s: Statement, values: Values) -> NDArray[np.bool_]:
    """Which draws (count,) take values that constraints leave each site, where such are known."""
    count = len(next(iter(values.values())))
    inside = np.ones(count, dtype=bool)
    for name in {t.name for t in s.targets}:
        v, own = parts.elements.variables[name], parts.elements.owner(name)
        if v.allowed is None:
            continue
        sites = s.numbers[(s.numbers >= own.start) & (s.numbers < own.stop)] - own.start
        possible = v.support.values
        places = (values[name][:, v.free][:, sites].astype(np.int64) - possible.start) // possible.step
        known = np.clip(places, 0, v.allowed.shape[1] - 1)
        inside &= v.allowed[sites, known].all(axis=1)
    return inside
