"""The form in which Gibbs updates a finite variable: by slices, thresholds, packed bits, lists, or by energies.

In: a factor graph and a variable. Out: a `Form` and the reason in words, for the planner. What is said here of speed
is measured by `benchmarks/ising.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compose_lang.compiler.analyses.lattice import Lattice, lattice
from compose_lang.compiler.analyses.neighbour_lists import Neighbours, neighbours
from compose_lang.compiler.analyses.pairwise import pairwise
from compose_lang.compiler.analyses.thresholds import BITS, Levels, thresholds
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.installed import c_compiler

LEAST_SITES = 256
"""Below, a sweep takes no time worth saving."""
LEAST_ROWS = 2 * BITS
CHAINS_IN_A_ROW = 16
MOST_TABLED = 2**27
"""Thresholds by joint values of neighbours, which the lists in C look up."""


@dataclass(frozen=True, eq=False)
class Form:
    """How the conditionals of a variable's sites are found: `kind` is slices, thresholds, bits or lists.

    is_native: in C, rather than by the backend's array operations.
    """

    kind: str
    structure: Lattice | Levels | Neighbours
    is_native: bool = False

    @property
    def chains_together(self) -> int:
        """How many chains are best updated at once: lists are read once for all of them."""
        return CHAINS_IN_A_ROW if self.kind == "lists" else 1


def gibbs_form(graph: FactorGraph, variable: Variable, least: int = LEAST_SITES) -> tuple[Form | None, str]:
    """The fastest form that serves a variable, and what it is in words; None for energies of the factors' own."""
    if variable.free_sites < least or variable.support != variable.type.domain:
        return None, ""
    found = pairwise(graph, variable)
    if isinstance(found, str):
        return None, f"by the energies of its factors, since {found}"
    on_lattice = lattice(found)
    if on_lattice is not None:
        few = thresholds(on_lattice)
        if few is not None and is_packable(few):
            what = f"a lattice with few local fields: {BITS} sites to a word, bit by bit"
            return by_best_means(Form("bits", few), what)
        if few is not None:
            return Form(
                "thresholds", few
            ), "a lattice with few local fields: neighbours are slices, a threshold for each"
        what = "a lattice of pairs: neighbours are slices, weights are products"
        form = Form("slices", on_lattice)
        return by_best_means(form, what) if on_lattice.values == 2 else (form, what)
    lists = neighbours(found)
    if lists is None:
        return None, "by the energies of its factors, since its sites have too many neighbours"
    form, what = Form("lists", lists), "a graph of pairs: lists of neighbours, weights are products"
    tabled = lists.values == 2 and lists.sites << len(lists.lists) <= MOST_TABLED
    return by_best_means(form, what) if tabled else (form, what)


def by_best_means(form: Form, what: str) -> tuple[Form, str]:
    """A form that has a kernel in C: by it where it can be compiled."""
    if c_compiler() is None:
        return form, f"{what}, in array operations (no C compiler is at hand)"
    return replace(form, is_native=True), f"{what}, in C"


def is_packable(few: Levels) -> bool:
    """Whether 32 blocks of rows fill a word: then rows of one block have one parity, and bits stand for blocks."""
    rows = few.lattice.padded[0]
    reach = max((abs(s.offset[0]) for g in few.groups for s in g), default=0)
    return len(few.lattice.padded) > 1 and rows % LEAST_ROWS == 0 and reach <= rows // BITS
