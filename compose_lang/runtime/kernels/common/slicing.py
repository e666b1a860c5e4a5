"""Slice sampling along lines, of all chains and of what moves side by side at once (Neal, "Slice sampling", 2003).

Each element of an array is a place t on a line of its own, with an energy that does not depend on the others'. A height
is drawn under the density at t; an interval around t is made by stepping out of it (his section 4.1, figure 3), or is
given, as all of the line where this is bounded; and points are drawn from it, which it shrinks to where they lie beyond
the slice (figure 5). Loops are bounded: where no point was found the place stays as it is, which leaves the density
invariant too, as any point is as likely to be found from another as the other from it, at each number of tries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.kernels.common.adaptation import STEP_GRID

STEPS_OUT = 10  #: most widths that an interval grows by
TRIES = 32  #: most points that are drawn from it
SLOWEST = 0.05  #: share of a new length in what is known of it, after many
LIMIT = 30.0  #: most that the log of a width is

Along = Callable[[Array], Array]
"""Energies of places on the lines, elementwise."""


class Slice(NamedTuple):
    """What an update leaves, each of the lines' shape."""

    place: Array
    energy: Array
    length: Array  #: of the interval that the place was found in, or was not
    evaluations: Array


def noise_of(shape: tuple[int, ...]) -> dict[str, NoiseSpec]:
    """What one update of lines (chains, *shape) needs of each chain."""
    return {
        "height": NoiseSpec("uniform", shape),
        "window": NoiseSpec("uniform", shape),
        "limit": NoiseSpec("uniform", shape),
        "tries": NoiseSpec("uniform", (*shape, TRIES)),
    }


@dataclass(frozen=True)
class Lines:
    """Lines with an energy along them.

    low, high: the ends of each, numbers or arrays, infinite where there is none. moving: which are there at all.
    """

    energy: Along
    low: Any
    high: Any
    backend: Backend
    moving: Any = True

    def update(self, place: Array, energy: Array, width: Array, noise: Mapping[str, Array]) -> Slice:
        """New places of lines at a place, with the energy there. width: by which intervals step out."""
        xp = self.backend.xp
        height = energy - xp.log(noise["height"])
        height = xp.where(xp.isnan(height), xp.inf, height)  # from no number every other place is better
        low, high, steps = self.stepped_out(place, height, width, noise)
        found = self.shrunk(place, energy, height, low, high, noise["tries"])
        return found._replace(evaluations=found.evaluations + steps)

    def stepped_out(
        self, place: Array, height: Array, width: Array, noise: Mapping[str, Array]
    ) -> tuple[Array, Array, Array]:
        """The ends of intervals around places, and how many energies they took: the whole line where it is bounded."""
        xp = self.backend.xp
        whole_low, whole_high = (xp.zeros_like(place) + end for end in (self.low, self.high))
        bounded = xp.isfinite(whole_low) & xp.isfinite(whole_high)
        low = place - width * noise["window"]
        high = low + width
        left = xp.floor(STEPS_OUT * noise["limit"])
        right = STEPS_OUT - 1.0 - left
        there = self.moving & ~bounded

        def grow(carry: Tree) -> Tree:
            low, high, left, right, count = carry
            goes_left = there & (left > 0) & (low > whole_low) & self.in_slice(low, height)
            goes_right = there & (right > 0) & (high < whole_high) & self.in_slice(high, height)
            low, high = xp.where(goes_left, low - width, low), xp.where(goes_right, high + width, high)
            left = xp.where(goes_left, left - 1.0, 0.0)
            right = xp.where(goes_right, right - 1.0, 0.0)
            return low, high, left, right, count + 2.0 * xp.astype(goes_left | goes_right, self.backend.real)

        carry = (low, high, left, right, xp.zeros_like(place))
        low, high, _, _, count = self.backend.repeat(
            lambda c: xp.any(there & ((c[2] > 0) | (c[3] > 0))), grow, carry
        )
        low = xp.where(bounded, whole_low, xp.where(low > whole_low, low, whole_low))
        high = xp.where(bounded, whole_high, xp.where(high < whole_high, high, whole_high))
        return low, high, count

    def shrunk(
        self, place: Array, energy: Array, height: Array, low: Array, high: Array, tries: Array
    ) -> Slice:
        """Points drawn from intervals that shrink towards the places, until one lies in the slice."""
        xp, real = self.backend.xp, self.backend.real
        waiting = xp.zeros_like(place) < 1.0
        waiting = waiting & self.moving

        def again(carry: Tree) -> Tree:
            number, found, waiting = carry
            drawn = found.low + (found.high - found.low) * tries[..., number]
            energies = self.energy(drawn)
            inside = waiting & (energies < height)
            beyond = waiting & ~inside
            found = Interval(
                xp.where(beyond & (drawn < place), drawn, found.low),
                xp.where(beyond & (drawn >= place), drawn, found.high),
                xp.where(inside, drawn, found.place),
                xp.where(inside, energies, found.energy),
                found.count + xp.astype(waiting, real),
            )
            return number + 1, found, beyond

        start = Interval(low, high, place, energy, xp.zeros_like(place))
        number = self.backend.asarray(0, self.backend.integer)
        _, found, _ = self.backend.repeat(
            lambda c: (c[0] < TRIES) & xp.any(c[2]), again, (number, start, waiting)
        )
        return Slice(found.place, found.energy, found.high - found.low, found.count)

    def in_slice(self, places: Array, height: Array) -> Array:
        return self.energy(places) < height


class Interval(NamedTuple):
    """Where points are drawn from, and what was found there."""

    low: Array
    high: Array
    place: Array
    energy: Array
    count: Array


def begin(width: float, like: Array, backend: Backend) -> Array:
    """The logs of widths before warm-up."""
    return backend.xp.full(like.shape, math.log(width), dtype=backend.real)


def width_of(log_width: Array, backend: Backend) -> Array:
    """Widths, rounded by half a percent at most: see `adaptation.step_size`."""
    return backend.xp.exp(backend.xp.round(log_width / STEP_GRID) * STEP_GRID)


def adapted(log_width: Array, length: Array, t: Any, warmup: int, backend: Backend) -> Array:
    """The logs of widths after step t, which found intervals of these lengths; after warm-up as they are."""
    if not warmup:
        return log_width
    xp = backend.xp
    t = backend.asarray(t)
    share = xp.clip(1.0 / (1.0 + xp.astype(t, backend.real)), SLOWEST, None)
    seen = xp.where((length > 0.0) & xp.isfinite(length), length, 1.0)
    moved = log_width + share * (xp.log(seen) - log_width)
    is_known = (length > 0.0) & xp.isfinite(length) & (t < warmup)
    return xp.where(is_known, xp.clip(moved, -LIMIT, LIMIT), log_width)
