"""How a run is made: the settings that, with program and data, decide its draws, and what sets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from compose_lang.diagnostics import ComposeError, Diagnostic
from compose_lang.runtime.backends import DEFAULT, backend_names

PRECISIONS = ("float32", "float64")
LEAST = {"chains": 1, "draws": 1, "warmup": 0, "thin": 1, "seed": 0}
ENVIRONMENT = "COMPOSE_"


@dataclass(frozen=True)
class Settings:
    """Everything about a run that is not program or data. Draws are counted a chain, warm-up in sweeps."""

    seed: int = 0
    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    thin: int = 1  #: sweeps a draw
    keep: tuple[str, ...] | None = None  #: names to store; None: all
    method: str | None = None  #: a kernel for every variable; None: as the program says, or planned
    backend: str = DEFAULT
    precision: str = "float64"

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise _wrong(name, value, f"a whole number of at least {least}")
        if self.seed >= 2**64:
            raise _wrong("seed", self.seed, "below 2^64")
        if self.backend not in backend_names():
            raise _wrong("backend", self.backend, "one of " + ", ".join(backend_names()))
        if self.precision not in PRECISIONS:
            raise _wrong("precision", self.precision, "one of " + ", ".join(PRECISIONS))

    @property
    def sweeps(self) -> int:
        """Sweeps of a chain in all."""
        return self.warmup + self.draws * self.thin

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "keep": None if self.keep is None else list(self.keep)}


def settle(flags: Mapping[str, Any], program: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Merge settings: flags beat the program, which beats `COMPOSE_*` variables, which beat the defaults."""
    chosen: dict[str, Any] = {}
    for field in fields(Settings):
        name, text = field.name, environment.get(ENVIRONMENT + field.name.upper())
        if text:
            chosen[name] = _from_text(name, text)
        if name in program:
            chosen[name] = program[name]
        if flags.get(name) is not None:
            chosen[name] = flags[name]
    return Settings(**chosen)


def _from_text(name: str, text: str) -> Any:
    if name == "keep":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name not in LEAST:
        return text
    try:
        return int(text)
    except ValueError:
        raise _wrong(ENVIRONMENT + name.upper(), text, "a whole number") from None


def _wrong(name: str, value: Any, wanted: str) -> ComposeError:
    return ComposeError(Diagnostic("CG0602", f"{name} is {value!r}, but must be {wanted}"), exit_code=2)
