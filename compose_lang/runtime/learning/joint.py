"""Parts fitted together: the denoising loss of the density that they compose.

In: a `Joint`. Out: a learner, which a `Trainer` trains as any other, and each part's own weights.

The gradient of the whole's energy in its subjects is what its denoiser D = x - σ² ∇E is made of, so the loss is that of
`learners/diffusion.py` for whatever energy is composed: a product's gradient is the sum of its parts' (Du, Li, Sharma,
Tenenbaum and Mordatch, NeurIPS 2021; Su, Du and others, ICML 2024). Each part begins with a share of the Gaussian that
a single one has, such that the whole begins as that Gaussian; what its net learns is added.

Weights of part number i are named `net.i.…` where they are trained and `i.…` where they stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LEVEL, Joint, LearnedFactor
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.learned import features
from compose_lang.runtime.learned.energy import Learned, begin_net, begin_param, bound
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import Learner, Rows, Weights
from compose_lang.runtime.learned.learners import load_learner

SEEN = 256  #: rows by which scales are set before training


def learner_of(part: LearnedFactor | Joint, others: Learned | None = None) -> Learner:
    """How a part, or parts together, are trained; others: weights of parts that are fixed in the whole."""
    if isinstance(part, LearnedFactor):
        return load_learner(part.method)
    first = partial(begin, others=others or {})
    how: dict[str, Any] = {
        "begin": first,
        "energy": energy,
        "noise": noise,
        "loss": loss,
    }  # of a whole, not a part
    return Learner(name="together", summary="parts of one density", **how)


def own(joint: Joint, weights: Weights, part: LearnedFactor) -> dict[str, Any]:
    """A part's weights under its own names."""
    i = joint.every.index(part)
    found = {}
    for name, w in weights.items():
        if name.startswith(f"net.{i}."):
            found["net." + name.removeprefix(f"net.{i}.")] = w
        elif name.startswith(f"{i}."):
            found[name.removeprefix(f"{i}.")] = w
    return found


def begin(joint: Joint, others: Learned) -> dict[str, np.ndarray]:
    """Weights before training: each part's scales are those of what the composition shows it of the data."""
    b = load_backend("numpy", "float32")
    seed = int(joint.options["seed"])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(joint.data["row"]))[:SEEN]
    rows = {name: rows[order] for name, rows in joint.data.items()}
    weights: dict[str, np.ndarray] = {}
    clean = [np.asarray(x) for x in interpret(b, joint.clean, bindings(b, joint, {}, rows, None, ()))]
    flat = np.concatenate([x.reshape(len(x), -1) for x in clean], axis=1)
    weights["scale"] = np.array([features.rms(flat)], dtype=np.float32)
    for i, part in enumerate(joint.every):
        if part.joint is not joint:
            weights.update({f"{i}.{n}": w for n, w in others[id(part)].items()})
            continue
        known = bindings(b, joint, weights, rows, np.zeros(1), clean)
        begun = begun_part(b, joint, part, known, seed + i)
        for name, w in begun.items():
            place = name.replace("net.", f"net.{i}.", 1) if name.startswith("net.") else f"{i}.{name}"
            weights[place] = np.asarray(w, dtype=np.float32)
    share = np.array([shared(b, joint, weights, rows, clean, rng)], dtype=np.float32)
    for i, part in enumerate(joint.every):
        if part.joint is joint and part.has_levels:
            weights[f"{i}.share"] = share
    return weights


def begun_part(
    b: Backend, joint: Joint, part: LearnedFactor, known: dict[int, Any], seed: int
) -> dict[str, Any]:
    """A part's weights before training, from the values that its arguments have in the composition."""
    if part.method == "param":
        return begin_param(part, seed)
    first = 2 if part.method != "net" else 1
    data: dict[str, list[np.ndarray]] = {p.name: [] for p in part.ports}
    for n in postorder([joint.energy]):
        if not op_of(n).learned or n.attrs[0] is not part:
            continue
        given = [True] * len(part.subjects) + list(n.attrs[1] if part.method != "net" else ())
        ports = [p for p, is_given in zip(part.ports, given, strict=True) if is_given]
        for port, a, x in zip(ports, n.args[first:], interpret(b, n.args[first:], known), strict=True):
            data[port.name].append(stretched(a, np.asarray(x)))
    rows = min(len(x) for parts in data.values() for x in parts)
    seen = replace(
        part,
        data={n: np.concatenate([p[:rows] for p in x]) for n, x in data.items() if x},
        options={**part.options, "seed": seed},
    )
    return begin_net(seen) if part.method == "net" else load_learner(part.method).begin(seen)


