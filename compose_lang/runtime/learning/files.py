"""Where weights are kept, and how files of arrays get there: whole or not at all, whoever else writes them.

What is learned is kept beside the program (`PROGRAM.learned/NAME-KEY.safetensors`), under a key of all that it depends
on; where that folder cannot be written, and for programs without a file, in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from compose_lang.compiler.graph.learned_factor import Joint, LearnedFactor
from compose_lang.compiler.likelihood.fitting import Fitting

Arrays = Mapping[str, np.ndarray]


def places(part: LearnedFactor | Joint | Fitting) -> list[Path]:
    """Where the weights of a part may be kept, the best place first."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose_lang" / "learned"
    homes = [cache] if part.home is None else [part.home, cache]
    return [home / f"{part.name}-{part.key[:16]}.safetensors" for home in homes]


def checkpoint_of(path: Path) -> Path:
    """Where a training that is to end in a file keeps its state."""
    return path.with_suffix(".checkpoint.safetensors")


def writable(part: LearnedFactor | Joint | Fitting) -> Path | None:
    """The first of a part's places that can be written; None where none can."""
    for path in places(part):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=path.parent):
                return path
        except OSError:
            continue
    return None


def publish(path: Path, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Write a file of arrays whole or not at all; an OSError where it cannot be.

    The temporary file's name is this call's own, so that two who write the same file do not write into each other.
    """
    from safetensors.numpy import save

    # not ascontiguousarray, which makes rows of single numbers
    packed = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(save(packed, {**metadata, "sha256": digest(packed)}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(arrays: Arrays) -> str:
    """The sha256 of arrays with their names, types and shapes."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name}{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def opened(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file and its metadata.

    An OSError where it cannot be read, a ValueError where it is damaged: its numbers are not those that were written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, TypeError, AttributeError) as problem:  # the latter of types that NumPy lacks
        raise ValueError(str(problem)) from None
    if digest(arrays) != metadata.get("sha256"):
        raise ValueError("its numbers are not those that were written")
    return arrays, metadata
