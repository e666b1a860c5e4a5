"""The run folder: draws on disk that survive a kill at any instant, and the manifest that says what they are.

A run writes, for each lane (a batch of chains that advance together), chunks of draws and one checkpoint:
the state after its last sweep. Every file is written whole (temporary file, fsync, rename), and counts only
once the manifest names it with its hash. So a killed run stands at its last manifest, and resumes from there.

    manifest.json                     what was run, with what, and the files that count
    data.safetensors                  the program's data
    chunks/lane-00-draw-0000000.…     draws and statistics, each (draws, chains, *shape)
    chunks/lane-00-state-000001000.…  the lane's checkpoint, named by its sweeps
    summary.json                      the summary, once there is one

Before: the driver. After: `samples`, which reads a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.runs.manifest import FORMAT, Checkpoint, Chunk, Manifest, StoredFile

Arrays = Mapping[str, NDArray[Any]]

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
DATA = "data.safetensors"
CHUNKS = "chunks"
TEMPORARY = ".partial"


class RunFolder:
    """A folder that a run writes, or wrote, its draws into."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = Lock()  # lanes commit from threads of their own
        self._guard: int | None = None  # a descriptor whose lock the system drops with the process

    @staticmethod
    def create(path: Path, manifest: Manifest, data: Arrays) -> RunFolder:
        """Begin a run, in place of an earlier one; CG0707 where the folder is not for runs."""
        folder = RunFolder(path, manifest)
        if path.exists() and not path.is_dir():
            raise _unwritable(path, "is a file")
        try:
            foreign = path.is_dir() and any(not file.name.endswith(TEMPORARY) for file in path.iterdir())
            if foreign and not _is_run_folder(path):
                raise _unwritable(path, "holds files that are not a Compose run's")
            path.mkdir(parents=True, exist_ok=True)
            folder._begin(data)
        except OSError as error:
            raise _unwritable(path, f"cannot be written: {error.strerror}") from None
        return folder

    @staticmethod
    def open(path: Path) -> RunFolder:
        """Open what an earlier run wrote; CG0708 where it cannot be read."""
        try:
            document = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _unreadable(path, f"there is no {MANIFEST}", help="`compose run` writes one") from None
        except (OSError, ValueError) as error:
            raise _unreadable(path, f"{MANIFEST} cannot be read: {error}") from None
        if not isinstance(document, dict) or document.get("compose_run") != FORMAT:
            raise _unreadable(path, f"{MANIFEST} is not one of a Compose run of format {FORMAT}")
        return RunFolder(path, Manifest.from_json(document))

    @staticmethod
    def resume(path: Path, manifest: Manifest, data: Arrays) -> RunFolder:
        """Open an unfinished run to continue it; CG0708 says what differs, or which file is damaged."""
        folder = RunFolder.open(path)
        differences = folder.manifest.differences(manifest)
        if differences:
            raise _unreadable(
                path,
                "the run in it is another one: " + "; ".join(differences),
                verb="resumed",
                help="give the same program, data and settings, or start anew without --resume",
            )
        for lane in folder.manifest.lanes:
            for stored in [*lane.chunks, *([lane.checkpoint] if lane.checkpoint else [])]:
                folder._verify(stored)
        folder.manifest.settings = manifest.settings
        folder.manifest.status = "running"
        folder.manifest.diagnostics = []
        try:
            folder._begin(data)
        except OSError as error:
            raise _unwritable(path, f"cannot be written: {error.strerror}") from None
        return folder

    def _begin(self, data: Arrays) -> None:
        """Take the folder for this process and write the manifest; what it does not name is then removed."""
        self._guard = _hold(self.path)
        self._write_manifest()
        (self.path / SUMMARY).unlink(missing_ok=True)
        (self.path / CHUNKS).mkdir(exist_ok=True)
        self._remove_uncounted()
        self._write(DATA, _packed(data))

    def close(self) -> None:
        """Let other processes write here."""
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None

    def append(self, lane: int, draws: Arrays, state: Arrays, sweeps: int) -> None:
        """Store a lane's next draws (draws, chains, *shape) by name, none in warm-up, and its end state."""
        record = self.manifest.lanes[lane]
        chunk = None
        with _diagnosed(self.path):
            if draws:
                first = record.draws
                name = f"{CHUNKS}/lane-{lane:02d}-draw-{first:07d}.safetensors"
                chunk = Chunk(name, self._write(name, _packed(draws)), first, len(next(iter(draws.values()))))
            name = f"{CHUNKS}/lane-{lane:02d}-state-{sweeps:09d}.safetensors"
            checkpoint = Checkpoint(name, self._write(name, _packed(state)), sweeps)
            with self._lock:
                if chunk:
                    record.chunks.append(chunk)
                replaced, record.checkpoint = record.checkpoint, checkpoint
                self._write_manifest()
            if replaced:
                (self.path / replaced.name).unlink(missing_ok=True)

    def state(self, lane: int) -> tuple[dict[str, NDArray[Any]], int] | None:
        """A lane's stored state and the sweeps that led to it, or None where there is none yet."""
        checkpoint = self.manifest.lanes[lane].checkpoint
        if checkpoint is None:
            return None
        return self._load(checkpoint.name), checkpoint.sweeps

    def data(self) -> dict[str, NDArray[Any]]:
        """The program's data, as it was run."""
        return self._load(DATA)

    def read(self, chunk: Chunk, name: str) -> NDArray[Any]:
        """One tensor of a chunk, (draws, chains, *shape)."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / chunk.name, framework="numpy") as file:
                return file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.path, f"{chunk.name} is damaged or missing: {error}") from None

    def names(self, chunk: Chunk) -> list[str]:
        """The tensors of a chunk."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / chunk.name, framework="numpy") as file:
                return list(file.keys())
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.path, f"{chunk.name} is damaged or missing: {error}") from None

    def commit(self) -> None:
        """Write the manifest: from here on, what it names counts."""
        with self._lock, _diagnosed(self.path):
            self._write_manifest()

    def write_summary(self, document: Mapping[str, Any]) -> None:
        """Write `summary.json`."""
        with _diagnosed(self.path):
            self._write(SUMMARY, json.dumps(document, indent=1, ensure_ascii=False).encode())

    def _write_manifest(self) -> None:
        self._write(MANIFEST, json.dumps(asdict(self.manifest), indent=1, ensure_ascii=False).encode())

    def _write(self, name: str, content: bytes) -> str:
        """Write a file whole or not at all, and give its sha256."""
        target = self.path / name
        temporary = target.with_name(target.name + TEMPORARY)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_directory(target.parent)
        return hashlib.sha256(content).hexdigest()

    def _load(self, name: str) -> dict[str, NDArray[Any]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load((self.path / name).read_bytes())
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.path, f"{name} is damaged or missing: {error}") from None

    def _verify(self, stored: StoredFile) -> None:
        try:
            with (self.path / stored.name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(self.path, f"{stored.name}: {error.strerror}", verb="resumed") from None
        if found != stored.sha256:
            help = "start anew without --resume"
            raise _unreadable(self.path, f"{stored.name} is damaged", verb="resumed", help=help)

    def _remove_uncounted(self) -> None:
        """Remove what a kill or an earlier run left behind: files that the manifest does not name."""
        lanes = self.manifest.lanes
        counted = {stored.name for lane in lanes for stored in [*lane.chunks, lane.checkpoint] if stored}
        for file in (self.path / CHUNKS).glob("lane-*.safetensors*"):
            if f"{CHUNKS}/{file.name}" not in counted:
                file.unlink()
        for file in self.path.glob("*" + TEMPORARY):
            file.unlink()


def _is_run_folder(path: Path) -> bool:
    try:
        RunFolder.open(path)
    except ComposeError:
        return False
    return True


def _hold(path: Path) -> int | None:
    """Keep other runs out of a folder while this process lives, where the system can."""
    if os.name != "posix":
        return None
    import fcntl

    guard = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(guard)
        raise _unwritable(path, "is in use by another run") from None
    return guard


def _packed(arrays: Arrays) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _sync_directory(path: Path) -> None:
    """Make a rename last through a power cut; not every system lets a directory be synchronised."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _diagnosed(path: Path) -> Iterator[None]:
    """Turn what the system says while a run is under way into CG0707."""
    try:
        yield
    except OSError as error:
        text = f"the draws cannot be written to {path}: {error.strerror}"
        help = "what is written stays: free some space, then continue with --resume"
        raise ComposeError(Diagnostic("CG0707", text, help=help), exit_code=5) from None


def _unwritable(path: Path, why: str) -> ComposeError:
    text = f"the output folder {path} {why}"
    return ComposeError(Diagnostic("CG0707", text, help="name another folder with --out DIR"), exit_code=2)


def _unreadable(path: Path, why: str, verb: str = "read", help: str = "") -> ComposeError:
    return ComposeError(Diagnostic("CG0708", f"the run folder {path} cannot be {verb}: {why}", help=help))
