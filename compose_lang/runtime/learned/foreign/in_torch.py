"""Foreign code in a PyTorch program as an operator that tracing leaves closed: JAX code, and what PyTorch cannot trace.

Operators have names, so what they run stands in a table under a number. Arrays pass to JAX by dlpack without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch

from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.learned.foreign.code import Layout
from compose_lang.runtime.learned.foreign.torch_code import TorchCode

OUTSIDE = ThreadPoolExecutor(1, thread_name_prefix="foreign")
"""Inside an operator PyTorch records nothing to differentiate by; another thread does."""


class Closed(Protocol):
    """Code as an operator runs it: from tensors to tensors, for values or with gradients in each array of floats."""

    def energy(self, layout: Layout, arrays: Sequence[torch.Tensor]) -> torch.Tensor: ...

    def both(
        self, layout: Layout, arrays: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]: ...


class ClosedJax:
    """JAX code on tensors."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def energy(self, layout: Layout, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        import jax

        with jax.enable_x64(real_of(arrays) == torch.float64):
            return to_torch(self.code.compiled(layout, tuple(map(to_jax, arrays))))

    def both(self, layout: Layout, arrays: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        import jax

        with jax.enable_x64(real_of(arrays) == torch.float64):
            each, gradients = self.code.both(layout, tuple(map(to_jax, arrays)))
            return to_torch(each), list(map(to_torch, gradients))


class ClosedTorch:
    """PyTorch code that is not traced."""

    def __init__(self, code: TorchCode) -> None:
        self.code = code

    def energy(self, layout: Layout, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.code.energy(layout, arrays)

    def both(self, layout: Layout, arrays: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return OUTSIDE.submit(self.code.both, layout, arrays).result()


def to_jax(x: torch.Tensor) -> Array:
    import jax
    import jax.numpy as jnp

    if x.dtype == torch.int64 and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        x = x.to(torch.int32)
    return jnp.from_dlpack(x.detach().contiguous())


def to_torch(x: Array) -> torch.Tensor:
    return torch.from_dlpack(x.block_until_ready())


def real_of(arrays: Sequence[torch.Tensor]) -> torch.dtype:
    """The dtype of the sampler: of its floats, or where there are none the default it has set."""
    return next((x.dtype for x in arrays if x.is_floating_point()), torch.get_default_dtype())


CALLS: list[tuple[Closed, Layout]] = []
"""What an operator's first argument counts."""


@torch.library.custom_op("compose_lang::foreign_energy", mutates_args=())
def foreign_energy(number: int, arrays: list[torch.Tensor]) -> torch.Tensor:
    """Energies (n,). What an operator gives may be no view of what it is given: it is copied."""
    code, layout = CALLS[number]
    return code.energy(layout, arrays).to(real_of(arrays), copy=True)


@foreign_energy.register_fake
def _(number: int, arrays: list[torch.Tensor]) -> torch.Tensor:
    return torch.empty((arrays[0].shape[0],), dtype=real_of(arrays))


@torch.library.custom_op("compose_lang::foreign_energy_and_gradients", mutates_args=())
def foreign_energy_and_gradients(number: int, arrays: list[torch.Tensor]) -> list[torch.Tensor]:
    """Energies (n,), and their gradients in each array of floats."""
    code, layout = CALLS[number]
    each, gradients = code.both(layout, arrays)
    return [x.to(real_of(arrays), copy=True) for x in (each, *gradients)]


@foreign_energy_and_gradients.register_fake
def _(number: int, arrays: list[torch.Tensor]) -> list[torch.Tensor]:
    each = torch.empty((arrays[0].shape[0],), dtype=real_of(arrays))
    return [each, *(torch.empty_like(x) for x in arrays if x.is_floating_point())]


class Energy(torch.autograd.Function):
    """Energies whose gradient was computed with them."""

    @staticmethod
    def forward(number: int, *arrays: torch.Tensor) -> Any:
        return tuple(foreign_energy_and_gradients(number, list(arrays)))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*output[1:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.floats = [x.is_floating_point() for x in inputs[1:]]

    @staticmethod
    def backward(ctx: Any, pull: torch.Tensor, *rest: Any) -> Any:
        gradients = iter(ctx.saved_tensors)
        found: list[torch.Tensor | None] = []
        for is_float in ctx.floats:
            g = next(gradients) if is_float else None
            found.append(None if g is None else pull.reshape((-1, *(1,) * (g.ndim - 1))) * g)
        return None, *found


class InTorch:
    """Energies of rows by closed code, with gradients, in PyTorch programs."""

    def __init__(self, code: Closed) -> None:
        self.code = code
        self.numbers: dict[Layout, int] = {}

    def energy(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        if layout not in self.numbers:
            self.numbers[layout] = len(CALLS)
            CALLS.append((self.code, layout))
        if any(x.requires_grad for x in arrays):
            return Energy.apply(self.numbers[layout], *arrays)[0]
        return foreign_energy(self.numbers[layout], list(arrays))


def bridge(code: Any, b: Backend) -> InTorch:
    """What gives the energies of a library's code to PyTorch programs that do not see through it."""
    return InTorch(ClosedTorch(code) if isinstance(code, TorchCode) else ClosedJax(code))
