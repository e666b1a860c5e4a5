"""Ways of learning, a file each: `LEARNER` is found by the file's name, as `learn diffusion(…)` names it."""

from __future__ import annotations

from compose_lang.discovery import LEARNERS
from compose_lang.runtime.learned.learner import Learner


def load_learner(name: str) -> Learner:
    """The learner that a file exports."""
    learner: Learner = LEARNERS[name]
    return learner


__all__ = ["load_learner"]
