"""The protocol behind which numpy, JAX and PyTorch stand: an array-API namespace and a few members more.

A backend is one file in `backends/` that exports `BACKEND`, a class called as `(precision) -> Backend`; it is passed
to what needs it, never global. What the planner asks of it the class states by literals (`backends.facts`). Energies
are batch-first, `(chains, ...) -> (chains,)`, so the gradient of their sum is the gradient of each and no `vmap` is
needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from compose_lang.runtime.arrays.threefry import ROUNDS

Array = Any  # an array of the backend's own library
Tree = Any  # nested dicts, tuples and NamedTuples with arrays as leaves
Position = dict[str, Array]
"""Variable name -> (chains, *shape) of its free sites: unconstrained coordinates where continuous, else values."""
Precision = Literal["float32", "float64"]


class NativeKernel(Protocol):
    """A kernel in C."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str:
        """What tells it from all others."""
        ...

    @property
    def handler(self) -> Any:
        """The kernel as XLA calls it."""
        ...

    def __call__(self, changed: int, *arrays: Any) -> tuple[Any, ...]:
        """The first `changed` of some NumPy arrays as the kernel leaves them."""
        ...


class Backend(Protocol):
    """What the evaluator, the kernels and the driver ask of an array library."""

    name: str
    has_gradient: bool  #: whether `value_and_grad` is there
    compiles_whole: (
        bool  #: whether `compile` takes whole sweeps with their loops, or energies and gradients only
    )
    lanes: int  #: groups of chains that gain by running side by side, in threads
    libraries: tuple[
        str, ...
    ]  #: whose versions decide the bits of its draws; the first is that of its arrays
    xp: Any  #: array-API namespace: numpy, jax.numpy or array_api_compat.torch
    special: (
        Any  #: gammaln, digamma, erf, erfc, ndtr, ndtri, log_ndtr, i0e, betaln … under scipy.special's names
    )
    precision: Precision
    real: Any  #: dtype of energies and continuous values
    integer: Any  #: dtype of discrete values and indices (int64; int32 where precision is float32)
    word: Any  #: dtype of the noise generator's 32-bit words (uint32, or int64 with masks in torch)

    def asarray(self, value: Any, dtype: Any = None) -> Array: ...

    def to_numpy(self, array: Array) -> Any: ...

    def value_and_grad(self, energy: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
        """From `(chains, D) -> (chains,)` make `(chains, D) -> ((chains,), (chains, D))`."""
        ...

    def compile(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """Compile a function of trees of arrays (jit, torch.compile); numpy returns it as it is."""
        ...

    def loop(self, start: Any, stop: Any, body: Callable[[Any, Tree], Tree], state: Tree) -> Tree:
        """`for i in range(start, stop): state = body(i, state)`; bounds may be traced, a body compiles once."""
        ...

    def scan(
        self, body: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        """Fold `body(carry, x) -> (carry, y)` over the leading axis of xs; differentiable; ys are stacked."""
        ...

    def cholesky(self, matrix: Array) -> Array:
        """Lower Cholesky factor of (..., n, n): NaN, not an exception, where one is not positive definite."""
        ...

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Eigenvalues (..., n), in rising order, and eigenvectors (..., n, n), in columns, of symmetric matrices."""
        ...

    def solve_triangular(self, lower: Array, right: Array) -> Array:
        """Solve `lower @ x = right` for (..., n, n) lower triangular and (..., n, m)."""
        ...

    def encipher(
        self, key: tuple[Array, Array], counter: tuple[Array, Array], rounds: int = ROUNDS
    ) -> tuple[Array, Array]:
        """`threefry` of two counter words under two key words, arrays of `word` that broadcast together."""
        ...

    def without_gradient(self, array: Array) -> Array:
        """The array as a constant to whoever differentiates."""
        ...

    def in_memory(self, array: Array) -> Array:
        """The array, computed once and stored: a compiler may not compute it anew wherever it is read."""
        ...

    def set_at(self, array: Array, index: Any, value: Array) -> Array:
        """A copy of the array with `array[index] = value`."""
        ...

    def add_at(self, array: Array, index: Array, value: Array) -> Array:
        """A copy of array (rows, n) with value (rows, m) added at index (rows, m): what comes twice adds up."""
        ...

    def least_at(self, array: Array, index: Array, value: Array) -> Array:
        """A copy of array (rows, n) with the least of it and of value (rows, m) at index (rows, m)."""
        ...

    def repeat(self, going: Callable[[Tree], Array], body: Callable[[Tree], Tree], state: Tree) -> Tree:
        """`while going(state): state = body(state)`; `going` gives one truth value, shape ()."""
        ...

    def on_host(self, function: Callable[..., Any], *arrays: Array) -> Array:
        """An elementwise function of NumPy arrays, also in a compiled program: reals, without a gradient."""
        ...

    def native(self, kernel: NativeKernel, changed: int, *arrays: Array) -> tuple[Array, ...]:
        """The first `changed` of some arrays as a kernel in C leaves them; it may read all of them."""
        ...

    def scope(self) -> AbstractContextManager[None]:
        """Hold this backend's global switches (JAX's 64-bit mode, torch's threads) while it computes."""
        ...
