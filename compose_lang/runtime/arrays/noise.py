"""The one source of randomness: counters enciphered by `threefry`, the same bits on every backend.

A value is a function of the seed, the stream (which kernel asks), the chain's number, the step t and the
element's place in what the kernel declared, and of nothing else: neither of how many chains run beside it nor
of how steps are cut into chunks. So a run is resumed, repeated or split over machines without any state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.arrays.threefry import low_word


class NoiseSpec(NamedTuple):
    """What one step needs of each chain: `uniform` in (0, 1), standard `normal`, a 32-bit `word`, or its `key`.

    The key (2,) is for a kernel that enciphers counters of its own within its update, each once a step.
    """

    kind: Literal["uniform", "normal", "word", "key"]
    shape: tuple[int, ...]


def seed_key(seed: int) -> tuple[int, int]:
    """The key words of a seed: its low and its high 32 bits."""
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def chain_keys(seed: int, chains: Array, stream: int, backend: Backend) -> Array:
    """A key (chains, 2) of its own for each chain number and stream of a seed."""
    numbers = backend.asarray(chains, backend.word)
    low, high = (backend.asarray([word], backend.word) for word in seed_key(seed))
    x, y = backend.encipher((low, high), (numbers, backend.asarray([stream], backend.word)))
    return backend.xp.stack([x, y], axis=-1)


def draw(specs: Mapping[str, NoiseSpec], keys: Array, t: Array, backend: Backend) -> dict[str, Array]:
    """The noise of step t for chains with keys (chains, 2): by name, (chains, *shape).

    The order of `specs` matters: each takes the counters that follow those of the one before.
    """
    noise, start = {}, 0
    for name, (kind, shape) in specs.items():
        if kind == "key":
            noise[name] = keys
            continue
        size = math.prod(shape)
        if kind == "normal":
            counters = size + size % 2
            values = _normal(_words(keys, t, start, counters, backend), backend)[:, :size]
        else:
            counters = size
            words = _words(keys, t, start, counters, backend)
            values = words[0] if kind == "word" else _uniform(words, backend)
        noise[name] = values.reshape((keys.shape[0], *shape))
        start += counters
    return noise


def _words(keys: Array, t: Array, start: int, size: int, backend: Backend) -> tuple[Array, Array]:
    """Two words (chains, size) for each of the counters start … start + size - 1 of step t."""
    places = backend.xp.arange(start, start + size, dtype=backend.word)[None, :]
    step = low_word(backend.asarray(t, backend.word))
    return backend.encipher((keys[:, :1], keys[:, 1:]), (places, step))


def _uniform(words: tuple[Array, Array], backend: Backend) -> Array:
    """Midpoints of 2^52 (float32: 2^23) equal cells of (0, 1): never an end, whatever the rounding."""
    xp = backend.xp
    if backend.precision == "float32":
        return (xp.astype(words[0] >> 9, backend.real) + 0.5) * 2.0**-23
    high, low = (xp.astype(word >> 6, backend.real) for word in words)
    return (high * 2.0**26 + low + 0.5) * 2.0**-52


def _normal(words: tuple[Array, Array], backend: Backend) -> Array:
    """Standard normals of an even number of words, by Box and Muller (1958)."""
    xp = backend.xp
    uniform = _uniform(words, backend)
    half = uniform.shape[1] // 2
    radius = xp.sqrt(-2.0 * xp.log(uniform[:, :half]))
    angle = (2.0 * math.pi) * uniform[:, half:]
    return xp.concat([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1)
