"""Diffusion: a family of densities p_σ = p * N(0, σ²) over noise levels σ, learned by removing noise.

In units of the data (mean 0, mean variance 1) the energy is

    E(x, σ) = |x|² / (2 (1 + σ²)) + (1 / σ) ⟨z, f(z, σ)⟩ + constant(σ),   z = x / sqrt(1 + σ²),

so that f = 0 is the Gaussian of the data's scale, and the gradient of the second term is of the size of the noise at
every σ (Karras et al., NeurIPS 2022, table 1: c_in, c_skip and c_out of the denoiser D = x - σ² ∇E). In `score` form
the net gives the gradient itself and there is no energy. The loss is the denoising one, |D(x₀ + σ ε) - x₀|² / c_out²
(Vincent, Neural Computation 2011), with log σ uniform.

That alone says little of how distant regions compare: at noise σ an error e of the denoiser is one of e / σ in their
energies. So energies are also held to how they change with the noise. Given x, the mean of d - |ε|² is ∂E/∂log σ (Choi,
Meng, Song and Ermon, AISTATS 2022), which leads from every region to the coarse levels that all have in common.

Noise is counted in the units of the program's variables everywhere outside this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Net, Port
from compose_lang.discovery import NETS
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned import features, net
from compose_lang.runtime.learned.features import Inputs, Subjects
from compose_lang.runtime.learned.learner import TRAINING, Learner, Rows, Weights, of_net
from compose_lang.runtime.learned.nets import load_net


def ports(part: LearnedFactor) -> net.Ports:
    shape = features.shape_of(part)
    return net.Ports(shape, features.LEVEL_SIZE + features.condition_size(part), shape)


def wanted(part: LearnedFactor) -> dict[str, net.Weight]:
    assert part.net is not None
    return load_net(part.net.kind).weights(part.net.sizes, ports(part))


CHANGE = "net.change"  #: weights that training alone needs: how log Z changes with the level, for all inputs


def begin(part: LearnedFactor) -> dict[str, np.ndarray]:
    trained = {f"net.{n}": w for n, w in net.begin(wanted(part), int(part.options["seed"])).items()}
    if part.options["form"] == "energy":
        trained[CHANGE] = np.zeros((features.LEVEL_SIZE, 1 + features.condition_size(part)), dtype=np.float32)
    return {**features.scales(part), **trained}


def raw(part: LearnedFactor, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """The net at scaled coordinates z (n, *shape)."""
    assert part.net is not None
    return load_net(part.net.kind).apply(b, of_net(weights), part.net.sizes, ports(part), z, c)


def bent(part: LearnedFactor, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """⟨z, f(z)⟩ (n,), the energy that the net adds, times σ."""
    f = raw(part, b, weights, z, c)
    return b.xp.sum((z * f).reshape((z.shape[0], -1)), axis=1)


def all_conditions(
    part: LearnedFactor, b: Backend, weights: Weights, sigma: Array, inputs: Inputs, rows: Any
) -> Array:
    finest, coarsest = part.options["finest"], part.options["coarsest"]
    level = features.level_features(b, b.xp.clip(sigma, finest, coarsest), finest, coarsest)
    given = features.conditions(part, b, weights, inputs, rows, sigma.shape[0])
    return b.xp.concat([level, given], axis=1)


def slope(part: LearnedFactor, b: Backend, weights: Weights, z: Array, c: Array) -> Array:
    """What the net adds to the gradient in z, times σ: (n, *shape)."""
    if part.options["form"] == "score":
        return raw(part, b, weights, z, c)
    shape = z.shape
    _, gradient = b.value_and_grad(lambda u: bent(part, b, weights, u.reshape(shape), c))(
        z.reshape((shape[0], -1))
    )
    return gradient.reshape(shape)


def noise(part: LearnedFactor) -> Mapping[str, NoiseSpec]:
    return {"sigma": NoiseSpec("uniform", ()), "normal": NoiseSpec("normal", features.shape_of(part))}


SHARE = (
    0.1  #: of how energies change with the noise, beside their slopes, at coarse levels; less at fine ones
)


def loss(part: LearnedFactor, b: Backend, weights: Weights, rows: Rows, drawn: Mapping[str, Array]) -> Array:
    x = scaled(part, b, weights, [rows[p.name] for p in part.subjects])
    n = x.shape[0]
    low, high = math.log(part.options["finest"]), math.log(part.options["coarsest"])
    log_sigma = low + (high - low) * drawn["sigma"]
    sigma = b.xp.exp(log_sigma)
    inputs = [rows[p.name] for p in part.inputs]
    s = sigma.reshape((n, *(1,) * (x.ndim - 1)))
    whole = b.xp.sqrt(1.0 + s * s)
    noised = x + s * drawn["normal"]
    # D = noised / (1 + σ²) - σ / whole * slope, and c_out = σ / whole
    missing = (noised / (whole * whole) - x) * whole / s
    if part.options["form"] == "score":
        c = all_conditions(part, b, weights, sigma, inputs, rows)
        error = missing - slope(part, b, weights, noised / whole, c)
        return b.xp.mean((error * error).reshape((n, -1)), axis=1)

    def at(u: Array) -> Array:
        """`bent` at noised coordinates and log σ, side by side in u (n, d + 1)."""
        level = b.xp.exp(u[:, -1])
        z = u[:, :-1] / b.xp.sqrt(1.0 + level * level)[:, None]
        return bent(
            part, b, weights, z.reshape(x.shape), all_conditions(part, b, weights, level, inputs, rows)
        )

    flat = noised.reshape((n, -1))
    value, gradient = b.value_and_grad(at)(b.xp.concat([flat, log_sigma[:, None]], axis=1))
    error = missing.reshape((n, -1)) - gradient[:, :-1] * whole.reshape((n, 1))
    change = (gradient[:, -1] - value) / sigma + known_change(part, b, weights, flat, sigma, inputs, rows)
    normal, d = drawn["normal"].reshape((n, -1)), flat.shape[1]
    off = change - (d - b.xp.sum(normal * normal, axis=1))
    c_out = sigma / b.xp.sqrt(1.0 + sigma * sigma)
    return b.xp.mean(error * error, axis=1) + SHARE * c_out * off * off / d


def known_change(
    part: LearnedFactor,
    b: Backend,
    weights: Weights,
    flat: Array,
    sigma: Array,
    inputs: Sequence[Any],
    rows: Any,
) -> Array:
    """∂/∂log σ of the Gaussian's energy at noised x (n, d), and of log Z as far as it is learned: (n,)."""
    n, d = flat.shape
    variance = 1.0 + sigma * sigma
    gauss = sigma * sigma * (d - b.xp.sum(flat * flat, axis=1) / variance) / variance
    c = all_conditions(part, b, weights, sigma, inputs, rows)
    level, given = c[:, : features.LEVEL_SIZE], c[:, features.LEVEL_SIZE :]
    given = b.xp.concat([b.xp.ones((n, 1), dtype=b.real), given], axis=1)
    return gauss + b.xp.sum((level @ weights[CHANGE]) * given, axis=1)


