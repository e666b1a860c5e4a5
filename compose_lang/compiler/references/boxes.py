"""Sites that no absorbed factor is about: uniform over what their type and constant bounds allow, where that is finite.

The measure is the program's own: length on the real line and the circle, area on the sphere, the first k - 1 numbers
of a simplex, a count of values where discrete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import Variable
from compose_lang.compiler.ir.intervals import range_of
from compose_lang.compiler.ir.types import log_volume

UNIFORM = frozenset(
    {"real", "angle", "simplex", "unit_vector", "permutation", "int", "bool", "spin", "category"}
)


@dataclass(frozen=True, eq=False)
class Box:
    """Some free sites of a variable, uniform in it."""

    variable: Variable
    sites: np.ndarray  #: which of the free ones
    low: np.ndarray  #: of each, where it is a number
    high: np.ndarray
    pieces: Mapping[int, np.ndarray] = field(
        default_factory=dict
    )  #: intervals (m, 2) of some, by place in `sites`

    @property
    def log_volume(self) -> float:
        """The log of the integral of 1 over these sites."""
        v = self.variable
        if v.allowed is not None:
            return float(np.log(v.allowed[self.sites].sum(axis=1)).sum())
        if v.type.domain.kind == "real":
            lengths = self.high - self.low
            for place, intervals in self.pieces.items():
                lengths[place] = np.diff(intervals, axis=1).sum()
            return float(np.log(lengths).sum())
        each = log_volume(v.support)
        assert each is not None
        return len(self.sites) * each

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws (count, sites, *event)."""
        v, shape = self.variable, (count, len(self.sites))
        domain = v.support
        match domain.kind:
            case "real" | "angle":
                draws = rng.uniform(self.low, self.high, shape)
                for place, intervals in self.pieces.items():
                    ends = np.cumsum(np.diff(intervals, axis=1)[:, 0])
                    at = rng.uniform(0, ends[-1], count)
                    of = np.searchsorted(ends, at, side="right").clip(max=len(ends) - 1)
                    draws[:, place] = intervals[of, 1] - (ends[of] - at)
                return draws
            case "simplex":
                waits = rng.standard_exponential((*shape, domain.size))
                return waits / waits.sum(axis=-1, keepdims=True)
            case "unit_vector":
                arrows = rng.standard_normal((*shape, domain.size))
                return arrows / np.linalg.norm(arrows, axis=-1, keepdims=True)
            case "permutation":
                return np.argsort(rng.random((*shape, domain.size)), axis=-1)
        possible = domain.values
        if v.allowed is None:
            places = rng.integers(len(possible), size=shape)
        else:
            allowed = v.allowed[self.sites]
            turn = rng.integers(allowed.sum(axis=1), size=shape)
            ordered = np.argsort(~allowed, axis=1, kind="stable")
            places = ordered[np.arange(len(self.sites)), turn]
        return possible.start + possible.step * places


def box_of(v: Variable, sites: np.ndarray, low: np.ndarray, high: np.ndarray) -> Box | None:
    """Free sites of a variable as a box between limits; None where it is infinite, or nothing draws it uniformly."""
    domain = v.support
    if domain.kind not in UNIFORM:
        return None
    if domain.kind == "real":
        low = low if v.lower is None else np.maximum(low, range_of(v.lower)[0])
        high = high if v.upper is None else np.minimum(high, range_of(v.upper)[1])
        if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
            return None
    elif log_volume(domain) is None:
        return None
    return Box(v, sites, low, high)


def in_pieces(box: Box, first: int, intervals: Mapping[int, np.ndarray]) -> Box:
    """A box of which some sites, by number from the variable's first on, lie in intervals."""
    places = {int(n) - first: place for place, n in enumerate(box.sites + first)}
    own = {places[n - first]: of for n, of in intervals.items() if n - first in places}
    return replace(box, pieces=own) if own else box
