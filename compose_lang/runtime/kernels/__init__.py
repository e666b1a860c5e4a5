"""Sampling kernels, one file each: the file's name is the kernel's, and `KERNEL` all that is said of it.

In: a view of a block's variables, noise, a backend. Out: transitions that leave the density invariant. No file here
imports an array library when it is loaded, so that the planner can read them all.
Before: `density`, `elimination`. After: `planning`, which chooses among them, and the samplers that run them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from compose_lang.runtime.kernels.common.kernel import Kernel


@cache
def kernel_names() -> tuple[str, ...]:
    """The names of all kernels, in alphabetical order, without importing any."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


def load_kernel(name: str) -> Kernel:
    """The kernel of that name."""
    kernel: Kernel = import_module(f"{__name__}.{name}").KERNEL
    return kernel


def find_kernel(name: str) -> Kernel | None:
    """The kernel of that name, if there is one."""
    return load_kernel(name) if name in kernel_names() else None


def discover() -> dict[str, Kernel]:
    """All kernels by name; array libraries are imported only when one is bound."""
    return {name: load_kernel(name) for name in kernel_names()}
