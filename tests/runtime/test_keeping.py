"""Moves that keep hard constraints: exact transition matrices, planted mistakes, what they reach, and the draws."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse.csgraph

import compose_lang as cg
from compose_lang.api.bindings import requested
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels import exchange, gibbs, kempe, load_kernel
from compose_lang.runtime.kernels.exchange import Exchange
from compose_lang.runtime.kernels.kempe import Kempe
from compose_lang.runtime.planning.irreducibility import gaps_of
from compose_lang.runtime.planning.plan import Plan, plan
from compose_lang.runtime.results.convergence import rhat
from compose_lang.runtime.views.conditional import Pairs
from tests.compiler.points import views_on
from tests.runtime.checks import BROKEN, SOUND, discrete_invariance, numbers
from tests.runtime.program_targets import CHAINS, SUMS, ProgramTarget
from tests.runtime.toy_blocks import run

NUMPY = load_backend("numpy")


# --- exact -----------------------------------------------------------------------------------------------


def kempe_matrix(target: ProgramTarget, kind: type[Kempe] = Kempe) -> np.ndarray:
    """The exact transition matrix of one proposal: the mean over all sites and values it may choose."""
    block = target.block(NUMPY)
    kernel, states = kind(block, NUMPY), target.states()
    places = block.places({"s": states})
    moving, count = len(block.moving), block.count
    matrix = np.zeros((len(states), len(states)))
    with NUMPY.scope():
        energy = block.energy({"s": states}, places)
    for site, step in itertools.product(range(moving), range(count - 1)):
        uniform = np.tile([(site + 0.5) / moving, (step + 0.5) / (count - 1), 0.0], (len(states), 1))
        proposed, is_free = kernel.turned(places, uniform)
        with NUMPY.scope():
            after = block.energy({"s": states}, proposed)
            accept = np.where(is_free, kempe.acceptance(energy, after, NUMPY), 0.0)
        goal = numbers(states, block.assign({"s": states}, proposed)["s"])
        np.add.at(matrix, (np.arange(len(states)), goal), accept / (moving * (count - 1)))
    np.fill_diagonal(matrix, matrix.diagonal() + 1 - matrix.sum(axis=1))
    return matrix


def exchange_matrix(target: ProgramTarget) -> np.ndarray:
    """The exact transition matrix of one pair of the first set, drawn from its conditional."""
    block = target.block(NUMPY)
    kernel, states = Exchange(block, NUMPY), target.states()
    first, second = (np.full((len(states), 1), s) for s in block.members_of(0)[0, :2])
    cells = 500
    matrix = np.zeros((len(states), len(states)))
    for u in (np.arange(cells) + 0.5) / cells:
        with NUMPY.scope():
            after, _ = kernel.draw({"s": states}, first, second, np.full((len(states), 1), u))
        np.add.at(matrix, (np.arange(len(states)), numbers(states, after["s"])), 1 / cells)
    return matrix


def check_balance(matrix: np.ndarray, pi: np.ndarray, atol: float) -> None:
    """Detailed balance, no way to what is impossible, and some move at all."""
    flow = pi[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, rtol=0, atol=atol)
    possible = pi > 0
    assert not matrix[np.ix_(possible, ~possible)].any()
    assert (matrix.diagonal()[possible] < 1).any()


@pytest.mark.parametrize("name", CHAINS)
def test_a_kempe_chain_is_in_detailed_balance(name: str) -> None:
    target = ProgramTarget(CHAINS[name], "kempe")
    check_balance(kempe_matrix(target), target.probabilities(), 1e-15)


@pytest.mark.parametrize("name", SUMS)
def test_a_pair_is_drawn_from_its_conditional(name: str) -> None:
    target = ProgramTarget(SUMS[name], "exchange")
    check_balance(exchange_matrix(target), target.probabilities(), 2e-3)


# --- planted mistakes ------------------------------------------------------------------------------------


def invariance(program: str, method: str, kind: Any) -> float:
    target = ProgramTarget(program, method)
    return discrete_invariance(lambda block: kind(block, NUMPY), target, NUMPY, chains=2000)


def test_a_chain_that_changes_its_first_site_only() -> None:
    class Alone(Kempe):
        def turned(self, places: Any, uniform: Any) -> Any:
            site = self.block.moving[np.floor(uniform[:, 0] * len(self.block.moving)).astype(int)]
            proposed = places.copy()
            rows = np.arange(len(places))
            proposed[rows, site] = (places[rows, site] + 1) % self.block.count
            return proposed, np.ones(len(places), dtype=bool)

    program = CHAINS["a path of three colours"]
    assert invariance(program, "kempe", Kempe) > SOUND
    assert invariance(program, "kempe", Alone) == 0.0


def test_a_chain_whose_rest_of_the_program_is_forgotten() -> None:
    class Careless(Kempe):
        def __init__(self, block: Any, backend: Any) -> None:
            super().__init__(Flat(block), backend)

    class Flat:
        def __init__(self, block: Any) -> None:
            self.block = block

        def __getattr__(self, name: str) -> Any:
            return getattr(self.block, name)

        def energy(self, position: Any, places: Any) -> Any:
            return np.zeros(len(places))

    assert invariance(CHAINS["all different"], "kempe", Kempe) > SOUND
    assert invariance(CHAINS["all different"], "kempe", Careless) < BROKEN


def test_a_value_that_a_chain_prefers() -> None:
    """Always the next value up: turning two round is undone by another choice, with three values."""

    class Upwards(Kempe):
        def turned(self, places: Any, uniform: Any) -> Any:
            return super().turned(places, uniform * [1.0, 0.0, 1.0])

    matrix = kempe_matrix(ProgramTarget(CHAINS["a path of three colours"], "kempe"), Upwards)
    pi = ProgramTarget(CHAINS["a path of three colours"], "kempe").probabilities()
    assert np.abs(pi @ matrix - pi).max() > 1e-3


def test_a_pair_whose_shared_factors_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    program = SUMS["two of four"]
    assert invariance(program, "exchange", Exchange) > SOUND
    sound = Pairs.cost
    monkeypatch.setattr(Pairs, "cost", lambda self, *rest: 2.0 * sound(self, *rest))
    assert invariance(program, "exchange", Exchange) < BROKEN


def test_pairs_of_sets_that_share_a_factor_at_once() -> None:
    class Together(Exchange):
        def step(self, position: Any, state: Any, noise: Any, t: Any) -> Any:
            moved = [
                Exchange(Only(self.block, cls), self.backend).step(
                    position, state, {k: v[:, cls : cls + 1] for k, v in noise.items()}, t
                )[0]["s"]
                for cls in range(self.block.classes)
            ]
            old = position["s"]
            new = old.copy()
            for values in moved:
                new = np.where(values != old, values, new)
            return {**position, "s": new}, state, {}

    class Only:
        """One class of a block."""

        def __init__(self, block: Any, cls: int) -> None:
            self.block, self.cls, self.classes = block, cls, 1

        def __getattr__(self, name: str) -> Any:
            return getattr(self.block, name)

        def members_of(self, cls: Any) -> Any:
            return self.block.members_of(self.cls)

    program = SUMS["sets that share factors"]
    assert ProgramTarget(program, "exchange").block(NUMPY).classes == 2
    assert invariance(program, "exchange", Exchange) > SOUND
    assert invariance(program, "exchange", Together) < BROKEN


def test_a_pair_that_prefers_to_move(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restless(Exchange):
        def candidates(self, one: Any, other: Any) -> Any:
            firsts, seconds, fits = super().candidates(one, other)
            moves = firsts != one[..., None]
            return firsts, seconds, fits & (moves | (fits.sum(axis=-1, keepdims=True) == 1))

    assert invariance(SUMS["two of four"], "exchange", Restless) < BROKEN


# --- what the planner makes of it ------------------------------------------------------------------------


def kernels(text: str, method: str | None = None) -> list[str]:
    return [b.kernel for b in sampled(cg.compile(text), method).blocks]


def sampled(model: cg.Model, method: str | None = None) -> Plan:
    """The plan of a model whose variables are not drawn exactly, however small it is."""
    return plan(model.program.graph, "jax", None if method is None else requested(method), exactly=False)


@pytest.mark.parametrize(
    ("text", "planned"),
    [
        ("var z: category(4)[5]\nfor (i, j) in chain(5) { require z[i] != z[j] }", ["gibbs"]),
        ("var z: category(3)[5]\nfor (i, j) in pairs(3) { require z[i] != z[j] }", ["gibbs", "kempe"]),
        ("var z: int(0, 4)[5]\nrequire all_different(z)", ["gibbs", "kempe"]),
        ("var z: int(0, 4)[5]\nrequire all_different([z[i] + i for i in range(5)])", ["gibbs"]),
        (
            "var b: bool[2]\nvar z: int(0, 4)[5]\nrequire all_different(z)\nrequire implies(b[0], b[1])",
            ["gibbs", "gibbs", "kempe"],
        ),
        ("var b: bool[5]\nrequire exactly_one(b)", ["gibbs", "exchange"]),
        ("var b: bool[5]\nrequire at_most(b, 2)", ["gibbs"]),
        ("var s: spin[6]\nrequire sum(s) == 0", ["gibbs", "exchange"]),
        ("var b: bool[5]\nenergy 0.3 * sum(b)", ["gibbs"]),
    ],
)
def test_moves_are_planned_where_constraints_ask_for_them(text: str, planned: list[str]) -> None:
    assert kernels(text) == planned
    assert set(kernels(text, "gibbs")) == {"gibbs"}


@pytest.mark.parametrize("method", ["kempe", "exchange"])
def test_a_move_that_nothing_asks_for_is_refused(method: str) -> None:
    with pytest.raises(cg.ComposeError) as wrong:
        cg.compile("var b: bool[3]\nenergy sum(b)").sample(method=method)
    assert [d.code for d in wrong.value.diagnostics] == ["CG0601"]
    assert "nothing says so" in wrong.value.diagnostics[0].message


LATIN = (
    "var c: category({n})[{n}, {n}]\n"
    "for i in range({n}) {{ require all_different(c[i, :]); require all_different(c[:, i]) }}"
)
REACHED: dict[str, tuple[str, str | None, str]] = {
    "one of six": ("var b: bool[6]\nrequire exactly_one(b)", None, ""),
    "one of six by single sites": ("var b: bool[6]\nrequire exactly_one(b)", "gibbs", "fall into 6 groups"),
    "sums that overlap": (
        "var s: bool[5]\nfor i in range(2) { require sum(s[2 * i:2 * i + 3]) == 2 }", None, "",
    ),
    "an ordering": ("var p: int(0, 4)[5]\nrequire all_different(p)", None, ""),
    "an ordering by single sites": ("var p: int(0, 4)[5]\nrequire all_different(p)", "gibbs", "fall into 120 groups"),
    "sums that overlap, by pairs of sites": (
        "var s: bool[5]\nfor i in range(2) { require sum(s[2 * i:2 * i + 3]) == 2 }", "exchange", "fall into 2 groups",
    ),
    "latin squares of three": (LATIN.format(n=3), None, ""),
    "latin squares of three by two values": (LATIN.format(n=3), "kempe", "fall into 2 groups"),
    "latin squares of three by sets of four": (LATIN.format(n=3), "blocks(size=4)", "fall into 12 groups"),
    "latin squares of four": (LATIN.format(n=4), None, ""),
    "latin squares of seven": (LATIN.format(n=7), None, "may fall"),
    "an independent set": ("var s: bool[20, 20]\nfor (a, b) in grid(20, 20) { require not (s[a] and s[b]) }", None, ""),
    "implications": ("var s: bool[40]\nfor i in range(39) { require implies(s[i], s[i + 1]) }", None, ""),
    "many colours": ("var s: category(6)[30, 30]\nfor (a, b) in grid(30, 30) { require s[a] != s[b] }", None, ""),
    "three colours": ("var s: category(3)[30, 30]\nfor (a, b) in grid(30, 30) { require s[a] != s[b] }", None, ""),
    "three colours by single sites": (
        "var s: category(3)[30, 30]\nfor (a, b) in grid(30, 30) { require s[a] != s[b] }", "gibbs", "may fall",
    ),
    "one of many": ("var b: bool[500]\nrequire exactly_one(b)", None, ""),
    "two that agree": ("var a: bool[2]\nrequire a[0] == a[1]", "gibbs", "fall into 2 groups"),
    "a proposal of the program's own": (
        "var a: bool[2]\nrequire a[0] != a[1]\ninfer a by mh(proposal=Bernoulli([0.5, 0.5]))", None, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REACHED)
def test_what_moves_do_not_reach_is_told(name: str) -> None:
    text, method, told = REACHED[name]
    model = cg.compile(text)
    found = sampled(model, method).warnings
    assert [d.code for d in found] == (["CG0713"] if told else [])
    assert all(told in d.message for d in found)


@pytest.mark.parametrize("without", ["", "blocks"])
@pytest.mark.parametrize("name", ["sums that overlap", "latin squares of three"])
def test_the_groups_told_are_those_that_the_kernels_make(name: str, without: str) -> None:
    """Chains from every solution, and which solutions they are ever seen in."""
    graph = cg.compile(REACHED[name][0]).program.graph
    chosen = plan(graph, "numpy", exactly=False)
    chosen = replace(chosen, blocks=tuple(b for b in chosen.blocks if b.kernel != without))
    views = views_on(graph, NUMPY, chosen)
    (v,) = graph.variables
    every = (
        np.array(list(itertools.product(v.support.values, repeat=v.free_sites))) if v.free_sites < 6 else None
    )
    if every is None:
        rows = list(itertools.permutations(range(3)))
        every = np.array(list(itertools.product(rows, repeat=3))).reshape(-1, 9)
    states = every[np.isfinite(views.density.energy({v.name: every}))]
    start = {v.name: np.repeat(states, 40, axis=0)}
    seen = np.eye(len(states), dtype=bool)
    position = start
    for seed in range(6):
        for block in chosen.blocks:
            kernel = load_kernel(block.kernel).bind(views.block(block.variables, block.kernel), NUMPY, {}, 0)
            position = run(kernel, NUMPY, position, 1, seed=seed, compiled=False).last
        seen[np.repeat(np.arange(len(states)), 40), numbers(states, position[v.name])] = True
    parts = scipy.sparse.csgraph.connected_components(seen, directed=True, connection="weak")[0]
    assert [parts] == ([gap.pieces for gap in gaps_of(graph, chosen.blocks)] or [1])
    assert parts == (2 if without else 1)


# --- draws -----------------------------------------------------------------------------------------------


def test_draws_of_sums_and_orderings_follow_the_program() -> None:
    text = """
    var b: bool[4]
    var p: int(0, 2)[3]
    require exactly_one(b)
    require all_different(p)
    energy 0.8 * b[0] - 0.6 * b[3]
    energy 0.5 * p[0] + 0.4 * b[1] * (p[2] == 0)
    """
    run = cg.compile(text).sample(chains=4, draws=1500, warmup=100, seed=3)
    b, p = np.asarray(run.posterior["b"]), np.asarray(run.posterior["p"])
    assert (b.sum(-1) == 1).all() and (np.sort(p, -1) == np.arange(3)).all()
    weights = {}
    for on, order in itertools.product(range(4), itertools.permutations(range(3))):
        energy = 0.8 * (on == 0) - 0.6 * (on == 3) + 0.5 * order[0] + 0.4 * (on == 1) * (order[2] == 0)
        weights[on, order] = np.exp(-energy)
    total = sum(weights.values())
    for (on, order), weight in weights.items():
        hits = b[..., on].astype(bool) & (p == np.array(order)).all(-1)
        share = weight / total
        assert abs(hits.mean() - share) < 4.5 * np.sqrt(share * (1 - share) / 2500)
    assert np.nanmax(rhat(b.astype(float))) < 1.02


def test_chains_apart_for_good_are_told() -> None:
    text = "var s: bool[4]\nrequire s[0] == s[1]\nrequire implies(s[0], s[1])\nenergy 0.2 * s[2]"
    run = cg.compile(text).sample(chains=6, draws=60, warmup=10, seed=1, method="gibbs")
    told = [d for d in run.findings() if d.code == "CG0709"]
    assert (
        len(told) == 1
        and "s[0], s[1] differ between chains, and in none do they ever change" in told[0].message
    )
    assert any("CG0713" in d["code"] for d in run.manifest.diagnostics)
    joined = cg.compile(text).sample(chains=6, draws=60, warmup=10, seed=1)
    assert not [d for d in joined.findings() if d.code == "CG0709"]


def test_kernels_of_this_file_are_those_beside_gibbs() -> None:
    assert {exchange.KERNEL.view, kempe.KERNEL.view, gibbs.KERNEL.view} == {"sums", "chains", "sites"}
