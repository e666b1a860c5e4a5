"""The reference interpreter: NumPy, one operation at a time, with SciPy's special functions.

It has no automatic differentiation. Finite differences are some 1e-11 off at best and lose more near a
boundary, which a trajectory amplifies; so this backend serves the kernels that need no gradient, and tests
give it energies with gradients written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.special

from compose_lang.diagnostics import InternalError
from compose_lang.runtime.arrays.protocol import Array, NativeKernel, Precision, Tree
from compose_lang.runtime.arrays.threefry import ROUNDS, threefry
from compose_lang.runtime.arrays.tree import fold


@dataclass(frozen=True)
class NumpyBackend:
    """`Backend` over NumPy arrays."""

    precision: Precision = "float64"
    name: ClassVar[str] = "numpy"
    compiles_whole: ClassVar[bool] = False
    has_gradient: ClassVar[bool] = False
    lanes: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    xp: ClassVar[Any] = np
    special: ClassVar[Any] = scipy.special
    word: ClassVar[Any] = np.dtype("uint32")

    @property
    def real(self) -> Any:
        return np.dtype(self.precision)

    @property
    def integer(self) -> Any:
        return np.dtype("int64" if self.precision == "float64" else "int32")

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        array = np.asarray(value)
        kinds = {"f": self.real, "i": self.integer, "u": self.integer}
        return array.astype(dtype or kinds.get(array.dtype.kind, array.dtype), copy=False)

    def to_numpy(self, array: Array) -> Any:
        return np.asarray(array)

    def value_and_grad(self, energy: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
        raise InternalError("the numpy backend has no gradients: run this kernel on jax or torch")

    def compile(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        return function

    def loop(self, start: Any, stop: Any, body: Callable[[Any, Tree], Tree], state: Tree) -> Tree:
        for i in range(int(start), int(stop)):
            state = body(i, state)
        return state

    def scan(
        self, body: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        return fold(np.stack, body, carry, xs)

    def cholesky(self, matrix: Array) -> Array:
        factor = np.full_like(matrix, np.nan)
        for place in np.ndindex(matrix.shape[:-2]):
            with suppress(np.linalg.LinAlgError):
                factor[place] = np.linalg.cholesky(matrix[place])
        return factor

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors

    def solve_triangular(self, lower: Array, right: Array) -> Array:
        batch = np.broadcast_shapes(lower.shape[:-2], right.shape[:-2])
        x = np.zeros(batch + right.shape[-2:], dtype=right.dtype)
        for i in range(lower.shape[-1]):  # forward substitution, for all matrices at once
            known = lower[..., i, None, :i] @ x[..., :i, :]
            x[..., i, :] = (right[..., i, :] - known[..., 0, :]) / lower[..., i, i, None]
        return x

    def encipher(
        self, key: tuple[Array, Array], counter: tuple[Array, Array], rounds: int = ROUNDS
    ) -> tuple[Array, Array]:
        return threefry(key, counter, rounds)

    def without_gradient(self, array: Array) -> Array:
        return array

    def in_memory(self, array: Array) -> Array:
        return array

    def set_at(self, array: Array, index: Any, value: Array) -> Array:
        changed = array.copy()
        changed[index] = value
        return changed

    def add_at(self, array: Array, index: Array, value: Array) -> Array:
        changed = array.copy()
        np.add.at(changed, (np.arange(array.shape[0])[:, None], index), value)
        return changed

    def least_at(self, array: Array, index: Array, value: Array) -> Array:
        changed = array.copy()
        np.minimum.at(changed, (np.arange(array.shape[0])[:, None], index), value)
        return changed

    def repeat(self, going: Callable[[Tree], Array], body: Callable[[Tree], Tree], state: Tree) -> Tree:
        while going(state):
            state = body(state)
        return state

    def on_host(self, function: Callable[..., Any], *arrays: Array) -> Array:
        return self.asarray(function(*arrays), self.real)

    def native(self, kernel: NativeKernel, changed: int, *arrays: Array) -> tuple[Array, ...]:
        return kernel(changed, *arrays)

    @contextmanager
    def scope(self) -> Iterator[None]:
        # Overflow to infinity and log(0) are ordinary values of an energy, as on the other backends.
        with np.errstate(all="ignore"):
            yield


BACKEND = NumpyBackend
