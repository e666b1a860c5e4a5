"""Trees within loops: classes against SciPy's, draws against exact conditionals, mixing, planted mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import compose_lang as cg
from compose_lang.compiler.analyses import tree_cover as splitting
from compose_lang.compiler.analyses.colouring import conflicts
from compose_lang.compiler.analyses.tree_cover import MOST_CLASSES, classes_of, forests
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.trees import Trees
from compose_lang.runtime.views.trees import TreeView
from compose_lang.validation.enumeration import enumerate_states
from tests.compiler.points import graph_of
from tests.runtime.checks import BROKEN, SOUND, discrete_invariance, numbers, transition_matrix
from tests.runtime.program_targets import TREES, ProgramTarget
from tests.runtime.toy_blocks import run

NUMPY = load_backend("numpy")
SQUARE = "a square of spins in fields"


def trees(block: TreeView) -> Trees:
    return Trees(block, NUMPY)


def edges_of(text: str) -> tuple[int, np.ndarray]:
    """How many free sites `s` has, and which pairs share a factor."""
    graph = graph_of(text)
    (s,) = graph.variables
    scopes = [scope(g, s) for g in graph.groups]
    pairs = conflicts(s.free_sites, [x for x in scopes if x is not None])
    assert pairs is not None
    return s.free_sites, pairs


def random_graph(sites: int, pairs: int) -> np.ndarray:
    ends = np.sort(np.random.default_rng(7).integers(sites, size=(pairs, 2)), axis=1)
    return np.unique(ends[ends[:, 0] < ends[:, 1]], axis=0)


GRAPHS = {
    "lattice": edges_of("var s: spin[9, 13]\nfor (a, b) in grid(9, 13) { energy s[a] * s[b] }"),
    "torus": edges_of("var s: spin[6, 6]\nfor (a, b) in torus(6, 6) { energy s[a] * s[b] }"),
    "triples": edges_of("var s: spin[12]\nfor i in range(10) { energy s[i] * s[i + 1] * s[i + 2] }"),
    "tree": edges_of("var s: spin[12]\nfor (i, j) in chain(12) { energy s[i] * s[j] }"),
    "random": (300, random_graph(300, 700)),
}


def has_loop(members: np.ndarray, edges: np.ndarray, sites: int) -> bool:
    """Whether sites induce a graph with a loop: one that has more edges than sites less components."""
    inner = edges[np.isin(edges, members).all(axis=1)]
    graph = coo_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=(sites, sites))
    return len(inner) > sites - connected_components(graph, directed=False)[0]


@pytest.mark.parametrize("name", GRAPHS)
def test_classes_are_forests_as_large_as_can_be_and_hold_all_sites(name: str) -> None:
    sites, edges = GRAPHS[name]
    classes = classes_of(sites, edges)
    assert classes is not None
    np.testing.assert_array_equal(np.unique(np.concatenate(classes)), np.arange(sites))
    for members in classes:
        assert not has_loop(members, edges, sites)
        for other in np.setdiff1d(np.arange(sites), members):
            assert has_loop(np.append(members, other), edges, sites)
    assert (len(classes) == 1) == (name == "tree")


def test_a_class_that_takes_neighbours_of_one_tree_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(order: Any, around: Any) -> np.ndarray:
        return np.sort(np.array(order)[: len(around) * 3 // 4])

    monkeypatch.setattr(splitting, "forest", careless)
    sites, edges = GRAPHS["lattice"]
    classes = classes_of(sites, edges)
    assert classes is not None and any(has_loop(members, edges, sites) for members in classes)


@pytest.mark.parametrize("name", TREES)
def test_every_class_is_eliminated_at_width_one(name: str) -> None:
    graph = graph_of(TREES[name])
    (s,) = graph.variables
    found = forests(graph, s)
    assert not isinstance(found, str) and len(found) > 1
    assert all(part.order.width <= 1 for part in found)


def conditionals(target: ProgramTarget, block: TreeView) -> np.ndarray:
    """The exact transition matrix of a sweep: each class anew from its conditional, one after another."""
    states, pi = target.states(), target.probabilities()
    matrix = np.eye(len(states))
    for c in block.classes:
        rest = states[:, c.place < block.variable.free_sites]
        same = (rest[:, None] == rest[None]).all(axis=2)
        weight = same * pi[None]
        total = weight.sum(axis=1, keepdims=True)
        matrix = matrix @ np.where(total > 0, weight / np.where(total > 0, total, 1.0), np.eye(len(states)))
    return matrix


def agreement(name: str, bind: Any, chains: int = 1500) -> float:
    """The chi-square p-value of a sweep's transitions from possible states against exact conditionals."""
    target = ProgramTarget(TREES[name], "trees")
    exact = conditionals(target, target.block(NUMPY))
    counts = chains * transition_matrix(bind, target, NUMPY, chains, compiled=False)
    possible = target.probabilities() > 0
    exact, counts = exact[possible], counts[possible]
    if counts[exact < 1e-15].any():
        return 0.0
    often = exact * chains >= 5
    z = (counts - chains * exact)[often] ** 2 / (chains * exact)[often]
    return float(scipy.stats.chi2.sf(z.sum(), often.sum() - possible.sum()))


