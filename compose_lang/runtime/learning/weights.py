"""Files of weights: safetensors, whose metadata says what was learned and how well, and guards the bytes.

A file cannot run code. Its header is read by the compiler (`compiler/elaborate/learned/weights_header.py`); here the
arrays are read, and nothing but the arrays that the part needs, each of its shape, is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compose_lang.compiler.graph.learned_factor import Joint, LearnedFactor
from compose_lang.compiler.likelihood.fitting import Fitting
from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.learning import files
from compose_lang.runtime.learning.joint import learner_of

AGAIN = "copy it again, or learn it again"


class Stored(NamedTuple):
    """What a file of weights holds."""

    weights: dict[str, np.ndarray]
    report: dict[str, Any]  #: of the training: rows, steps, held_out


def write(
    path: Path,
    part: LearnedFactor | Joint | Fitting,
    weights: Mapping[str, np.ndarray],
    report: Mapping[str, Any],
) -> None:
    """Write weights whole or not at all; CG0707 where the file cannot be written."""
    metadata = {
        "compose": json.dumps(part.description, sort_keys=True),
        "key": part.key,
        "report": json.dumps(dict(report), sort_keys=True),
    }
    try:
        files.publish(path, weights, metadata)
    except OSError as problem:
        text = f"the weights of `{part.name}` cannot be written to {path}: {problem.strerror or problem}"
        raise ComposeError(Diagnostic("CG0707", text, part.span), exit_code=2) from None


def read(path: Path, part: LearnedFactor | Joint) -> Stored:
    """The weights of a part: CG0309 where the file is damaged, CG0310 where they are not the part's."""
    try:
        arrays, metadata = files.opened(path)
        report = json.loads(metadata.get("report", "{}"))
    except OSError as problem:
        text = f"{path.name} cannot be read: {problem.strerror or problem}"
        raise ComposeError(Diagnostic("CG0302", text, part.span)) from None
    except ValueError as problem:
        text = f"{path.name} is damaged: {problem}"
        raise ComposeError(Diagnostic("CG0309", text, part.span, help=AGAIN)) from None
    require_all(path, part, arrays)
    return Stored(arrays, report if isinstance(report, dict) else {})


def require_all(path: Path, part: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Every array that the part needs is there, of its shape."""
    learner = learner_of(part)
    try:
        net = {} if learner.wanted is None else learner.wanted(part)
        wanted = {**{f"net.{name}": w.shape for name, w in net.items()}, **learner.beside(part)}
    except ValueError as misfit:  # a net that does not fit the shapes says so in the user's words
        raise ComposeError(Diagnostic("CG0310", f"{path.name}: {misfit}", part.span)) from None
    for name, shape in wanted.items():
        found = arrays[name].shape if name in arrays else None
        if found != shape:
            was = "is missing" if found is None else f"has the shape {list(found)}"
            what = part.net or f"what `{part.method}` learns"
            text = f"{path.name} does not fit {what}: `{name}` {was}, needed is {list(shape)}"
            raise ComposeError(Diagnostic("CG0310", text, part.span, help="learn it again"))
