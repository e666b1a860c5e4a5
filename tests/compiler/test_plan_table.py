"""What the planner knows of the methods is what the kernels say of themselves."""

from __future__ import annotations

import pytest

from compose_lang.runtime.annealing import moves
from compose_lang.runtime.kernels import discover, kernel_names
from compose_lang.runtime.planning.options import METHODS, MOVES, NO_KERNELS, UNBUILT


def test_methods_are_the_kernels() -> None:
    assert set(METHODS) - set(NO_KERNELS) == set(kernel_names())
    assert not set(METHODS) & set(UNBUILT)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(NO_KERNELS)))
def test_the_table_says_what_the_kernel_says(name: str) -> None:
    kernel, method = discover()[name], METHODS[name]
    assert kernel.name == name
    assert method.serves == kernel.serves
    assert set(method.options) == set(kernel.options)
    assert method.backends == kernel.backends
    assert method.sees == kernel.sees
    assert bool(method.approximate) == bool(kernel.approximate)


def test_the_moves_along_levels_are_those_that_are_built() -> None:
    assert set(MOVES) == set(moves.MOVES)
    assert {name for name, how in MOVES.items() if how} == {
        n for n, m in moves.MOVES.items() if not m.corrected
    }