@pytest.mark.parametrize("name", TREES)
def test_a_sweep_draws_each_class_from_its_exact_conditional(name: str) -> None:
    target = ProgramTarget(TREES[name], "trees")
    pi = target.probabilities()
    np.testing.assert_allclose(pi @ conditionals(target, target.block(NUMPY)), pi, rtol=1e-12, atol=1e-15)
    assert agreement(name, trees) > SOUND


def test_tempered_replicas_draw_at_their_share() -> None:
    target = ProgramTarget(TREES[SQUARE], "trees")
    states, weight = target.states(), target.probabilities() ** 0.4
    block = target.block(NUMPY)
    rng = np.random.default_rng(3)
    start = states[rng.choice(len(states), size=20000, p=weight / weight.sum())]
    ends = []
    for share in (0.4, 1.0):
        at_share = replace(block, level=Level(share=np.array([share])))
        done = run(trees(at_share), NUMPY, {"s": start}, 2, compiled=False)
        ends.append(np.bincount(numbers(states, done.positions["s"][-1]), minlength=len(states)))
    expected = len(start) * weight / weight.sum()
    at_share, at_full = (float(scipy.stats.chisquare(end, expected).pvalue) for end in ends)
    assert at_share > SOUND and at_full < BROKEN


def test_what_else_the_energies_depend_on_counts() -> None:
    text = (
        "var b: bool\nvar s: spin[2, 2]\nfor (i, j) in grid(2, 2) { energy -(0.3 + 0.7 * b) * s[i] * s[j] }\n"
        "energy 0.6 * b - 0.4 * s[0, 1]\ninfer s by trees\ninfer b by gibbs"
    )
    exact = enumerate_states(graph_of(text))
    run = cg.sample(text, seed=5, chains=200, draws=60, warmup=20, backend="numpy")
    rows = run.summary()
    for name, values in (("b", [0, 1]), ("s", [-1, 1])):
        mine = [row for key, row in rows.items() if key.startswith(name)]
        for row, p in zip(mine, exact.marginals[name].reshape(-1, 2), strict=True):
            assert abs(row["mean"] - p @ values) < 4.5 * row["mcse_mean"]


