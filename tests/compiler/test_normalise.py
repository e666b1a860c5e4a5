"""`normalize` and `truncate` against closed forms: sums over finite subjects, quadrature over reals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

import compose_lang as cg
from compose_lang.compiler.elaborate.factors import normalise
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.planning.plan import Plan
from tests.compiler.points import views_on
from tests.once import once

FACTORS = """
factor Peak(x: real | m: real = 0, s: positive = 1) { energy 0.5 * ((x - m) / s)^2 }
factor Pos(x: positive) { energy x^2 }
factor Power(x: unit | a: positive) { energy -a * log(x) }
factor Field(s: spin | h: real) { energy -h * s }
factor Pair(a: bool, b: category(3) | h: real) { energy -h * a * b }
factor Bowl(x: real[2]) { energy 0.5 * dot(x, x) + 0.3 * x[0] * x[1] }
factor Turn(t: angle | k: real) { energy -k * cos(t) }
"""
NORMAL = stats.norm.logpdf


def energy(statement: str, **values: object) -> float:
    return cg.compile(FACTORS + statement).energy(values)


def test_peaks_of_any_place_and_width():
    for m, s in ((0, 1), (100, 0.1), (-3, 50), (1e4, 1e-3), (0, 1e-4)):
        got = energy(f"var x: real ~ normalize(Peak({m}, {s}))", x=m + 0.3 * s)
        assert got == pytest.approx(-NORMAL(m + 0.3 * s, m, s), abs=1e-8)


@pytest.mark.parametrize(
    ("statement", "values", "wanted"),
    [
        ("var x: positive ~ normalize(Pos)", {"x": 0.5}, 0.25 - np.log(2 / np.sqrt(np.pi))),
        ("var x: unit ~ normalize(Power(2))", {"x": 0.5}, -stats.beta.logpdf(0.5, 3, 1)),
        ("var x: real ~ normalize(Power(2))", {"x": 0.5}, -stats.beta.logpdf(0.5, 3, 1)),
        ("var t: angle ~ normalize(Turn(2))", {"t": 1.0}, -stats.vonmises.logpdf(1.0, 2)),
        ("var s: spin ~ normalize(Field(0.7))", {"s": 1}, -0.7 + np.log(2 * np.cosh(0.7))),
        ("var a: bool\nvar b: category(3)\n(a, b) ~ normalize(Pair(1))", {"a": 1, "b": 2},
         -2 + np.log(4 + np.e + np.e**2)),
        ("var x: real[2] ~ normalize(Bowl)", {"x": [0.5, 1]},
         -stats.multivariate_normal.logpdf([0.5, 1], [0, 0], np.linalg.inv([[1, 0.3], [0.3, 1]]))),
        ("var x: real ~ normalize(Normal(0, 1)^4)", {"x": 0.7}, -NORMAL(0.7, 0, 0.5)),
        ("var x: real ~ normalize(Normal(0, 1) * Normal(2, 1))", {"x": 0.7}, -NORMAL(0.7, 1, np.sqrt(0.5))),
        ("var x: real ~ normalize(Normal(1, 2))", {"x": 0.7}, -NORMAL(0.7, 1, 2)),
        ("var x: real[3] ~ normalize(Peak([0, 1, 2], 2))", {"x": [0, 1, 3]},
         -NORMAL([0, 1, 3], [0, 1, 2], 2).sum()),
        ("var x: real[2] ~ 0.3 * normalize(Peak(2)) + 0.7 * normalize(Peak(-2, 3))", {"x": [1, 0]},
         -sum(np.log(0.3 * stats.norm.pdf(x, 2, 1) + 0.7 * stats.norm.pdf(x, -2, 3)) for x in (1, 0))),
        ("var s: positive ~ Exponential(1)\nvar x: real ~ normalize(Peak(5, s)^2)", {"s": 3.0, "x": 0.1},
         3 - NORMAL(0.1, 5, 3 / np.sqrt(2))),
        ("var s: positive ~ Exponential(1)\nvar x: real ~ normalize(Peak(0, s))", {"s": 0.01, "x": 0.003},
         0.01 - NORMAL(0.003, 0, 0.01)),
        ("var k: int ~ truncate(Poisson(3), 1, 10)", {"k": 4},
         -stats.poisson.logpmf(4, 3) + np.log(stats.poisson.cdf(10, 3) - stats.poisson.cdf(0, 3))),
        ("var x: real ~ truncate(Cauchy(0, 1), 2, inf)", {"x": 4.0},
         -stats.cauchy.logpdf(4) + np.log(stats.cauchy.sf(2))),
        ("var x: positive ~ truncate(Gamma(2, 1), hi=3)", {"x": 1.0},
         -stats.gamma.logpdf(1, 2) + stats.gamma.logcdf(3, 2)),
    ],
)  # fmt: skip
def test_constants(statement, values, wanted):
    assert energy(statement, **values) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "x"),
    [(0, np.inf, 0.5), (-1, 2, 1.5), (5, np.inf, 5.1), (-np.inf, -8, -8.1), (3, 3.01, 3.005)],
)
def test_truncated_normal(low, high, x):
    got = energy(f"var x: real ~ truncate(Normal(0, 1), {low}, {high})", x=x)
    assert got == pytest.approx(-stats.truncnorm.logpdf(x, low, high), abs=1e-9)
    assert (
        energy(f"var x: real ~ truncate(Normal(0, 1), {low}, {high})", x=-low if low > 0 else 20.0 * -x)
        == np.inf
    )


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow)])
def test_the_gradient_follows_the_inputs(backend):
    """Of log Z in a random scale: that of a normal density, whose constant is known."""
    program = FACTORS + "data x: real = 0.7\nvar s: positive ~ Exponential(1)\nx ~ "
    gradients = []
    for factor in ("normalize(Peak(1, s))", "Normal(1, s)"):
        b = load_backend(backend)
        views = views_on(cg.compile(program + factor).program.graph, b, Plan(()))
        with b.scope():
            block = views.block(("s",))
            position = {"s": b.asarray([[0.3], [-2.0]], b.real)}
            slopes = lambda at, of=block: of.energy_and_gradient(of.ravel(at), at)[1]  # noqa: E731
            gradients.append(b.to_numpy(once(b, slopes)(position)))
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-7)


def test_a_random_input_is_inferred_as_its_posterior_says():
    """p(h) p(s | h) with s observed: the constant makes the posterior of h, against its integral."""
    run = cg.compile(
        FACTORS + "data s: spin = 1\nvar h: real ~ Normal(0, 1)\ns ~ normalize(Field(h))"
    ).sample(seed=0, chains=4, draws=2000, warmup=500)
    posterior = lambda h: np.exp(-0.5 * h * h) / (1 + np.exp(-2 * h))  # noqa: E731
    total = integrate.quad(posterior, -8, 8)[0]
    mean = integrate.quad(lambda h: h * posterior(h), -8, 8)[0] / total
    row = run.summary()["h"]
    assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"]


def test_bounds_may_vary_over_a_plate_and_with_variables():
    program = (
        "data lo: real[2] = [0, 1]\nvar m: real ~ Normal(0, 1)\nvar x: real[2]\n"
        "for i in range(2) { x[i] ~ truncate(Normal(m, 1), lo[i], lo[i] + 2) }"
    )
    got = cg.compile(program).energy({"m": 0.5, "x": [0.4, 1.9]})
    wanted = NORMAL(0.5) + sum(
        stats.truncnorm.logpdf(x - 0.5, lo - 0.5, lo + 1.5) for x, lo in ((0.4, 0), (1.9, 1))
    )
    assert got == pytest.approx(-wanted, abs=1e-9)


def test_the_sampler_sees_the_bounds_of_a_truncation():
    variable = cg.compile("var x: real ~ truncate(Normal(0, 1), 0.5, inf)").program.graph.variable("x")
    assert variable.support.lower == 0.5


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("factor Flat(x: real) { energy 0 }\nvar x: real ~ normalize(Flat)", "CG0411"),
        ("var x: real ~ truncate(Normal(0, 1), 3, 2)", "CG0204"),
        ("var k: int ~ normalize(Poisson(3)^2)", "CG0411"),
        ("var x: real[3] ~ normalize(MultivariateNormal([0, 0, 0], eye(3))^2)", "CG0411"),
        ("var x: real ~ truncate(Normal(0, 1))", "CG0206"),
        ("var x: real ~ truncate(Normal(0, 1), a=1)", "CG0206"),
        ("var x: real ~ normalize(3)", "CG0401"),
        ("var x: simplex(2) ~ truncate(Dirichlet([1, 1]), 0, 1)", "CG0204"),
        ("var x: real\nnormalize(Peak(x |))", "CG0206"),
    ],
)
def test_mistakes(statement, code):
    with pytest.raises(ComposeError) as wrong:
        cg.compile(FACTORS + statement)
    assert [d.code for d in wrong.value.diagnostics if d.severity == "error"] == [code]


def test_a_rough_sum_is_told():
    program = (
        "factor Kink(x: real, y: real) { energy abs(x) + 0.5 * (x - y)^2 }\n"
        "var a: real\nvar b: real\n(a, b) ~ normalize(Kink)"
    )
    assert "CG0411" in [d.code for d in cg.compile(program).diagnostics]


def test_a_wrong_slope_is_caught(monkeypatch):
    """Planted: the change of variable with a wrong Jacobian."""
    right = normalise.Normaliser.map_of

    def wrong(self, domain):
        to_value = right(self, domain)
        return lambda u: (to_value(u)[0], normalise.node("mul", normalise.constant(0.9), to_value(u)[1]))

    monkeypatch.setattr(normalise.Normaliser, "map_of", wrong)
    got = energy("var x: unit ~ normalize(Power(0.5))", x=0.5)
    assert got != pytest.approx(-stats.beta.logpdf(0.5, 1.5, 1), abs=1e-3)
