"""What a run folder is begun with: which columns are stored, the manifest, and the program's data.

The manifest has hashes of all that the draws depend on, by which `--resume` knows the run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.passes import CompiledProgram
from compose_lang.grammar import ast
from compose_lang.installed import installed
from compose_lang.report.explain import plan_as_json
from compose_lang.runtime.backends import facts
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.learning.files import digest
from compose_lang.runtime.learning.obtain import TrainedWeights
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.runs.manifest import Lane, Manifest
from compose_lang.runtime.runs.settings import Settings


def manifest_of(
    program: CompiledProgram,
    plan: Plan,
    settings: Settings,
    constants: Mapping[str, Any],
    lessons: Iterable[TrainedWeights],
    columns: Sequence[Column],
    lanes: list[Lane],
) -> Manifest:
    """The manifest of a run that has not begun."""
    return Manifest(
        program={
            "name": program.source.name,
            "text": program.source.text,
            "sha256": hashlib.sha256(program.source.text.encode()).hexdigest(),
        },
        data={**_hashes(program), **_hashes_of_weights(lessons)},
        settings={**settings.as_json(), "set": dict(constants)},
        versions=_versions(settings.backend),
        plan=plan_as_json(plan),
        columns=[column.as_json() for column in columns],
        lanes=lanes,
        params={name: value.tolist() for name, value in program.params.items()},
    )


def data_of(program: CompiledProgram) -> dict[str, NDArray[Any]]:
    """The program's data under InferenceData's groups: what stands left of `~` is observed."""
    observed = set(_subjects(program.module.statements))
    return {
        f"{'observed_data' if name in observed else 'constant_data'}.{name}": node.value
        for name, node in program.graph.data.items()
        if node.value is not None
    }


def _subjects(statements: Iterable[ast.Statement]) -> list[str]:
    """Names that stand left of a `~`, in plates and branches too."""
    found: list[str] = []
    for statement in statements:
        match statement:
            case ast.Tilde(subject=ast.Name(id=name)) | ast.Tilde(subject=ast.Index(base=ast.Name(id=name))):
                found.append(name)
            case ast.For(body=body):
                found += _subjects(body)
            case ast.If(then=then, otherwise=otherwise):
                found += _subjects([*then, *otherwise])
    return found


def _hashes(program: CompiledProgram) -> dict[str, str]:
    """The sha256 of each datum: of its values, and of the file it was read from."""
    hashes = {f"{name} (file)": digest for name, digest in program.data_hashes.items()}
    for name, node in program.graph.data.items():
        if node.value is not None:
            content = (
                f"{node.value.dtype}{node.value.shape}".encode() + np.ascontiguousarray(node.value).tobytes()
            )
            hashes[name] = hashlib.sha256(content).hexdigest()
    if program.params:
        hashes["params"] = digest(program.params)
    return hashes


def _hashes_of_weights(lessons: Iterable[TrainedWeights]) -> dict[str, str]:
    """The sha256 of what each part has learned: other weights make another run."""
    return {f"{lesson.name} (weights)": digest(lesson.weights) for lesson in lessons}


def _versions(backend: str) -> dict[str, str]:
    """The versions of what decides the bits of a draw."""
    found = installed(dict.fromkeys(("compose_lang", "numpy", *facts(backend).libraries)))
    return {name: value for name, value in found.items() if value is not None}
