"""Independent draws of a program read forwards: every variable from its density, given those it depends on.

The order of the draws need not be known. All densities are drawn at once from noise that is kept, again and again;
what depends on nothing is right after the first time, what depends on that after the second, and so on, until
nothing changes any more. Draws outside a bounded type or against a `require` are drawn anew, all variables together,
which is exact: bounds and constraints cut the joint density.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.elaborate.forward import ForwardSimulation
from compose_lang.compiler.elaborate.variables import some_value
from compose_lang.compiler.graph.factor_graph import Drawn, FactorGraph, Variable
from compose_lang.compiler.graph.learned_factor import used_by
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.types import value_range
from compose_lang.diagnostics import ComposeError, Diagnostic, Span
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part, obtain

MOST_PASSES = 10_000
MOST_TRIES = 200

Values = dict[str, NDArray[Any]]


def simulate(graph: FactorGraph, forwards: ForwardSimulation, count: int, seed: int) -> Values:
    """`count` independent draws of all variables and outcomes: (count, *shape) by name.

    Raises a ComposeError (CG0605) where the program does not say how to draw something, or almost never meets its
    own constraints.
    """
    require_drawable(graph, forwards)
    rng = np.random.default_rng(seed)
    density = Density(graph, load_backend("numpy"), by_part(obtain(used_by(graph))))
    kept: list[Values] = []
    found = 0
    for _ in range(MOST_TRIES):
        values = once(density, forwards, count, rng)
        good = admitted(density, values)
        found += int(good.sum())
        kept.append({name: array[good] for name, array in values.items()})
        if found >= count:
            return {name: np.concatenate([k[name] for k in kept])[:count] for name in kept[0]}
    refuse(f"of {MOST_TRIES * count:,} draws only {found} meet the program's bounds and constraints", None)


def refuse(text: str, span: Span | None) -> NoReturn:
    help = "a program can be drawn if each variable and datum has one `~` with a density that has a `draw`"
    raise ComposeError(Diagnostic("CG0605", f"the program cannot be drawn forwards: {text}", span, help=help))


def require_drawable(graph: FactorGraph, forwards: ForwardSimulation) -> None:
    """Each element is drawn exactly once, or lies flat in a finite range."""
    if forwards.others:
        refuse("this says what is likely, not how to draw it", forwards.others[0])
    for v in graph.variables:
        if not v.free.all():
            refuse(f"elements of `{v.name}` are observed, which is no draw", v.span)
        counts = np.zeros(v.type.full_shape, dtype=int)
        for statement in forwards.drawn:
            if v.name in statement.subject.variables:
                np.add.at(counts.reshape(-1), places(statement, v), 1)
        if (counts > 1).any():
            refuse(f"`{v.name}` is drawn by more than one `~`", v.span)
        if (counts == 0).any() and not is_flat(v):
            refuse(f"no `~` draws `{v.name}`" + (", or not all of it" if counts.any() else ""), v.span)


def is_flat(v: Variable) -> bool:
    domain = v.type.domain
    return (
        v.lower is None
        and v.upper is None
        and not domain.event_shape
        and bool(np.isfinite(value_range(domain)).all())
    )


def places(statement: Drawn, v: Variable) -> NDArray[np.int64]:
    """Which elements of a variable a statement is about, as numbers into it laid flat."""
    numbered = np.arange(int(np.prod(v.type.full_shape)), dtype=float).reshape((1, *v.type.full_shape))
    (found,) = interpret(load_backend("numpy"), [statement.subject], {id(v.node): numbered})
    return np.asarray(found).reshape(-1).astype(np.int64)


def once(density: Density, forwards: ForwardSimulation, count: int, rng: np.random.Generator) -> Values:
    """One try: draws that may lie outside the program's bounds and constraints."""
    nodes = density.variables
    values = {v.name: flat(v, count, rng) for v in nodes.values()}
    sources: dict[str, Any] = {"normal": rng.standard_normal, "uniform": rng.random}
    slots = [(kind, slot) for statement in forwards.drawn for kind, slot in statement.noise]
    noise = {
        id(slot): sources[kind]((count, *(a.size for a in slot.axes), *slot.shape)) for kind, slot in slots
    }
    targets = []
    for statement in forwards.drawn:
        (name,) = statement.subject.variables
        targets.append((name, places(statement, nodes[name])))
    with np.errstate(all="ignore"):
        for _ in range(MOST_PASSES):
            bindings = density.bindings(values) | noise
            results = interpret(density.backend, [s.draw for s in forwards.drawn], bindings)
            changed = False
            for (name, where), statement, drawn in zip(targets, forwards.drawn, results, strict=True):
                shape = (count, *statement.subject.shape)
                new = np.broadcast_to(np.asarray(drawn), shape).reshape((count, -1))
                whole = values[name].reshape((count, -1))
                changed |= not np.array_equal(whole[:, where], new, equal_nan=new.dtype.kind == "f")
                whole[:, where] = new
            if not changed:
                return values
    refuse("its variables depend on each other in a circle", None)


def flat(v: Variable, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Uniform values where the type has a finite range, else any value, to be drawn over."""
    shape = (count, *v.type.full_shape)
    domain = v.type.domain
    if not is_flat(v):
        return np.broadcast_to(some_value(domain), shape).astype(
            float if not domain.is_discrete else np.int64
        )
    if domain.is_finite:
        possible = domain.values
        drawn = possible.start + possible.step * rng.integers(len(possible), size=shape)
        return drawn.astype(bool) if domain.kind == "bool" else drawn
    low, high = value_range(domain)
    return rng.uniform(low, high, shape)


def admitted(density: Density, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Which draws lie in the types of all variables and break no constraint: (count,)."""
    count = len(next(iter(values.values())))
    with np.errstate(all="ignore"):
        good = np.broadcast_to(np.isfinite(density.energy_of_values(values)), (count,)).copy()
        bounds = interpret(
            density.backend,
            [b for v in density.graph.variables for b in (v.lower, v.upper) if b is not None],
            density.bindings(dict(values)),
        )
        rest = iter(bounds)
        for v in density.graph.variables:
            low, high = value_range(v.type.domain)
            for bound, sign in ((v.lower, 1), (v.upper, -1)):
                edge = next(rest) if bound is not None else (low if sign == 1 else high)
                inside = sign * (np.asarray(values[v.name], float) - edge) >= 0
                good &= inside.reshape((count, -1)).all(1)
    return good
