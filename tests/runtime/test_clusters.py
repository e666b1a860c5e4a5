"""Cluster flips: labels against SciPy's, pairs against energies, critical points known exactly, planted mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import compose_lang as cg
from compose_lang.compiler.analyses.potts import clusters
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels.common.components import components
from compose_lang.runtime.kernels.swendsen_wang import SwendsenWang
from tests.compiler.points import graph_of
from tests.runtime.checks import BROKEN, SOUND, discrete_invariance
from tests.runtime.program_targets import PAIRS, ProgramTarget

NUMPY = load_backend("numpy")


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
def test_components_are_those_of_scipy(backend: str) -> None:
    library, rng = load_backend(backend), np.random.default_rng(4)
    sites, edges = 200, 260
    ends = rng.integers(sites, size=(2, edges))
    ends[:, :60] = [np.arange(60), np.arange(1, 61)]  # a long way
    active = rng.random((5, edges)) < np.linspace(0.0, 1.0, 5)[:, None]
    with library.scope():
        arrays = [library.asarray(x) for x in (active, *ends)]
        found = library.to_numpy(components(*arrays, sites, library))
    for row, on in zip(found, active, strict=True):
        graph = coo_array((np.ones(on.sum()), ends[:, on]), shape=(sites, sites))
        _, label = connected_components(graph, directed=False)
        least = np.full(sites, sites)
        np.minimum.at(least, label, np.arange(sites))
        np.testing.assert_array_equal(row, least[label])


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_and_fields_add_up_to_the_energy(name: str) -> None:
    target = ProgramTarget(PAIRS[name], "swendsen_wang")
    (s,) = target.graph.variables
    found = clusters(target.graph, s)
    assert not isinstance(found, str)
    states = target.states()
    places = np.searchsorted(np.array(s.type.domain.values), states)
    a, b = found.ends.T
    met = (places[:, a] - places[:, b] - found.offsets) % len(s.type.domain.values) == 0
    energy = -(met * found.couplings).sum(axis=1)
    if found.field is not None:
        energy = energy + found.field[np.arange(s.free_sites), places].sum(axis=1)
    weights = np.exp(-(energy - energy.min()))
    np.testing.assert_allclose(weights / weights.sum(), target.probabilities(), rtol=1e-12, atol=1e-15)


REFUSED = {
    "reads more than two": "var s: spin[3]\nenergy s[0] * s[1] * s[2]",
    "depends on other variables": "var b: positive ~ Exponential(1)\nvar s: spin[3]\nenergy -b * s[0] * s[1]",
    "tells more of two values": "var s: category(3)[2]\nenergy 0.1 * s[0] * s[1]",
    "prefers values that differ": "var s: category(3)[2]\nenergy if s[0] == s[1] then 1 else 0",
    "forbids some pairs": "var s: spin[2]\nrequire s[0] == s[1]",
    "none of its sites meet": "var s: spin[2]\nenergy s[0] + s[1]",
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_has_no_clusters_is_refused_by_name(why: str) -> None:
    model = cg.compile(REFUSED[why])
    with pytest.raises(cg.ComposeError) as refused:
        model.explain(method="swendsen_wang")
    (wrong,) = refused.value.diagnostics
    assert wrong.code == "CG0601"


@pytest.mark.parametrize(
    ("beta", "extra", "taken"),
    [
        (0.5, "", True),
        (0.2, "", False),  # single sites mix fast
        (-0.5, "", True),  # two sublattices
        (-0.5, "energy -s[0, 0] * s[1, 1]", True),
        (-0.5, "energy s[0, 0] * s[1, 1]", False),  # frustrated
        (0.5, "require s[0, 0] + s[0, 1] > 0", False),
    ],
)
def test_the_planner_takes_clusters_where_single_sites_stick(beta: float, extra: str, taken: bool) -> None:
    text = f"var s: spin[30, 30]\nfor (a, b) in grid(30, 30) {{ energy {-beta} * s[a] * s[b] }}\n{extra}"
    told = cg.compile(text).explain()
    assert ("swendsen_wang draws s" in told) == taken
    assert "gibbs draws s" in told


def test_fields_of_other_variables_are_read_at_every_step() -> None:
    """A hidden lattice: its labels by clusters, in fields that its means decide; against the exact sum."""
    text = """
    var m: category(3) ~ Categorical([0.2, 0.3, 0.5])
    var s: spin[2, 3]
    for (a, b) in grid(2, 3) { energy -0.5 * s[a] * s[b] }
    for i in range(2), j in range(3) { energy -(m - 0.7) * 0.15 * s[i, j] * (j + 1) }
    """
    from compose_lang.validation.enumeration import enumerate_states

    exact = enumerate_states(graph_of(text)).marginals
    run = cg.sample(
        text + "infer s by swendsen_wang", seed=2, chains=256, draws=80, warmup=20, backend="numpy"
    )
    for name, row in run.summary().items():
        if name.startswith("s["):
            i, j = map(int, name[2:-1].split(","))
            truth = 2 * exact["s"][3 * i + j, 1] - 1
            assert abs(row["mean"] - truth) < 4.5 * row["mcse_mean"]
    assert abs(run.summary()["m"]["mean"] - exact["m"][0] @ [0, 1, 2]) < 4.5 * run.summary()["m"]["mcse_mean"]


SELF_DUAL = """
const q = {q}
const n = {n}
const beta = log(1 + sqrt(q))
var s: category(q)[n, n]
for (a, b) in grid(n, n) {{ energy if s[a] == s[b] then -beta else 0 }}
for i in range(n) {{ energy (if s[i, 0] == 0 then -beta else 0) + (if s[0, i] == 0 then -beta else 0) }}
let inside = sum(s[:-1, :] == s[1:, :]) + sum(s[:, :-1] == s[:, 1:])
let agree = (inside + sum(s[:, 0] == 0) + sum(s[0, :] == 0)) / (2 * n^2)
"""
"""A Potts model at its critical point on a graph that is its own dual: a square with two sides held to one value.

