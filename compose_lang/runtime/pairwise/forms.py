"""Which kernel stands behind each form of `compiler/gibbs_form.py`, and the arrays it needs."""

from __future__ import annotations

from typing import Any

from compose_lang.compiler.gibbs_form import Form
from compose_lang.compiler.lattice import Lattice
from compose_lang.compiler.levels import Levels
from compose_lang.compiler.neighbours import Neighbours
from compose_lang.runtime.backend import Backend
from compose_lang.runtime.pairwise.bits import Bits, bit_tables
from compose_lang.runtime.pairwise.held import Held, PairwiseBlock
from compose_lang.runtime.pairwise.lists import Lists, list_tables
from compose_lang.runtime.pairwise.slices import Thresholds, Weights, threshold_tables, weight_tables


def by_form(block: PairwiseBlock, backend: Backend) -> Held:
    """The kernel of a block's form."""
    structure = block.form.structure
    if isinstance(structure, Neighbours):
        return Lists(block, backend, structure)
    if isinstance(structure, Lattice):
        return Weights(block, backend, structure)
    return (Bits if block.form.kind == "bits" else Thresholds)(block, backend, structure)


def tables_of(form: Form) -> Any:
    """The arrays of a form, a tree."""
    structure = form.structure
    if isinstance(structure, Neighbours):
        return list_tables(structure)
    if isinstance(structure, Lattice):
        return weight_tables(structure)
    assert isinstance(structure, Levels)
    return bit_tables(structure) if form.kind == "bits" else threshold_tables(structure)
