"""Functions of arrays that a test runs once or twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: half the time of compiling, for a program that is slower
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def once(backend: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as this backend runs it at the least cost: for JAX compiled whole, and not at all for others.

    Run by itself, each of JAX's operations is a program to compile, for each shape.
    """
    if backend.name != "jax":
        return function
    import jax

    return jax.jit(function, compiler_options=QUICK)  # type: ignore[no-any-return]
