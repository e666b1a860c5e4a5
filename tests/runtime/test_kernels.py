"""Every kernel on every backend and domain it claims: its density stays invariant, and its noise decides all."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.stats

from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels import discover, kernel_names
from compose_lang.runtime.kernels.common.kernel import Kernel
from tests.runtime import toy_blocks
from tests.runtime.checks import (
    SOUND,
    continuous_invariance,
    counts_invariance,
    discrete_invariance,
    joint_invariance,
)
from tests.runtime.program_targets import CHAINS, CHANGES, PAIRS, SETS, SUMS, TREES, ProgramTarget
from tests.runtime.toy_blocks import Target, ToyContinuous

KERNELS = discover()
CONTINUOUS = sorted(name for name, kernel in KERNELS.items() if "continuous" in kernel.serves)
LONG = {("blocks", "torch"), ("blocks", "numpy")}  #: which have the states of `blocks` on JAX, see below
CLAIMS = [
    pytest.param(name, backend, domain, marks=[pytest.mark.slow] if (name, backend) in LONG else [])
    for name, kernel in KERNELS.items()
    for backend in ("jax", "numpy", "torch")
    if kernel.runs_on(backend)
    for domain in sorted(kernel.serves)
]
CONTINUOUS_TARGETS = {"correlated": toy_blocks.correlated(), "skewed": toy_blocks.gamma_on_log_scale()}
FINITE_TARGETS = {
    "spins": toy_blocks.chain_of_spins(),
    "hard constraint": toy_blocks.coloured_path(),
    "many classes": toy_blocks.fully_connected(),
}
PROGRAM_TARGETS = {
    "forests": TREES, "bonds": PAIRS, "changes": CHANGES, "sums": SUMS, "chains": CHAINS, "subsets": SETS,
}  # fmt: skip
"""Of kernels that see a finite variable otherwise than as sites."""
COMPILED = 2  #: of those, the ones that are compiled for JAX: that takes longer than all else
ORDERING_TARGETS = {
    "hard constraint": toy_blocks.tour(),
    "one class": toy_blocks.separate_orders(),
    "two classes": toy_blocks.facing_orders(),
}
JOINT = {
    "a chain among constraints": """
        var z: category(3)[4]
        for (i, j) in chain(4) { require z[i] != z[j]; energy 0.5 * z[i] }
    """,
    "a loop": "var s: spin[3]; var b: bool\nfor (i, j) in pairs(3) { energy 0.6 * s[i] * s[j] * (1 + b) }",
}
RATES = np.array([0.7, 4.0, 300.0])


def fixed(kernel: Kernel) -> dict[str, Any]:
    """Options under which nothing adapts; the step is small enough for a kernel that is only approximate."""
    step = 0.004 if kernel.approximate else 0.3
    known = {"step": step, "moves": 2}
    return {name: value for name, value in known.items() if name in kernel.options}


def invariance(kernel: Kernel, backend: Backend, domain: str) -> list[float]:
    """P-values of a kernel over all targets of a domain; a domain that is not known here is an error."""
    compiled = backend.name == "jax"

    def bind(block: Any) -> Any:
        return kernel.bind(block, backend, fixed(kernel), 0)

    if domain == "continuous":
        return [
            continuous_invariance(bind, target, backend, compiled=compiled)
            for target in CONTINUOUS_TARGETS.values()
        ]
    if kernel.name == "exact":  # of several sites at once, which a program has
        return [joint_invariance(kernel, backend, text) for text in JOINT.values()]
    if domain == "finite" and kernel.view != "sites":
        return [
            discrete_invariance(bind, ProgramTarget(text, kernel.name), backend, 1000, compiled)
            for text in list(PROGRAM_TARGETS[kernel.view].values())[: COMPILED if compiled else None]
        ]
    if domain == "finite":
        return [
            discrete_invariance(bind, target, backend, compiled=compiled)
            for target in FINITE_TARGETS.values()
        ]
    if domain == "permutation":
        return [
            discrete_invariance(bind, target, backend, compiled=compiled)
            for target in ORDERING_TARGETS.values()
        ]
    if domain == "counts":
        rng = np.random.default_rng(5)
        free = rng.poisson(RATES, size=(4000, 3))
        cut = rng.poisson(4.0, size=(40000, 1))
        cut = cut[(cut[:, 0] >= 3) & (cut[:, 0] <= 6)]
        return [
            counts_invariance(bind, toy_blocks.counts(backend, RATES), free, compiled=compiled),
            counts_invariance(
                bind, toy_blocks.counts(backend, RATES[1:2] * 1.0, 3, 6), cut, compiled=compiled
            ),
        ]
    raise NotImplementedError(f"no invariance check for the domain {domain!r}")


@pytest.mark.parametrize(("name", "backend", "domain"), CLAIMS)
def test_kernel_leaves_the_density_invariant(
    name: str, backend: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")  # torch.compile takes a minute for each program
    values = invariance(KERNELS[name], load_backend(backend), domain)
    assert min(values) > SOUND, values


def test_kernels_are_found_by_file_name_and_named_after_it() -> None:
    assert set(kernel_names()) >= {"gibbs", "mh", "ula", "mala", "hmc", "nuts"}
    assert all(kernel.name == name for name, kernel in KERNELS.items())


def test_discovery_imports_no_array_library() -> None:
    program = (
        "import sys\nfrom compose_lang.runtime.kernels import discover\ndiscover()\n"
        "assert not {'jax', 'torch', 'numpyro'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def trajectories(
    name: str,
    start: dict[str, np.ndarray],
    block: Any,
    warmup: int,
    steps: int,
    backends: tuple[str, ...] = ("numpy", "jax", "torch"),
) -> list[dict[str, Any]]:
    """Positions of a kernel with default options, warm-up included, on every backend."""
    found = []
    for backend_name in backends:
        backend = load_backend(backend_name)
        kernel = KERNELS[name].bind(block(backend), backend, {}, warmup)
        found.append(toy_blocks.run(kernel, backend, start, steps, compiled=backend_name == "jax"))
    return found


@pytest.mark.parametrize("target", CONTINUOUS_TARGETS)
@pytest.mark.parametrize("name", [name for name in CONTINUOUS if KERNELS[name].runs_on("torch")])
def test_same_noise_gives_the_same_trajectory_on_every_backend(name: str, target: str) -> None:
    density = CONTINUOUS_TARGETS[target]
    start = {"x": density.draw(np.random.default_rng(0), 3)}
    reference, *others = trajectories(name, start, density.block, warmup=60, steps=100)
    for other in others:
        np.testing.assert_allclose(other.positions["x"], reference.positions["x"], rtol=0, atol=1e-10)
        for key, values in reference.statistics.items():
            np.testing.assert_allclose(other.statistics[key], values, rtol=0, atol=1e-8)
    assert np.ptp(reference.statistics["step_size"][:60]) > 0, "warm-up adapts"
    assert np.ptp(reference.statistics["step_size"][60:], axis=0).max() == 0, "and ends"


@pytest.mark.parametrize("target", FINITE_TARGETS)
@pytest.mark.parametrize("name", ["gibbs", "mh"])
def test_same_noise_gives_the_same_states_on_every_backend(name: str, target: str) -> None:
    program = FINITE_TARGETS[target]
    start = {"s": np.tile(program.states()[np.argmax(program.probabilities())], (3, 1))}
    reference, *others = trajectories(name, start, program.block, warmup=0, steps=60)
    assert len(np.unique(reference.positions["s"].reshape(-1, program.sites), axis=0)) > 4
    for other in others:
        np.testing.assert_array_equal(other.positions["s"], reference.positions["s"])


@pytest.mark.parametrize(
    ("name", "target"),
    [(n, t) for n, k in KERNELS.items() for t in PROGRAM_TARGETS.get(k.view, ())],
)
def test_same_noise_gives_the_same_states_of_programs_on_every_backend(
    name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
    program = ProgramTarget(PROGRAM_TARGETS[KERNELS[name].view][target], name)
    start = {"s": np.tile(program.states()[np.argmax(program.probabilities())], (3, 1))}
    # what is weighed by gradients is weighed otherwise where there are none
    backends = ("jax", "torch") if KERNELS[name].view == "changes" else ("numpy", "jax", "torch")
    reference, *others = trajectories(name, start, program.block, 0, 40, backends)
    assert len(np.unique(reference.positions["s"].reshape(120, -1), axis=0)) > 4
    for other in others:
        np.testing.assert_array_equal(other.positions["s"], reference.positions["s"])


@pytest.mark.parametrize("target", ORDERING_TARGETS)
def test_same_noise_gives_the_same_orderings_on_every_backend(target: str) -> None:
    program = ORDERING_TARGETS[target]
    start = {"s": np.tile(program.states()[np.argmax(program.probabilities())], (3, 1, 1))}
    reference, *others = trajectories("mh", start, program.block, warmup=0, steps=40)
    assert len(np.unique(reference.positions["s"].reshape(120, -1), axis=0)) > 4
    for other in others:
        np.testing.assert_array_equal(other.positions["s"], reference.positions["s"])


def test_compiled_torch_follows_the_same_trajectory() -> None:
    """Steps that do not adapt: the compiler takes nothing that is done in some steps alone."""
    target = toy_blocks.correlated()
    start = {"x": target.draw(np.random.default_rng(0), 3)}
    runs = []
    for backend_name in ("jax", "torch"):
        backend = load_backend(backend_name)
        kernel = KERNELS["mala"].bind(target.block(backend), backend, {"step": 0.3}, 0)
        runs.append(toy_blocks.run(kernel, backend, start, 50))
    np.testing.assert_allclose(runs[1].positions["x"], runs[0].positions["x"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_chain_does_not_depend_on_those_beside_it(name: str) -> None:
    target, backend = toy_blocks.correlated(), load_backend("jax")
    start = target.draw(np.random.default_rng(0), 3)
    kernel = KERNELS[name].bind(target.block(backend), backend, {}, 20)
    together = toy_blocks.run(kernel, backend, {"x": start}, 30)
    alone = toy_blocks.run(kernel, backend, {"x": start[1:2]}, 30, first_chain=1)
    np.testing.assert_allclose(alone.positions["x"][:, 0], together.positions["x"][:, 1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_energies_follow_what_other_blocks_do(name: str) -> None:
    """Another block shifts the target between steps: energies kept from before would be stale."""
    backend = load_backend("jax")

    class Shifted(ToyContinuous):
        def energy(self, u: Any, position: Any) -> Any:
            return 0.5 * backend.xp.sum((u - position["y"]) ** 2, axis=-1)

        def energy_and_gradient(self, u: Any, position: Any) -> Any:
            return self.energy(u, position), u - position["y"]

    nothing: Any = None
    block = Shifted(backend, 2, nothing, nothing, alone=False)
    kernel = KERNELS[name].bind(block, backend, fixed(KERNELS[name]), 0)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 2))
    with backend.scope():
        keys = backend.asarray(rng.integers(2**32, size=(5, 2)), backend.word)
        place = {"x": backend.asarray(x), "y": backend.asarray(np.zeros((5, 2)))}
        state = kernel.init(place, keys)
        noise = toy_blocks.noise.draw(kernel.noise, keys, 0, backend)
        shifted = {**place, "y": place["y"] + 0.5}
        step = backend.compile(kernel.step)
        _, _, stale_or_not = step(shifted, state, noise, backend.asarray(0))
        _, _, fresh = step(shifted, kernel.init(shifted, keys), noise, backend.asarray(0))
        for key in fresh:
            np.testing.assert_array_equal(stale_or_not[key], fresh[key])


def hierarchy() -> tuple[Target, np.ndarray, np.ndarray]:
    """Posterior of mu ~ N(0, 2), theta_i ~ N(mu, 0.5), y_i ~ N(theta_i, s_i): a Gaussian, badly scaled."""
    s = np.geomspace(0.05, 3.0, 8)
    y = np.linspace(-1.0, 2.0, 8)
    precision = np.zeros((9, 9))
    precision[0, 0] = 1 / 4 + 8 / 0.25
    precision[0, 1:] = precision[1:, 0] = -1 / 0.25
    precision[1:, 1:] = np.diag(1 / 0.25 + 1 / s**2)
    covariance = np.linalg.inv(precision)
    mean = covariance @ np.concatenate([[0.0], y / s**2])

    def gradient(u: Any, backend: Any) -> Any:
        return backend.xp.sum(backend.asarray(precision) * (u - backend.asarray(mean))[:, None, :], axis=-1)

    def energy(u: Any, backend: Any) -> Any:
        return 0.5 * backend.xp.sum((u - backend.asarray(mean)) * gradient(u, backend), axis=-1)

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.multivariate_normal(mean, covariance, n)

    return Target(9, energy, gradient, draw), mean, covariance


@pytest.mark.parametrize("name", ["hmc", "mala", "nuts"])
def test_moments_of_a_hierarchical_posterior_after_warmup(name: str) -> None:
    """From a start far off, chain means are independent: their t statistics against the exact moments."""
    target, mean, covariance = hierarchy()
    backend = load_backend("jax")
    kernel = KERNELS[name].bind(target.block(backend), backend, {}, 400)
    chains = 48
    start = {"x": np.random.default_rng(2).uniform(-2, 2, size=(chains, 9))}
    done = toy_blocks.run(kernel, backend, start, 900)
    draws = done.positions["x"][400:]
    deviations = draws - mean
    for found, expected in ((deviations, np.zeros(9)), (deviations**2, np.diag(covariance))):
        t = scipy.stats.ttest_1samp(found.mean(axis=0), expected)
        assert t.pvalue.min() > SOUND
    assert not done.statistics["diverging"][400:].any()
    assert done.statistics["accept_prob"][400:].mean() == pytest.approx(
        0.574 if name == "mala" else 0.8, abs=0.12
    )


@pytest.mark.parametrize("name", CONTINUOUS)
def test_points_without_an_energy_are_never_accepted(name: str) -> None:
    """A half-line beyond whose end the energy is NaN at first and infinite further on: no chain crosses it."""
    backend = load_backend("jax")

    def energy(u: Any, backend: Any) -> Any:
        beyond = backend.xp.where(u[:, 0] > -0.5, np.nan, np.inf)
        return backend.xp.where(u[:, 0] > 0, u[:, 0], beyond)

    def gradient(u: Any, backend: Any) -> Any:
        return backend.xp.where(u > 0, 1.0, np.nan)

    block = ToyContinuous(backend, 1, energy, gradient)
    options = {"step": 0.5, "max_depth": 4}
    known = {key: value for key, value in options.items() if key in KERNELS[name].options}
    kernel = KERNELS[name].bind(block, backend, known, 0)
    done = toy_blocks.run(kernel, backend, {"x": np.full((20, 1), 0.3)}, 40)
    assert (done.positions["x"] > 0).all()
    assert np.isfinite(done.positions["x"]).all()
    assert np.unique(done.positions["x"]).size > 50


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
def test_gibbs_keeps_its_value_where_every_value_is_impossible(backend: str) -> None:
    library = load_backend(backend)
    block = toy_blocks.ToyDiscrete(
        library, 2, (0, 1, 2), lambda s, b: b.xp.full((s.shape[0],), np.inf), ((0,), (1,))
    )
    start = {"s": np.array([[0, 2], [1, 1]])}
    done = toy_blocks.run(
        KERNELS["gibbs"].bind(block, library, {}, 0), library, start, 5, compiled=backend == "jax"
    )
    np.testing.assert_array_equal(done.positions["s"], np.broadcast_to(start["s"], (5, 2, 2)))
