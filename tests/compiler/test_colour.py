"""Colourings are proper, of few colours where few suffice, and quick on large graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_lang.compiler.analyses.colouring import LARGEST_CLIQUE, colour
from tests.work import calls

Pairs = list[tuple[int, int]]


def graphs() -> st.SearchStrategy[tuple[int, Pairs]]:
    def pairs(n: int) -> st.SearchStrategy[tuple[int, Pairs]]:
        site = st.integers(-1, n - 1)
        return st.tuples(st.just(n), st.lists(st.tuples(site, site), max_size=3 * n))

    return st.integers(1, 12).flatmap(pairs)


def is_proper(colours: np.ndarray, edges: np.ndarray) -> bool:
    real = (edges >= 0).all(axis=1) & (edges[:, 0] != edges[:, 1])
    return not (colours[edges[real, 0]] == colours[edges[real, 1]]).any()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(graphs())
def test_no_edge_joins_one_colour(graph: tuple[int, Pairs]) -> None:
    n, pairs = graph
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    colours = colour(n, [edges])
    assert colours.shape == (n,) and is_proper(colours, edges)
    assert set(colours) == set(range(len(set(colours))))
    degree = np.bincount(edges[edges >= 0], minlength=n).max()
    assert colours.max() <= degree


def lattice(*shape: int, periodic: bool) -> np.ndarray:
    sites = np.arange(np.prod(shape)).reshape(shape)
    found = []
    for axis, n in enumerate(shape):
        there = np.roll(sites, -1, axis)
        keep = np.arange(n if periodic else n - 1)
        found.append(np.stack([sites.take(keep, axis).ravel(), there.take(keep, axis).ravel()], axis=1))
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("edges", "sites", "most"),
    [
        (lattice(5, 7, periodic=False), 35, 2),
        (lattice(4, 6, periodic=True), 24, 2),
        (lattice(5, 5, periodic=True), 25, 4),
        (lattice(3, 4, 5, periodic=False), 60, 2),
        (np.stack([np.arange(9), np.arange(1, 10)], axis=1), 10, 2),
        (np.array([[0, k] for k in range(1, 8)]), 8, 2),
    ],
)
def test_lattices_and_trees_take_few(edges: np.ndarray, sites: int, most: int) -> None:
    colours = colour(sites, [edges])
    assert is_proper(colours, edges) and colours.max() + 1 <= most


def test_cliques_and_dense_factors_take_a_colour_a_site() -> None:
    triple = colour(3, [np.array([[0, 1, 2]])])
    assert len(set(triple)) == 3
    assert len(set(colour(5, [None]))) == 5
    wide = np.arange(LARGEST_CLIQUE + 1)[None]
    assert len(set(colour(wide.size, [wide]))) == wide.size


def test_sites_without_factors_share_one_colour() -> None:
    assert set(colour(7, [])) == {0}
    assert colour(0, []).size == 0


def test_a_million_sites_are_coloured_in_as_many_steps_as_ten_thousand() -> None:
    def coloured(side: int) -> int:
        edges, found = lattice(side, side, periodic=False), []
        work = calls(lambda: found.append(colour(side**2, [edges])))
        assert is_proper(found[0], edges) and found[0].max() == 1
        return work

    coloured(10)  # what is imported on the way
    assert coloured(1000) < 1.1 * coloured(100)
