"""Hard discrete constraints against all joint values listed: no solution is lost, and what is ruled out has none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compose_lang.compiler import passes
from compose_lang.compiler.constraints import propagation, relations
from compose_lang.compiler.constraints.propagation import supported
from compose_lang.compiler.constraints.relations import (
    AllDifferent,
    HardConstraints,
    LinearConstraint,
    TableConstraint,
    hard_constraints,
)
from compose_lang.compiler.constraints.solutions import Component, solutions
from compose_lang.compiler.elaborate.context import Session
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.rewrites.filter_domains import filter_domains
from compose_lang.diagnostics import ComposeError, Source
from compose_lang.grammar.parser import parse
from compose_lang.runtime.elimination.solver import Impossible, solve
from tests.compiler.points import density_of, energies, graph_of, hard_of
from tests.work import calls

VARIABLES = "var b: bool[3]\nvar z: int(1, 3)[3]\nvar c: category(3)[2]\nvar s: spin\n"
PLACE = st.integers(0, 2)


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """A constraint of one of many forms over the variables above."""
    i, j, k = draw(PLACE), draw(PLACE), draw(st.integers(0, 4))
    sign = draw(st.sampled_from(["<", "<=", "==", ">=", ">", "!="]))
    return draw(
        st.sampled_from(
            [
                f"require z[{i}] {sign} z[{j}]",
                f"require z[{i}] + z[{j}] {sign} {k + 1}",
                f"require sum(z) {sign} {k + 3}",
                f"require 2 * z[{i}] - 0.5 * z[{j}] + c[0] {sign} {k}",
                "require all_different(z)",
                f"require all_different([z[0] + {i}, z[1], z[2] - {j}])",
                f"require exactly_one(z == {i + 1})",
                "require exactly_one(b)",
                f"require at_most(b, {min(k, 2)})",
                f"require at_least(b, {min(k, 3)})",
                f"require sum(b) {sign} {min(k, 3)}",
                f"require implies(b[{i}], z[{j}] == {1 + k % 3})",
                f"require c[0] != c[1] and z[{i}] >= c[{j % 2}]",
                f"for i in range(2) if i != {i % 2} {{ require z[i] != z[i + 1] }}",
                f"for i in range(3) if b[i] {{ require z[i] {sign} {1 + k % 3} }}",
                f"require s * z[{i}] {sign} {k - 2}",
                f"require s == 1 or b[{i}]",
                f"require all(abs(z[i] - z[j]) != {1 + k % 2} for (i, j) in pairs(3))",
                f"c ~ Categorical([0.5, {draw(st.sampled_from(['0.5, 0', '0, 0.5']))}])",
                f"require z[c[{i % 2}]] {sign} {1 + k % 3}",
                f"observe z[{i}] = {1 + k % 3}",
                "require b[0] == b[1]",
                f"require (z[{i}] + z[{j}]) % 3 == {k % 3}",
            ]
        )
    )


@st.composite
def programs(draw: st.DrawFn) -> str:
    lines = draw(st.lists(conditions(), min_size=1, max_size=5))
    return VARIABLES + "\n".join(dict.fromkeys(lines))


def compiled(text: str) -> FactorGraph | None:
    """The graph, None where propagation finds that nothing satisfies it."""
    try:
        return graph_of(text)
    except ComposeError as wrong:
        codes = {d.code for d in wrong.diagnostics if d.severity == "error"}
        assume(codes <= {"CG0502"})
        assert wrong.exit_code == 4
        return None


def unfiltered(text: str) -> FactorGraph:
    """The graph as it is before propagation, all values in its domains."""
    return passes.graph_of(parse(Source("<test>", text)), Session(None, {}, {}), "tighten_bounds")


def all_solutions(graph: FactorGraph) -> np.ndarray:
    """Value numbers (n, sites) of all sites of all variables, at every point of finite energy."""
    sites = [(v, k) for v in graph.variables for k in range(v.type.sites)]
    possible = [
        list(v.type.domain.values) if v.free.reshape(-1)[k] else [int(v.observed.reshape(-1)[k])]
        for v, k in sites
    ]
    states = np.array(list(itertools.product(*possible)))
    values, start = {}, 0
    for v in graph.variables:
        mine = states[:, start : start + v.type.sites].reshape((-1, *v.type.shape))
        values[v.name] = mine.astype(bool) if v.type.domain.kind == "bool" else mine
        start += v.type.sites
    density = density_of(graph)
    states = states[np.isfinite(energies(density, values))]
    first = np.array([v.type.domain.values[0] for v, _ in sites])
    step = np.array([v.type.domain.values.step for v, _ in sites])
    return (states - first) // step


def columns(graph: FactorGraph, names: Iterator[str] | list[str]) -> np.ndarray:
    """The columns of `all_solutions` that belong to some variables."""
    wanted, start, found = set(names), 0, []
    for v in graph.variables:
        if v.name in wanted:
            found += range(start, start + v.type.sites)
        start += v.type.sites
    return np.array(found, dtype=int)


@settings(max_examples=120, deadline=None)
@given(programs())
def test_random_programs(text: str) -> None:
    graph = compiled(text)
    plain = unfiltered(text)
    truth = all_solutions(plain)
    if graph is None:
        assert not len(truth), "propagation lost solutions"
        return
    before = hard_constraints(plain)
    if before is None:
        return
    known = hard_of(graph)
    assert known is not None
    mine = columns(plain, [v.name for v in before.numbering.variables])
    truth = np.unique(truth[:, mine], axis=0)
    for site, values in enumerate(truth.T):
        assert known.domains[site, values].all(), "a value of a solution was taken away"
    left = Component(
        np.arange(before.numbering.sites), tuple((r, np.arange(len(r.scope))) for r in known.relations)
    )
    listed = solutions(known, left)
    assert listed is not None
    assert not known.missed
    np.testing.assert_array_equal(np.unique(listed, axis=0), truth)
    answer = solve(known, [1, 2])
    if len(truth):
        assert isinstance(answer, np.ndarray)
        for row in answer:
            assert (truth == row).all(axis=1).any(), "the solver's answer is no solution"
    else:
        assert isinstance(answer, Impossible)
        assert answer.groups


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32))
def test_the_filter_keeps_what_lies_in_a_matching(sites: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random((sites, sites + more)) < 0.45
    expected = np.zeros_like(edges)
    for choice in itertools.permutations(range(sites + more), sites):
        if edges[np.arange(sites), choice].all():
            expected[np.arange(sites), choice] = True
    found = supported(edges)
    if found is None:
        assert not expected.any()
    else:
        np.testing.assert_array_equal(found, expected)


def test_large_graphs_are_searched_as_small_ones_are_squared(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = np.random.default_rng(0).random((30, 31)) < 0.04
    edges[np.arange(30), np.arange(30)] = True
    small = supported(edges)
    monkeypatch.setattr(propagation, "MOST_DENSE", 0)
    assert small is not None and 0 < small.sum() < edges.sum()
    np.testing.assert_array_equal(supported(edges), small)


def lost_by(text: str) -> bool:
    """Whether propagation takes a value away that a solution has."""
    plain = unfiltered(text)
    try:
        graph = filter_domains(plain)
    except ComposeError:
        return len(all_solutions(plain)) > 0
    mine = columns(plain, [v.name for v in hard_of(graph).numbering.variables])
    truth = all_solutions(plain)[:, mine]
    return not all(hard_of(graph).domains[site, values].all() for site, values in enumerate(truth.T))


PLANTED = {
    "the matching's own edges alone are kept": (
        "var z: int(0, 3)[3]\nrequire all_different(z)",
        "supported",
        lambda edges: np.eye(*edges.shape, dtype=bool),
    ),
    "bounds of sums are off by one": (
        "var z: int(0, 3)[3]\nrequire sum(z) <= 3",
        "removed_by_total",
        lambda r, rows, domains: SOUND_TOTAL(
            LinearConstraint(r.group, r.scope, r.weights, r.low, r.high - 1), rows, domains
        ),
    ),
    "a table read the wrong way round": (
        "var z: int(0, 3)[2]\nrequire z[0] < z[1]",
        "kept_by_table",
        lambda r, allowed, held: SOUND_TABLE(r, np.swapaxes(allowed, 1, 2), held),
    ),
}
SOUND_TOTAL, SOUND_TABLE = propagation.removed_by_total, propagation.kept_by_table


@pytest.mark.parametrize("mistake", PLANTED)
def test_planted_mistakes_are_seen(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, name, wrong = PLANTED[mistake]
    assert not lost_by(text)
    monkeypatch.setattr(propagation, name, wrong)
    assert lost_by(text)


# --- what it comes to ------------------------------------------------------------------------------------

SUDOKU = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"


def sudoku(digits: str) -> str:
    given_ = "\n".join(f"observe cell[{k // 9}, {k % 9}] = {d}" for k, d in enumerate(digits) if d != "0")
    return f"""
