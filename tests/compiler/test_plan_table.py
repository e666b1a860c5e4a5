"""What the planner knows of the methods is what the kernels say of themselves."""

from __future__ import annotations

import pytest

from compose_lang.compiler.plan import METHODS, UNBUILT
from compose_lang.runtime.kernels import discover, kernel_names


def test_methods_are_the_kernels() -> None:
    assert set(METHODS) == set(kernel_names())
    assert not set(METHODS) & set(UNBUILT)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_table_says_what_the_kernel_says(name: str) -> None:
    kernel, method = discover()[name], METHODS[name]
    assert kernel.name == name
    assert method.serves == kernel.serves
    assert set(method.options) == set(kernel.options)
    assert method.backends == kernel.backends
    assert bool(method.approximate) == bool(kernel.approximate)
