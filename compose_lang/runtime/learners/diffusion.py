"""Diffusion: a family of densities p_σ = p * N(0, σ²) over noise levels σ, learned by removing noise.

In units of the data (mean 0, mean variance 1) the energy is

    E(x, σ) = |x|² / (2 (1 + σ²)) + (1 / σ) ⟨z, f(z, σ)⟩ + constant(σ),   z = x / sqrt(1 + σ²),

so that f = 0 is the Gaussian of the data's scale, and the gradient of the second term is of the size of the noise at
every σ (Karras et al., NeurIPS 2022, table 1: c_in, c_skip and c_out of the denoiser D = x - σ² ∇E). In `score` form
the net gives the gradient itself and there is no energy. The loss is the denoising one, |D(x₀ + σ ε) - x₀|² / c_out²
(Vincent, Neural Computation 2011), with log σ uniform.

Noise is counted in the units of the program's variables everywhere outside this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.parts import Part
from compose_lang.runtime import net
from compose_lang.runtime.backend import Array, Backend
from compose_lang.runtime.kernel import NoiseSpec
from compose_lang.runtime.learn import features
from compose_lang.runtime.learner import Learner, Rows, Weights, of_net
from compose_lang.runtime.nets import load_net


def ports(part: Part) -> net.Ports:
    shape = features.shape_of(part)
    return net.Ports(shape, 2 * features.WAVES + 1 + features.condition_size(part), shape)


def begin(part: Part) -> dict[str, np.ndarray]:
    assert part.net is not None
    wanted = load_net(part.net.kind).weights(part.net.sizes, ports(part))
    trained = {f"net.{n}": w for n, w in net.begin(wanted, int(part.options["seed"])).items()}
    return {**features.scales(part), **trained}


def raw(part: Part, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """The net at scaled coordinates z (n, *shape)."""
    assert part.net is not None
    return load_net(part.net.kind).apply(b, of_net(weights), part.net.sizes, ports(part), z, c)


def bent(part: Part, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """⟨z, f(z)⟩ (n,), the energy that the net adds, times σ."""
    f = raw(part, b, weights, z, c)
    return b.xp.sum((z * f).reshape((z.shape[0], -1)), axis=1)


def all_conditions(
    part: Part, b: Backend, weights: Weights, sigma: Array, inputs: Sequence[Array | None], rows: Any
) -> Array:
    finest, coarsest = part.options["finest"], part.options["coarsest"]
    level = features.level_features(b, sigma, finest, coarsest)
    given = features.conditions(part, b, weights, inputs, rows, sigma.shape[0])
    return b.xp.concat([level, given], axis=1)


def slope(part: Part, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """What the net adds to the gradient in z, times σ: (n, *shape)."""
    if part.options["form"] == "score":
        return raw(part, b, weights, z, c)
    shape = z.shape
    _, gradient = b.value_and_grad(lambda u: bent(part, b, weights, u.reshape(shape), c))(
        z.reshape((shape[0], -1))
    )
    return gradient.reshape(shape)


def noise(part: Part) -> Mapping[str, NoiseSpec]:
    return {"sigma": NoiseSpec("uniform", ()), "normal": NoiseSpec("normal", features.shape_of(part))}


def loss(part: Part, b: Backend, weights: Weights, rows: Rows, drawn: Mapping[str, Array]) -> Array:
    x = scaled(part, b, weights, [rows[p.name] for p in part.subjects])
    n = x.shape[0]
    low, high = math.log(part.options["finest"]), math.log(part.options["coarsest"])
    sigma = b.xp.exp(low + (high - low) * drawn["sigma"])
    c = all_conditions(part, b, weights, sigma, [rows[p.name] for p in part.inputs], rows)
    s = sigma.reshape((n, *(1,) * (x.ndim - 1)))
    whole = b.xp.sqrt(1.0 + s * s)
    noised = x + s * drawn["normal"]
    # D = noised / (1 + σ²) - σ / whole * slope, and c_out = σ / whole
    missing = (noised / (whole * whole) - x) * whole / s
    error = missing - slope(part, b, weights, noised / whole, c)
    return b.xp.mean((error * error).reshape((n, -1)), axis=1)


def scaled(part: Part, b: Backend, weights: Weights, subjects: Sequence[Array]) -> Array:
    return (features.joined(b, part, subjects) - weights["shift"]) / weights["scale"]


def own_level(part: Part, b: Backend, weights: Weights, level: Array) -> Array:
    """A noise level in the units of the data, within what was learned."""
    return b.xp.clip(level / weights["scale"], part.options["finest"], part.options["coarsest"])


def energy(
    part: Part,
    b: Backend,
    weights: Weights,
    level: Array,
    subjects: Sequence[Array],
    inputs: Sequence[Array | None],
) -> Array:
    x = scaled(part, b, weights, subjects)
    n, d = x.shape[0], math.prod(x.shape[1:])
    sigma = own_level(part, b, weights, level)
    c = all_conditions(part, b, weights, sigma, inputs, {})
    flat = x.reshape((n, -1))
    variance = 1.0 + sigma * sigma
    gauss = 0.5 * b.xp.sum(flat * flat, axis=1) / variance
    z = x / b.xp.sqrt(variance).reshape((n, *(1,) * (x.ndim - 1)))
    known = 0.5 * d * b.xp.log(2.0 * math.pi * variance) + d * b.xp.log(weights["scale"])
    return gauss + known + bent(part, b, weights, z, c) / sigma + log_constant(part, b, weights, sigma, inputs)


def log_constant(
    part: Part, b: Backend, weights: Weights, sigma: Array, inputs: Sequence[Array | None]
) -> Array:
    """log Z(σ) of what the net adds, between the levels where it was estimated: (n,)."""
    if "log_z" not in weights:
        return b.xp.zeros_like(sigma)
    low, high = math.log(part.options["finest"]), math.log(part.options["coarsest"])
    table = weights["log_z"]
    count = table.shape[0]
    place = b.xp.clip((b.xp.log(sigma) - low) / (high - low) * (count - 1), 0.0, count - 1.0)
    below = b.xp.astype(b.xp.clip(b.xp.floor(place), 0.0, count - 2.0), b.integer)
    part_of = place - below
    return table[below] * (1.0 - part_of) + table[below + 1] * part_of


def score(
    part: Part,
    b: Backend,
    weights: Weights,
    level: Array,
    subjects: Sequence[Array],
    inputs: Sequence[Array | None],
) -> list[Array]:
    """∇E in each subject (n, *shape), in the program's units."""
    x = scaled(part, b, weights, subjects)
    sigma = own_level(part, b, weights, level)
    c = all_conditions(part, b, weights, sigma, inputs, {})
    s = sigma.reshape((x.shape[0], *(1,) * (x.ndim - 1)))
    whole = b.xp.sqrt(1.0 + s * s)
    gradient = x / (whole * whole) + slope(part, b, weights, x / whole, c) / (s * whole)
    return features.split(part, gradient / weights["scale"])


LEARNER = Learner("diffusion", "densities over noise levels, learned by removing noise", begin, energy, noise, loss, score)
