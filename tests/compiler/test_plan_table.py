"""What may be asked of the planner stands in one place each, and no name stands twice."""

from __future__ import annotations

from compose_lang.runtime.kernels import discover, kernel_names
from compose_lang.runtime.planning.methods import AUTO, NOT_KERNELS, UNBUILT, find_method, method_names


def test_no_name_stands_twice() -> None:
    names = [*method_names(), *UNBUILT, AUTO.name]
    assert len(set(names)) == len(names) == len(kernel_names()) + len(NOT_KERNELS) + len(UNBUILT) + 1


def test_methods_are_found_by_the_names_they_give_themselves() -> None:
    for name in method_names():
        method = find_method(name)
        assert method is not None
        assert method.name == name
    assert find_method("advi") is None


def test_what_runs_in_a_kernel_s_place_runs_at_shares_of_the_energy() -> None:
    kernels = discover()
    for kernel in kernels.values():
        assert not kernel.at_shares or not kernels[kernel.at_shares].at_shares


def test_options_that_count_with_a_choice_name_one() -> None:
    for kernel in discover().values():
        for option in kernel.options.values():
            if option.counts_with is not None:
                other, choice = option.counts_with
                assert choice in kernel.options[other].choices