var cell: int(1, 9)[9, 9]
for i in range(9) {{ require all_different(cell[i, :]); require all_different(cell[:, i]) }}
for i in range(9) {{
  require all_different([cell[3 * (i // 3) + k // 3, 3 * (i % 3) + k % 3] for k in range(9)])
}}
{given_}
"""


def test_a_sudoku_is_narrowed() -> None:
    graph = graph_of(sudoku(SUDOKU))
    left = hard_of(graph).domains.sum(axis=1)
    assert (left[np.array(list(SUDOKU)) != "0"] == 1).all()
    assert left.mean() == 1.0, "this one is solved by matchings alone"


def test_relations_are_recognised() -> None:
    text = """
    var z: int(0, 5)[6]; var b: bool[6]
    require all_different(z)
    require all_different([z[i] + i for i in range(6)])
    require exactly_one(b)
    require at_most(z == 2, 3)
    for (i, j) in chain(6) { require z[i] != z[j] }
    require implies(b[0], z[0] == 3)
    """
    graph = graph_of(text)
    assert not hard_of(graph).missed
    kinds = [(type(r), r.scope.shape) for r in hard_of(graph).relations]
    for kind in [
        (AllDifferent, (1, 6)), (AllDifferent, (5, 2)), (LinearConstraint, (1, 6)), (TableConstraint, (1, 2)),
    ]:  # fmt: skip
        assert kind in kinds
    assert [r.is_plain for r in hard_of(graph).relations if isinstance(r, AllDifferent)] == [
        True,
        False,
        True,
    ]


def test_what_propagation_leaves_is_what_is_sampled() -> None:
    graph = graph_of(
        "var n: int(0, 5000)\nrequire n >= 3 and n < 9 and n != 5\nvar m: int(0, 3)[2]\nrequire m[0] >= 3"
    )
    n, m = graph.variables
    assert (n.support.lower, n.support.upper) == (0, 5000)  # too many values to list: a wall, as before
    assert m.fixed.tolist() == [True, False]
    graph = graph_of("var n: int(0, 200)\nrequire n >= 3 and n < 9 and n != 5")
    (n,) = graph.variables
    assert (n.support.lower, n.support.upper) == (3, 8) and n.allowed is not None
    assert n.allowed.tolist() == [[True, True, False, True, True, True]]


@pytest.mark.parametrize(
    ("text", "told", "before"),
    [
        ("var a: int(0, 1)[3]\nrequire all_different(a)", "all_different(a)", ""),
        ("var z: int(0, 3)\nrequire z > 1\nrequire z < 2", "z < 2", "z > 1"),
        (
            'var b: bool[3]\nrequire at_least(b, 3)\nrequire "not all": at_most(b, 2)',
            "not all",
            "at_least(b, 3)",
        ),
        (
            "var z: category(3)[2]\nobserve z[0] = 1\nrequire z[1] == z[0]\nrequire z[1] == 2",
            "z[1] == 2",
            "z[1] == z[0]",
        ),
    ],
)
def test_what_leaves_no_value_is_named(text: str, told: str, before: str) -> None:
    with pytest.raises(ComposeError) as wrong:
        graph_of(text)
    (d,) = [d for d in wrong.value.diagnostics if d.severity == "error"]
    assert d.code == "CG0502" and wrong.value.exit_code == 4 and f"`{told}` leaves no value for" in d.message
    assert before in d.help


@pytest.mark.parametrize(
    "constraint",
    ["x[i] != x[i + 1]", "x[i] <= x[i + 1]", "x[i] + x[i + 1] <= 4", "implies(x[i] == 0, x[i + 1] == 1)"],
)
def test_a_million_instances_take_no_more_steps(constraint: str) -> None:
    def elaborated(instances: int) -> tuple[FactorGraph, int]:
        text = (
            f"var x: int(0, 3)[{instances + 1}]\nfor i in range({instances}) {{ require {constraint} }}\n"
            "observe x[0] = 3"
        )
        made: list[FactorGraph] = []
        work = calls(lambda: made.append(graph_of(text)))
        return made[0], work

    elaborated(10)  # reads the standard library
    _, least = elaborated(1000)
    graph, most = elaborated(1_000_000)
    assert most < 1.01 * least
    assert hard_of(graph).domains[1].sum() < 4 or "implies" in constraint


def test_a_condition_that_is_too_long_to_list_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "var z: int(0, 3)[8]\n"
        "for i in range(7) { if i % 2 == 0 { require z[i] != z[i + 1] } }\n"
        "observe z[0] = 1\nobserve z[2] = 1"
    )
    graph = graph_of(text)
    assert hard_of(graph).domains.sum(axis=1).tolist() == [1, 3, 1, 3, 4, 4, 4, 4]
    monkeypatch.setattr("compose_lang.compiler.graph.factor_scopes.MOST_READS", 4)
    graph = graph_of(text)
    assert hard_of(graph).missed
    assert hard_of(graph).domains.sum(axis=1).tolist() == [1, 4, 1, 4, 4, 4, 4, 4]


def test_a_program_without_hard_constraints_pays_nothing() -> None:
    graph = graph_of("var s: spin[10]\nfor (i, j) in chain(10) { energy -0.3 * s[i] * s[j] }")
    assert graph.fact(HardConstraints) is None and graph.variables[0].allowed is None
    assert relations.hard_constraints(graph) is None
