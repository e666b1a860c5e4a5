"""Mixtures of Gaussians instance by instance: the polynomial of each part that an instance chooses among.

In: a term minus log Σ exp of polynomials. Out: a `Choice` for each of its instances. After: `gaussian`, which takes
the parts of all choices that meet in a block together, in all their combinations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.references.elements import Elements
from compose_lang.compiler.references.expansion import Probed, Scope, elements_of, probe, scope_of
from compose_lang.compiler.references.quadratic import MixtureTerm, QuadraticTerm

LOOKS = 3
MOST_INSTANCES = 2_000
AGREES = 1e-6


@dataclass(frozen=True, eq=False)
class Choice:
    """Energies of m parts over the same k elements, about a centre: that of part j is
    constant[j] + linear[j] · (x - centre) + (x - centre)ᵀ curvature[j] (x - centre) / 2."""

    numbers: np.ndarray  #: (k,)
    centre: np.ndarray  #: (k,)
    constant: np.ndarray  #: (m,)
    linear: np.ndarray  #: (m, k)
    curvature: np.ndarray  #: (m, k, k)


@dataclass(frozen=True, eq=False)
class ChoiceScope:
    """What the parts of each instance of a mixture read. places: (instances, parts), of elements of its logs."""

    scope: Scope
    places: np.ndarray


def choice_scope_of(elements: Elements, term: MixtureTerm) -> ChoiceScope | None:
    """What a mixture reads; None where it is too much."""
    scope = scope_of(elements, QuadraticTerm(term.logs, 1.0), apart=True)
    sizes = (*(a.size for a in term.logs.axes), *term.logs.shape)
    places = np.moveaxis(np.arange(np.prod(sizes, dtype=int)).reshape(sizes), term.axis, -1)
    places = places.reshape((-1, sizes[term.axis]))
    return None if scope is None or len(places) > MOST_INSTANCES else ChoiceScope(scope, places)


def choices_of(elements: Elements, of: ChoiceScope) -> list[Choice] | None:
    """The choice of each instance; None where its parts are no polynomials after all."""
    scope, count = of.scope, of.scope.reads.shape[1]
    centre, steps = np.zeros(elements.count), np.ones(elements.count)
    for _ in range(LOOKS):
        with np.errstate(all="ignore"):
            probed = probe(elements, scope, centre, steps)
            linear = np.stack([-probed.linear(a) for a in range(count)], axis=-1)
            diagonal = np.stack([-probed.curvature(a) for a in range(count)], axis=-1)
        known = np.isfinite(diagonal) & (diagonal > 0) & (of.scope.reads >= 0)
        if not known.any():
            return None
        centre, steps = centred(elements, of.scope.reads, known, centre, linear, diagonal)
    with np.errstate(all="ignore"):
        probed = probe(elements, scope, centre, steps)
    if not agrees(elements, scope, centre, steps, probed):
        return None
    return [choice_at(of, probed, centre, places) for places in of.places]


def centred(
    elements: Elements,
    reads: np.ndarray,
    known: np.ndarray,
    centre: np.ndarray,
    linear: np.ndarray,
    diagonal: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Between the minima of the parts that read each element, and a step as wide as the narrowest of them."""
    numbers = reads[known]
    most, total, weight = np.zeros(elements.count), np.zeros(elements.count), np.zeros(elements.count)
    np.maximum.at(most, numbers, diagonal[known])
    np.add.at(total, numbers, centre[numbers] - linear[known] / diagonal[known])
    np.add.at(weight, numbers, 1.0)
    held = weight > 0
    return (
        np.where(held, total / np.where(held, weight, 1.0), centre),
        np.where(held, 1 / np.sqrt(np.where(held, most, 1.0)), 1.0),
    )


def agrees(elements: Elements, scope: Scope, centre: np.ndarray, steps: np.ndarray, probed: Probed) -> bool:
    """Whether the logs at two other points are those of the polynomials."""
    rng, count = np.random.default_rng(2), scope.reads.shape[1]
    points = centre + 3 * steps * rng.standard_normal((2, elements.count))
    moved = np.where(
        scope.reads >= 0, np.append(points - centre, np.zeros((2, 1)), axis=1)[:, scope.reads], 0.0
    )
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(probed.rest, moved.shape[:2]).copy()
        for a in range(count):
            expected += probed.linear(a) * moved[..., a] + 0.5 * probed.curvature(a) * moved[..., a] ** 2
        for k, (a, b) in enumerate(probed.pairs):
            expected += probed.mixed(k) * moved[..., a] * moved[..., b]
    found = elements_of(scope.term.node, elements, scope.names, points)
    counted = np.isfinite(probed.rest)
    off = np.abs(found - expected)[:, counted]
    return bool(
        (off <= AGREES * (1 + np.abs(found[:, counted]))).all() and np.isneginf(found[:, ~counted]).all()
    )


def choice_at(of: ChoiceScope, probed: Probed, centre: np.ndarray, places: np.ndarray) -> Choice:
    """The choice among the parts at some places of a mixture; those without weight are left out."""
    places = places[np.isfinite(probed.rest[places])]
    numbers = np.unique(of.scope.reads[places])
    numbers = numbers[numbers >= 0]
    m, k, colours = len(places), len(numbers), of.scope.reads.shape[1]
    at = np.searchsorted(numbers, of.scope.reads[places])  # (parts, colours)
    read = of.scope.reads[places] >= 0
    linear, curvature = np.zeros((m, k)), np.zeros((m, k, k))
    for a in range(colours):
        j = np.flatnonzero(read[:, a])
        linear[j, at[j, a]] -= probed.linear(a)[places[j]]
        curvature[j, at[j, a], at[j, a]] -= probed.curvature(a)[places[j]]
    for pair, (a, b) in enumerate(probed.pairs):
        j = np.flatnonzero(read[:, a] & read[:, b])
        mixed = probed.mixed(pair)[places[j]]
        curvature[j, at[j, a], at[j, b]] -= mixed
        curvature[j, at[j, b], at[j, a]] -= mixed
    return Choice(numbers, centre[numbers], -probed.rest[places], linear, curvature)
