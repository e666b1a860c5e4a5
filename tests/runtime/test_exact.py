"""Finite variables drawn exactly and summed out of programs, against lists of all states, quadrature, sums by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.graph.factor_graph import Request
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.elimination import summed_out
from compose_lang.runtime.planning.plan import plan
from compose_lang.runtime.views.views import Views
from compose_lang.validation.enumeration import enumerate_states
from tests.compiler.discrete_programs import DISCRETE
from tests.compiler.points import graph_of, views_on

PROGRAMS = Path(__file__).parents[1] / "posteriordb"
RNG = np.random.default_rng(0)
Y = np.where(RNG.random(24) < 0.4, 2.5, 9.0) + RNG.normal(size=24)

HMM = (PROGRAMS / "hmm_states.cg").read_text(), (PROGRAMS / "hmm_example.cg").read_text(), {"K": 2, "y": Y}
MIXTURE = (
    (PROGRAMS / "gauss_mix_assignments.cg").read_text(),
    (PROGRAMS / "low_dim_gauss_mix.cg").read_text(),
    {"y": (Y - 6) / 3},
)


@pytest.mark.parametrize("name", DISCRETE)
def test_answers_are_those_of_enumeration(name: str) -> None:
    model = cg.compile(DISCRETE[name])
    truth = enumerate_states(model.program.graph)
    assert model.log_evidence() == pytest.approx(truth.log_z, abs=1e-10)
    marginals = model.marginals()
    for v in model.program.graph.variables:
        if v.free_sites:
            free = marginals[v.name][v.free].reshape(v.free_sites, -1)
            np.testing.assert_allclose(free, truth.marginals[v.name], atol=1e-10)
    lowest = model.energy(model.best())
    for seed in range(3):
        run = model.sample(seed=seed, chains=1, draws=30)
        assert [block["kernel"] for block in run.manifest.plan] == ["exact"]
        for k in range(30):
            drawn = {n: run.posterior[n].values[0, k] for n in marginals}
            assert lowest <= model.energy(drawn) + 1e-9 < math.inf


def test_draws_are_independent_and_right() -> None:
    model = cg.compile(DISCRETE["two variables"])
    truth = enumerate_states(model.program.graph)
    run = model.sample(seed=1, chains=4, draws=3000)
    n = 12000
    for name in ("z", "b"):
        values = run.posterior[name].values.reshape(n, 4).astype(int)
        for site, p in enumerate(truth.marginals[name]):
            share = np.bincount(values[:, site], minlength=len(p)) / n
            assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()
    assert run.manifest.log_evidence == {"value": pytest.approx(truth.log_z, abs=1e-10), "error": 0.0}
    assert json.loads((run.out / "summary.json").read_text())["log_evidence"]["error"] == 0.0
    assert run.summary()["m"]["ess_bulk"] > 9000


def test_draws_do_not_depend_on_chains_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from compose_lang.runtime.chains import independent

    model = cg.compile(DISCRETE["lattice"])
    whole = model.sample(seed=3, chains=3, draws=40).posterior["s"].values
    assert not (whole[0] == whole[1]).all()
    monkeypatch.setattr(independent, "MOST_NUMBERS", 3 * 12 * 7)  # seven draws a chunk
    np.testing.assert_array_equal(model.sample(seed=3, chains=2, draws=40).posterior["s"].values, whole[:2])


def test_what_nothing_satisfies_is_told() -> None:
    model = cg.compile("var z: category(2)[3]\nfor (i, j) in pairs(3) { require z[i] != z[j] }")
    assert model.log_evidence() == -math.inf
    with pytest.raises(ComposeError) as told:
        model.sample()
    assert (told.value.diagnostics[0].code, told.value.exit_code) == ("CG0502", 4)


LATTICE = "var s: spin[40, 40]\nfor (p, q) in grid(40, 40) { energy -0.4 * s[p] * s[q] }"


def test_what_costs_too_much_is_told() -> None:
    model = cg.compile(LATTICE)
    assert "not jointly by `exact`: the best order found has a width of" in model.explain()
    with pytest.raises(ComposeError) as told:
        model.explain(method="exact")
    assert told.value.diagnostics[0].code == "CG0601"
    with pytest.raises(ComposeError):
        model.log_evidence()
    small = cg.compile("var s: spin[4, 4]\nfor (p, q) in grid(4, 4) { energy -0.4 * s[p] * s[q] }")
    assert "treewidth at most 4" in small.explain()
    with pytest.raises(ComposeError):
        small.explain(method="exact(max_cost=50)")
    assert "exact(max_cost=5000) draws s exactly: asked for" in small.explain(method="exact(max_cost=5000)")


def test_exact_answers_need_finite_variables() -> None:
    with pytest.raises(ComposeError) as told:
        cg.compile("var x: real ~ Normal(0, 1)").marginals()
    assert told.value.diagnostics[0].code == "CG0601"


# --- summed out of continuous variables ----------------------------------------------------------------------


def views_of(text: str, data: dict[str, Any], backend: str) -> Views:
    graph = graph_of(text, data)
    # a sum that is written out looks like a mixture of far parts
    hmc = [Request(tuple(v.name for v in graph.variables if not v.is_discrete), "hmc", {}, None)]
    return views_on(graph, backend, plan(graph, backend, hmc if backend != "numpy" else ()))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
@pytest.mark.parametrize("programs", [HMM, MIXTURE], ids=["hmm", "mixture"])
def test_energies_and_gradients_are_those_of_sums_by_hand(programs: Any, backend: str) -> None:
    assert summing_error(programs, backend) < 1e-8


def summing_error(programs: Any, backend_name: str) -> float:
    """The largest difference of energy or gradient from the program in which the sum is written out."""
    explicit, by_hand, data = programs
    first, second = (views_of(text, data, backend_name) for text in (explicit, by_hand))
    names = first.blocks[0].variables
    assert first.blocks[0].summed == (("z",),) and first.blocks[1].kernel == "exact"
    backend = first.backend
    with backend.scope():
        ours, theirs = first.block(names), second.block(names)
        assert ours.alone and ours.size == theirs.size
        u = backend.asarray(np.random.default_rng(2).normal(size=(3, ours.size)))
        here = theirs.unravel({}, u)
        sites = first.density.variables["z"].free_sites
        there = {**here, "z": backend.asarray(np.zeros((3, sites), dtype=np.int64), backend.integer)}
        found = []
        for block, at in ((ours, there), (theirs, here)):
            evaluate = block.energy if backend_name == "numpy" else block.energy_and_gradient
            evaluate = backend.compile(evaluate) if backend.compiles_whole else evaluate
            out = evaluate(u, at)
            found.append(out if isinstance(out, tuple) else (out,))
        return max(
            float(np.abs(backend.to_numpy(a) - backend.to_numpy(b)).max())
            for a, b in zip(*found, strict=True)
        )


def test_a_gradient_that_forgets_the_messages_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    original = summed_out.Passes.of_tables
    monkeypatch.setattr(
        summed_out.Passes, "of_tables", lambda self, b, t: [0.9 * x for x in original(self, b, t)]
    )
    assert summing_error(HMM, "jax") > 1e-2


def test_infinite_energies_have_gradients_of_what_is_possible() -> None:
    text = """
