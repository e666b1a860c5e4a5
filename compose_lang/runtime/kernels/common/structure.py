"""What is found of a variable for a kernel: the planner asks, and hands it on in the plan's block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.compiler.analyses.potts import Clusters
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.constraints.moves import ConservedSums, DisequalityGraph
from compose_lang.compiler.constraints.site_sets import Subsets

Structure = Form | Clusters | Exact | tuple[Exact, ...] | DisequalityGraph | ConservedSums | Subsets
"""By what a kernel updates a variable: a form of pairs, bonds, joint tables, trees, what must differ, sums, sets."""


@dataclass(frozen=True, eq=False)
class Match:
    """The structure by which a kernel serves a variable, None where it needs none, and the structure in words.

    options: of the kernel, that were left open and that the structure decides.
    """

    structure: Structure | None
    description: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
