"""One try of all variables from what can be drawn exactly, and which tries lie within the types and conditions of it.

In: the parts of a reference. Out: Gaussians in closed form, then densities in the order of their inputs, then uniform
boxes; and whether all of a try is admitted: bounds cut the joint density, so that a whole try counts or does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import postorder
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.references.elements import Values
from compose_lang.compiler.references.parts import ReferenceParts
from compose_lang.compiler.references.statements import Statement, Target, noise_of, stages
from compose_lang.runtime.backends import load_backend

ROUNDING = 1e-9  #: by how much a vector may fail its type
CHUNK = 10**7  #: numbers drawn at once


def most_at_once(parts: ReferenceParts) -> int:
    """How many tries memory has room for."""
    numbers = sum(math.prod(v.type.full_shape) for v in parts.elements.variables.values())
    return max(64, CHUNK // max(1, numbers))


def tries(parts: ReferenceParts, count: int, rng: np.random.Generator) -> Values:
    """Draws of all variables, (count, *shape, *event)."""
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
    return values


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
    draws = [t.drawn.draw for t in targets]
    with np.errstate(all="ignore"):
        still = [
            n for n in postorder(draws, inside=lambda n: bool(n.variables)) if n.args and not n.variables
        ]
        fixed = dict(
            zip(map(id, still), interpret(backend, still, noise), strict=True)
        )  # once for all passes
        while changed:
            changed = False
            results = interpret(backend, draws, noise | fixed | bindings(parts, values))
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
