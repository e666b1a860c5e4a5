"""Pretrained models from a folder: a diffusers pipeline as a score, a transformers language model as an energy.

Both are PyTorch modules, made by the libraries that wrote the folder, from safetensors alone and without a network.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from compose_lang.compiler.graph.learned_factor import LearnedFactor
from compose_lang.diagnostics import ComposeError, Diagnostic

INSTALL = 'install it: python -m pip install "compose_lang[pretrained]"'


def pretrained(part: LearnedFactor) -> Any:
    """The module of a part: CG0603 where its library is missing, CG0309 where its weights cannot be read."""
    try:
        kind = "diffusion" if part.is_diffusion else "language_model"
        library = import_module(f"{__package__}.{kind}")
    except ModuleNotFoundError as problem:
        text = f"`{part.name}` needs the package `{problem.name}`, which is not installed"
        raise ComposeError(Diagnostic("CG0603", text, part.span, help=INSTALL)) from None
    try:
        return library.load(part)
    except Exception as problem:
        first = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        text = f"the weights in {part.source} cannot be read: {first}"
        raise ComposeError(Diagnostic("CG0309", text, part.span, help="copy the folder again")) from None
