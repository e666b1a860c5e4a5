"""The moves of particles and replicas at one level of noise, by the names that programs know them by.

They take the steps of the kernels of these names, see `runtime/annealing/moves.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAPFROG = 3


@dataclass(frozen=True)
class Move:
    """A kind of move: leapfrog steps of a trajectory, and whether it is accepted or rejected at its end."""

    leapfrog: int
    corrected: bool

    @property
    def approximate(self) -> str:
        """How draws by it fail to follow the density, or empty where they do."""
        what = "moves at each level" if self.leapfrog == 1 else "trajectories"
        how = f"{what} without correction: the draws are off by an amount that shrinks with the step"
        return "" if self.corrected else how


MOVE = "mala"  #: unasked
MOVES = {
    MOVE: Move(1, True),
    "hmc": Move(LEAPFROG, True),
    "ula": Move(1, False),
    "uhmc": Move(LEAPFROG, False),
}
