"""PyTorch: differentiated by `torch.func`, compiled by `torch.compile` where a C++ compiler is at hand.

What is compiled are energies and their gradients; sweeps are Python around them (`compiles_whole` is false),
since torch.compile unrolls loops. `scope()` holds one thread (on the small tensors of one program more threads
cost 10 to 500 times more than they save) and the default dtype. `COMPOSE_TORCH_EAGER=1` leaves everything
uncompiled.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import array_api_compat.torch as xp
import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from compose_lang.runtime.arrays.protocol import Array, NativeKernel, Precision, Tree
from compose_lang.runtime.arrays.threefry import ROUNDS, threefry
from compose_lang.runtime.arrays.tree import fold, leaves, tree_map


def betaln(a: Array, b: Array) -> Array:
    """log B(a, b), from three log-gammas."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return torch.special.gammaln(a) + torch.special.gammaln(b) - torch.special.gammaln(a + b)


def logsumexp(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """log Σ exp(a) under SciPy's argument names."""
    axes = tuple(range(a.ndim)) if axis is None else axis
    return torch.logsumexp(a, axes, keepdim=keepdims)


SPECIAL = SimpleNamespace(
    betaln=betaln,
    logsumexp=logsumexp,
    **{name: getattr(torch.special, name) for name in (
        "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "expit", "gammainc", "gammaincc", "gammaln",
        "i0", "i0e", "i1", "i1e", "log_ndtr", "logit", "ndtr", "ndtri", "polygamma", "xlog1py", "xlogy",
        "zeta",
    )},
)  # fmt: skip


@torch.library.custom_op("compose_lang::threefry", mutates_args=())
def threefry_on_numpy(
    k0: torch.Tensor, k1: torch.Tensor, c0: torch.Tensor, c1: torch.Tensor, rounds: int
) -> list[torch.Tensor]:
    """Threefry in NumPy's 32-bit words: closed to torch.compile, which takes a minute over its rounds."""
    x0, x1, y0, y1 = (word.numpy().astype(np.uint32) for word in (k0, k1, c0, c1))
    return [torch.from_numpy(word.astype(np.int64)) for word in threefry((x0, x1), (y0, y1), rounds)]


@threefry_on_numpy.register_fake
def _(
    k0: torch.Tensor, k1: torch.Tensor, c0: torch.Tensor, c1: torch.Tensor, rounds: int
) -> list[torch.Tensor]:
    shape = torch.broadcast_shapes(k0.shape, k1.shape, c0.shape, c1.shape)
    return [torch.empty(shape, dtype=torch.int64) for _ in range(2)]


def _program(function: Callable[..., Tree], args: Tree, arrays: tuple[Array, ...]) -> Callable[..., Tree]:
    """The function at arguments of these shapes, compiled.

    It is traced by running it once on stand-ins, so that torch.compile sees operations on tensors only and none
    of the Python that states them. Where there is no C++ compiler the function itself is as right, and slower.
    """
    structure: list[Tree] = []

    def flat(*inputs: Array) -> list[Array]:
        remaining = iter(inputs)
        out = function(*tree_map(lambda _: next(remaining), args))
        structure[:] = [out]
        return list(leaves(out))

    def rebuilt(outputs: list[Array]) -> Tree:
        remaining = iter(outputs)
        return tree_map(lambda _: next(remaining), structure[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, when it first loads its compiler
        graph = make_fx(flat)(*arrays)
        run = torch.compile(graph, dynamic=False)
        try:
            run(*arrays)
        except torch._dynamo.exc.TorchDynamoException:
            return lambda *inputs: rebuilt(flat(*inputs))
    return lambda *inputs: rebuilt(run(*inputs))


@dataclass(frozen=True)
class TorchBackend:
    """`Backend` over PyTorch tensors."""

    precision: Precision = "float64"
    name: ClassVar[str] = "torch"
    compiles_whole: ClassVar[bool] = False
    has_gradient: ClassVar[bool] = True
    lanes: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    xp: ClassVar[Any] = xp
    special: ClassVar[Any] = SPECIAL
    integer: ClassVar[Any] = torch.int64  # in float32 too: torch gathers by int64 only
    word: ClassVar[Any] = torch.int64  # its uint32 has no arithmetic

    @property
    def real(self) -> Any:
        return getattr(torch, self.precision)

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        # torch.compile does not know `isinstance` of a union of types
        tensor = torch.as_tensor(np.array(value) if isinstance(value, (np.ndarray, list, tuple)) else value)
        if dtype is None and tensor.dtype is not torch.bool:
            dtype = self.real if tensor.dtype.is_floating_point else self.integer
        return tensor.to(dtype)

    def to_numpy(self, array: Array) -> Any:
        return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)

    def value_and_grad(self, energy: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
        def total(u: Array) -> tuple[Array, Array]:
            each = energy(u)
            return torch.sum(each), each

        def both(u: Array) -> tuple[Array, Array]:
            gradient, (_, each) = torch.func.grad_and_value(total, has_aux=True)(u)
            return each, gradient

        return both

    def compile(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        if os.environ.get("COMPOSE_TORCH_EAGER") == "1":
            return function
        programs: dict[Any, Callable[..., Tree]] = {}

        def call(*args: Any) -> Tree:
            arrays = tuple(torch.as_tensor(leaf) for leaf in leaves(args))
            key = tuple((array.shape, array.dtype) for array in arrays)
            if key not in programs:
                programs[key] = _program(function, args, arrays)
            return programs[key](*arrays)

        return call

    def loop(self, start: Any, stop: Any, body: Callable[[Any, Tree], Tree], state: Tree) -> Tree:
        for i in range(int(start), int(stop)):
            state = body(torch.as_tensor(i), state)
        return state

    def scan(
        self, body: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree
    ) -> tuple[Tree, Tree]:
        return fold(torch.stack, body, carry, xs)

    def cholesky(self, matrix: Array) -> Array:
        factor, failed = torch.linalg.cholesky_ex(matrix)
        return torch.where((failed != 0)[..., None, None], torch.nan, factor)

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors

    def solve_triangular(self, lower: Array, right: Array) -> Array:
        return torch.linalg.solve_triangular(lower, right, upper=False)

    def encipher(
        self, key: tuple[Array, Array], counter: tuple[Array, Array], rounds: int = ROUNDS
    ) -> tuple[Array, Array]:
        first, second = threefry_on_numpy(*key, *counter, rounds)
        return first, second

    def without_gradient(self, array: Array) -> Array:
        return array.detach()

    def in_memory(self, array: Array) -> Array:
        return array

    def set_at(self, array: Array, index: Any, value: Array) -> Array:
        value = torch.as_tensor(value).to(array.dtype)
        if not array.dtype.is_floating_point:
            changed = array.clone()
            changed[index] = value
            return changed
        # Out of place, as torch.func asks of what it differentiates.
        places = torch.arange(array.numel()).reshape(array.shape)[index]
        return torch.index_put(array.reshape(-1), (places,), value).reshape(array.shape)

    def add_at(self, array: Array, index: Array, value: Array) -> Array:
        index = index.expand(value.shape)
        return array.scatter_add(1, index, value)

    def least_at(self, array: Array, index: Array, value: Array) -> Array:
        index = index.expand(value.shape)
        return array.scatter_reduce(1, index, value, "amin")

    def repeat(self, going: Callable[[Tree], Array], body: Callable[[Tree], Tree], state: Tree) -> Tree:
        while bool(going(state)):
            state = body(state)
        return state

    def on_host(self, function: Callable[..., Any], *arrays: Array) -> Array:
        return self.asarray(np.asarray(function(*map(self.to_numpy, arrays))), self.real)

    def native(self, kernel: NativeKernel, changed: int, *arrays: Array) -> tuple[Array, ...]:
        # 64-bit integers hold 32-bit words here
        given = [np.asarray(self.to_numpy(a)) for a in arrays]
        words = [a.astype(np.uint32) if a.dtype == np.int64 else a for a in given]
        made = kernel(changed, *words)
        return tuple(torch.from_numpy(a.astype(g.dtype)) for a, g in zip(made, given, strict=False))

    @contextmanager
    def scope(self) -> Iterator[None]:
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        torch.set_num_threads(1)
        torch.set_default_dtype(self.real)
        try:
            with torch.no_grad():  # gradients are torch.func's; foreign weights must not record a history
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


BACKEND = TorchBackend