var x: real ~ Normal(0, 1)
var z: category(3)[4]
for (i, j) in chain(4) { require z[i] != z[j]; energy 0.3 * x * z[i] * z[j] }
"""
    views = views_of(text, {}, "jax")
    graph = views.density.graph
    (v,) = [v for v in graph.variables if v.name == "z"]
    flat = Density(graph, load_backend("numpy"))
    states = np.array(list(itertools.product(range(3), repeat=v.free_sites)))

    def free_energy(x: float) -> float:
        with flat.backend.scope():
            energy = flat.energy_of_values({"x": np.full(len(states), x), "z": states})
        return -float(np.log(np.exp(-energy).sum()))

    with views.backend.scope():
        block = views.block(("x",))
        z = views.backend.asarray(np.zeros((1, 4), dtype=np.int64))
        evaluate = views.backend.compile(block.energy_and_gradient)
        energy, gradient = evaluate(views.backend.asarray([[0.7]]), {"z": z})
    assert float(energy[0]) == pytest.approx(free_energy(0.7), abs=1e-10)
    slope = (free_energy(0.7 + 1e-5) - free_energy(0.7 - 1e-5)) / 2e-5
    assert float(gradient[0, 0]) == pytest.approx(slope, abs=1e-7)


SWITCH = """
data y: real[5] = [0.3, 1.9, 2.4, -0.2, 2.2]
var x: real ~ Normal(0, 2)
var z: bool[5]
for i in range(5) { z[i] ~ Bernoulli(0.3); y[i] ~ Normal(if z[i] then x else 0, 0.6) }
for (i, j) in chain(5) { energy 0.5 * (z[i] != z[j]) }
"""


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow), "numpy"])
def test_posterior_of_a_switch_against_quadrature(backend: str) -> None:
    model = cg.compile(SWITCH)
    grid = np.linspace(-9, 9, 1201)
    states = np.array(list(itertools.product([False, True], repeat=5)))
    numpy = load_backend("numpy")
    density = Density(model.program.graph, numpy)
    with numpy.scope():
        points = {"x": np.repeat(grid, 32), "z": np.tile(states, (1201, 1))}
        weights = np.exp(-density.energy_of_values(points)).reshape(1201, 32)
    weights /= weights.sum()
    mean = (weights.sum(axis=1) * grid).sum()
    sd = math.sqrt((weights.sum(axis=1) * (grid - mean) ** 2).sum())
    on = weights.sum(axis=0) @ states
    product = (weights * grid[:, None] * states[:, 1]).sum()
    assert model.plan(model.settings(backend=backend)).blocks[0].summed == (("z",),)
    draws = {"jax": 1500, "torch": 300, "numpy": 600}[backend]
    run = model.sample(seed=2, chains=4, draws=draws, warmup=300, backend=backend)
    summary = run.summary()
    x, z = run.posterior["x"].values, run.posterior["z"].values
    assert abs(x.mean() - mean) < 5 * summary["x"]["mcse_mean"]
    assert x.std() == pytest.approx(sd, rel=0.15)
    for i in range(5):
        row = summary[f"z[{i}]"]
        assert abs(row["mean"] - on[i]) < 5 * max(row["mcse_mean"], math.sqrt(on[i] * (1 - on[i]) / 500))
    worth = summary["x"]["ess_bulk"]
    assert abs((x * z[..., 1]).mean() - product) < 5 * (x * z[..., 1]).std() / math.sqrt(worth)


def test_order_of_a_sweep_and_what_stays_with_gibbs() -> None:
    text = (
        SWITCH
        + "var s: spin[30, 30]\nfor (p, q) in grid(30, 30) { energy -0.4 * s[p] * s[q] * (1 + 0.1 * z[0]) }"
    )
    model = cg.compile(text)
    blocks = model.plan(model.settings()).blocks
    kernels = [(b.variables, b.kernel) for b in blocks]
    assert (("s",), "gibbs") in kernels
    linked = cg.compile(SWITCH + "var w: bool\nenergy 0.4 * x * w * z[0]\ninfer w by exact")
    assert [(b.kernel, b.summed) for b in linked.plan(linked.settings()).blocks] == [
        ("exact", ()), ("exact", ()), ("nuts", ()),
    ]  # fmt: skip
    asked = cg.compile(SWITCH + "infer z by gibbs")
    assert [b.kernel for b in asked.plan(asked.settings()).blocks] == ["gibbs", "nuts"]
    summed = cg.compile(SWITCH)
    assert [b.kernel for b in summed.plan(summed.settings()).blocks] == ["nuts", "exact"]
