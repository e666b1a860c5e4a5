"""The array libraries that programs run on, a file each: `BACKEND` is found by the file's name.

In: arrays of numbers and functions of them. Out: the same on NumPy, JAX or PyTorch, behind `arrays.protocol.Backend`.
Before: `arrays`. After: all that computes.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.arrays.protocol import Backend, Precision


def load_backend(name: str, precision: Precision = "float64") -> Backend:
    """Make the named backend; a ComposeError says how to install it where its library is missing."""
    try:
        module = import_module(f"compose_lang.runtime.backends.{name}")
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("compose_lang"):
            text = f"there is no backend `{name}`; there are jax, torch and numpy"
            raise ComposeError(Diagnostic("CG0603", text), exit_code=2) from None
        hint = f'install it: python -m pip install "compose_lang[{name}]"'
        text = f"the backend `{name}` needs the package `{missing.name}`, which is not installed"
        raise ComposeError(Diagnostic("CG0603", text, help=hint)) from None
    backend: Backend = module.BACKEND(precision)
    return backend


@cache
def has_gradient(name: str) -> bool:
    """Whether a backend differentiates, read off its file: its library, slow to load, is not imported."""
    source = files(__name__).joinpath(f"{name}.py")
    if not source.is_file():
        return False
    stated = (
        n for n in ast.walk(ast.parse(source.read_text(encoding="utf-8"))) if isinstance(n, ast.AnnAssign)
    )
    return any(
        ast.unparse(n.target) == "has_gradient" and ast.unparse(n.value or n) == "True" for n in stated
    )


@cache
def with_gradients() -> tuple[str, ...]:
    """The names of the backends that differentiate, in alphabetical order."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if not m.ispkg and has_gradient(m.name)))
