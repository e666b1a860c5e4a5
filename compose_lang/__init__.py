"""Compose: a language for building new generative models out of existing ones."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compose_lang.api.model import Model, compile, sample
    from compose_lang.diagnostics import ComposeError
    from compose_lang.runtime.results.run import Run

__all__ = ["ComposeError", "Model", "Run", "compile", "sample"]

_HOMES = {
    "ComposeError": "compose_lang.diagnostics",
    "Model": "compose_lang.api.model",
    "Run": "compose_lang.runtime.results.run",
    "compile": "compose_lang.api.model",
    "sample": "compose_lang.api.model",
}


def __getattr__(name: str) -> Any:
    # imported when first used, so that `import compose_lang` costs nothing
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