def scaled(part: LearnedFactor, b: Backend, weights: Weights, subjects: Subjects) -> Array:
    return (features.joined(b, part, subjects) - weights["shift"]) / weights["scale"]


def own_level(part: LearnedFactor, b: Backend, weights: Weights, level: Array) -> Array:
    """A noise level in the units of the data, at least the finest that was learned.

    Above the coarsest the Gaussian goes on as it does under noise, and the net's share of it fades with 1 / σ.
    """
    return b.xp.clip(level / weights["scale"], part.options["finest"], math.inf)


def energy(
    part: LearnedFactor, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
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
    share = weights.get("share", 1.0)  # of a density that was learned whole: see learn/together.py
    return (
        share * (gauss + known)
        + bent(part, b, weights, z, c) / sigma
        + log_constant(part, b, weights, sigma, inputs)
    )


def log_constant(part: LearnedFactor, b: Backend, weights: Weights, sigma: Array, inputs: Inputs) -> Array:
    """log Z(σ) of what the net adds, between the levels where it was estimated: (n,)."""
    if "log_z" not in weights:
        return b.xp.zeros_like(sigma)
    low, high = math.log(part.options["finest"]), math.log(part.options["coarsest"])
    table = weights["log_z"]
    rows, count = table.shape
    row = context(part, b, inputs, sigma.shape[0]) if rows > 1 else b.xp.zeros_like(sigma)
    place = b.xp.clip((b.xp.log(sigma) - low) / (high - low) * (count - 1), 0.0, count - 1.0)
    below = b.xp.clip(b.xp.floor(place), 0.0, count - 2.0)
    at = b.xp.astype(row * count + below, b.integer)
    flat, share = table.reshape((-1,)), place - below
    return flat[at] * (1.0 - share) + flat[at + 1] * share


def beside(part: LearnedFactor) -> dict[str, tuple[int, ...]]:
    scales = features.shapes_of_scales(part)
    if part.together:
        return {**scales, "share": (1,)}
    return {**scales, "log_z": (contexts(part), LEVELS)} if part.options["form"] == "energy" else scales


MOST_CONTEXTS = 32


def choices(port: Port) -> int:
    """How many ways there are to give an input, leaving it out among them."""
    return len(port.type.domain.values) + 1


def contexts(part: LearnedFactor) -> int:
    """Ways to give all inputs, each with a constant of its own; 1 where there are too many to tell apart."""
    if any(not p.type.domain.is_finite or p.type.full_shape for p in part.inputs):
        return 1
    count = math.prod(choices(p) for p in part.inputs)
    return count if count <= MOST_CONTEXTS else 1


def context(part: LearnedFactor, b: Backend, inputs: Inputs, n: int) -> Array:
    """The number (n,) of the way that inputs are given."""
    found = b.xp.zeros((n,), dtype=b.real)
    for port, value in zip(part.inputs, inputs, strict=True):
        values = port.type.domain.values
        one = 0.0 if value is None else (b.xp.astype(value, b.real) - values[0]) / values.step + 1.0
        found = found * choices(port) + one
    return found


LEVELS = 97  #: at which constants are estimated
MOST_ROWS = 2000


def finish(part: LearnedFactor, b: Backend, weights: Weights) -> dict[str, np.ndarray]:
    """log Z at noise levels, for each way to give the inputs.

    At the coarsest level from draws of the Gaussian that the density nearly is; from each level to the next by
    Bennett's acceptance ratio (J. Comp. Phys. 22, 1976) between data with the noise of the one and of the other.
    """
    if part.options["form"] == "score":
        return {}
    rng = np.random.default_rng(int(part.options["seed"]))
    tables = []
    for number in range(contexts(part)):
        rows, inputs = rows_of_context(part, number)
        tables.append(constants(part, b, weights, rng, rows, inputs) if len(rows) else np.zeros(LEVELS))
    return {"log_z": np.stack(tables).astype(np.float32)}


def rows_of_context(part: LearnedFactor, number: int) -> tuple[np.ndarray, list[bool]]:
    """The data's rows that show a context, and which inputs are given in it."""
    n = len(part.data[part.subjects[0].name])
    chosen, given = np.ones(n, dtype=bool), [True] * len(part.inputs)
    if contexts(part) == 1:
        return np.flatnonzero(chosen), given
    for k, port in reversed(list(enumerate(part.inputs))):
        number, one = divmod(number, choices(port))
        given[k] = one > 0
        if one:
            chosen &= part.data[port.name] == port.type.domain.values[one - 1]
        elif not port.is_optional:
            chosen[:] = False
    return np.flatnonzero(chosen), given


def constants(
    part: LearnedFactor,
    b: Backend,
    weights: Weights,
    rng: np.random.Generator,
    rows: np.ndarray,
    given: list[bool],
) -> np.ndarray:
    """log Z (LEVELS,) from some rows of the data."""
    from scipy.special import logsumexp

    scale = float(np.asarray(weights["scale"])[0])
    sigmas = np.geomspace(part.options["finest"], part.options["coarsest"], LEVELS)
    n = min(MOST_ROWS, max(len(rows), 500))

    def picked() -> np.ndarray:
        return rows[rng.permutation(len(rows))[:n]] if len(rows) >= n else rng.choice(rows, n)

    def noised(at: np.ndarray, sigma: float) -> list[np.ndarray]:
        found = [part.data[p.name][at] for p in part.subjects]
        return [x + sigma * scale * rng.standard_normal(x.shape) for x in found]

    def energies(subjects: list[np.ndarray], at: np.ndarray, sigma: float) -> np.ndarray:
        level = b.asarray(np.full(n, sigma * scale))
        inputs = [
            b.asarray(part.data[p.name][at]) if g else None for p, g in zip(part.inputs, given, strict=True)
        ]
        found = weigh(level, [b.asarray(x) for x in subjects], inputs)
        return np.asarray(b.to_numpy(found), dtype=np.float64)

    weigh = b.compile(lambda level, subjects, inputs: energy(part, b, weights, level, subjects, inputs))
    at = picked()
    shape = features.shape_of(part)
    shift = np.asarray(weights["shift"])
    top = sigmas[-1]
    draws = math.sqrt(1 + top**2) * rng.standard_normal((n, *shape))
    gauss = 0.5 * (draws.reshape(n, -1) ** 2).sum(1) / (1 + top**2)
    gauss += math.prod(shape) * (0.5 * math.log(2 * math.pi * (1 + top**2)) + math.log(scale))
    subjects = [np.asarray(x) for x in features.split(part, shift + scale * draws)]
    log_z = [float(logsumexp(gauss - energies(subjects, at, top)) - math.log(n))]
    above, above_rows = noised(at, top), at
    for k in range(LEVELS - 2, -1, -1):
        at = picked()
        here = noised(at, sigmas[k])
        forth = energies(above, above_rows, sigmas[k]) - energies(above, above_rows, sigmas[k + 1])
        back = energies(here, at, sigmas[k + 1]) - energies(here, at, sigmas[k])
        log_z.append(log_z[-1] + bennett(forth, back))
        above, above_rows = here, at
    return np.array(log_z[::-1])


def bennett(forth: np.ndarray, back: np.ndarray) -> float:
    """log Z' / Z from E' - E at draws of exp(-E) and E - E' at as many draws of exp(-E')."""
    from scipy.special import expit

    low, high = -float(forth.max()) - 10.0, float(back.max()) + 10.0
    for _ in range(60):  # the difference below falls with the guess
        guess = 0.5 * (low + high)
        here = expit(-(forth + guess)).sum() - expit(-(back - guess)).sum()
        low, high = (guess, high) if here > 0 else (low, guess)
    return 0.5 * (low + high)


def score(
    part: LearnedFactor, b: Backend, weights: Weights, level: Array, subjects: Subjects, inputs: Inputs
) -> list[Array]:
    """∇E in each subject (n, *shape), in the program's units."""
    x = scaled(part, b, weights, subjects)
    sigma = own_level(part, b, weights, level)
    c = all_conditions(part, b, weights, sigma, inputs, {})
    s = sigma.reshape((x.shape[0], *(1,) * (x.ndim - 1)))
    whole = b.xp.sqrt(1.0 + s * s)
    gradient = weights.get("share", 1.0) * x / (whole * whole) + slope(part, b, weights, x / whole, c) / (
        s * whole
    )
    return features.split(part, gradient / weights["scale"])


LEARNER = Learner(
    name="diffusion",
    summary="densities over noise levels, learned by removing noise",
    domains=frozenset({"real"}),
    options={
        **TRAINING, "batch": 512, "rate": 5e-3, "form": "energy", "ema": 0.999, "finest": 0.01, "coarsest": 20.0,
        "drop": 0.1,
    },
    net=Net("mlp", (64, 64, 64)),
    nets=frozenset(NETS),
    normalised=True,
    constant_a_input=True,
    levels=True,
    begin=begin,
    energy=energy,
    wanted=wanted,
    beside=beside,
    noise=noise,
    loss=loss,
    score=score,
    finish=finish,
)  # fmt: skip
