"""Ways of learning, a file each: `LEARNER` has all that is said of one, found by the file's name.

In: a `LearnedFactor`, weights, arrays. Out: energies and losses of rows. `learn diffusion(…)` in a program names a
file; the compiler reads the same `LEARNER`, so none of them imports an array library. After: `energy` and the
`Trainer`.
"""

from __future__ import annotations

from compose_lang.discovery import LEARNERS
from compose_lang.runtime.learned.learner import Learner


def load_learner(name: str) -> Learner:
    """The learner that a file exports."""
    learner: Learner = LEARNERS[name]
    return learner


__all__ = ["load_learner"]
