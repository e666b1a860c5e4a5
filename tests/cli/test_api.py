"""Compose from Python."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.runtime.results.run import Run

SCHOOLS = """\
data y: real[_]
data sigma: positive[_]
var mu: real ~ Normal(0, 5)
var tau: positive ~ HalfCauchy(5)
var theta: real[len(y)] ~ Normal(mu, tau)
y ~ Normal(theta, sigma)
"""
DATA = {"y": [28.0, 8.0, -3.0], "sigma": [15.0, 10.0, 16.0]}
QUICK = {"backend": "numpy", "chains": 2, "warmup": 20, "draws": 30}


@pytest.fixture(scope="module")
def model() -> cg.Model:
    return cg.compile(SCHOOLS, data=DATA)


def test_the_energy_is_minus_the_log_density(model):
    from scipy import stats

    mu, tau, theta = 1.5, 2.0, np.array([3.0, 1.0, -2.0])
    expected = (
        stats.norm(0, 5).logpdf(mu)
        + stats.halfcauchy(scale=5).logpdf(tau)
        + stats.norm(mu, tau).logpdf(theta).sum()
        + stats.norm(theta, DATA["sigma"]).logpdf(DATA["y"]).sum()
    )
    found = model.energy({"mu": mu, "tau": tau, "theta": theta})
    assert isinstance(found, float)
    assert found == pytest.approx(-expected, rel=1e-12)


def test_the_energy_of_what_is_not_allowed():
    model = cg.compile("var a: {red, green}[2]\nrequire a[0] != a[1]\nobserve a[0] = red\n")
    assert model.energy({"a": ["red", "green"]}) == 0
    assert model.energy({"a": ["green", "red"]}) == math.inf  # what is observed stays red
    for wrong, code in (({"a": ["red", "blue"]}, "CG0304"), ({"a": ["red"]}, "CG0203"), ({}, "CG0301")):
        with pytest.raises(cg.ComposeError, match=code):
            model.energy(wrong)
    with pytest.raises(cg.ComposeError, match="CG0201") as refused:
        cg.compile("var alpha: real ~ Normal(0, 1)").energy({"alpa": 1})
    assert "`alpha`" in refused.value.diagnostics[0].help


def test_sampling_gives_xarray(model):
    run = model.sample(seed=1, **QUICK)
    assert run.posterior["theta"].shape == (2, 30, 3)
    assert (run.posterior["tau"] > 0).all()
    assert list(run.summary()) == ["mu", "tau", "theta[0]", "theta[1]", "theta[2]"]
    np.testing.assert_array_equal(run.tree["observed_data"]["y"], DATA["y"])
    np.testing.assert_array_equal(run.tree["constant_data"]["sigma"], DATA["sigma"])
    assert {found["code"] for found in run.diagnostics} >= {"CG0703"}


def test_the_same_seed_gives_the_same_draws(model, tmp_path):
    run = model.sample(seed=1, out=tmp_path / "out", **QUICK)
    again = cg.sample(SCHOOLS, data=DATA, seed=1, **QUICK)
    other = model.sample(seed=2, **QUICK)
    np.testing.assert_array_equal(run.posterior["mu"], again.posterior["mu"])
    assert not np.isin(run.posterior["mu"], other.posterior["mu"]).any()
    np.testing.assert_array_equal(Run.open(tmp_path / "out").posterior["mu"], run.posterior["mu"])


def test_draws_without_a_folder_go_with_the_run(model):
    run = model.sample(**QUICK)
    out = run.out
    run.posterior["mu"].load()
    assert out.is_dir()
    del run
    gc.collect()
    assert not out.exists()


def test_a_program_is_a_path_or_text(tmp_path):
    path = tmp_path / "p.cg"
    path.write_text("const n = 2\nvar x: real[n] ~ Normal(0, 1)\n")
    for program in (path, str(path), path.read_text()):
        assert cg.compile(program, constants={"n": 3}).program.graph.variable("x").type.shape == (3,)
    with pytest.raises(cg.ComposeError, match="CG0302"):
        cg.compile(Path("nowhere.cg"))


def test_explain_names_kernels_and_reasons(model):
    text = model.explain(backend="numpy")
    assert "theta: real[3]" in text and "Normal × 3" in text and "mh draws mu, tau, theta" in text


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"chains": 0}, "CG0602"), ({"draws": 2.5}, "CG0602"), ({"backend": "abacus"}, "CG0602"),
        ({"method": "gibbs"}, "CG0601"), ({"method": "swim"}, "CG0602"), ({"keep": ["x"]}, "CG0307"),
    ],
)  # fmt: skip
def test_wrong_settings(model, settings, code):
    with pytest.raises(cg.ComposeError, match=code):
        model.sample(**{**QUICK, **settings})


@pytest.mark.parametrize(
    ("program", "factor"),
    [
        ("var x: real ~ Normal(0, 1)\nenergy sqrt(2.5 - x)\n", "energy"),
        ("var z: int(0, 3) ~ DiscreteUniform(0, 3)\nvar x: real ~ Normal(log(z - 1), 1)\n", "Normal"),
    ],
)
def test_an_energy_that_is_no_number_near_the_draws_names_its_factor(program, factor):
    run = cg.sample(program, backend="numpy", chains=2, draws=100, warmup=100)
    (found,) = [finding for finding in run.diagnostics if finding["code"] == "CG0701"]
    assert found["severity"] == "error" and found["message"].endswith(factor) and found["line"] == 2


def test_a_bounded_program_has_an_energy_everywhere():
    program = "var x: unit ~ Beta(0.5, 0.5)\nvar s: positive ~ HalfCauchy(1)\nrequire x < 0.9\n"
    run = cg.sample(program, backend="numpy", chains=2, draws=100, warmup=100)
    assert "CG0701" not in [finding["code"] for finding in run.diagnostics]
