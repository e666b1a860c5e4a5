"""Pairs, lattices and lists are found where they are, mean the program's energy, and are refused elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.analyses.gibbs_form import gibbs_form
from compose_lang.compiler.analyses.lattice import Lattice, lattice
from compose_lang.compiler.analyses.neighbour_lists import neighbours
from compose_lang.compiler.analyses.pairwise import Pairwise, pairwise
from compose_lang.compiler.analyses.thresholds import thresholds
from tests.pairwise.forms import energies, graph_of, pairs_of, scattered
from tests.work import calls

PAIRS = {
    "grid": "var s: spin[3, 4]\nfor (p, q) in grid(3, 4) { energy -0.4 * s[p] * s[q] }\nenergy 0.1 * s",
    "odd torus": "var s: spin[3, 3]\nfor (p, q) in torus(3, 3) { energy -0.3 * s[p] * s[q] }",
    "Potts": """
        var z: category(3)[4, 3]
        for (p, q) in grid(4, 3) { energy if z[p] == z[q] then -0.7 else 0.1 * p[0] }
        z ~ Categorical([0.2, 0.3, 0.5])
    """,
    "partly observed": """
        var s: spin[4, 3]
        observe s[0] = [1, -1, 1]
        for (p, q) in grid(4, 3) { energy -0.5 * s[p] * s[q] }
    """,
    "a site with itself": """
        data edges: int[5, 2] = [[0, 1], [2, 2], [1, 0], [3, 3], [2, 3]]
        var s: int(0, 2)[4]
        for (i, j) in edges { energy 0.3 * s[i] * (s[j] - 1) + 0.1 * s[i]^2 }
    """,
    "sums of pairs": """
        var b: bool[6]
        for i in range(4) { energy b[i] * b[i + 1] * (0.5 + i) - 0.3 * b[i] * b[i + 2] }
    """,
    "stride": "var s: spin[2, 8]\nfor i in range(2), j in range(5) { energy (0.2 + j) * s[i, j] * s[1 - i, j + 2] }",
}


@pytest.mark.parametrize("name", PAIRS)
def test_fields_and_couplings_are_the_energy(name: str) -> None:
    graph = graph_of(PAIRS[name])
    p = pairs_of(graph)
    states = scattered(graph, 50)
    values = list(graph.variables[0].type.domain.values)
    numbers = np.searchsorted(values, states)
    padded = np.concatenate([np.zeros((p.sites, 1)), p.field], axis=1)
    found = padded[np.arange(p.sites), numbers].sum(axis=1)
    for pairs in p.pairs:
        whole = np.pad(
            np.broadcast_to(pairs.coupling, (len(pairs.a), *pairs.coupling.shape[1:])),
            ((0, 0), (1, 0), (1, 0)),
        )
        found += whole[np.arange(len(pairs.a)), numbers[:, pairs.a], numbers[:, pairs.b]].sum(axis=1)
    expected = energies(graph, states)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-12)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("var b: bool[6]\nfor i in range(4) { energy b[i] * b[i + 1] * b[i + 2] }", "more than two sites"),
        ("var b: bool[3]\nvar x: real ~ Normal(0, 1)\nenergy x * b[0] * b[1]", "other variables"),
        ("var z: category(3)[5]\nfor (i, j) in chain(5) { require z[i] != z[j] }", "forbids values"),
        ("var z: int(0, 20)[5]\nfor (i, j) in chain(5) { energy z[i] * z[j] }", "21 values"),
        ("var s: spin[5]\nfor (i, j) in chain(5) { energy 40 * s[i] * s[j] }", "60 nats"),
    ],
)  # fmt: skip
def test_what_is_no_pairs_says_why(program: str, reason: str) -> None:
    graph = graph_of(program)
    found = pairwise(graph, graph.variables[0])
    assert isinstance(found, str) and reason in found


def lattice_of(program: str) -> Lattice | None:
    return lattice(pairs_of(graph_of(program)))


@pytest.mark.parametrize(
    ("program", "offsets"),
    [
        ("var s: spin[7]\nfor (i, j) in chain(7) { energy s[i] * s[j] }", [(-1,), (1,)]),
        ("var s: spin[4, 6]\nfor (p, q) in torus(4, 6) { energy s[p] * s[q] }", [(-1, 0), (0, -1), (0, 1), (1, 0)]),
        ("var s: spin[2, 3, 4]\nfor (p, q) in grid(2, 3, 4) { energy s[p] * s[q] }",
         [(0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]),
        ("var s: spin[9]\nfor i in range(6) { energy s[i] * s[i + 3] }", [(-3,), (3,)]),
    ],
)  # fmt: skip
def test_lattices_are_found_by_their_offsets(program: str, offsets: list[tuple[int, ...]]) -> None:
    found = lattice_of(program)
    assert found is not None
    assert [d.offset for d in found.directions] == offsets


@pytest.mark.parametrize(
    "program",
    [
        "var s: spin[5, 4]\nfor (p, q) in torus(5, 4) { energy s[p] * s[q] }",  # an odd cycle
        "var s: spin[9]\nfor i in range(7) { energy s[i] * s[i + 2] }",  # neighbours of one parity
        "var s: spin[40]\nfor i in range(19) { energy s[i] * s[39 - i] }",  # as many offsets as pairs
    ],
)
def test_what_is_no_lattice_of_two_parities(program: str) -> None:
    assert lattice_of(program) is None
    assert neighbours(pairs_of(graph_of(program))) is not None


def test_few_fields_have_thresholds_and_many_have_none() -> None:
    even = lattice_of("var s: spin[6, 6]\nfor (p, q) in torus(6, 6) { energy -0.3 * s[p] * s[q] }")
    few = thresholds(even)  # type: ignore[arg-type]
    assert few is not None and len(few.groups) == 1
    odds = {n: 0.3 * (8 - 4 * n) for _, n in few.thresholds}  # E(second) - E(first) with n neighbours up
    for (_, n), threshold in few.thresholds.items():
        assert abs(threshold / 2**32 - 1 / (1 + np.exp(-odds[n]))) <= 2.0**-33 + 1e-15
    many = lattice_of(
        "var s: spin[6, 6]\nfor (p, q) in torus(6, 6) { energy -0.01 * (1 + p[0] + 6 * p[1]) * s[p] * s[q] }"
    )
    assert thresholds(many) is None  # type: ignore[arg-type]


def test_the_plan_names_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    torus = "var s: spin[{n}, {n}]\nfor (p, q) in torus({n}, {n}) {{ energy -{J} * s[p] * s[q] }}"
    cases = {
        torus.format(n=64, J=0.4): "bit by bit, in C",
        torus.format(n=32, J=0.4): "a threshold for each",
        torus.format(n=32, J="0.001 * p[0] * p[1]"): "neighbours are slices, weights are products, in C",
        torus.format(n=32, J="0.1 * p[0]").replace(
            "spin", "category(3)"
        ): "neighbours are slices, weights are products\n",
        torus.format(n=17, J=0.4): "lists of neighbours, weights are products, in C",
        torus.format(n=4, J=0.4): "asked for\n",
        "var b: bool[300]\nfor i in range(298) { energy b[i] * b[i + 1] * b[i + 2] }": "more than two sites at once",
    }
    for program, words in cases.items():
        assert words in cg.compile(program).explain(method="gibbs") + "\n", program
    monkeypatch.setenv("COMPOSE_NATIVE", "0")
    without = {
        torus.format(n=64, J=0.4): "in array operations (no C compiler",
        torus.format(
            n=32, J="0.001 * p[0] * p[1]"
        ): "weights are products, in array operations (no C compiler",
    }
    for program, words in without.items():
        assert words in cg.compile(program).explain(method="gibbs"), program


def test_recognising_a_large_grid_takes_no_more_steps_than_a_small_one() -> None:
    def recognised(side: int) -> int:
        text = f"var s: spin[{side}, {side}]\nfor (p, q) in torus({side}, {side}) {{ energy -0.4 * s[p] * s[q] }}"
        graph, found = graph_of(text), []
        work = calls(lambda: found.append(gibbs_form(graph, graph.variables[0])[0]))
        assert found[0] is not None and found[0].kind == "bits"
        return work

    recognised(64)  # what is imported on the way
    assert recognised(512) < 1.1 * recognised(64)


def test_pairwise_is_none_of_a_graph_without_factors() -> None:
    found = pairwise(graph := graph_of("var s: spin[5]"), graph.variables[0])
    assert isinstance(found, Pairwise) and not found.pairs and lattice(found) is None
    assert neighbours(found) is not None
