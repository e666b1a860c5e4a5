"""The maps to unconstrained coordinates: Jacobians against automatic differentiation, inverses, extremes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.ir.types import Domain
from compose_lang.runtime.arrays.transforms import constrain, unconstrain, unconstrained_shape
from compose_lang.runtime.backends import load_backend

INF = float("inf")
CHAINS = 3
BACKENDS = ("numpy", "jax", "torch")
CASES = {
    "real": (Domain("real"), -INF, INF),
    "lower": (Domain("real", lower=-2.0), -2.0, INF),
    "upper": (Domain("real", upper=3.0), -INF, 3.0),
    "interval": (Domain("real", lower=-2.0, upper=3.0), -2.0, 3.0),
    "interval per chain and site": (Domain("real"), np.full((CHAINS, 1), -1.0), np.array([0.5, 4.0])),
    "angle": (Domain("angle"), -INF, INF),
    "simplex(1)": (Domain("simplex", size=1), -INF, INF),
    "simplex(2)": (Domain("simplex", size=2), -INF, INF),
    "simplex(5)": (Domain("simplex", size=5), -INF, INF),
    "ordered(1)": (Domain("ordered", size=1), -INF, INF),
    "ordered(4)": (Domain("ordered", size=4), -INF, INF),
    "positive_ordered(4)": (Domain("positive_ordered", size=4), -INF, INF),
    "unit_vector(2)": (Domain("unit_vector", size=2), -INF, INF),
    "unit_vector(4)": (Domain("unit_vector", size=4), -INF, INF),
    "cholesky_corr(1)": (Domain("cholesky_corr", size=1), -INF, INF),
    "cholesky_corr(2)": (Domain("cholesky_corr", size=2), -INF, INF),
    "cholesky_corr(4)": (Domain("cholesky_corr", size=4), -INF, INF),
}


def free_coordinates(domain: Domain, value: jax.Array) -> jax.Array:
    """The coordinates of (sites, *event) that the domain's base measure is Lebesgue on."""
    if domain.kind == "simplex":
        return value[..., :-1].reshape(-1)
    if domain.kind == "cholesky_corr":
        rows, columns = np.tril_indices(domain.size, -1)
        return value[..., rows, columns].reshape(-1)
    return value.reshape(-1)


def points(domain: Domain, scale: float = 1.3, sites: int = 2) -> np.ndarray:
    rng = np.random.default_rng(7)
    return scale * rng.standard_normal((CHAINS, sites, *unconstrained_shape(domain)))


INJECTIVE = [case for case in CASES if not case.startswith("unit_vector")]


