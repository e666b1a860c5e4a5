"""A block of a plan: variables that one kernel updates together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Block:
    """Variables that one kernel updates, and the reason in words.

    summed: blocks of finite variables (their names) that are summed out of the energy this one sees.
    """

    variables: tuple[str, ...]
    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    why: str = ""
    summed: tuple[tuple[str, ...], ...] = ()
    form: Any = None  #: how gibbs updates a variable of pairs, see gibbs_form.py

    @property
    def chains_together(self) -> int:
        """How many chains the kernel likes to update at once."""
        return 1 if self.form is None else int(self.form.chains_together)
