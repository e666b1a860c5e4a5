"""JAX: compiled by XLA, differentiated by `jax.value_and_grad`; what runs by default.

64-bit mode is held by `scope()` for the thread that computes and never switched globally, so that importing
Compose changes nobody else's arrays. Compiled programs are kept in the user's cache folder between runs,
unless a folder (or none) was already chosen through JAX's own settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np

from compose_lang.runtime.arrays.protocol import Array, NativeKernel, Precision, Tree
from compose_lang.runtime.arrays.threefry import ROUNDS, threefry

CACHED_FROM_SECONDS = 0.3
"""Compilations shorter than this are not worth a file."""


@cache
def keep_compiled_programs() -> None:
    """Turn on JAX's persistent compilation cache in the user's cache folder, where it can be written."""
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen is not None or "JAX_ENABLE_COMPILATION_CACHE" in os.environ:
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose_lang" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", CACHED_FROM_SECONDS)


@cache
def register(kernel: NativeKernel) -> None:
    """Make a kernel in C known to XLA."""
    jax.ffi.register_ffi_target(kernel.name, jax.ffi.pycapsule(kernel.handler), platform="cpu")


def betaln(a: Array, b: Array) -> Array:
    """log B(a, b), from three log-gammas: jax.scipy's own is 3e-9 off."""
    lgamma = jax.scipy.special.gammaln
    return lgamma(a) + lgamma(b) - lgamma(a + b)


SPECIAL = SimpleNamespace(**{**vars(jax.scipy.special), "betaln": betaln})


@dataclass(frozen=True)
class JaxBackend:
    """`Backend` over JAX arrays."""

    precision: Precision = "float64"
    name: ClassVar[str] = "jax"
    compiles_whole: ClassVar[bool] = True
    has_gradient: ClassVar[bool] = True
    lanes: ClassVar[int] = 8  # its programs run outside Python's lock
    libraries: ClassVar[tuple[str, ...]] = ("jax", "jaxlib")
    xp: ClassVar[Any] = jnp
    special: ClassVar[Any] = SPECIAL
    word: ClassVar[Any] = np.dtype("uint32")

    def __post_init__(self) -> None:
        keep_compiled_programs()

    @property
    def real(self) -> Any:
        return np.dtype(self.precision)

    @property
    def integer(self) -> Any:
        return np.dtype("int64" if self.precision == "float64" else "int32")

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        kinds = {"f": self.real, "i": self.integer, "u": self.integer}
        return jnp.asarray(array, dtype=dtype or kinds.get(np.dtype(array.dtype).kind, array.dtype))

    def to_numpy(self, array: Array) -> Any:
        return np.asarray(array)

    def value_and_grad(self, energy: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
        def total(u: Array) -> tuple[Array, Array]:
            each = energy(u)
            return jnp.sum(each), each

        def both(u: Array) -> tuple[Array, Array]:
            (_, each), gradient = jax.value_and_grad(total, has_aux=True)(u)
            return each, gradient

        return both

    def compile(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        return jax.jit(function)

    def loop(self, start: Any, stop: Any, body: Callable[[Any, Tree], Tree], state: Tree) -> Tree:
        return jax.lax.fori_loop(start, stop, body, state)

    def scan(
        self, body: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        return jax.lax.scan(body, carry, xs)

    def cholesky(self, matrix: Array) -> Array:
        return jnp.linalg.cholesky(matrix)

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        values, vectors = jnp.linalg.eigh(matrix)
        return values, vectors

    def solve_triangular(self, lower: Array, right: Array) -> Array:
        batch = jnp.broadcast_shapes(lower.shape[:-2], right.shape[:-2])
        lower = jnp.broadcast_to(lower, batch + lower.shape[-2:])
        right = jnp.broadcast_to(right, batch + right.shape[-2:])
        return jax.lax.linalg.triangular_solve(lower, right, left_side=True, lower=True)

    def encipher(
        self, key: tuple[Array, Array], counter: tuple[Array, Array], rounds: int = ROUNDS
    ) -> tuple[Array, Array]:
        return threefry(key, counter, rounds)

    def without_gradient(self, array: Array) -> Array:
        return jax.lax.stop_gradient(array)

    def in_memory(self, array: Array) -> Array:
        return jax.lax.optimization_barrier(array)

    def set_at(self, array: Array, index: Any, value: Array) -> Array:
        return array.at[index].set(value)

    def add_at(self, array: Array, index: Array, value: Array) -> Array:
        flat, place = flat_places(array, index, value)
        return flat.at[place].add(value.reshape(-1)).reshape(array.shape)

    def least_at(self, array: Array, index: Array, value: Array) -> Array:
        flat, place = flat_places(array, index, value)
        return flat.at[place].min(value.reshape(-1)).reshape(array.shape)

    def repeat(self, going: Callable[[Tree], Array], body: Callable[[Tree], Tree], state: Tree) -> Tree:
        return jax.lax.while_loop(going, body, state)

    def on_host(self, function: Callable[..., Any], *arrays: Array) -> Array:
        shape = jnp.broadcast_shapes(*(x.shape for x in arrays))
        if self.precision == "float32":
            like = jax.ShapeDtypeStruct(shape, self.real)
            return jax.pure_callback(lambda *xs: np.asarray(function(*xs), self.real), like, *arrays)
        # A callback may run in a thread without 64-bit mode, where JAX cuts numbers to 32 bits: as words they pass.
        types = [x.dtype for x in arrays]

        def of_words(*words: Any) -> Any:
            given = [np.asarray(w).view(t)[..., 0] for w, t in zip(words, types, strict=True)]
            found = np.broadcast_to(np.asarray(function(*given), self.real), shape)
            return found[..., None].copy().view(np.uint32)

        words = [jax.lax.bitcast_convert_type(x, np.uint32) for x in arrays]
        found = jax.pure_callback(of_words, jax.ShapeDtypeStruct((*shape, 2), np.dtype("uint32")), *words)
        return jax.lax.bitcast_convert_type(found, self.real)

    def native(self, kernel: NativeKernel, changed: int, *arrays: Array) -> tuple[Array, ...]:
        name = kernel.name
        register(kernel)
        like = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays[:changed]]
        call = jax.ffi.ffi_call(name, like, input_output_aliases={i: i for i in range(changed)})
        return tuple(call(*arrays))

    @contextmanager
    def scope(self) -> Iterator[None]:
        with jax.enable_x64(self.precision == "float64"):
            yield


def flat_places(array: Array, index: Array, value: Array) -> tuple[Array, Array]:
    """Rows in one, and where in it an index of each row is: XLA scatters into one axis several times faster."""
    rows, size = array.shape
    place = index + size * jnp.arange(rows, dtype=index.dtype)[:, None]
    return array.reshape(-1), jnp.broadcast_to(place, value.shape).reshape(-1)


BACKEND = JaxBackend
