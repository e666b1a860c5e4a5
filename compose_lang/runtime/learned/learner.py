"""What a way of learning is: `LEARNER` in a file of `learners/`, found by the file's name, all that is said of it.

A learner is written over array operations as kernels are, and noise is an argument: what it needs of each row it
declares. Weights are a dict of arrays: those named `net.…` are trained, the others (the scale of the data, constants
of the density) are set before or after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, LearnerDeclaration
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.net import Weight

Weights = Mapping[str, Array]
Rows = Mapping[str, Array]
"""A batch by port name, (n, *shape); under `given.NAME` whether an optional input is given, (n,) of 0 and 1."""


def nothing(*args: Any) -> dict[str, Any]:
    return {}


TRAINING: Mapping[str, Any] = {"steps": 3000, "batch": 256, "rate": 1e-3, "seed": 0, "patience": 0}
"""What a `Trainer` can be told, with its defaults: the options of all learners that have a loss."""


@dataclass(frozen=True, kw_only=True)
class Learner(LearnerDeclaration):
    """A way of learning as its file exports it."""

    begin: Callable[[LearnedFactor], dict[str, np.ndarray]]
    """Weights before training."""
    energy: Callable[[LearnedFactor, Backend, Weights, Array, Sequence[Array], Inputs], Array]
    """(part, backend, weights, levels (n,), subjects (n, *shape), inputs (n, *shape or None)) -> energies (n,)."""
    wanted: Callable[[LearnedFactor], Mapping[str, Weight]] | None = None
    """The net's arrays, by which a file of weights is judged; None: there is no net."""
    beside: Callable[[LearnedFactor], Mapping[str, tuple[int, ...]]] = nothing
    """The shapes of what stands in such a file beside the net."""
    noise: Callable[[LearnedFactor], Mapping[str, NoiseSpec]] = nothing
    """What the loss of a row needs."""
    loss: Callable[[LearnedFactor, Backend, Weights, Rows, Mapping[str, Array]], Array] | None = None
    """(part, backend, weights, rows, noise) -> the loss (n,) of each row; None: `begin` has learned all there is."""
    score: Callable[[LearnedFactor, Backend, Weights, Array, Sequence[Array], Inputs], list[Array]] | None = (
        None
    )
    """-gradient of the log-density in each subject, where there is no energy to differentiate."""
    state: Callable[[LearnedFactor, int], Tree] | None = None
    """What is carried from step to step beside the weights, for a batch of n rows."""
    advance: (
        Callable[[LearnedFactor, Backend, Weights, Rows, Tree, Mapping[str, Array]], tuple[Rows, Tree]] | None
    ) = None
    """Before each step: rows that the loss sees beside the data's, and the state after it."""
    draw: Callable[[LearnedFactor, Backend, Weights, Inputs, Array], Array] | None = None
    """(part, backend, weights, inputs (n, *shape or None), noise (n, d)) -> all elements (n, d) of the subjects in row
    order, drawn outright from noise of the kind `draws_from`."""
    finish: Callable[[LearnedFactor, Backend, Weights], dict[str, np.ndarray]] | None = None
    """Weights to be added after training: constants of the density."""


def by_likelihood(
    weighed: Callable[[LearnedFactor, Backend, Weights, Subjects, Inputs, Rows], Array],
) -> dict[str, Any]:
    """`energy` and `loss` of a density whose -log p is known, and which is trained by it: the mean over rows, in nats.

    weighed: (part, backend, weights, subjects, inputs, rows) -> -log p (n,); rows are those of a batch of training,
    which say where optional inputs are left out, or none.
    """

    def energy(
        part: LearnedFactor, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
    ) -> Array:
        return weighed(part, b, weights, subjects, inputs, {})

    def loss(
        part: LearnedFactor, b: Backend, weights: Weights, rows: Rows, drawn: Mapping[str, Array]
    ) -> Array:
        subjects, inputs = ([rows[p.name] for p in side] for side in (part.subjects, part.inputs))
        return weighed(part, b, weights, subjects, inputs, rows)

    return {"energy": energy, "loss": loss}


def trained(weights: Weights) -> dict[str, Array]:
    """The weights that training changes."""
    return {name: w for name, w in weights.items() if name.startswith("net.")}


def of_net(weights: Weights) -> dict[str, Array]:
    """A net's own weights, under its own names."""
    return {name.removeprefix("net."): w for name, w in trained(weights).items()}