def stretched(a: Node, x: np.ndarray) -> np.ndarray:
    """An argument's instances in a row, as if the net had the same of each row of the data: (n, *shape)."""
    whole = np.broadcast_to(x, (max(len(x), SEEN if len(x) == 1 else 1), *x.shape[1:]))
    return whole.reshape((-1, *a.shape))


def shared(
    b: Backend,
    joint: Joint,
    weights: Weights,
    rows: Rows,
    clean: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> float:
    """The share of a Gaussian with which each part begins, so that the whole begins with one.

    Far out, where nets hardly matter, the energy rises as so many Gaussians' as the composition has of them.
    """
    sigma, scale = float(joint.options["coarsest"]), float(weights["scale"][0])
    n = len(clean[0])
    middle = [np.broadcast_to(x.mean(0), x.shape) for x in clean]
    away = [m + sigma * scale * rng.standard_normal(m.shape) for m in middle]
    square = sum(((x - m) ** 2).reshape(n, -1).sum(1) for x, m in zip(away, middle, strict=True)) / scale**2

    def count(share: float) -> float:
        """How many Gaussians the energy is."""
        trial = dict(weights)
        for i, part in enumerate(joint.every):
            if part.joint is joint and part.has_levels:
                trial[f"{i}.share"] = np.array([share])
        level = np.full(n, sigma * scale)
        there, here = (
            np.asarray(interpret(b, [joint.energy], bindings(b, joint, trial, rows, level, x))[0])
            for x in (away, middle)
        )
        return float(np.mean((there - here) * 2 * (1 + sigma**2) / square))

    none, one = count(0.0), count(1.0)
    return (1.0 - none) / (one - none) if one > none and none < 1.0 else 1.0


def bindings(
    b: Backend,
    joint: Joint,
    weights: Weights,
    rows: Rows,
    level: Array | None,
    noised: Sequence[Array],
    trains: bool = False,
) -> dict[int, Any]:
    """What stands for the leaves of the energy."""
    found: dict[int, Any] = {id(slot): b.asarray(rows[name]) for name, slot in joint.columns.items()}
    found.update({id(slot): b.asarray(x) for slot, x in zip(joint.noised, noised, strict=False)})
    if level is not None:
        found[id(LEVEL)] = b.asarray(level)
    for part in joint.every:
        mine = {n: b.asarray(w) for n, w in own(joint, weights, part).items()}
        found[id(part.slot)] = bound(part, mine, trains)
    return found


def sizes(joint: Joint) -> list[int]:
    return [math.prod(slot.shape) for slot in joint.noised]


def noise(joint: Joint) -> Mapping[str, NoiseSpec]:
    return {"sigma": NoiseSpec("uniform", ()), "normal": NoiseSpec("normal", (sum(sizes(joint)),))}


def energy(
    joint: Joint, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
) -> Array:
    """The whole's energy (n,) at subjects (n, *shape), for rows of the data: inputs are the joint's columns."""
    rows = {name: x for name, x in zip(joint.columns, inputs, strict=True) if x is not None}
    (found,) = interpret(b, [joint.energy], bindings(b, joint, weights, rows, level, subjects, trains=True))
    return found + 0.0 * level


def loss(joint: Joint, b: Backend, weights: Weights, rows: Rows, drawn: Mapping[str, Array]) -> Array:
    """|D - x|² / c_out² of each row, c_out = σ / sqrt(1 + σ²), in units of the data's scale."""
    scale = weights["scale"]
    low, high = math.log(joint.options["finest"]), math.log(joint.options["coarsest"])
    sigma = b.xp.exp(low + (high - low) * drawn["sigma"])
    level = sigma * scale
    n = sigma.shape[0]
    clean = interpret(b, joint.clean, bindings(b, joint, {}, rows, level, ()))
    x = b.xp.concat([c.reshape((n, -1)) for c in clean], axis=1)
    noised = x + level[:, None] * drawn["normal"]

    def whole(u: Array) -> Array:
        parts, start = [], 0
        for slot, size in zip(joint.noised, sizes(joint), strict=True):
            parts.append(u[:, start : start + size].reshape((n, *slot.shape)))
            start += size
        return energy(joint, b, weights, level, parts, [rows[name] for name in joint.columns])

    _, slope = b.value_and_grad(whole)(noised)
    missing = (noised - level[:, None] ** 2 * slope - x) / level[:, None]
    error = missing * b.xp.sqrt(1.0 + sigma * sigma)[:, None]
    return b.xp.mean(error * error, axis=1)
