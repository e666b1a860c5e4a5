"""Programs against posteriordb: the log density of its Stan models, and fits against its reference draws.

The collection lies in ../shared/posteriordb beside the project; where it is absent these tests say so and are
skipped. A fit agrees when every mean is within 0.1 reference standard deviations and every standard deviation
within 10 %, beyond four Monte-Carlo standard errors of the fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats as st
from scipy.special import logsumexp

import compose_lang
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.passes import compile_program
from compose_lang.grammar.parser import read_source
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.results.convergence import mcse_mean, rhat
from compose_lang.runtime.views.coordinates import Coordinates
from tests.compiler.points import Values, density_of, random_values

PROGRAMS = Path(__file__).parent / "posteriordb"
COLLECTION = Path(__file__).parents[2] / "shared" / "posteriordb"

pytestmark = pytest.mark.skipif(
    not COLLECTION.is_dir(), reason="posteriordb is not beside the project: no ../shared/posteriordb"
)

Data = dict[str, Any]
POSTERIORS = {
    "arK": "arK-arK",
    "eight_schools_noncentered": "eight_schools-eight_schools_noncentered",
    "hmm_example": "hmm_example-hmm_example",
    "kidscore_momiq": "kidiq-kidscore_momiq",
    "kilpisjarvi": "kilpisjarvi_mod-kilpisjarvi",
    "low_dim_gauss_mix": "low_dim_gauss_mix-low_dim_gauss_mix",
    "nes": "nes1972-nes",
}


def data_of(name: str) -> Data:
    found: Data = json.loads((COLLECTION / f"{POSTERIORS[name]}.data.json").read_text())
    return found


def graph_of(name: str) -> FactorGraph:
    return compile_program(read_source(PROGRAMS / f"{name}.cg"), data_of(name)).graph


# --- without sampling: the models by scipy, from their .stan files ----------------------------------------


def ar_k(d: Data, p: Values) -> float:
    y, k = np.array(d["y"]), d["K"]
    means = [p["alpha"] + sum(p["beta"][j] * y[t - 1 - j] for j in range(k)) for t in range(k, d["T"])]
    prior = st.norm.logpdf([p["alpha"], *p["beta"]], 0, 10).sum() + st.cauchy.logpdf(p["sigma"], 0, 2.5)
    return float(prior + st.norm.logpdf(y[k:], means, p["sigma"]).sum())


def eight_schools(d: Data, p: Values) -> float:
    theta = p["theta_trans"] * p["tau"] + p["mu"]
    prior = st.norm.logpdf(p["theta_trans"]).sum() + st.norm.logpdf(p["mu"], 0, 5)
    return float(prior + st.cauchy.logpdf(p["tau"], 0, 5) + st.norm.logpdf(d["y"], theta, d["sigma"]).sum())


def hidden_markov(d: Data, p: Values) -> float:
    theta = np.log([p["theta1"], p["theta2"]])
    emitted = st.norm.logpdf(np.array(d["y"])[:, None], p["mu"], 1)
    gamma = emitted[0]
    for row in emitted[1:]:
        gamma = logsumexp(gamma[:, None] + theta, axis=0) + row
    return float(st.norm.logpdf(p["mu"], [3, 10], 1).sum() + logsumexp(gamma))


def kid_score(d: Data, p: Values) -> float:
    means = p["beta"][0] + p["beta"][1] * np.array(d["mom_iq"])
    return float(
        st.cauchy.logpdf(p["sigma"], 0, 2.5) + st.norm.logpdf(d["kid_score"], means, p["sigma"]).sum()
    )


def kilpisjarvi(d: Data, p: Values) -> float:
    prior = st.norm.logpdf(p["alpha"], d["pmualpha"], d["psalpha"])
    prior += st.norm.logpdf(p["beta"], d["pmubeta"], d["psbeta"])
    return float(prior + st.norm.logpdf(d["y"], p["alpha"] + p["beta"] * np.array(d["x"]), p["sigma"]).sum())


def gauss_mix(d: Data, p: Values) -> float:
    y, w = np.array(d["y"])[:, None], np.array([p["theta"], 1 - p["theta"]])
    parts = np.log(w) + st.norm.logpdf(y, p["mu"], p["sigma"])
    prior = st.norm.logpdf([*p["mu"], *p["sigma"]], 0, 2).sum() + st.beta.logpdf(p["theta"], 5, 5)
    return float(prior + logsumexp(parts, axis=1).sum())


def nes(d: Data, p: Values) -> float:
    age = np.array(d["age_discrete"])
    columns = [
        np.ones_like(age), d["real_ideo"], d["race_adj"], age == 2, age == 3, age == 4, d["educ1"], d["gender"],
        d["income"],
    ]  # fmt: skip
    return float(st.norm.logpdf(d["partyid7"], np.stack(columns, axis=1) @ p["beta"], p["sigma"]).sum())


MODELS: dict[str, Callable[[Data, Values], float]] = {
    "arK": ar_k, "eight_schools_noncentered": eight_schools, "hmm_example": hidden_markov,
    "kidscore_momiq": kid_score, "kilpisjarvi": kilpisjarvi, "low_dim_gauss_mix": gauss_mix, "nes": nes,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_energy_is_that_of_the_stan_model(name: str) -> None:
    graph, data = graph_of(name), data_of(name)
    values = random_values(graph, np.random.default_rng(0), 5)
    expected = [-MODELS[name](data, {n: v[i] for n, v in values.items()}) for i in range(5)]
    np.testing.assert_allclose(density_of(graph).energy_of_values(values), expected, rtol=1e-10)


def log_jacobian(density: Density, u: np.ndarray) -> float:
    """log |d values / d u| by central differences; of a simplex the first k - 1 coordinates are its values."""
    names = tuple(v.name for v in density.graph.variables)
    block = Coordinates(density, names)

    def coordinates(at: np.ndarray) -> np.ndarray:
        values, _ = density.constrain(block.unravel({}, at))
        parts = [
            values[v.name][..., :-1] if v.type.domain.kind == "simplex" else values[v.name]
            for v in density.graph.variables
        ]
        return np.concatenate([p.reshape(len(at), -1) for p in parts], axis=1)

    steps = 1e-5 * np.eye(u.shape[1])
    slopes = (coordinates(u + steps) - coordinates(u - steps)) / 2e-5
    return float(np.linalg.slogdet(slopes)[1])


@pytest.mark.parametrize("name", MODELS)
def test_coordinates_have_the_jacobian_of_their_transform(name: str) -> None:
    density = density_of(graph_of(name))
    values = random_values(density.graph, np.random.default_rng(1), 1)
    position = density.position_of(values)
    block = Coordinates(density, tuple(v.name for v in density.graph.variables))
    expected = density.energy_of_values(values) - log_jacobian(density, block.ravel(position))
    np.testing.assert_allclose(density.energy(position), expected, rtol=1e-7)


# --- fits -------------------------------------------------------------------------------------------------


def draws_of(posterior: Any, label: str) -> np.ndarray:
    """The draws (chain, draw) of a quantity under its 1-based name in the reference."""
    name, _, place = label.partition("[")
    array = np.asarray(posterior[name])
    index = tuple(int(i) - 1 for i in place.rstrip("]").split(",")) if place else ()
    return array[(slice(None), slice(None), *index)]


def check_fit(name: str, **options: Any) -> None:
    """Sample, and compare every quantity of the reference."""
    reference = json.loads((COLLECTION / f"{POSTERIORS[name]}.reference.json").read_text())
    model = compose_lang.compile(PROGRAMS / f"{name}.cg", data=data_of(name))
    posterior = model.sample(seed=1, chains=4, **options).posterior
    for label, expected in reference.items():
        x = draws_of(posterior, label)
        mean, sd = x.mean(), x.std(ddof=1)
        assert rhat(x[..., None])[0] < 1.02, label
        assert abs(mean - expected["mean"]) < 0.1 * expected["sd"] + 4 * mcse_mean(x[..., None])[0], label
        # the error of sd from that of the variance: d sd = d var / (2 sd)
        sd_error = mcse_mean((x[..., None] - mean) ** 2)[0] / (2 * sd)
        assert abs(sd - expected["sd"]) < 0.1 * expected["sd"] + 4 * sd_error, label


def test_eight_schools_by_nuts_on_jax() -> None:
    check_fit("eight_schools_noncentered", backend="jax", method="nuts", warmup=1000, draws=1000)


@pytest.mark.slow
def test_eight_schools_by_hmc_on_torch() -> None:
    check_fit("eight_schools_noncentered", backend="torch", method="hmc", warmup=800, draws=1500)


def test_a_changing_mean_by_nuts_on_jax() -> None:
    check_fit("arK", backend="jax", method="nuts", warmup=500, draws=500)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(POSTERIORS) - {"eight_schools_noncentered", "arK"}))
def test_fits_by_nuts_on_jax(name: str) -> None:
    check_fit(name, backend="jax", method="nuts", warmup=1000, draws=1000)
