"""A PyTorch module or function as foreign code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.learned.foreign.code import (
    CLOSE,
    LOOSE,
    Layout,
    one_a_row,
    refuse,
    require_floats,
    result_of,
)

MODULE = torch.nn.Module


class TorchCode:
    """A function of tensors. A module is put in evaluation mode, and its weights are held: nothing trains them here."""

    library = "torch"

    def __init__(self, part: LearnedFactor, function: Callable[..., Any], floats: str) -> None:
        """floats: the dtype in which a function without weights takes its arrays."""
        self.part = part
        self.is_traceable = True
        self.function = function
        self.dtype: torch.dtype = getattr(torch, floats)
        if isinstance(function, MODULE):
            function.eval()
            tensors = {**dict(function.named_parameters()), **dict(function.named_buffers())}
            held = {name: tensor.detach() for name, tensor in tensors.items()}
            self.dtype = next((t.dtype for t in held.values() if t.is_floating_point()), self.dtype)
            self.function = lambda *args, **named: torch.func.functional_call(function, held, args, named)

    @property
    def close(self) -> float:
        return CLOSE if self.dtype == torch.float64 else LOOSE

    def energy(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        return one_a_row(self.part, self.called(layout, arrays), arrays[0].shape[0])

    def slope(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        """What code gives that knows ∇E alone: (n, *shape) of the one subject."""
        with torch.no_grad():
            return self.called(layout, arrays)

    def called(self, layout: Layout, arrays: Sequence[Array]) -> Array:
        """The function at arrays of the dtype it takes: floats of some shape."""
        floats = [x.to(self.dtype) if x.is_floating_point() else x for x in arrays]
        with self.own_dtype():
            result = result_of(self.part, layout, self.function, floats, torch.Tensor, "a tensor")
        require_floats(self.part, result.dtype, result.is_floating_point())
        return result

    @contextmanager
    def own_dtype(self) -> Iterator[None]:
        """The default dtype that the function expects, where the sampler has another: it holds in one thread alone."""
        before = torch.get_default_dtype()
        if before == torch.float32:  # nobody has changed it
            yield
            return
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    def both(self, layout: Layout, arrays: Sequence[Array]) -> tuple[Array, list[Array]]:
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in arrays]
            floats = [x for x in leaves if x.requires_grad]
            each = self.energy(layout, leaves)
            found = torch.autograd.grad(each.sum(), floats, allow_unused=True) if each.requires_grad else ()
        if not any(g is not None for g in found) and any(is_float(p) for p in self.part.subjects):
            help = "it runs under no_grad, or detaches what it is given"
            refuse(self.part, "has no gradient in its arguments", help=help)
        gradients = found or (None,) * len(floats)
        return each.detach(), [
            torch.zeros_like(x) if g is None else g for g, x in zip(gradients, floats, strict=True)
        ]

    def trial(self, layout: Layout, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        given = [torch.as_tensor(x.copy()) for x in rows]
        with torch.no_grad():
            self.energy(layout, given)
            if any(not np.array_equal(x.numpy(), row) for x, row in zip(given, rows, strict=True)):
                refuse(
                    self.part, "changes its arguments", help="operations that end in `_` do so; copy first"
                )
            self.is_traceable = self.is_traceable and self.traces(layout, given)
            each, gradients = self.both(layout, given)
        return each.numpy(), [g.numpy() for g in gradients]

    def traces(self, layout: Layout, arrays: Sequence[Array]) -> bool:
        """Whether it can be traced with its gradient, as the torch backend does."""
        floats = tuple(k for k, x in enumerate(arrays) if x.is_floating_point())

        def total(*xs: Array) -> Array:
            return torch.sum(self.energy(layout, xs))

        try:
            make_fx(torch.func.grad(total, argnums=floats) if floats else total)(*arrays)
        except (ComposeError, RuntimeError):
            return False
        return True


def is_float(port: Port) -> bool:
    return not port.type.domain.is_discrete


def codes(part: LearnedFactor, function: Callable[..., Any], precision: str) -> list[Callable[[], TorchCode]]:
    """The ways to take a function as PyTorch code: in the sampler's precision, and in 32 bits."""
    return [partial(TorchCode, part, function, floats) for floats in dict.fromkeys((precision, "float32"))]
