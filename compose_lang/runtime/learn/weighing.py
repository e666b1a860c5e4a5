"""What binds learned parts to a program's energy: the object that a part's slot stands for at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compose_lang.compiler.parts import Part
from compose_lang.runtime.backend import Array, Backend
from compose_lang.runtime.learners import load_learner


@dataclass(frozen=True)
class Weighing:
    """A part with its weights on a backend: the energy of its subjects, and draws of them.

    In score form there is no energy: the value is 0 and its gradient is the score's, so that whoever differentiates
    a program's energy gets the right force, and whoever compares energies must integrate it (see annealing).
    """

    part: Part
    weights: Mapping[str, Array]

    def __call__(
        self, b: Backend, level: Array, subjects: Sequence[Array], inputs: Sequence[Array | None]
    ) -> Array:
        learner = load_learner(self.part.method)
        if self.part.options.get("form") != "score":
            return learner.energy(self.part, b, self.weights, level, subjects, inputs)
        held = [b.without_gradient(x) for x in subjects]
        total = b.xp.zeros_like(level)
        for x, at, g in zip(subjects, held, self.gradient(b, level, held, inputs), strict=True):
            n = level.shape[0]
            total = total + b.xp.sum((b.without_gradient(g) * (x - at)).reshape((n, -1)), axis=1)
        return total

    def draw(self, b: Backend, inputs: Sequence[Array | None], noise: Array) -> Array:
        """All elements (n, d) of draws of the subjects, from noise (n, d)."""
        learner = load_learner(self.part.method)
        assert learner.draw is not None
        return learner.draw(self.part, b, self.weights, inputs, noise)

    def gradient(
        self, b: Backend, level: Array, subjects: Sequence[Array], inputs: Sequence[Array | None]
    ) -> list[Array]:
        """∇E in each subject, (n, *shape)."""
        learner = load_learner(self.part.method)
        assert learner.score is not None
        return learner.score(self.part, b, self.weights, level, subjects, inputs)
