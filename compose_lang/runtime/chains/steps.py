"""What makes a sweep: the keys of its noise, and one step of each kernel after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from compose_lang.runtime.arrays import noise
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels.common.kernel import BoundKernel


def keys_of(seed: int, chains: NDArray[Any], stream: int, backend: Backend) -> Array:
    """A key (chains, 2) of each chain for a stream of noise."""
    # by NumPy, whose bits are the same: JAX would compile each of these small operations
    keys = noise.chain_keys(seed, chains, stream, load_backend("numpy"))
    return backend.asarray(keys, backend.word)


def stepped(
    kernels: Sequence[BoundKernel],
    keys: Sequence[Array],
    position: Position,
    states: Sequence[Tree],
    t: Any,
    backend: Backend,
) -> tuple[Position, Tree, dict[str, Array]]:
    """Position, states and statistics `stat.BLOCK.NAME` after step t of each kernel. keys: (chains, 2), of each."""
    after, statistics = [], {}
    for b, (kernel, state) in enumerate(zip(kernels, states, strict=True)):
        drawn = noise.draw(kernel.noise, keys[b], t, backend)
        position, state, told = kernel.step(position, state, drawn, t)
        after.append(state)
        statistics.update({f"stat.{b}.{name}": value for name, value in told.items()})
    return position, tuple(after), statistics
