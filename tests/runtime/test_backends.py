"""What every backend promises, on each: special functions, linear algebra, gradients, folds, its scope."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from compose_lang.compiler.ir.build import node, slot
from compose_lang.compiler.ir.operation import OPS
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.backends import load_backend

BACKENDS = ("numpy", "jax", "torch")
X = np.array([0.1, 0.7, 1.0, 2.5, 11.0])
SPECIAL = {
    "gammaln": (X,), "digamma": (X,), "erf": (X,), "erfc": (X,), "ndtr": (X - 2,), "ndtri": (X / 20,),
    "log_ndtr": (X - 8,), "i0e": (X,), "betaln": (X, 2 * X), "expit": (X - 2,), "logit": (X / 20,),
    "xlogy": (np.array([0.0, 1, 2, 3, 4]), X - 0.1), "xlog1py": (X, X), "gammainc": (X, X),
}  # fmt: skip


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("function", SPECIAL)
def test_special_functions_are_scipys(name: str, function: str) -> None:
    backend = load_backend(name)
    expected = getattr(scipy.special, function)(*SPECIAL[function])
    with backend.scope():
        found = getattr(backend.special, function)(*map(backend.asarray, SPECIAL[function]))
        np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=2e-10, atol=1e-300)


@pytest.mark.parametrize("name", BACKENDS)
def test_logsumexp_keeps_axes_and_infinities(name: str) -> None:
    backend = load_backend(name)
    a = np.array([[-np.inf, -np.inf], [-np.inf, 2.0], [1000.0, 1000.0]])
    with backend.scope():
        found = backend.special.logsumexp(backend.asarray(a), axis=-1, keepdims=True)
        np.testing.assert_allclose(backend.to_numpy(found), [[-np.inf], [2.0], [1000.0 + np.log(2.0)]])


@pytest.mark.parametrize("name", BACKENDS)
def test_cholesky_solves_and_marks_what_is_not_positive_definite(name: str) -> None:
    backend = load_backend(name)
    good = np.array([[4.0, 2.0], [2.0, 3.0]])
    right = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with backend.scope():
        factor = backend.cholesky(backend.asarray(np.stack([good, -good])))
        solved = backend.to_numpy(backend.solve_triangular(factor[:1], backend.asarray(right)))
        factor = backend.to_numpy(factor)
    np.testing.assert_allclose(factor[0], np.linalg.cholesky(good), rtol=1e-14)
    assert np.isnan(factor[1]).any()
    np.testing.assert_allclose(factor[0] @ solved[0], right, rtol=1e-13)


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_gradients_are_per_chain_and_compile(name: str) -> None:
    backend = load_backend(name)
    with backend.scope():
        u = backend.asarray([[1.0, 2.0], [3.0, 5.0]])
        run = backend.compile(backend.value_and_grad(lambda u: backend.xp.sum(u * u * u, axis=-1)))
        energy, gradient = run(u)
        np.testing.assert_allclose(backend.to_numpy(energy), [9.0, 152.0])
        np.testing.assert_allclose(backend.to_numpy(gradient), [[3.0, 12.0], [27.0, 75.0]])


def test_numpy_says_that_it_has_no_gradients() -> None:
    with pytest.raises(InternalError, match="gradient"):
        load_backend("numpy").value_and_grad(lambda u: u)


@pytest.mark.parametrize("name", BACKENDS)
def test_loop_and_scan_fold_trees(name: str) -> None:
    backend = load_backend(name)
    with backend.scope():
        start = {"a": backend.asarray(0), "b": (backend.asarray([1.0, 2.0]),)}
        end = backend.loop(2, 5, lambda i, s: {"a": s["a"] + i, "b": (s["b"][0] * 2.0,)}, start)
        assert int(end["a"]) == 9
        np.testing.assert_array_equal(backend.to_numpy(end["b"][0]), [8.0, 16.0])
        xs = {"x": backend.asarray([1.0, 2.0, 3.0])}
        carry, ys = backend.scan(lambda c, x: (c + x["x"], {"sum": c + x["x"]}), backend.asarray(0.0), xs)
        assert float(carry) == 6.0
        np.testing.assert_array_equal(backend.to_numpy(ys["sum"]), [1.0, 3.0, 6.0])


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_set_at_copies_and_is_differentiable(name: str) -> None:
    backend = load_backend(name)
    with backend.scope():
        zeros = backend.xp.zeros((2, 3))
        energy = lambda u: backend.xp.sum(backend.set_at(zeros, (slice(None), 1), u[:, 0] ** 2), axis=-1)  # noqa: E731
        value, gradient = backend.value_and_grad(energy)(backend.asarray([[3.0], [4.0]]))
        np.testing.assert_array_equal(backend.to_numpy(value), [9.0, 16.0])
        np.testing.assert_array_equal(backend.to_numpy(gradient), [[6.0], [8.0]])
        assert not backend.to_numpy(zeros).any()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_asarray_takes_the_precision(name: str, precision: str) -> None:
    backend = load_backend(name, precision)
    with backend.scope():
        assert backend.asarray([1.0]).dtype == backend.real == backend.asarray(np.float64(2.0)).dtype
        assert backend.asarray([1]).dtype == backend.integer
        assert backend.to_numpy(backend.asarray([True])).dtype == bool
        assert backend.to_numpy(backend.asarray([1.5])).dtype == precision


def test_scope_leaves_global_switches_as_they_were() -> None:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with load_backend("jax").scope(), load_backend("torch").scope():
        assert jnp.zeros(1).dtype == "float64"
        assert torch.get_num_threads() == 1
        assert torch.zeros(1).dtype is torch.float64
    assert jnp.zeros(1).dtype == "float32"
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert not jax.config.jax_enable_x64


def test_eager_torch_gives_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_backend("torch")
    step = lambda x: backend.xp.exp(x) / 3.0  # noqa: E731
    with backend.scope():
        x = backend.asarray([0.5, 1.0])
        compiled = backend.compile(step)(x)
        monkeypatch.setenv("COMPOSE_TORCH_EAGER", "1")
        assert backend.compile(step) is step
        np.testing.assert_allclose(compiled, step(x), rtol=1e-15)


def test_torch_without_a_compiler_runs_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def failing(function: Any, **settings: Any) -> Any:
        def run(*args: Any) -> Any:
            attempts.append(1)
            raise torch._dynamo.exc.TorchDynamoException("no C++ compiler")

        return run

    monkeypatch.setattr(torch, "compile", failing)
    backend = load_backend("torch")
    double = backend.compile(lambda x: x * 2.0)
    assert [float(double(backend.asarray(x))) for x in (1.0, 3.0)] == [2.0, 6.0]
    assert len(attempts) == 1
    with pytest.raises(TypeError):
        backend.compile(lambda x: x + None)(backend.asarray(1.0))


QUANTILES = {
    "gamma_quantile": ((np.array([0.02, 1.0, 7.5]),), scipy.stats.gamma.ppf),
    "poisson_quantile": ((np.array([0.0, 2.5, 300.0]),), lambda u, rate: scipy.stats.poisson.ppf(u, rate)),
    "binomial_quantile": ((np.array([3, 10, 50]), np.array([0.0, 0.3, 0.9])), scipy.stats.binom.ppf),
    "von_mises_quantile": ((np.array([0.0, 1.0, 40.0]),), scipy.stats.vonmises.ppf),
}


@pytest.mark.parametrize("function", QUANTILES)
@pytest.mark.parametrize("name", BACKENDS)
def test_quantiles_are_scipys_in_a_compiled_loop_too(name: str, function: str) -> None:
    """A draw of a proposal is computed on the host: inside a loop that a backend compiles, by the same code."""
    backend = load_backend(name)
    parameters, expected = QUANTILES[function]
    u = np.array([[0.01, 0.5, 0.999], [0.3, 0.7, 0.2]])
    with backend.scope():
        inputs = [backend.asarray(p[None]) for p in parameters]
        held = node(function, *(slot("x", (3,)) for _ in (*inputs, u)))

        def twice(u: Any, *inputs: Any) -> Any:
            step = lambda i, x: x + OPS[function].run(backend, held, [*inputs, u])  # noqa: E731
            return backend.loop(0, 2, step, backend.xp.zeros(u.shape, dtype=backend.real))

        run = backend.compile(twice) if backend.compiles_whole else twice
        found = backend.to_numpy(run(backend.asarray(u), *inputs))
    np.testing.assert_allclose(found, 2 * expected(u, *parameters), rtol=1e-10, atol=1e-12)
