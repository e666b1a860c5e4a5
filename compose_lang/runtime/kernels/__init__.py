"""Sampling kernels, one file each: the file's name is the kernel's, and it exports `KERNEL`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from compose_lang.runtime.kernels.common.kernel import Kernel


def kernel_names() -> tuple[str, ...]:
    """The names of all kernels, in alphabetical order, without importing any."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


def load_kernel(name: str) -> Kernel:
    """The kernel of that name."""
    kernel: Kernel = import_module(f"{__name__}.{name}").KERNEL
    return kernel


def discover() -> dict[str, Kernel]:
    """All kernels by name; array libraries are imported only when one is bound."""
    return {name: load_kernel(name) for name in kernel_names()}
