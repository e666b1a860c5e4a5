"""Which kernel stands behind each form of `compiler/analyses/gibbs_form.py`, and the arrays it needs."""

from __future__ import annotations

from typing import Any

from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.compiler.analyses.lattice import Lattice
from compose_lang.compiler.analyses.neighbour_lists import Neighbours
from compose_lang.compiler.analyses.thresholds import Levels
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.kernels.pairwise.bits import Bits, bit_tables
from compose_lang.runtime.kernels.pairwise.held import Packed, PairwiseBlock
from compose_lang.runtime.kernels.pairwise.lists import Lists, list_tables
from compose_lang.runtime.kernels.pairwise.native_bits import NativeBits, native_bit_tables
from compose_lang.runtime.kernels.pairwise.native_lists import NativeLists, native_list_tables
from compose_lang.runtime.kernels.pairwise.native_slices import (
    NativeWeights,
    native_weight_tables,
)
from compose_lang.runtime.kernels.pairwise.slices import (
    Thresholds,
    Weights,
    threshold_tables,
    weight_tables,
)


def by_form(block: PairwiseBlock, backend: Backend) -> Packed:
    """The kernel of a block's form."""
    structure = block.form.structure
    if isinstance(structure, Neighbours):
        return (NativeLists if block.form.is_native else Lists)(block, backend, structure)
    if isinstance(structure, Lattice):
        return (NativeWeights if block.form.is_native else Weights)(block, backend, structure)
    if block.form.kind == "bits":
        return (NativeBits if block.form.is_native else Bits)(block, backend, structure)
    return Thresholds(block, backend, structure)


def tables_of(form: Form) -> Any:
    """The arrays of a form, a tree."""
    structure = form.structure
    if isinstance(structure, Neighbours):
        return (native_list_tables if form.is_native else list_tables)(structure)
    if isinstance(structure, Lattice):
        return (native_weight_tables if form.is_native else weight_tables)(structure)
    assert isinstance(structure, Levels)
    if form.kind == "bits":
        return (native_bit_tables if form.is_native else bit_tables)(structure)
    return threshold_tables(structure)
