"""Small sets drawn jointly: exact conditionals, planted mistakes, which sets there are, what they join; the draws."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

import compose_lang as cg
from compose_lang.api.bindings import requested
from compose_lang.compiler.analyses import conditionals
from compose_lang.compiler.constraints import invariants as kept_by
from compose_lang.compiler.constraints.relations import LinearConstraint
from compose_lang.compiler.constraints.site_sets import Subsets, subsets
from compose_lang.compiler.constraints.solutions import Component, components_of, solutions
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.blocks import Blocks
from compose_lang.runtime.planning.irreducibility import MoveSet, gaps_of
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import graph_of, hard_of, views_on
from tests.runtime.checks import BROKEN, SOUND, discrete_invariance, numbers
from tests.runtime.program_targets import SETS, SIZED, ProgramTarget
from tests.runtime.toy_blocks import run

NUMPY = load_backend("numpy")
ORDERING, OVERLAP, FREE = "an ordering", "sums that overlap", "no constraint"


def target_of(name: str, method: str | None = None) -> ProgramTarget:
    return ProgramTarget(SETS[name], method or SIZED.get(name, "blocks"))


# --- exact -----------------------------------------------------------------------------------------------


def conditional(target: ProgramTarget, block: Any, chosen: int) -> np.ndarray:
    """The exact transition matrix of one set drawn from its conditional, between possible states."""
    states, pi = target.states(), target.probabilities()
    inside = block.local.members[chosen]
    rest = np.delete(states, inside[inside < block.sites], axis=1)
    states, rest, pi = states[pi > 0], rest[pi > 0], pi[pi > 0]
    weight = (rest[:, None] == rest[None]).all(axis=2) * pi
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def drawn(target: ProgramTarget, block: Any, chosen: int, cells: int = 400) -> np.ndarray:
    """The same by the kernel, over evenly spaced uniform numbers: each entry is off by less than 2 / cells."""
    pi = target.probabilities()
    kernel, states = Blocks(block, NUMPY), target.states()[pi > 0]
    matrix = np.zeros((len(states), len(states)))
    start = np.repeat(states, cells, axis=0)
    uniform = np.tile((np.arange(cells) + 0.5) / cells, len(states))
    with NUMPY.scope():
        after, _ = kernel.draw({"s": start}, np.full(len(start), chosen), uniform)
    np.add.at(matrix, (np.arange(len(start)) // cells, numbers(states, after["s"])), 1 / cells)
    return matrix


@pytest.mark.parametrize("name", SETS)
def test_each_set_is_drawn_from_its_exact_conditional(name: str) -> None:
    target = target_of(name)
    block = target.block(NUMPY)
    every = [conditional(target, block, chosen) for chosen in range(block.number)]
    for chosen, exact in enumerate(every):
        np.testing.assert_allclose(drawn(target, block, chosen), exact, rtol=0, atol=2 / 400)
    mean = np.mean(every, axis=0)
    pi = target.probabilities()[target.probabilities() > 0]
    np.testing.assert_allclose(pi @ mean, pi, rtol=1e-12)
    np.testing.assert_allclose(pi[:, None] * mean, (pi[:, None] * mean).T, rtol=1e-12, atol=1e-15)
    limit = np.linalg.matrix_power(mean, 4096)
    np.testing.assert_allclose(limit, np.broadcast_to(pi, limit.shape), rtol=0, atol=1e-9)


def test_a_set_that_nothing_joins_keeps_its_solutions_apart() -> None:
    """Two sites at a time leave sums that overlap in two groups, which the matrix shows, and `gaps` tells."""
    target = target_of(OVERLAP, "blocks(size=2)")
    block = target.block(NUMPY)
    mean = np.mean([conditional(target, block, chosen) for chosen in range(block.number)], axis=0)
    limit = np.linalg.matrix_power(mean, 4096)
    assert len(np.unique(limit.round(6), axis=0)) == 2
    (gap,) = gaps_of(target.graph, plan(target.graph, "numpy", requested(target.method)).blocks)
    assert gap.pieces == 2


def test_tempered_replicas_draw_at_their_share() -> None:
    target = target_of(FREE)
    states, weight = target.states(), target.probabilities() ** 0.4
    block = target.block(NUMPY)
    start = states[np.random.default_rng(3).choice(len(states), size=20000, p=weight / weight.sum())]
    found = []
    for share in (0.4, 1.0):
        kernel = Blocks(replace(block, level=Level(share=np.array([share]))), NUMPY)
        end = run(kernel, NUMPY, {"s": start}, 2, compiled=False).last["s"]
        counts = np.bincount(numbers(states, end), minlength=len(states))
        found.append(float(scipy.stats.chisquare(counts, len(start) * weight / weight.sum()).pvalue))
    assert found[0] > SOUND and found[1] < BROKEN


# --- planted mistakes ------------------------------------------------------------------------------------


def invariance(name: str, kind: Any = Blocks, chains: int = 400) -> float:
    return invariance_of(target_of(name), kind, chains)


def invariance_of(target: ProgramTarget, kind: Any = Blocks, chains: int = 400) -> float:
    return discrete_invariance(lambda block: kind(block, NUMPY), target, NUMPY, chains)


def test_a_set_that_is_chosen_by_the_state() -> None:
    class Looking(Blocks):
        def draw(self, position: Any, chosen: Any, uniform: Any) -> Any:
            half = self.block.number // 2  # sets that hold the first site come first
            looked = np.where(position["s"][:, 0] > 0, half, 0) + chosen % half
            return super().draw(position, looked, uniform)

    assert invariance(FREE) > SOUND
    assert invariance(FREE, Looking) < BROKEN


def test_a_set_that_prefers_to_change() -> None:
    class Restless(Blocks):
        def draw(self, position: Any, chosen: Any, uniform: Any) -> Any:
            block = self.block
            held = block.current(position, chosen)
            sound = type(block).candidates

            def others(position: Any, chosen: Any) -> Any:
                joint, fits = sound(block, position, chosen)
                moves = fits & (joint != held[:, None])
                return joint, np.where(moves.any(axis=1, keepdims=True), moves, fits)

            object.__setattr__(block, "candidates", others)
            after = super().draw(position, chosen, uniform)
            object.__delattr__(block, "candidates")
            return after

    assert invariance(ORDERING, chains=4000) > SOUND
    assert invariance(ORDERING, Restless, chains=4000) < BROKEN


def test_a_factor_that_counts_once_for_each_site_of_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditionals, "once_each", lambda instances: instances)
    assert invariance(FREE) < BROKEN


def test_a_constraint_taken_to_be_kept_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "var s: int(0, 2)[3]\nrequire all_different(s)\nrequire s[0] + s[1] != 3\nenergy 0.3 * s[0]"
    assert invariance_of(ProgramTarget(text, "blocks")) > SOUND
    sound = kept_by.invariants
    monkeypatch.setattr(
        "compose_lang.compiler.constraints.site_sets.invariants",
        lambda graph, v: (sound(graph, v)[0], frozenset(id(g) for g in graph.groups if g.kind == "require")),
    )
    assert invariance_of(ProgramTarget(text, "blocks")) < BROKEN


def test_a_sum_taken_to_stay_that_is_only_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "var s: bool[4]\nrequire sum(s) >= 2\nenergy 0.3 * s[0] - 0.2 * s[1] * s[3]"
    assert invariance_of(ProgramTarget(text, "blocks")) > SOUND
    sound = kept_by.of_relation
    monkeypatch.setattr(kept_by, "of_relation", lambda r, *rest: sound(replace(r, high=r.low), *rest))
    monkeypatch.setattr(kept_by, "AllDifferent", kept_by.LinearConstraint)
    assert invariance_of(ProgramTarget(text, "blocks")) < BROKEN


def test_sets_drawn_without_what_is_around_them() -> None:
    class Careless(Blocks):
        def draw(self, position: Any, chosen: Any, uniform: Any) -> Any:
            after, changed = super().draw({"s": np.ones_like(position["s"])}, chosen, uniform)
            sites = self.block.local.members[chosen]
            values = position["s"].copy()
            np.put_along_axis(values, sites, np.take_along_axis(after["s"], sites, axis=1), axis=1)
            return {"s": values}, changed

    assert invariance(FREE, Careless) < BROKEN


# --- which sets ------------------------------------------------------------------------------------------


def listed(text: str, size: int) -> Subsets:
    graph = graph_of(text)
    found = subsets(graph, graph.variables[0], size)
    assert not isinstance(found, str), found
    return found


def margins(rows: int, columns: int) -> str:
    return (
        f"var s: int(0, 3)[{rows}, {columns}]\nfor i in range({rows}) {{ require sum(s[i, :]) == {columns} }}\n"
        f"for j in range({columns}) {{ require sum(s[:, j]) == {rows} }}"
    )


@pytest.mark.parametrize(("rows", "columns"), [(4, 5), (9, 10)])
def test_the_sets_of_a_table_are_its_minors(rows: int, columns: int) -> None:
    found = listed(margins(rows, columns), 4)
    corners = {
        tuple(sorted((i * columns + k, i * columns + m, j * columns + k, j * columns + m)))
        for i, j in itertools.combinations(range(rows), 2)
        for k, m in itertools.combinations(range(columns), 2)
    }
    assert {tuple(row) for row in found.sets.tolist()} == corners
    assert found.candidates == 4  # a minor of fixed sums has one site to choose
    assert len(found.kept) == 2  # margins are kept by all, so no draw looks at them


def test_every_site_is_in_some_set_however_many_there_are() -> None:
    text = "var s: spin[20, 20]\nfor (a, b) in grid(20, 20) { energy -0.4 * s[a] * s[b] }"
    found = listed(text, 6)
    assert len(found.sets) >= 4000 and set(range(400)) <= set(found.sets.ravel().tolist())
    wide = listed("var s: bool[600]\nenergy 0.1 * (sum(s) - 3)^2", 3)
    assert set(range(600)) <= set(wide.sets.ravel().tolist())


def test_sets_of_orderings_permute_what_they_have() -> None:
    text = "var s: int(0, 5)[6]\nrequire all_different(s)\nrequire s[0] + s[1] != 5"
    found = listed(text, 3)
    assert len(found.sets) == 20 and found.candidates == 6 and len(found.kept) == 1
    pairs = listed("var s: category(6)[6]\nfor (i, j) in pairs(6) { require s[i] != s[j] }", 3)
    assert len(pairs.sets) == 20 and pairs.candidates == 6


@pytest.mark.parametrize(
    ("text", "method", "told"),
    [
        (margins(3, 4), "blocks(size=3)", "none of up to 3 sites can change"),
        (
            "var s: int(0, 99)[4]\nenergy s[0] * s[1]",
            "blocks(size=4)",
            "more joint values than can be listed",
        ),
        (
            "var s: bool[30]\nenergy sum(s)",
            "blocks(size=12)",
            "must be a whole number above 0, at most 8, not 12",
        ),
        ("var x: real ~ Normal(0, 1)", "blocks", "but `x` is continuous"),
    ],
)
def test_what_cannot_be_drawn_in_sets_is_refused(text: str, method: str, told: str) -> None:
    with pytest.raises(cg.ComposeError) as wrong:
        cg.compile(text).explain(method=method)
    assert told in wrong.value.diagnostics[0].message


def test_the_plan_tells_the_sets() -> None:
    told = cg.compile(margins(3, 4)).explain(method="blocks(size=4)")
    assert "blocks(size=4) draws s" in told
    assert "18 sets of up to 4 sites, each drawn jointly among up to 4 joint values" in told


# --- tables ----------------------------------------------------------------------------------------------


def with_margins(rows: list[int], columns: list[int], kind: str) -> str:
    return (
        f"var s: {kind}[{len(rows)}, {len(columns)}]\n"
        f"for i in range({len(rows)}) {{ require sum(s[i, :]) == {rows}[i] }}\n"
        f"for j in range({len(columns)}) {{ require sum(s[:, j]) == {columns}[j] }}"
    )


@pytest.mark.parametrize(
    ("kind", "margin", "is_known"),
    [("int(0, 20)", 20, True), ("int(0, 9)", 20, False), ("bool", 4, True), ("int(-1, 20)", 6, True)],
)
def test_what_is_known_of_large_tables(kind: str, margin: int, is_known: bool) -> None:
    graph = graph_of(with_margins([margin] * 8, [margin] * 8, kind))
    chosen = plan(graph, "numpy", exactly=False)
    assert chosen.blocks[-1].options == {"size": 4}
    assert [gap.pieces for gap in gaps_of(graph, chosen.blocks)] == ([] if is_known else [None])


def test_a_large_table_without_one_of_its_minors_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compose_lang.compiler.constraints.site_sets.MOST_SETS", 28 * 28 - 1)
    graph = graph_of(with_margins([4] * 8, [4] * 8, "bool"))
    assert [gap.pieces for gap in gaps_of(graph, plan(graph, "numpy", exactly=False).blocks)] == [None]


@pytest.mark.parametrize(
    ("rows", "columns", "kind"),
    [
        ([2, 2, 2], [2, 2, 1, 1], "bool"),
        ([1, 2, 3, 2], [2, 2, 3, 1], "bool"),
        ([4, 3, 2], [3, 2, 2, 2], "int(0, 4)"),
        ([3, 1, 5], [4, 2, 2, 1], "int(-1, 4)"),
    ],
)
def test_what_is_known_of_tables_is_so_where_all_are_listed(
    rows: list[int], columns: list[int], kind: str
) -> None:
    low = -1 if "-1" in kind else 0
    shifted = [[m + low * n for m in margin] for margin, n in ((rows, len(columns)), (columns, len(rows)))]
    graph = graph_of(with_margins(*shifted, kind))
    moves = MoveSet(graph, hard_of(graph), plan(graph, "numpy", requested("blocks(size=4)")).blocks)
    (part,) = components_of(hard_of(graph))
    # of few sites, tables of what a sum allows stand beside it
    sums = Component(part.sites, tuple((r, rows) for r, rows in part.rows if isinstance(r, LinearConstraint)))
    states = solutions(hard_of(graph), part)
    assert moves.is_table(sums) and states is not None and len(states) > 10
    assert moves.pieces(part, states) == 1


# --- draws -----------------------------------------------------------------------------------------------

LATIN = "var s: category(3)[3, 3]\nfor i in range(3) { require all_different(s[i, :])\nrequire all_different(s[:, i]) }"
WEIGHED = (
    "var s: int(0, 4)[3, 3]\nfor i in range(3) { require sum(s[i, :]) == [3, 2, 4][i]\n"
    "require sum(s[:, i]) == [4, 2, 3][i] }\n"
    "for i in range(3), j in range(3) { energy 0.15 * (i + 1) * s[i, j]^2 - 0.2 * j * s[i, j] }"
)
MAGIC = (
    "var s: int(1, 9)[3, 3]\nrequire all_different(reshape(s, 9))\n"
    "for i in range(3) { require sum(s[i]) == 15\nrequire sum(s[:, i]) == 15 }\n"
    "require trace(s) == 15\nrequire s[0, 2] + s[1, 1] + s[2, 0] == 15"
)


def queens(n: int) -> str:
    return (
        f"var s: int(0, {n - 1})[{n}]\nrequire all_different(s)\n"
        f"require all_different([s[i] + i for i in range({n})])\nrequire all_different([s[i] - i for i in range({n})])"
    )


def squares() -> np.ndarray:
    """The Latin squares of order 3."""
    rows = list(itertools.permutations(range(3)))
    every = np.array(list(itertools.product(rows, repeat=3)))
    return every[(np.sort(every, axis=1) == np.arange(3)[None, :, None]).all(axis=(1, 2))].reshape(-1, 9)


def tables() -> np.ndarray:
    """All tables with the margins of `WEIGHED`."""
    corner = np.array(list(itertools.product(range(5), repeat=4))).reshape(-1, 2, 2)
    right = np.array([3, 2])[None, :, None] - corner.sum(axis=2, keepdims=True)
    upper = np.concatenate([corner, right], axis=2)
    lower = np.array([4, 2, 3])[None, None] - upper.sum(axis=1, keepdims=True)
    every = np.concatenate([upper, lower], axis=1)
    return every[((every >= 0) & (every <= 4)).all(axis=(1, 2))].reshape(-1, 9)


def placements(n: int) -> np.ndarray:
    """The solutions of `queens`."""
    every, i = np.array(list(itertools.permutations(range(n)))), np.arange(n)
    fits = [(np.diff(np.sort(every + sign * i, axis=1), axis=1) > 0).all(axis=1) for sign in (1, -1)]
    return every[fits[0] & fits[1]]


def magic() -> np.ndarray:
    """The magic squares of order 3."""
    every = np.array(list(itertools.permutations(range(1, 10)))).reshape(-1, 3, 3)
    lines = [
        every.sum(axis=1), every.sum(axis=2), every.trace(axis1=1, axis2=2)[:, None],
        every[:, :, ::-1].trace(axis1=1, axis2=2)[:, None],
    ]  # fmt: skip
    return every[(np.concatenate(lines, axis=1) == 15).all(axis=1)].reshape(-1, 9)


def share_of_solutions(text: str, states: np.ndarray, chains: int, sweeps: int) -> float:
    """The chi-square p-value of the last states of many chains by the plan's kernels, all from one solution."""
    graph = graph_of(text)
    chosen = plan(graph, "numpy", exactly=False)
    assert [b.kernel for b in chosen.blocks][-1] == "blocks" and not gaps_of(graph, chosen.blocks)
    views = views_on(graph, NUMPY, chosen)
    position: Any = {"s": np.repeat(states[:1], chains, axis=0)}
    for sweep in range(sweeps):
        for place, b in enumerate(chosen.blocks):
            kernel = load_kernel(b.kernel).bind(views.block(b.variables, b.kernel), NUMPY, {}, 0)
            position = run(kernel, NUMPY, position, 1, seed=10 * sweep + place, compiled=False).last
    with NUMPY.scope():
        weight = np.exp(-views.density.energy({"s": states}))
    counts = np.bincount(numbers(states, position["s"]), minlength=len(states))
    return float(scipy.stats.chisquare(counts, chains * weight / weight.sum()).pvalue)


