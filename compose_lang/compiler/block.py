"""A block of a plan: variables that one kernel updates together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Block:
    """Variables that one kernel updates, and the reason in words."""

    variables: tuple[str, ...]
    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    why: str = ""
