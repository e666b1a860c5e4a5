"""Lattices of two-valued sites that know few local fields: a whole-number threshold for each.

In: a `Lattice`. Out: `Levels`: steps to neighbours in groups of equal coupling, the class of each site's own field, and
for each class and number of neighbours in a group that have their second value the threshold below which a random word
of 32 bits gives the site its first value. Probabilities are thereby rounded to multiples of 2^-32.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.analyses.lattice import Lattice

MOST_KINDS = 3  #: of couplings at one offset
MOST_LEVELS = 64
"""More, and telling local fields apart costs more than multiplying."""
BITS = 32


@dataclass(frozen=True, eq=False)
class Step:
    """Neighbours at an offset; present: which sites have one of this coupling there, None where all have."""

    offset: tuple[int, ...]
    present: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Levels:
    """Thresholds by field class and by counts of neighbours.

    classes: of each padded site, None where there is one. groups: steps of equal coupling. thresholds: from (class,
    count in each group) to a number of 32 bits.
    """

    lattice: Lattice
    classes: np.ndarray | None
    groups: tuple[tuple[Step, ...], ...]
    thresholds: dict[tuple[int, ...], int]


def thresholds(found: Lattice) -> Levels | None:
    """The few local fields of a lattice, if they are few."""
    if found.values != 2:
        return None
    grouped: dict[float, list[Step]] = {}
    for d in found.directions:
        coupling, present = d.coupling[:, 0, 0], d.present
        if len(coupling) == 1:
            grouped.setdefault(float(coupling[0]), []).append(Step(d.offset, present))
            continue
        kinds = np.unique(coupling if present is None else coupling[present])
        if len(kinds) > MOST_KINDS:
            return None
        for kind in kinds:
            grouped.setdefault(float(kind), []).append(Step(d.offset, coupling == kind if kind else present))
    grouped.pop(0.0, None)
    fields, classes = np.unique(np.round(found.field[:, 0], 12), return_inverse=True)
    groups = tuple(tuple(steps) for steps in grouped.values())
    if len(fields) * math.prod(len(steps) + 1 for steps in groups) > MOST_LEVELS:
        return None
    counts = itertools.product(*(range(len(steps) + 1) for steps in groups))
    thresholds = {
        (f, *n): threshold(fields[f] + sum(c * k for c, k in zip(grouped, n, strict=True)))
        for n in counts
        for f in range(len(fields))
    }
    return Levels(found, classes if len(fields) > 1 else None, groups, thresholds)


def threshold(difference: float) -> int:
    """2^32 times the probability of the first value where the second costs `difference` nats more, as 32 bits."""
    first = 1.0 / (1.0 + math.exp(-difference))
    return min(round(first * 2.0**BITS), 2**BITS - 1)