@pytest.mark.parametrize(
    ("text", "states", "number", "chains", "sweeps"),
    [
        pytest.param(LATIN, squares, 12, 1200, 12, id="Latin squares of three"),
        pytest.param(WEIGHED, tables, 39, 2000, 8, id="a table with margins"),
        pytest.param(queens(6), lambda: placements(6), 4, 200, 3, id="six queens"),
        pytest.param(
            queens(8), lambda: placements(8), 92, 2000, 60, id="eight queens", marks=pytest.mark.slow
        ),
        pytest.param(MAGIC, magic, 8, 800, 12, id="magic squares", marks=pytest.mark.slow),
    ],
)
def test_all_solutions_are_drawn_in_their_shares(
    text: str, states: Any, number: int, chains: int, sweeps: int
) -> None:
    every = states()
    assert len(every) == number
    assert share_of_solutions(text, every, chains, sweeps) > SOUND


@pytest.mark.slow
@pytest.mark.parametrize("start", [0, 1])
def test_latin_squares_of_five_mix_by_sets_of_eight(start: int) -> None:
    """Of the 56 reduced squares of order 5, the 6 that are tables of the cyclic group hold no square of order 2."""
    cyclic = (np.arange(5)[:, None] + np.arange(5)) % 5
    other = np.array([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 3, 4, 0, 1], [3, 4, 1, 2, 0], [4, 2, 0, 1, 3]])
    graph = graph_of(LATIN.replace("3", "5"))
    shares = []
    for method in ("blocks(size=4)", "blocks(size=8)"):
        chosen = plan(graph, "numpy", requested(method))
        kernel = load_kernel("blocks").bind(
            views_on(graph, NUMPY, chosen).block(("s",), "blocks"), NUMPY, {}, 0
        )
        chains = np.repeat([(cyclic, other)[start].reshape(25)], 500, axis=0)
        squares = run(kernel, NUMPY, {"s": chains}, 250, compiled=False).last["s"].reshape(-1, 5, 5)
        pairs = list(itertools.combinations(range(5), 2))
        held = [
            (squares[:, i, k] == squares[:, j, m]) & (squares[:, i, m] == squares[:, j, k])
            for i, j in pairs
            for k, m in pairs
        ]
        shares.append(1 - np.any(held, axis=0).mean())
    assert shares[0] == 1 - start
    exact = 6 / 56
    assert abs(shares[1] - exact) < 4.5 * np.sqrt(exact * (1 - exact) / 500)
