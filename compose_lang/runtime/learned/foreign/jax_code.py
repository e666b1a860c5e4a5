"""A JAX function as foreign code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.learned.foreign.code import LOOSE, Layout, one_a_row, require_floats, result_of


class JaxCode:
    """A function of JAX arrays, which must be traceable: it is compiled."""

    library = "jax"
    is_traceable = True  # else it is refused
    close = LOOSE  # weights may be of 32 bits

    def __init__(self, part: LearnedFactor, function: Callable[..., Any]) -> None:
        self.part = part
        self.function = function
        self.compiled = jax.jit(self.energy, static_argnums=0)
        self.compiled_both = jax.jit(self._both, static_argnums=0)

    def energy(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        result = result_of(self.part, layout, self.function, arrays, jax.Array, "an array")
        require_floats(self.part, result.dtype, jnp.issubdtype(result.dtype, jnp.floating))
        return one_a_row(self.part, result, arrays[0].shape[0])

    def both(self, layout: Layout, arrays: Sequence[Array]) -> tuple[Array, list[Array]]:
        energies: tuple[Array, list[Array]] = self.compiled_both(layout, tuple(arrays))
        return energies

    def _both(self, layout: Layout, arrays: Sequence[Array]) -> tuple[Array, list[Array]]:
        places = [k for k, x in enumerate(arrays) if jnp.issubdtype(x.dtype, jnp.floating)]

        def total(*floats: Array) -> tuple[Array, Array]:
            filled = list(arrays)
            for k, x in zip(places, floats, strict=True):
                filled[k] = x
            each = self.energy(layout, filled)
            return jnp.sum(each), each

        if not places:
            return self.energy(layout, arrays), []
        numbers = tuple(range(len(places)))
        floats = [arrays[k] for k in places]
        (_, each), gradients = jax.value_and_grad(total, argnums=numbers, has_aux=True)(*floats)
        return each, list(gradients)

    def trial(self, layout: Layout, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        with jax.enable_x64(all(x.dtype != np.float32 for x in rows)):
            each, gradients = self.both(layout, tuple(map(jnp.asarray, rows)))
            return np.asarray(each), list(map(np.asarray, gradients))


def codes(part: LearnedFactor, function: Callable[..., Any], precision: str) -> list[Callable[[], JaxCode]]:
    """The ways to take a function as JAX code."""
    return [partial(JaxCode, part, function)]
