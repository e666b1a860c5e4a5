"""Mixtures as choices: which part a particle belongs to is drawn at the coarsest noise, and stays on finer levels.

A mixture of densities with noise is the mixture with noise, part by part and with the same weights, so a particle may
follow its own part all the way down. Its share then never hangs on the parts' energies, which learned densities know
poorly where the noise is fine: one nat turns a share of .80 into .60.

In: a group whose energy is −log Σₖ wₖ exp(−Eₖ) with constant weights. Out: the group with energy Σₖ [z = k] Eₖ, and the
variable z with its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compose_lang.compiler.graph import FactorGroup, Variable
from compose_lang.compiler.ir import Axis, Node, add_all, along, constant, gather, node, reduce_axis, variable
from compose_lang.compiler.types import Domain, Type


@dataclass(frozen=True, eq=False)
class Choice:
    """A variable that says which part each copy of a mixture is; weights: (*copies, parts), they sum to 1."""

    variable: Variable
    weights: np.ndarray


def as_choice(g: FactorGroup, number: int) -> tuple[FactorGroup, Choice] | None:
    """A mixture as a choice, or None where the group is none of constant weights."""
    energy = g.energy
    copies = energy.axes
    if energy.op != "neg" or g.instances != int(np.prod([a.size for a in copies], dtype=int)):
        return None
    total = energy.args[0]
    if total.op == "logsumexp" and total.args[0].op == "stack":
        parts = [weighed(log) for log in total.args[0].args]
        if any(p is None for p in parts):
            return None
        pairs = [p for p in parts if p is not None]
        logs = np.stack([spread(w, copies) for w, _ in pairs], axis=-1)
        z = choice(number, copies, logs, g)
        at = gather(z.node, [along(a) for a in copies])
        chosen = [
            node("where", node("eq", at, constant(k)), e, constant(0.0)) for k, (_, e) in enumerate(pairs)
        ]
        return replace(g, energy=add_all(chosen)), Choice(z, shares(logs))
    if total.op == "reduce_axis" and total.attrs[0] == "logsumexp":
        part, axis = weighed(total.args[0]), total.attrs[1]
        if part is None:
            return None
        weight, inner = part
        logs = np.moveaxis(spread(weight, (axis, *copies)), 0, -1)
        z = choice(number, copies, logs, g)
        at = gather(z.node, [along(a) for a in copies])
        each = node("where", node("eq", at, along(axis)), inner, constant(0.0))
        return replace(g, energy=reduce_axis("sum", each, axis)), Choice(z, shares(logs))
    return None


def weighed(log: Node) -> tuple[Node, Node] | None:
    """Of log w − E the constant log w and E."""
    if log.op == "neg":
        return constant(0.0), log.args[0]
    if log.op == "sub" and log.args[0].is_const:
        return log.args[0], log.args[1]
    return None


def spread(weight: Node, axes: tuple[Axis, ...]) -> np.ndarray:
    """A constant's values along some axes."""
    assert weight.value is not None
    order = [a for a in axes if a in weight.axes]
    value = np.transpose(weight.value, [weight.axes.index(a) for a in order])
    shape = [a.size if a in order else 1 for a in axes]
    return np.broadcast_to(value.reshape(shape), [a.size for a in axes])


def shares(logs: np.ndarray) -> np.ndarray:
    """Weights that sum to 1 over the last axis."""
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    found: np.ndarray = weights / weights.sum(axis=-1, keepdims=True)
    return found


def choice(number: int, copies: tuple[Axis, ...], logs: np.ndarray, g: FactorGroup) -> Variable:
    domain = Domain("category", size=logs.shape[-1])
    shape = tuple(a.size for a in copies)
    name = f"part of {g.label} {number}"
    free = np.ones(shape, dtype=bool)
    return Variable(
        name,
        Type(domain, shape),
        variable(name, shape, "int", domain),
        free,
        np.zeros(shape, dtype=int),
        g.span,
    )
