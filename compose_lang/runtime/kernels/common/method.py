"""What a method of inference says of itself: what it serves, where it runs, and which options it has.

A method is what `infer … by NAME(…)` may name. A kernel is one (`kernel.py`); what moves along levels, or seeks the
best point, is declared in the planner's file of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from compose_lang.compiler.graph.factor_graph import Kind
from compose_lang.runtime.backends import facts


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of inference, as its file exports it."""

    name: str
    summary: str  #: one line for `compose explain`
    serves: frozenset[Kind]
    options: Mapping[str, Option] = field(default_factory=dict)
    needs_gradient: bool = False
    approximate: str = ""  #: how draws fail to follow the density, or empty where they do

    def runs_on(self, backend: str) -> bool:
        """Whether a backend has what the method needs."""
        return facts(backend).has_gradient >= self.needs_gradient


@dataclass(frozen=True)
class Option:
    """A setting of a method: its default (None: adapted or derived), what it is, and what it may be.

    choices: of a text. may_be_zero, most: of a number. counts_with: another option of the method and the choice
    of it without which this one means nothing.
    """

    default: Any
    doc: str
    kind: Literal["number", "whole number", "text", "proposal"] = "number"
    choices: tuple[str, ...] = ()
    may_be_zero: bool = False
    most: float = math.inf
    counts_with: tuple[str, str] | None = None

    def admits(self, value: Any) -> bool:
        """Whether the option may have a value."""
        if self.kind == "text":
            return value in self.choices
        is_whole = self.kind == "whole number"
        is_number = isinstance(value, int | float) and (not is_whole or float(value).is_integer())
        return is_number and 0 <= value <= self.most and (value != 0 or self.may_be_zero)

    @property
    def demand(self) -> str:
        """What a number must be, in words."""
        what = "a whole number" if self.kind == "whole number" else "a number"
        low = ", at least 0" if self.may_be_zero else " above 0"
        return f"{what}{low}" + (f", at most {self.most:g}" if math.isfinite(self.most) else "")
