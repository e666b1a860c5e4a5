"""Energy-based: E(x) = f(x, c) + |x|² / 2 in scaled coordinates, f a net with one number, by maximum likelihood.

The gradient of the negative log-likelihood is that of E at the data less that at draws of the model, which persistent
chains give (Tieleman, ICML 2008; Du and Mordatch, NeurIPS 2019: a replay buffer of which 5 % begins anew each time).
A visit to a chain is one jump to a draw of the normal that f = 0 is, which lets chains change between modes while
dimensions are few, and `langevin` steps of x' = x - h ∇E + sqrt(2 h) ε. All are accepted by Metropolis' rule (Roberts
and Tweedie 1996), without which the energy learns to undo the step's error. h is `step`, or adapted to an acceptance
of .574. The total of exp(-E) is not known; a small penalty keeps the energies themselves near 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net
from compose_lang.discovery import NETS
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.learned import features, net
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import TRAINING, Learner, Rows, Weights, of_net
from compose_lang.runtime.learned.nets import load_net

REBORN = 0.05  #: share of the chains that begin anew at each visit
ACCEPTED = 0.574  #: of Langevin steps, where they go farthest
FIRST_STEP = 0.01
SHORTEST, LONGEST = 1e-5, 1.0
ADAPTED = 0.02  #: how much of a missing acceptance the logarithm of the step follows at a visit
PENALTY = 0.1


def ports(part: LearnedFactor) -> net.Ports:
    return net.Ports(features.shape_of(part), features.condition_size(part), (1,))


def wanted(part: LearnedFactor) -> dict[str, net.Weight]:
    assert part.net is not None
    return load_net(part.net.kind).weights(part.net.sizes, ports(part))


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    trained = {f"net.{n}": w for n, w in net.begin(wanted(part), int(part.options["seed"])).items()}
    return {**features.scales(part), **trained}


def raw(part: LearnedFactor, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """f (n,) at scaled coordinates z (n, d) and conditions c."""
    assert part.net is not None
    z = z.reshape((z.shape[0], *features.shape_of(part)))
    return load_net(part.net.kind).apply(b, of_net(weights), part.net.sizes, ports(part), z, c)[:, 0]


def whole(part: LearnedFactor, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """E (n,) at scaled coordinates z (n, d)."""
    return raw(part, b, weights, z, c) + 0.5 * b.xp.sum(z * z, axis=1)


def scaled(part: LearnedFactor, b: Backend, weights: Weights, subjects: Subjects) -> Array:
    """Subjects as z (n, d)."""
    z = (features.joined(b, part, subjects) - weights["shift"]) / weights["scale"]
    return z.reshape((z.shape[0], math.prod(features.shape_of(part))))


def energy(
    part: LearnedFactor, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
) -> Array:
    z = scaled(part, b, weights, subjects)
    return whole(part, b, weights, z, features.conditions(part, b, weights, inputs, {}, z.shape[0]))


def noise(part: LearnedFactor) -> Mapping[str, NoiseSpec]:
    size, steps = math.prod(features.shape_of(part)), int(part.options["langevin"])
    return {
        "chain": NoiseSpec("uniform", ()),
        "born": NoiseSpec("uniform", ()),
        "start": NoiseSpec("normal", (size,)),
        "jump": NoiseSpec("normal", (size,)),
        "force": NoiseSpec("normal", (steps, size)),
        "accept": NoiseSpec("uniform", (steps + 1,)),
    }


def state(part: LearnedFactor, n: int) -> Tree:
    """The buffer: for each of n rows some chains, z and conditions, of which none has begun."""
    depth = max(1, int(part.options["buffer"]) // n)
    shapes = {"z": math.prod(features.shape_of(part)), "c": features.condition_size(part)}
    found = {name: np.zeros((n, depth, size), dtype=np.float32) for name, size in shapes.items()}
    step = part.options["step"] or FIRST_STEP
    return {
        **found,
        "begun": np.zeros((n, depth), dtype=np.float32),
        "step": np.array(step, dtype=np.float32),
    }


def bounds(part: LearnedFactor) -> tuple[np.ndarray, np.ndarray]:
    """Between what the subjects lie, in their units: each (d,)."""
    of_each = [(p.type.domain, math.prod(p.type.full_shape)) for p in part.subjects]
    lower, upper = (
        [getattr(t, end) for t, size in of_each for _ in range(size)] for end in ("lower", "upper")
    )
    return np.array(lower), np.array(upper)


def scaled_bounds(part: LearnedFactor, b: Backend, weights: Weights) -> tuple[Array, Array]:
    lower, upper = ((b.asarray(x) - weights["shift"].reshape((-1,))) / weights["scale"] for x in bounds(part))
    return lower, upper


def folded(b: Backend, z: Array, lower: Array, upper: Array) -> Array:
    """z mirrored at the bounds into them."""
    xp = b.xp
    z = xp.where(z < lower, 2.0 * lower - z, z)
    z = xp.where(z > upper, 2.0 * upper - z, z)
    return xp.clip(z, lower, upper)


def advance(
    part: LearnedFactor, b: Backend, weights: Weights, rows: Rows, carried: Tree, drawn: Mapping[str, Array]
) -> tuple[Rows, Tree]:
    """Draws of the model, z and conditions, from one visit to a chain of each row's."""
    xp = b.xp
    old = {name: b.asarray(a) for name, a in carried.items()}
    n, depth = old["begun"].shape
    lower, upper = scaled_bounds(part, b, weights)
    at = (b.asarray(np.arange(n)), xp.astype(drawn["chain"] * depth, b.integer))
    anew = ((drawn["born"] < REBORN) | (old["begun"][at] == 0.0))[:, None]
    given = features.conditions(part, b, weights, [rows[p.name] for p in part.inputs], rows, n)
    z = xp.where(anew, folded(b, drawn["start"], lower, upper), old["z"][at])
    c = xp.where(anew, given, old["c"][at])
    slope = b.value_and_grad(lambda u: whole(part, b, weights, u, c))

    def kept(better: Array, to: Array, number: int) -> Array:
        inside = xp.all((to >= lower) & (to <= upper), axis=1)
        return inside & (xp.log(drawn["accept"][:, number]) < better)

    # the normal's density cancels the share |z|² / 2 of the energy
    better = raw(part, b, weights, z, c) - raw(part, b, weights, drawn["jump"], c)
    z = xp.where(kept(better, drawn["jump"], 0)[:, None], drawn["jump"], z)
    h, steps = old["step"], drawn["force"].shape[1]
    e, g = slope(z)

    def step(k: int, now: Tree) -> Tree:
        z, e, g, count = now
        kick = drawn["force"][:, k]
        to = z - h * g + xp.sqrt(2.0 * h) * kick
        there, back = slope(to)
        returning = z - to + h * back
        better = (
            e - there + 0.5 * xp.sum(kick * kick, axis=1) - xp.sum(returning * returning, axis=1) / (4.0 * h)
        )
        taken = kept(better, to, k + 1)
        z, g = (xp.where(taken[:, None], new, old) for new, old in ((to, z), (back, g)))
        return z, xp.where(taken, there, e), g, count + xp.mean(xp.astype(taken, b.real))

    z, _, _, count = b.loop(0, steps, step, (z, e, g, 0.0 * h))
    if part.options["step"] is None:
        h = xp.clip(h * xp.exp(ADAPTED * (count / steps - ACCEPTED)), SHORTEST, LONGEST)
    new = {"z": z, "c": c, "begun": xp.ones_like(drawn["born"])}
    return {"model.z": z, "model.c": c}, {**{m: b.set_at(old[m], at, a) for m, a in new.items()}, "step": h}


def loss(part: LearnedFactor, b: Backend, weights: Weights, rows: Rows, drawn: Mapping[str, Array]) -> Array:
    z = scaled(part, b, weights, [rows[p.name] for p in part.subjects])
    c = features.conditions(part, b, weights, [rows[p.name] for p in part.inputs], rows, z.shape[0])
    real = whole(part, b, weights, z, c)
    drawn_ = whole(part, b, weights, rows["model.z"], rows["model.c"])
    return real - drawn_ + PENALTY * (real * real + drawn_ * drawn_)


LEARNER = Learner(
    name="ebm",
    summary="an energy without a known total, learned from draws of itself",
    domains=frozenset({"real", "bounded"}),
    options={
        **TRAINING,
        "rate": 5e-3,
        "ema": 0.99,
        "buffer": 10_000,
        "langevin": 40,
        "step": None,
        "drop": 0.1,
    },
    net=Net("mlp", (64, 64)),
    nets=frozenset(NETS),
    constant_a_input=True,
    begin=begin,
    energy=energy,
    wanted=wanted,
    beside=features.shapes_of_scales,
    noise=noise,
    loss=loss,
    state=state,
    advance=advance,
)
