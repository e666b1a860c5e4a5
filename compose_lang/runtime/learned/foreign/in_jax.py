"""PyTorch code in a JAX program: a callback for values, another for gradients, joined by a rule for reverse mode.

A callback may run in a thread without 64-bit mode, where JAX cuts numbers to 32 bits: arrays pass as words of 32
bits, by dlpack without a copy. Under `vmap` all chains' rows come in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.foreign.code import Layout
from compose_lang.runtime.learned.foreign.torch_code import TorchCode

WORD = np.dtype("int32")


class InJax:
    """Energies of rows by PyTorch, with gradients, in traced JAX programs.

    What the code raises while a program runs is kept in `failure`, with NaN for the energies: an exception that
    goes through XLA loses its words.
    """

    def __init__(self, code: TorchCode, real: np.dtype[Any]) -> None:
        self.code = code
        self.real = real
        self.failure: ComposeError | None = None

    def energy(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        floats = [jnp.issubdtype(x.dtype, jnp.floating) for x in arrays]
        shapes = [x.shape for x in arrays]
        one = (arrays[0].shape[0],)
        every = [one, *(shape for shape, is_float in zip(shapes, floats, strict=True) if is_float)]

        def value(given: list[torch.Tensor]) -> list[torch.Tensor]:
            with torch.no_grad():
                return [self.code.energy(layout, given)]

        def value_and_gradients(given: list[torch.Tensor]) -> list[torch.Tensor]:
            with torch.no_grad():
                each, gradients = self.code.both(layout, given)
            return [each, *gradients]

        @jax.custom_vjp
        def energy(*xs: Array) -> Array:
            return self.call(value, xs, [one])[0]

        def forward(*xs: Array) -> tuple[Array, list[Array]]:
            each, *gradients = self.call(value_and_gradients, xs, every)
            return each, gradients

        def backward(gradients: list[Array], pull: Array) -> tuple[Any, ...]:
            rest = iter(gradients)
            return tuple(
                pull.reshape((-1, *(1,) * (len(shape) - 1))) * next(rest)
                if is_float
                else np.zeros(shape, jax.dtypes.float0)
                for shape, is_float in zip(shapes, floats, strict=True)
            )

        energy.defvjp(forward, backward)
        return energy(*arrays)

    def slope(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        """∇E (n, *shape) of the one subject, from code that knows no energy."""
        (found,) = self.call(lambda given: [self.code.slope(layout, given)], arrays, [arrays[0].shape])
        return found

    def call(
        self,
        function: Callable[[list[torch.Tensor]], list[torch.Tensor]],
        arrays: Sequence[Array],
        shapes: Sequence[tuple[int, ...]],
    ) -> list[Array]:
        """The function of tensors at traced arrays: reals of these shapes, row by row."""
        own = [(x.shape, x.dtype) for x in arrays]
        results = [word_shape(shape, self.real) for shape in shapes]

        def run(*words: Any) -> Any:
            mapped = words[0].shape[: len(words[0].shape) - len(word_shape(*own[0]))]  # axes of vmap
            given = [
                from_words(w, dtype).reshape((-1, *shape[1:]))
                for w, (shape, dtype) in zip(words, own, strict=True)
            ]
            wanted = [(*mapped, *shape) for shape in results]
            try:
                found = function(given)
            except ComposeError as wrong:
                self.failure = wrong
                return tuple(np.full(shape, -1, WORD) for shape in wanted)  # every bit set: NaN
            return tuple(host_words(x.to(real_of(self.real)), s) for x, s in zip(found, wanted, strict=True))

        like = tuple(jax.ShapeDtypeStruct(shape, WORD) for shape in results)
        found = jax.pure_callback(run, like, *map(words_of, arrays), vmap_method="broadcast_all")
        return [jax.lax.bitcast_convert_type(w, self.real) for w in found]


def word_shape(shape: tuple[int, ...], dtype: Any) -> tuple[int, ...]:
    return (*shape, 2) if np.dtype(dtype).itemsize == 8 else shape


def words_of(x: Array) -> Array:
    """An array as words of 32 bits, (…, 2) where its numbers have 64; truth values as they are."""
    return x if x.dtype == bool else jax.lax.bitcast_convert_type(x, WORD)


def real_of(dtype: Any) -> torch.dtype:
    found: torch.dtype = getattr(torch, np.dtype(dtype).name)
    return found


def from_words(words: Any, dtype: Any) -> torch.Tensor:
    """The tensor that some words stand for, on the same memory."""
    tensor = torch.from_dlpack(words)
    if np.dtype(dtype) == bool:
        return tensor
    found = tensor.view(real_of(dtype))
    return found[..., 0] if np.dtype(dtype).itemsize == 8 else found


def host_words(x: torch.Tensor, shape: tuple[int, ...]) -> Any:
    return x.detach().contiguous().view(torch.int32).reshape(shape).numpy()


def bridge(code: TorchCode, b: Backend) -> InJax:
    """What gives the energies of PyTorch code to JAX programs."""
    return InJax(code, b.real)
