"""What a run's `manifest.json` holds: what was run, with what, and which files of the folder count.

Comes from the driver's caller and goes to disk through `storage`; two are compared before a run resumes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["running", "finished", "interrupted", "time limit", "failed"]

FORMAT = 1


@dataclass
class StoredFile:
    """A file that counts: its name within the folder and its sha256."""

    name: str
    sha256: str


@dataclass
class Chunk(StoredFile):
    """Draws `first … first + count - 1` of a lane."""

    first: int
    count: int


@dataclass
class Checkpoint(StoredFile):
    """A lane's state after `sweeps` sweeps, warm-up among them."""

    sweeps: int


@dataclass
class Lane:
    """Chains that advance together, and what is stored of them."""

    chains: list[int]
    chunks: list[Chunk] = field(default_factory=list)
    checkpoint: Checkpoint | None = None

    @property
    def draws(self) -> int:
        """The number of draws stored, the same for each chain of the lane."""
        return sum(chunk.count for chunk in self.chunks)


@dataclass
class Manifest:
    """What `manifest.json` holds; `settings`, `plan`, `columns` are JSON values that the caller lays out."""

    program: dict[str, str]  #: name, text, sha256
    data: dict[str, str]  #: sha256 of each datum by name
    settings: dict[str, Any]  #: seed, chains, draws, warmup, thin, keep, method, backend, precision, set
    versions: dict[str, str]  #: of Compose and the libraries that decide bits
    plan: list[dict[str, Any]]
    columns: list[dict[str, Any]]
    lanes: list[Lane]
    status: Status = "running"
    seconds: dict[str, float] = field(default_factory=dict)
    diagnostics: list[dict[str, Any]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)  #: the values of params that were fitted
    log_evidence: dict[str, float] | None = None  #: value and error in nats, where the method gives it
    compose_run: int = FORMAT

    @staticmethod
    def from_json(document: dict[str, Any]) -> Manifest:
        lanes = [
            Lane(
                lane["chains"],
                [Chunk(**chunk) for chunk in lane["chunks"]],
                Checkpoint(**lane["checkpoint"]) if lane["checkpoint"] else None,
            )
            for lane in document["lanes"]
        ]
        return Manifest(**{**document, "lanes": lanes})

    def differences(self, other: Manifest) -> list[str]:
        """What keeps a run of the other manifest from continuing this one, in words."""
        found = []
        if self.program["sha256"] != other.program["sha256"]:
            found.append("the program has changed")
        for name in sorted(self.data.keys() | other.data.keys()):
            if self.data.get(name) != other.data.get(name):
                found.append(f"the data `{name}` has changed")
        written = max(lane.draws for lane in self.lanes)
        longer = other.settings["draws"] >= written  # more draws make a run longer, not another one
        for title, ours, theirs in (
            ("", self.settings, other.settings),
            ("the version of ", dict[str, Any](self.versions), dict[str, Any](other.versions)),
        ):
            for name in sorted(ours.keys() | theirs.keys()):
                if ours.get(name) != theirs.get(name) and not (name == "draws" and longer):
                    found.append(f"{title}{name} was {ours.get(name)}, is {theirs.get(name)}")
        return found
