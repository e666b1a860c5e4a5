"""Sampling a hierarchy by its offsets is a change of coordinates, not of the density."""

from __future__ import annotations

import numpy as np
import pytest

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Source
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density

HIERARCHY = """
data y: real[4] = [1, -2, 3, 0.5]
var mu: real ~ Normal(0, 5)
var tau: positive ~ HalfNormal(2)
var theta: real[4] ~ Normal(mu, tau)
y ~ Normal(theta, 1)
"""


def graph_of(text: str) -> FactorGraph:
    return compile_program(Source("<text>", text)).graph


def density_of(text: str, backend: str) -> Density:
    graph = graph_of(text)
    return Density(graph, load_backend(backend))


def values(chains: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(chains, 4))
    return {"mu": rng.normal(size=chains), "tau": rng.gamma(2.0, size=chains), "theta": theta}


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
def test_energy_differs_by_the_jacobian_alone(backend: str) -> None:
    density = density_of(HIERARCHY, backend)
    assert set(density.graph.offsets) == {"theta"}
    at = values(3)
    with density.backend.scope():
        position = density.position_of(at)
        z = density.backend.to_numpy(position["theta"])
        np.testing.assert_allclose(z, (at["theta"] - at["mu"][:, None]) / at["tau"][:, None], rtol=1e-12)
        moved = density.backend.to_numpy(density.energy(position))
        plain = density.backend.to_numpy(density.energy_of_values(at))
        recorded = density.backend.to_numpy(density.record(position)["theta"])
    np.testing.assert_allclose(recorded, at["theta"], rtol=1e-12)
    # tau's own transform is exp: log|dtau/du| = log tau; theta's is tau for each of four sites
    np.testing.assert_allclose(moved, plain - (1 + 4) * np.log(at["tau"]), rtol=1e-12)


def test_the_whole_variable_in_a_plate() -> None:
    text = HIERARCHY.replace("var theta: real[4] ~ Normal(mu, tau)", "var theta: real[4]")
    assert set(graph_of(text + "for j in range(4) { theta[j] ~ Normal(mu, tau) }").offsets) == {"theta"}
    assert not graph_of(
        text + "for j in range(3) { theta[j] ~ Normal(mu, tau) }\ntheta[3] ~ Normal(0, 1)"
    ).offsets


@pytest.mark.parametrize(
    "change",
    [
        ("Normal(mu, tau)", "Normal(mu, 2)"),  # no funnel
        ("Normal(mu, tau)", "Normal(mu, tau)\ntheta ~ Normal(mu, tau)"),  # two priors
        ("var theta: real[4]", "var theta: real(-9, 9)[4]"),
        ("y ~ Normal(theta, 1)", "for i in range(40) { y[i % 4] ~ Normal(theta[i % 4], 1) }"),  # data hold it
        ("var tau: positive ~ HalfNormal(2)", "var z: bool\nlet tau = if z then 1 else 3"),
    ],
)
def test_left_in_its_own_coordinate(change: tuple[str, str]) -> None:
    text = HIERARCHY.replace(*change)
    assert text != HIERARCHY
    assert not graph_of(text).offsets


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
@pytest.mark.parametrize("bound", ["theta >= -1.5", "theta <= 4"])
def test_under_one_bound_it_is_the_same_density(bound: str, backend: str) -> None:
    text = "\n".join(line for line in HIERARCHY.splitlines() if not line.startswith("var theta")).replace(
        "y ~", f"var theta: real[4] ~ Normal(mu, tau)\nrequire {bound}\ny ~"
    )
    density = density_of(text, backend)
    assert set(density.graph.offsets) == {"theta"}
    at = values(3)
    at["theta"] = np.clip(at["theta"], -1.4, 3.9)
    at["tau"][0] = 1e-3  # the bound is a thousand scales away
    with density.backend.scope():
        position = density.position_of(at)
        moved = density.backend.to_numpy(density.energy(position))
        plain = density.backend.to_numpy(density.energy_of_values(at))
        step = 1e-6
        ahead, behind = ({**position, "theta": position["theta"] + sign * step} for sign in (1.0, -1.0))
        slope = sum(
            sign * density.backend.to_numpy(density.record(p)["theta"])
            for p, sign in ((ahead, 0.5 / step), (behind, -0.5 / step))
        )
        recorded = density.backend.to_numpy(density.record(position)["theta"])
    np.testing.assert_allclose(recorded, at["theta"], rtol=1e-9)
    np.testing.assert_allclose(moved, plain - np.log(at["tau"]) - np.log(slope).sum(1), rtol=1e-5)
