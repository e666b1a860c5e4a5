"""Which array library a function is written for: by its type, what it says of its arguments, and what it uses."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

TORCH, JAX = "torch", "jax"
LIBRARIES = (JAX, TORCH)
ROOTS = {"torch": TORCH, "jax": JAX, "jaxlib": JAX, "equinox": JAX, "flax": JAX}


def library_of(function: Any) -> str | None:
    """The library of a function, or None where nothing tells: then it is tried."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(function, torch.nn.Module):
        return TORCH
    for told in (of_type, of_annotations, of_names):
        found = set(told(function))
        if len(found) == 1:
            return found.pop()
    return None


def of_type(function: Any) -> Iterator[str]:
    yield from root(type(function).__module__)


def of_annotations(function: Any) -> Iterator[str]:
    """`x: torch.Tensor`, `-> jax.Array`: as types or as text."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    for told in (signature.return_annotation, *(p.annotation for p in signature.parameters.values())):
        yield from root(told.strip("\"'") if isinstance(told, str) else getattr(told, "__module__", "") or "")


def of_names(function: Any) -> Iterator[str]:
    """What the function's text uses of the names around it."""
    plain = inspect.unwrap(function)
    plain = (
        plain
        if hasattr(plain, "__code__")
        else getattr(type(plain).__call__, "__func__", type(plain).__call__)
    )
    code = getattr(plain, "__code__", None)
    if code is None:
        return
    around = {**getattr(plain, "__globals__", {}), **inspect.getclosurevars(plain).nonlocals}
    for name in names(code):
        value = around.get(name)
        if value is not None:
            yield from root(
                getattr(value, "__name__", "") if inspect.ismodule(value) else type(value).__module__
            )
            yield from root(getattr(value, "__module__", "") or "")


def names(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names(inner)


def root(module: Any) -> Iterator[str]:
    top = str(module).partition(".")[0]
    if top in ROOTS:
        yield ROOTS[top]