def test_a_class_without_a_possible_state_stays() -> None:
    text = (
        "var s: bool[3]\nrequire not (s[2] and s[0])\nrequire s[0] or not s[2]\n"
        "energy 0.3 * s[0] * s[1] - 0.4 * s[1] * s[2]"
    )
    block = ProgramTarget(text, "trees").block(NUMPY)
    assert block.classes[0].summed.exact.sites.variables[0].free.tolist() == [True, True, False]
    states = ProgramTarget(text, "trees").states()
    with NUMPY.scope():
        drawn = block.draw({"s": states}, 0, np.random.default_rng(1).random((len(states), 2)))["s"]
    stuck = states[:, 2] == 1
    np.testing.assert_array_equal(drawn[stuck], states[stuck])
    assert (drawn[~stuck] != states[~stuck]).any()


LADDER = "var s: spin[2, 20]\nfor (a, b) in grid(2, 20) { energy -0.8 * s[a] * s[b] }"


def test_a_ladder_mixes_in_a_fraction_of_the_sweeps_of_gibbs() -> None:
    """From independent draws: how the mean correlates with what it is ten sweeps on, errors below 0.03."""
    exact = cg.sample(LADDER, method="exact", seed=1, chains=1, draws=800, backend="numpy")
    start = np.asarray(exact.values(exact.columns[0])).reshape(800, -1).astype(np.int64)
    found = {}
    for name in ("gibbs", "trees"):
        kernel = load_kernel(name).bind(ProgramTarget(LADDER, name).block(NUMPY), NUMPY, {}, 0)
        end = run(kernel, NUMPY, {"s": start}, 10, compiled=False).positions["s"][-1]
        found[name] = np.mean(start.mean(axis=1) * end.mean(axis=1)) / np.mean(start.mean(axis=1) ** 2)
    assert found["gibbs"] > 0.87
    assert found["trees"] < 0.76
    assert np.log(found["trees"]) < 3 * np.log(found["gibbs"])


# --- what is told ----------------------------------------------------------------------------------------


def test_the_plan_tells_the_sets_of_trees() -> None:
    told = cg.compile(TREES[SQUARE]).explain(method="trees")
    assert "trees draws s" in told
    assert "2 sets of trees, of 3, 3 of its 4 sites, each drawn jointly given the rest" in told


REFUSED = {
    "too many to list": "var s: int(0, 5000)[2]\nenergy 0.3 * s[0] * s[1]",
    "reads too many of them at once": "var s: bool[40]\nenergy (sum(s) - 3)^2",
    f"no {MOST_CLASSES} sets of trees hold all": "var s: spin[34]\nfor (i, j) in pairs(34) { energy s[i] * s[j] }",
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_has_no_trees_to_speak_of_is_refused(why: str) -> None:
    with pytest.raises(cg.ComposeError) as wrong:
        cg.compile(REFUSED[why]).explain(method="trees")
    assert wrong.value.diagnostics[0].code == "CG0601"
    assert why in wrong.value.diagnostics[0].message


# --- planted mistakes ------------------------------------------------------------------------------------


class Simultaneous(Trees):
    """Draws every class given what the others were before the sweep."""

    def step(self, position: Any, state: Any, noise: Any, t: Any) -> Any:
        after, start = position["s"], 0
        for cls, size in enumerate(self.block.sizes):
            drawn = self.block.draw(position, cls, noise["value"][:, start : start + size])["s"]
            after = np.where(drawn != position["s"], drawn, after)
            start += size
        return {"s": after}, state, {}


def test_classes_drawn_at_once_are_caught() -> None:
    target = ProgramTarget(TREES[SQUARE], "trees")
    assert discrete_invariance(trees, target, NUMPY, compiled=False) > SOUND
    assert discrete_invariance(lambda b: Simultaneous(b, NUMPY), target, NUMPY, compiled=False) < BROKEN


def test_a_draw_that_ignores_the_other_class_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    tabulate = splitting.tabulate
    monkeypatch.setattr(splitting, "tabulate", lambda group, sites, given: tabulate(group, sites))
    assert agreement(SQUARE, trees) < BROKEN
    target = ProgramTarget(TREES[SQUARE], "trees")
    assert discrete_invariance(trees, target, NUMPY, compiled=False) < BROKEN
