"""The array libraries that programs run on, a file each: `BACKEND` is found by the file's name.

In: arrays of numbers and functions of them. Out: the same on NumPy, JAX or PyTorch, behind `arrays.protocol.Backend`.
Before: `arrays`. After: all that computes.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from typing import Any

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Backend, Precision

DEFAULT = "jax"  #: what runs where nothing is said
REFERENCE = "numpy"  #: what needs no compiler: one operation at a time


def load_backend(name: str, precision: Precision = "float64") -> Backend:
    """Make the named backend; a ComposeError says how to install it where its library is missing."""
    try:
        module = import_module(f"compose_lang.runtime.backends.{name}")
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("compose_lang"):
            text = f"there is no backend `{name}`; there are {', '.join(backend_names())}"
            raise ComposeError(Diagnostic("CG0603", text), exit_code=2) from None
        hint = f'install it: python -m pip install "compose_lang[{name}]"'
        text = f"the backend `{name}` needs the package `{missing.name}`, which is not installed"
        raise ComposeError(Diagnostic("CG0603", text, help=hint)) from None
    backend: Backend = module.BACKEND(precision)
    return backend


def backend_names() -> tuple[str, ...]:
    """The backends that there are, in alphabetical order: a file each."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if not m.ispkg))


@dataclass(frozen=True)
class Facts:
    """What is known of a backend before its library, slow to load, is imported (see `Backend`)."""

    has_gradient: bool = False
    compiles_whole: bool = False
    lanes: int = 1
    libraries: tuple[str, ...] = ()


@cache
def facts(name: str) -> Facts:
    """What the class in a backend's file states by literals, `has_gradient: ClassVar[bool] = True`."""
    source = files(__name__).joinpath(f"{name}.py")
    if not source.is_file():
        return Facts()
    asked = {field.name for field in fields(Facts)}
    stated: dict[str, Any] = {}
    for n in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if (
            isinstance(n, ast.AnnAssign)
            and isinstance(n.target, ast.Name)
            and n.target.id in asked
            and n.value
        ):
            stated[n.target.id] = ast.literal_eval(n.value)
    return Facts(**stated)


def has_gradient(name: str) -> bool:
    """Whether a backend differentiates."""
    return facts(name).has_gradient


def with_gradients() -> tuple[str, ...]:
    """The names of the backends that differentiate, in alphabetical order."""
    return tuple(filter(has_gradient, backend_names()))
