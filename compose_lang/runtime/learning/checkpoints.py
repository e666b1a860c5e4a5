"""Checkpoints of a training: its whole state as arrays beside the weights to come, written every few seconds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from compose_lang.runtime.learning import files
from compose_lang.runtime.learning.loop import Training

EVERY_SECONDS = 10.0


@dataclass
class Checkpoint:
    """The file that the state of a training is kept in; without a path nothing is kept."""

    path: Path | None
    training: Training
    written: float = field(default_factory=monotonic)

    def keep(self, state: Any) -> None:
        """Write a state, unless the last one is young."""
        if monotonic() - self.written >= EVERY_SECONDS:
            self.write(state)

    def write(self, state: Any) -> bool:
        """Write a state; whether it could be: training goes on without."""
        self.written = monotonic()
        if self.path is None:
            return False
        try:
            files.publish(self.path, self.training.packed(state), {})
        except OSError:
            return False
        return True

    def read(self) -> Any:
        """The state of an earlier run of the same training; None where there is none that can be read."""
        if self.path is None:
            return None
        try:
            arrays, _ = files.opened(self.path)
        except (OSError, ValueError):
            return None
        return self.training.unpacked(arrays)

    def remove(self) -> None:
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
