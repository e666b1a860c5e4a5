"""Files of weights: safetensors, whose metadata says what was learned and how well, and guards the bytes.

A file cannot run code. Its header is read by the compiler (`compiler/weights_header.py`); here the arrays are read,
and nothing but the arrays that the part needs, each of its shape, is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compose_lang.compiler.parts import Part
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learners import load_learner

AGAIN = "copy it again, or learn it again"


def write(path: Path, part: Part, weights: Mapping[str, np.ndarray], report: Mapping[str, Any]) -> None:
    """Write weights whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(w) for name, w in sorted(weights.items())}
    metadata = {
        "compose": json.dumps(part.description, sort_keys=True),
        "key": part.key,
        "report": json.dumps(dict(report), sort_keys=True),
        "sha256": digest(arrays),
    }
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(save(arrays, metadata))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        text = f"the weights of `{part.name}` cannot be written to {path}: {problem.strerror or problem}"
        raise ComposeError(Diagnostic("CG0707", text, part.span), exit_code=2) from None


def read(path: Path, part: Part) -> dict[str, np.ndarray]:
    """The weights of a part: CG0309 where the file is damaged, CG0310 where they are not the part's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as problem:
        raise ComposeError(
            Diagnostic("CG0309", f"{path.name} cannot be read: {problem}", part.span, help=AGAIN)
        ) from None
    if digest(arrays) != metadata.get("sha256"):
        text = f"{path.name} is damaged: its numbers are not those that were written"
        raise ComposeError(Diagnostic("CG0309", text, part.span, help=AGAIN))
    require_all(path, part, arrays)
    return arrays


def require_all(path: Path, part: Part, arrays: Mapping[str, np.ndarray]) -> None:
    """Every array of the part's net is there, of its shape."""
    learner = load_learner(part.method)
    if learner.wanted is None:
        return
    wanted = {f"net.{name}": w.shape for name, w in learner.wanted(part).items()}
    for name, shape in wanted.items():
        found = arrays[name].shape if name in arrays else None
        if found != shape:
            was = "is missing" if found is None else f"has the shape {list(found)}"
            text = f"{path.name} does not fit {part.net}: `{name}` {was}, needed is {list(shape)}"
            raise ComposeError(
                Diagnostic("CG0310", text, part.span, help="declare the net it was learned with")
            )


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name}{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
