"""A block of a plan: variables that one kernel updates together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.graph.factor_graph import Part
from compose_lang.runtime.kernels import find_kernel

if TYPE_CHECKING:
    from compose_lang.runtime.kernels.common.structure import Structure


@dataclass(frozen=True)
class Block:
    """Variables that one kernel updates.

    parts: of those variables of which it updates some sites only, by their numbers among the free ones.
    structure: what the planner found of them for the kernel. is_asked: whether the program asks for the kernel.
    summed: blocks of finite variables (their names) that are summed out of the energy this one sees. why: the reason,
    for people.
    """

    variables: tuple[str, ...]
    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    why: str = ""
    is_asked: bool = False
    summed: tuple[tuple[str, ...], ...] = ()
    structure: Structure | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What no other block updates: its variables, or their parts as they are written."""
        return tuple(self.parts[n].text if n in self.parts else n for n in self.variables)

    @property
    def chains_together(self) -> int:
        """How many chains the kernel likes to update at once."""
        return getattr(self.structure, "chains_together", 1)

    @property
    def view(self) -> str:
        """How the kernel sees the variables, see `Kernel.view`; empty for a method that is no kernel."""
        kernel = find_kernel(self.kernel)
        return "" if kernel is None else "proposal" if "proposal" in self.options else kernel.view

    def describe(self) -> dict[str, Any]:
        """The block as JSON documents and manifests have it."""
        options = {n: o if isinstance(o, int | float) else str(o) for n, o in self.options.items()}
        return {
            "variables": list(self.variables),
            **({"parts": list(self.key)} if self.parts else {}),
            "kernel": self.kernel,
            **({"options": options} if options else {}),
            "exact": self.exact,
            "why": self.why,
        }
