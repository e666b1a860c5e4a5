"""What binds learned parts to a program's energy: the object that a part's slot stands for at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.elaborate.variables import some_value
from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.arrays.transforms import constrain, unconstrain
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned import features, net
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import of_net
from compose_lang.runtime.learned.learners import load_learner
from compose_lang.runtime.learned.nets import load_net

Learned = Mapping[int, dict[str, np.ndarray]]
"""The weights of learned factors: id(factor) -> arrays by name."""

SPREAD = 0.1  #: of a param's coordinate that begins nowhere in particular


@dataclass(frozen=True)
class Weighing:
    """A part with its weights on a backend: the energy of its subjects, and draws of them.

    In score form there is no energy: the value is 0 and its gradient is the score's, so that whoever differentiates
    a program's energy gets the right force, and whoever compares energies must integrate it (see annealing).
    """

    part: LearnedFactor
    weights: Mapping[str, Array]
    trains: bool = False  #: whether the score's own gradient in the weights is asked for

    def __call__(self, b: Backend, level: Array, subjects: Subjects, inputs: Inputs) -> Array:
        learner = load_learner(self.part.method)
        if self.part.options.get("form") != "score":
            return learner.energy(self.part, b, self.weights, level, subjects, inputs)
        return by_score(b, level, subjects, lambda held: self.gradient(b, level, held, inputs), self.trains)

    def draw(self, b: Backend, inputs: Inputs, noise: Array) -> Array:
        """All elements (n, d) of draws of the subjects, from noise (n, d)."""
        learner = load_learner(self.part.method)
        assert learner.draw is not None
        return learner.draw(self.part, b, self.weights, inputs, noise)

    def gradient(self, b: Backend, level: Array, subjects: Subjects, inputs: Inputs) -> list[Array]:
        """∇E in each subject, (n, *shape)."""
        learner = load_learner(self.part.method)
        assert learner.score is not None
        return learner.score(self.part, b, self.weights, level, subjects, inputs)


@dataclass(frozen=True)
class Computing:
    """A learned function, or a param that was fitted with nets, with its weights on a backend."""

    part: LearnedFactor
    weights: Mapping[str, Array]

    def __call__(self, b: Backend, values: Sequence[Array]) -> Array:
        part, weights = self.part, self.weights
        assert part.out is not None
        if part.method == "param":
            domain = part.out.domain
            return constrain(domain, weights["net.u"][None], domain.lower, domain.upper, b)[0]
        assert part.net is not None
        x = (features.joined(b, part, values) - weights["shift"]) / weights["scale"]
        c = b.xp.zeros((x.shape[0], 0), dtype=b.real)
        return load_net(part.net.kind).apply(b, of_net(weights), part.net.sizes, ports_of(part), x, c)


def bound(part: LearnedFactor, weights: Mapping[str, Array], trains: bool = False) -> Weighing | Computing:
    """What the slot of a part stands for."""
    return Computing(part, weights) if part.out is not None else Weighing(part, weights, trains)


def ports_of(part: LearnedFactor) -> net.Ports:
    assert part.out is not None
    return net.Ports(features.shape_of(part), 0, part.out.full_shape)


def begin_net(part: LearnedFactor) -> dict[str, np.ndarray]:
    """A function's weights before training, from data of its arguments."""
    assert part.net is not None
    wanted = load_net(part.net.kind).weights(part.net.sizes, ports_of(part))
    return {
        **features.scales(part),
        **{f"net.{n}": w for n, w in net.begin(wanted, int(part.options["seed"])).items()},
    }


def begin_param(part: LearnedFactor, seed: int) -> dict[str, np.ndarray]:
    """A param's coordinates before training: of its value in the program, or near the middle of its type."""
    assert part.out is not None
    b = load_backend("numpy")
    start = part.options.get("start")
    domain = part.out.domain
    value = np.broadcast_to(some_value(domain) if start is None else start, part.out.full_shape).astype(float)
    u = np.asarray(unconstrain(domain, value[None], domain.lower, domain.upper, b))[0]
    spread = 0.0 if start is not None else SPREAD
    return {"net.u": u + spread * np.random.default_rng(seed).standard_normal(u.shape)}


def by_score(
    b: Backend,
    level: Array,
    subjects: Subjects,
    gradient: Callable[[list[Array]], list[Array]],
    trains: bool = False,
) -> Array:
    """0 (n,), with a gradient that is the score's; trains: whether its own gradient is asked for too."""
    held = [b.without_gradient(x) for x in subjects]
    total = b.xp.zeros_like(level)
    for x, at, g in zip(subjects, held, gradient(held), strict=True):
        n = level.shape[0]
        g = g if trains else b.without_gradient(g)
        total = total + b.xp.sum((g * (x - at)).reshape((n, -1)), axis=1)
    return total