There half of all pairs are bound in the mean, whatever the size (duality of the random-cluster model: Fortuin and
Kasteleyn 1972), so that (1 + 1/sqrt(q)) / 2 of them agree: the energy a site of the infinite lattice.
"""


def agreement(q: int, n: int, method: str | None = None, **settings: Any) -> tuple[float, float]:
    """How many standard errors the share of pairs that agree is off, and the error."""
    run = cg.sample(SELF_DUAL.format(q=q, n=n), method=method, keep=["agree"], **settings)
    row = run.summary()["agree"]
    return (row["mean"] - 0.5 * (1 + q**-0.5)) / row["mcse_mean"], row["mcse_mean"]


@pytest.mark.parametrize("q", [2, 3])
def test_energy_at_the_critical_point(q: int) -> None:
    off, error = agreement(q, 8, "swendsen_wang", seed=3, chains=200, draws=50, warmup=30, backend="numpy")
    assert abs(off) < 4.5
    assert error < 0.003


@pytest.mark.slow
@pytest.mark.parametrize("q", [2, 3, 4])
def test_energy_at_the_critical_point_of_a_larger_square(q: int) -> None:
    off, error = agreement(q, 96, seed=3, chains=8, draws=1500, warmup=200)
    assert abs(off) < 4.5
    assert error < 0.0015


def test_single_sites_stick_where_clusters_do_not() -> None:
    """Below the critical temperature both signs have one half: clusters come to it, single sites keep theirs."""
    text = """
    var s: spin[16, 16]
    for (a, b) in torus(16, 16) { energy -0.5 * s[a] * s[b] }
    let up = mean(s) > 0
    """
    settings: dict[str, Any] = {"chains": 24, "draws": 30, "warmup": 40, "keep": ["up"], "backend": "numpy"}
    by_clusters = cg.sample(text, seed=1, **settings).summary()["up"]
    assert abs(by_clusters["mean"] - 0.5) < 4.5 * by_clusters["mcse_mean"]
    assert by_clusters["ess_bulk"] > 200
    by_sites = np.asarray(cg.sample(text, seed=1, method="gibbs", **settings).posterior["up"])
    assert (by_sites == by_sites[:, :1]).all(axis=1).mean() > 0.2
    assert (by_sites[:, 1:] != by_sites[:, :-1]).mean() < 0.02


# --- planted mistakes ---------------------------------------------------------------------------------


def pairs(name: str) -> ProgramTarget:
    return ProgramTarget(PAIRS[name], "swendsen_wang")


def invariance(kind: type[SwendsenWang], name: str) -> float:
    return discrete_invariance(lambda block: kind(block, NUMPY), pairs(name), NUMPY, chains=6000)


def test_bonds_that_are_too_likely() -> None:
    class Doubled(SwendsenWang):
        def probability(self, couplings: Any) -> Any:
            return super().probability(2.0 * couplings)

    assert invariance(SwendsenWang, "three values") > SOUND
    assert invariance(Doubled, "three values") < BROKEN


def test_fields_that_are_forgotten() -> None:
    class Fieldless(SwendsenWang):
        def weighed_step(self, field: Any, *rest: Any) -> Any:
            return super().weighed_step(0.0 * field, *rest)

    assert invariance(SwendsenWang, "spins in fields") > SOUND
    assert invariance(Fieldless, "spins in fields") < BROKEN


def test_fields_of_the_root_alone() -> None:
    class Rooted(SwendsenWang):
        def weighed_step(self, field: Any, places: Any, label: Any, uniform: Any) -> Any:
            is_root = label == np.arange(label.shape[1])
            return super().weighed_step(np.where(is_root[..., None], field, 0.0), places, label, uniform)

    assert invariance(Rooted, "spins in fields") < BROKEN


def test_bonds_between_what_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets forgotten: pairs that prefer to differ are bound where they agree."""
    from compose_lang.runtime.views.agreements import Bonds

    assert invariance(SwendsenWang, "pairs that differ") > SOUND
    monkeypatch.setattr(Bonds, "offsets", property(lambda block: 0 * block.tables["offsets"]))
    assert invariance(SwendsenWang, "pairs that differ") < BROKEN
