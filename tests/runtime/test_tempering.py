"""Tempered replicas of any program: marginals and evidence against exact sums, modes that no chain leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains import tempering
from compose_lang.runtime.chains.tempering import equal_rejection, exchange_probability, rounds
from compose_lang.runtime.results.evidence import log_evidence
from compose_lang.validation.enumeration import enumerate_states
from tests.compiler.points import graph_of

NUMPY = load_backend("numpy")
PROGRAMS = {
    "spins that stick": "var s: spin[3, 3]\nfor (a, b) in grid(3, 3) { energy -1.2 * s[a] * s[b] }\n"
    "energy -0.2 * s[0, 0]",
    "a hard constraint": "var s: category(4)[4]\nfor (i, j) in chain(4) { require s[i] != s[j] }\nenergy -0.4 * sum(s)",
    "all at once": "var s: bool[9]\nenergy 0.9 * (sum(s) - 3)^2\nenergy 0.6 * s[0] * s[1] * s[2]",
    "two modes": "var s: int(0, 9)[2]\nfor i in range(2) { energy -2 * (s[i] - 4.5)^2 / 9 }\nenergy (s[0] - s[1])^2",
}


def tempered(text: str, **settings: Any) -> Any:
    options = {"seed": 3, "chains": 24, "draws": 120, "warmup": 112, "backend": "numpy"} | settings
    return cg.sample(text, method=options.pop("method", "tempering(levels=5)"), **options)


def worst(run: Any, exact: Any) -> float:
    """The largest |z| of the means of a program's one variable `s`."""
    (v,) = [c for c in run.columns if c.name == "s"]
    values = np.array(list(v.type.domain.values))
    rows = run.summary().values()
    return max(
        abs(row["mean"] - p @ values) / row["mcse_mean"]
        for row, p in zip(rows, exact.marginals["s"], strict=True)
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_marginals_and_evidence_are_those_of_the_exact_sum(name: str) -> None:
    exact = enumerate_states(graph_of(PROGRAMS[name]))
    run = tempered(PROGRAMS[name])
    assert worst(run, exact) < 4.5
    found = log_evidence(run)
    assert found is not None
    assert abs(found["value"] - exact.log_z) < 4.5 * found["error"]
    assert found["error"] < 0.1


def test_the_shares_are_those_at_which_all_pairs_exchange_equally_often() -> None:
    run = tempered(PROGRAMS["spins that stick"], draws=100, warmup=496)
    shares, rates = run.statistics["share"][:, -1], run.statistics["exchange_rate"].mean((0, 1))
    assert (shares[:, 0] == 0.0).all() and (shares[:, -1] == 1.0).all() and (np.diff(shares) > 0.0).all()
    assert np.ptp(rates) < 0.12
    assert np.ptp(run.statistics["share"], axis=1).max() == 0.0, "they stay after the warm-up"
    assert (run.statistics["round_trips"][:, -1] > 3).all()


def test_a_barrier_that_is_known_is_cut_into_equal_parts() -> None:
    shares = np.linspace(0.0, 1.0, 5)[None] ** 2
    density = lambda x: np.sqrt(x)  # noqa: E731 - the barrier from 0 to x
    found = shares
    for _ in range(30):
        found = equal_rejection(found, np.diff(density(found)), NUMPY)
    np.testing.assert_allclose(density(found), np.linspace(0.0, 1.0, 5)[None], atol=1e-3)


def test_rounds_double_and_the_last_ends_with_the_warm_up() -> None:
    assert rounds(10) == []
    assert rounds(16) == [16]
    assert rounds(112) == [16, 48, 112]
    assert rounds(200) == [16, 48, 200]


def test_a_lattice_is_drawn_at_its_share() -> None:
    """Gibbs has forms for lattices that know the whole energy only: at a share of 0 all states are alike."""
    text = "var s: spin[32, 32]\nfor (a, b) in grid(32, 32) { energy -0.22 * s[a] * s[b] }"
    run = tempered(text, method="tempering(levels=3)", chains=8, draws=40, warmup=16)
    energy = run.statistics["replica_energy"][:, :, 0]
    deviation = 0.22 * np.sqrt(2 * 31 * 32)
    assert abs(energy.mean()) < 4.5 * deviation / np.sqrt(energy.size)
    assert energy.std() == pytest.approx(deviation, rel=0.2)


MODES = """
var x: real
var y: positive ~ Exponential(2)
energy -logsumexp([-0.5 * ((x + 6) / 0.5)^2, log(3) - 0.5 * ((x - 6) / 0.5)^2])
"""


def test_far_modes_have_their_shares() -> None:
    run = tempered(MODES, method="tempering(levels=8, hottest=0.02)", chains=32, draws=200, warmup=496)
    right = (np.asarray(run.posterior["x"]) > 0).mean(axis=1)
    assert abs(right.mean() - 0.75) < 4.5 * right.std(ddof=1) / np.sqrt(len(right))
    assert abs(right.mean() - 0.75) < 0.1
    row = run.summary()["y"]
    assert abs(row["mean"] - 0.5) < 4.5 * row["mcse_mean"], "Jacobians are not tempered"
    assert log_evidence(run) is None


def test_trajectories_run_at_shares() -> None:
    settings: dict[str, Any] = {"backend": "jax", "chains": 2, "draws": 1500, "warmup": 300}
    run = tempered(MODES, method="tempering(levels=6, hottest=0.02)", **settings)
    assert [block["kernel"] for block in run.manifest.plan] == ["hmc", "tempering"]
    row = run.summary()["x"]
    assert abs(row["mean"] - 3.0) < 4.5 * row["mcse_mean"] < 6.0


@pytest.mark.parametrize("moves", [1, 3])
def test_a_run_that_is_resumed_is_the_same(moves: int, tmp_path: Path) -> None:
    text = "var p: permutation(4)[2]\nenergy 0.4 * sum((p[0][i] - p[1][i])^2 for i in range(4))"
    method = f"tempering(levels=3, moves={moves}, hottest=0)"
    settings: dict[str, Any] = {"method": method, "chains": 2, "warmup": 20}
    whole = tempered(text, draws=12, **settings)
    tempered(text, draws=5, out=tmp_path / "out", **settings)
    resumed = tempered(text, draws=12, out=tmp_path / "out", resume=True, **settings)
    for name in ("posterior", "sample_stats"):
        assert getattr(resumed, name).equals(getattr(whole, name))


def test_backends_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    text = (
        "var s: spin[5]\nfor (i, j) in chain(5) { energy -0.9 * s[i] * s[j] }\nvar x: real ~ Normal(s[0], 1)"
    )
    runs = [
        tempered(text, method="tempering(levels=4)", chains=2, draws=30, warmup=20, backend=b)
        for b in ("jax", "torch")
    ]
    np.testing.assert_array_equal(runs[0].posterior["s"], runs[1].posterior["s"])
    np.testing.assert_allclose(runs[0].posterior["x"], runs[1].posterior["x"], atol=1e-8)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("var x: real ~ Normal(0, 1)\ninfer x by tempering(hottest=0)", "CG0602", "nothing holds `x`"),
        ("var x: real ~ Normal(0, 1)\ninfer x by tempering(levels=1)", "CG0602", "at least 2 levels"),
        ("var x: bool\ninfer x by tempering(coarsest=3)", "CG0602", "about levels of noise"),
        ("var x: real ~ Normal(0, 1)\nvar z: bool\ninfer z by tempering\ninfer x by nuts", "CG0601", "nuts"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, code: str, told: str) -> None:
    with pytest.raises(cg.ComposeError) as refused:
        cg.compile(text).explain()
    (wrong,) = refused.value.diagnostics
    assert wrong.code == code and told in wrong.message


def test_shares_too_far_apart_are_told() -> None:
    text = "var s: spin[60]\nenergy -0.05 * sum(s)^2\nenergy -0.2 * sum(s)"
    run = tempered(text, method="tempering(levels=2)", chains=2, draws=30, warmup=16)
    assert any(d.code == "CG0712" and "shares of the energy" in d.message for d in run.findings())


# --- planted mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", ["always", "turned round"])
def test_exchanges_that_are_taken_wrongly(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(shares: Any, energy: Any, xp: Any) -> Any:
        found = exchange_probability(shares, energy if mutant == "always" else -energy, xp)
        return 0.0 * found + 1.0 if mutant == "always" else found

    text = "var s: spin[6]\nenergy -1.5 * sum(s[1:] * s[:-1])\nenergy -0.3 * s[0]"
    exact = enumerate_states(graph_of(text))
    assert worst(tempered(text), exact) < 4.5
    monkeypatch.setattr(tempering, "exchange_probability", wrong)
    assert worst(tempered(text), exact) > 6.0


def test_a_kernel_that_does_not_know_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    from compose_lang.runtime.density.density import Density

    monkeypatch.setattr(Density, "weighed", lambda density, energy, level: energy)
    name = "all at once"
    found = log_evidence(tempered(PROGRAMS[name]))
    assert found is not None
    assert abs(found["value"] - enumerate_states(graph_of(PROGRAMS[name])).log_z) > 9.0 * found["error"]
