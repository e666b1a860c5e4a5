"""How many sweeps make a chunk of a given time, learned from the chunks before.

A chunk takes a time whatever its length (a lattice is unpacked, its energy summed up), and a time for each sweep. A
rate of both together would keep chunks at one sweep where the first is longer than a chunk should be.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_GROWTH = 8
"""Times as many sweeps as the chunk before: what is not known yet may be slow."""


@dataclass
class Pace:
    """What chunks took so far. rate: sweeps a second, all counted, in the last one; 0 before it."""

    rate: float = 0.0
    each: float = 0.0  #: seconds a sweep, without what a chunk takes by itself
    fixed: float | None = None  #: seconds a chunk takes by itself; None until chunks of two lengths are known
    sweeps: int = 0  #: of the chunk that told the last two
    seconds: float = 0.0

    def learn(self, sweeps: int, seconds: float) -> None:
        """Take in what a chunk took."""
        seconds = max(seconds, 1e-9)
        self.rate = sweeps / seconds
        if self.sweeps and not self.sweeps < 2 * sweeps < 4 * self.sweeps:
            slope = (seconds - self.seconds) / (sweeps - self.sweeps)
            self.each = min(max(slope, 0.0), 1 / self.rate)
            self.fixed = seconds - self.each * sweeps
        # by noise alone the fixed part could be all of it
        self.each = max((seconds - (self.fixed or 0.0)) / sweeps, 1 / self.rate / MOST_GROWTH)
        self.sweeps, self.seconds = sweeps, seconds

    def sweeps_in(self, seconds: float) -> int:
        """Sweeps to make in the next chunk, at least 1: of so many seconds, or of as many as go to all else."""
        if not self.sweeps:
            return 1
        if self.fixed is None and self.each > seconds / 2:
            return 2 * self.sweeps  # a chunk of another length tells what is fixed
        seconds = max(seconds, self.fixed or 0.0)
        return max(1, round(min(seconds / self.each, MOST_GROWTH * self.sweeps)))
