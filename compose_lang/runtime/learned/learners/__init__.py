"""Ways of learning, a file each: `LEARNER` is found by the file's name, as `learn diffusion(…)` names it."""

from __future__ import annotations

from importlib import import_module

from compose_lang.runtime.learned.learner import Learner


def load_learner(name: str) -> Learner:
    """The learner that a file exports."""
    learner: Learner = import_module(f"compose_lang.runtime.learned.learners.{name}").LEARNER
    return learner


__all__ = ["load_learner"]