@pytest.mark.parametrize("case", INJECTIVE)
def test_log_determinant_is_that_of_the_jacobian(case: str) -> None:
    domain, lower, upper = CASES[case]
    backend = load_backend("jax")
    with backend.scope():
        u = backend.asarray(points(domain))
        _, log_det = backend.compile(lambda v: constrain(domain, v, lower, upper, backend))(u)
        assert log_det.shape == (CHAINS,)
        for chain in range(CHAINS):

            def coordinates(flat: jax.Array, chain: int = chain) -> jax.Array:
                moved = u.at[chain].set(flat.reshape(u.shape[1:]))
                return free_coordinates(domain, constrain(domain, moved, lower, upper, backend)[0][chain])

            flat = u[chain].reshape(-1)
            jacobian = np.asarray(jax.jit(jax.jacfwd(coordinates))(flat)).reshape(flat.size, flat.size)
            _, expected = np.linalg.slogdet(jacobian)
            np.testing.assert_allclose(log_det[chain], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", BACKENDS)
def test_round_trip_and_support(case: str, name: str) -> None:
    domain, lower, upper = CASES[case]
    backend = load_backend(name)
    with backend.scope():
        lower = lower if isinstance(lower, float) else backend.asarray(lower)
        upper = upper if isinstance(upper, float) else backend.asarray(upper)
        u = backend.asarray(points(domain, scale=1.0))

        def there_and_back(u: Any) -> Any:
            value, _ = constrain(domain, u, lower, upper, backend)
            return value, unconstrain(domain, value, lower, upper, backend)

        run = jax.jit(there_and_back) if name == "jax" else there_and_back
        value, back = (backend.to_numpy(array) for array in run(u))
    if domain.kind == "unit_vector":  # of the coordinates that lead to a value one is given back
        back = back * np.linalg.norm(backend.to_numpy(u), axis=-1, keepdims=True)
        np.testing.assert_allclose((value**2).sum(-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(back, backend.to_numpy(u), rtol=1e-9, atol=1e-9)
    assert value.shape == (CHAINS, 2, *domain.event_shape)
    if domain.kind == "simplex":
        assert (value > 0).all()
        np.testing.assert_allclose(value.sum(-1), 1.0, rtol=1e-14)
    if domain.kind.endswith("ordered"):
        assert (np.diff(value, axis=-1) > 0).all()
    if domain.kind == "cholesky_corr":
        np.testing.assert_allclose((value**2).sum(-1), 1.0, rtol=1e-14)
        assert (np.diagonal(value, axis1=-2, axis2=-1) > 0).all()
        assert (np.triu(value, 1) == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_backends_agree(case: str) -> None:
    domain, lower, upper = CASES[case]
    results = []
    for name in BACKENDS:
        backend = load_backend(name)
        with backend.scope():
            bounds = [b if isinstance(b, float) else backend.asarray(b) for b in (lower, upper)]
            run = jax.jit if name == "jax" else lambda function: function
            out = run(lambda u: constrain(domain, u, *bounds, backend))(backend.asarray(points(domain)))  # noqa: B023
            results.append([backend.to_numpy(part) for part in out])
    for value, log_det in results[1:]:
        np.testing.assert_allclose(value, results[0][0], rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(log_det, results[0][1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_far_out_values_stay_inside_an_interval(name: str, precision: str) -> None:
    backend = load_backend(name, precision)
    with backend.scope():
        u = backend.asarray(np.array([[-1e4], [-300.0], [300.0], [1e4]]))
        value, log_det = constrain(Domain("real", lower=0.0, upper=1.0), u, 0.0, 1.0, backend)
        value, log_det = backend.to_numpy(value), backend.to_numpy(log_det)
    assert value.dtype == precision
    assert ((value > 0) & (value < 1)).all()
    np.testing.assert_allclose(log_det, -np.abs(backend.to_numpy(u))[:, 0], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_far_out_energies_have_finite_gradients(case: str) -> None:
    domain, lower, upper = CASES[case]
    backend = load_backend("jax")
    with backend.scope():

        @jax.jit
        def values(u: jax.Array) -> tuple[jax.Array, ...]:
            slope = jax.grad(lambda v: jnp.sum(constrain(domain, v, lower, upper, backend)[1]))(u)
            return *constrain(domain, u, lower, upper, backend), slope

        for scale in (0.0, 50.0):
            for array in values(backend.asarray(points(domain, scale=scale))):
                assert np.isfinite(array).all()


def test_angles_wrap_into_one_turn() -> None:
    backend = load_backend("numpy")
    u = np.array([[0.0], [np.pi], [3 * np.pi + 0.5], [-7.0]])
    value, log_det = constrain(Domain("angle"), u, -INF, INF, backend)
    assert ((value > -np.pi) & (value <= np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * value), np.exp(1j * u), atol=1e-14)
    assert (log_det == 0).all()


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_length_behind_a_unit_vector_has_a_density_of_its_own(size: int) -> None:
    """In the measure dr dS of length and direction the map's weight is a chi density of the length alone.

    So what it adds to an energy integrates to nothing, and the direction follows the program's density on the surface.
    """
    domain, backend = Domain("unit_vector", size=size), load_backend("numpy")
    u = points(domain, sites=1)
    length = np.linalg.norm(u[:, 0], axis=-1)
    _, log_det = constrain(domain, u, -INF, INF, backend)
    np.testing.assert_allclose(
        log_det + (size - 1) * np.log(length), scipy.stats.chi.logpdf(length, size), rtol=1e-12
    )
