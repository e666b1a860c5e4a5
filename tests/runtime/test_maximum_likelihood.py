"""`learn k by maximum_likelihood()`: known maxima come back, through densities alone and with variables summed out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from scipy.special import expit, log_expit

import compose_lang as cg
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.learning import fitted
from compose_lang.runtime.learning.loop import Stopped
from compose_lang.runtime.learning.maximum_likelihood import MaximumLikelihood

RNG = np.random.default_rng(20261127)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    return tmp_path / "cache"


def fit(text: str, **data: Any) -> dict[str, np.ndarray]:
    model = cg.compile(text, data=data)
    assert not model.diagnostics
    model = model.fitted()
    assert not model.diagnostics, model.diagnostics  # nor does the fit warn
    return model.params


# --- data alone ---


def test_a_normal_has_the_mean_and_the_spread_of_its_data() -> None:
    y = RNG.normal(170, 8, 50)  # far from where a fit begins
    model = cg.compile(
        "data y: real[_]\nparam m: real\nparam s: positive\ny ~ Normal(m, s)\nlearn m, s by maximum_likelihood()",
        data={"y": y},
    ).fitted()
    assert model.params["m"] == pytest.approx(y.mean(), rel=1e-6)
    assert model.params["s"] == pytest.approx(y.std(), rel=1e-5)
    (lesson,) = model.lessons
    exact = scipy.stats.norm(y.mean(), y.std()).logpdf(y).sum()
    assert lesson.report["log_likelihood"] == pytest.approx(exact, abs=1e-6)


def test_logistic_regression_is_that_of_another_implementation() -> None:
    x = RNG.normal(size=(120, 3))
    y = RNG.random(120) < expit(x @ [1.0, -2.0, 0.5] + 0.3)
    found = fit(
        "data x: real[_, 3]\ndata y: bool[_]\nparam w: real[3]\nparam b: real = 0\n"
        "y ~ BernoulliLogit(x @ w + b)\nlearn w, b by maximum_likelihood()",
        x=x,
        y=y.astype(int),
    )

    def loss(u: np.ndarray) -> float:
        z = x @ u[:3] + u[3]
        return -np.sum(np.where(y, log_expit(z), log_expit(-z)))

    best = scipy.optimize.minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose([*found["w"], found["b"]], best, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "data c: category(3)[_] = [0, 1, 1, 2, 2, 2, 2, 1]\nparam p: simplex(3)\n"
            "c ~ Categorical(p)\nlearn p by maximum_likelihood()",
            {"p": [1 / 8, 3 / 8, 4 / 8]},
        ),
        (
            "data n: int(lower=0)[4] = [2, 0, 3, 7]\nparam r: positive = 40\n"
            "n ~ Poisson(r)\nlearn r by maximum_likelihood(steps=50)",
            {"r": 3.0},
        ),
        (  # the bound holds: the mean is beyond it
            "data y: real[2] = [3, 5]\nparam a: unit\nparam m: real(0, 2 + 4 * a)\n"
            "y ~ Normal(m, 1)\na ~ Beta(3, 3)\nlearn a, m by maximum_likelihood()",
            {"a": 0.5946, "m": 4.0},
        ),
        (  # a penalty: the mode of the posterior, 10 + 4 rows of data against a prior of one
            "data y: real[4] = [1, 2, 4, 3]\nparam k: real\ny ~ Normal(k, 1)\nk ~ Normal(0, 0.5)\n"
            "learn k by maximum_likelihood()",
            {"k": 10 / (4 + 4)},
        ),
        (
            "data y: real[4] = [1, 2, 4, 3]\nparam k: real[2]\ny ~ Normal(k[0], 1)\nenergy sum((k - 1) ^ 2)\n"
            "learn k by maximum_likelihood()",
            {"k": [12 / 6, 1.0]},
        ),
        (  # a declared density of the program's own, and what is drawn from it later says nothing of it
            "data y: real[4] = [1, 2, 4, 3]\nparam k: real\n"
            "density D(x: real) { energy 0.5 * (x - k)^2 + 0.5 * log(2 * pi) }\n"
            "y ~ D\nvar x: real(0, 1) ~ D * Normal(5, 0.1)\nprefer k * x > 1 weight 3\n"
            "learn k by maximum_likelihood()",
            {"k": 2.5},
        ),
        (  # elements that are observed are data; the others say nothing
            "param k: real\nvar x: real[4] ~ Normal(k, 1)\nobserve x[1:3] = [1, 2]\n"
            "infer x by mh()\nlearn k by maximum_likelihood(steps=100, chains=8)",
            None,
        ),
    ],
    ids=["simplex", "poisson", "bound", "penalty", "bare penalty", "own density", "observed"],
)
def test_maxima_that_are_known(text: str, expected: dict[str, Any] | None) -> None:
    found = fit(text)
    if expected is None:  # by draws: the free elements have twice the spread over 8 chains and 30 steps
        assert found["k"] == pytest.approx(1.5, abs=0.15)
        return
    for name, value in expected.items():
        if name != "a":
            np.testing.assert_allclose(found[name], value, atol=2e-4)


def test_a_factor_whose_total_is_divided_out() -> None:
    y = np.array([0, 1, 0, 2, 3, 0, 1, 0])
    found = fit(
        "data y: int(0, 3)[_]\nparam k: real\nfactor F(x: int(0, 3)) { energy k * x }\n"
        "y ~ normalize(F)\nlearn k by maximum_likelihood()",
        y=y,
    )
    x = np.arange(4)

    def mean_less_data(k: float) -> float:
        w = np.exp(-k * x)
        return float((w * x).sum() / w.sum() - y.mean())

    assert found["k"] == pytest.approx(scipy.optimize.brentq(mean_less_data, -5, 5), abs=1e-5)


# --- variables summed out ---


def em(y: np.ndarray, steps: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mixture of two normals by the textbook's EM."""
    p, m, s = np.array([0.5, 0.5]), np.array([-2.0, 2.0]), np.ones(2)
    for _ in range(steps):
        r = p * scipy.stats.norm(m, s).pdf(y[:, None])
        r /= r.sum(1, keepdims=True)
        p, m = r.mean(0), (r * y[:, None]).sum(0) / r.sum(0)
        s = np.sqrt((r * (y[:, None] - m) ** 2).sum(0) / r.sum(0))
    return p, m, s


MIXTURE = """\
data y: real[_]
param p: simplex(2)
param m: ordered(2) = [-2, 2]
param s: positive[2] = [1, 1]
"""
SUMMED = "for i in range(len(y)) { y[i] ~ p[0] * Normal(m[0], s[0]) + p[1] * Normal(m[1], s[1]) }\n"
DRAWN = "var z: category(2)[len(y)] ~ Categorical(p)\ny ~ Normal(m[z], s[z])\n"


def test_a_mixture_with_and_without_its_choices() -> None:
    y = np.where(RNG.random(200) < 0.3, RNG.normal(4, 1.5, 200), RNG.normal(-1, 0.7, 200))
    exact = em(y)
    summed = fit(MIXTURE + SUMMED + "learn p, m, s by maximum_likelihood()", y=y)
    drawn = fit(MIXTURE + DRAWN + "learn p, m, s by maximum_likelihood(steps=100)", y=y)
    for name, value in zip("pms", exact, strict=True):
        np.testing.assert_allclose(summed[name], value, atol=1e-4)
        # of 200 choices some 4 are open; 50 steps by 16 chains leave a 30th of their spread
        np.testing.assert_allclose(drawn[name], value, atol=0.03)


EFFECTS = """\
data y: real[20, 5]
param mu: real
param tau: positive
param s: positive
var b: real[20] ~ Normal(mu, tau)
for g in range(20) { y[g] ~ Normal(b[g], s) }
"""


def effects() -> tuple[np.ndarray, dict[str, float]]:
    """Balanced random effects, and their likelihood's maximum (Searle, Casella, McCulloch 1992, section 3.7)."""
    y = RNG.normal(2, 1.5, 20)[:, None] + RNG.normal(0, 0.8, (20, 5))
    means = y.mean(1)
    within = ((y - means[:, None]) ** 2).sum() / (20 * 4)
    return y, {"mu": means.mean(), "tau": np.sqrt(means.var() - within / 5), "s": np.sqrt(within)}


def test_random_effects_have_the_maximum_of_their_marginal_likelihood() -> None:
    y, exact = effects()
    found = fit(
        EFFECTS + "infer b by hmc(leapfrog=5)\nlearn mu, tau, s by maximum_likelihood(steps=120)", y=y
    )
    for name, value in exact.items():
        # 60 steps by 16 chains; s of a maximum over b instead of an integral would be 0.9 of this
        assert found[name] == pytest.approx(value, abs=0.02), name


def test_the_gradient_is_that_of_the_energy() -> None:
    y, _ = effects()
    model = cg.compile(EFFECTS + "learn mu, tau, s by maximum_likelihood()", data={"y": y})
    assert model.program.fitting is not None
    run = MaximumLikelihood(model.program.fitting).objective
    with run.backend.scope():
        u = run.first(0)
        position = {"b": run.backend.asarray(RNG.normal(size=(run.chains, 20)))}

        def at(u: np.ndarray) -> float:
            return float(run.slope(run.constants, run.backend.asarray(u), position)[0])

        slope = np.asarray(run.slope(run.constants, run.backend.asarray(u), position)[1])
        for k in range(3):
            step = 1e-5 * np.eye(3)[k]
            assert slope[k] == pytest.approx((at(u + step) - at(u - step)) / 2e-5, rel=1e-5)
        tau, s = np.exp(u[1:])
        b = np.asarray(position["b"])
        exact = -scipy.stats.norm(u[0], tau).logpdf(b).sum(1)
        exact -= scipy.stats.norm(b[:, :, None], s).logpdf(y).sum((1, 2))
        assert at(u) == pytest.approx(exact.mean(), rel=1e-9)  # no Jacobian of tau and s


def test_a_fit_that_was_stopped_goes_on_to_the_same_values() -> None:
    y = np.r_[RNG.normal(-2, 1, 10), RNG.normal(2, 1, 10)]
    text = MIXTURE + DRAWN + "learn p, m, s by maximum_likelihood(steps=16, chains=2)"
    fitting = cg.compile(text, data={"y": y}).program.fitting
    assert fitting is not None
    whole = MaximumLikelihood(fitting).run()
    looks = iter([False] * 11 + [True])
    with pytest.raises(Stopped) as stopped:
        MaximumLikelihood(fitting).run(stop=lambda: next(looks))
    assert int(stopped.value.state["step"]) == 12
    resumed = MaximumLikelihood(fitting).run(begun=stopped.value.state)
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(resumed.weights[name], value)


# --- what is kept, and what the program then means ---

KEPT = """\
data y: real[3] = [1, 2, 6]
param k: real
y ~ Normal(k, 1)
var x: real ~ Normal(k, 2)
learn k by maximum_likelihood()
"""


def test_a_program_has_its_params_as_they_were_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "k.cg"
    path.write_text(KEPT)
    model = cg.compile(path)
    for ask in (lambda: model.params, lambda: model.energy({"x": 5.0}), model.marginals):
        with pytest.raises(ComposeError) as told:
            ask()
        assert told.value.diagnostics[0].code == "CG0714"
    assert not (tmp_path / "k.learned").exists()  # nothing is fitted to answer
    model = model.fitted()
    rows = scipy.stats.norm(3, 1).logpdf([1, 2, 6]).sum()
    assert model.energy({"x": 5.0}) == pytest.approx(-rows - scipy.stats.norm(3, 2).logpdf(5.0), abs=1e-5)
    run = model.sample(chains=2, draws=50, warmup=50, backend="numpy")
    assert run.manifest.params["k"] == pytest.approx(3.0)
    assert len(list((tmp_path / "k.learned").iterdir())) == 1

    def never(*args: object, **options: object) -> None:
        raise AssertionError("it was fitted before")

    with monkeypatch.context() as patched:
        patched.setattr(MaximumLikelihood, "run", never)
        path.write_text("# the same program\n" + KEPT)
        assert cg.compile(path).fitted().params["k"] == pytest.approx(3.0)
        assert "k: real, 3" in cg.compile(path).explain()
    assert cg.compile(path, data={"y": [1, 2, 3]}).fitted().params["k"] == pytest.approx(2.0)
    for kept in (tmp_path / "k.learned").iterdir():
        kept.write_bytes(kept.read_bytes()[:-5])  # damaged: it is fitted anew
    assert cg.compile(path).fitted().params["k"] == pytest.approx(3.0)


def test_an_interrupted_fit_leaves_a_checkpoint(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    text = "data y: real = 1\nparam k: real\nvar x: real ~ Normal(k, 1)\ny ~ Normal(x, 1)\n"
    text += "infer x by mh()\nlearn k by maximum_likelihood(steps=9, chains=2)"
    fitting = cg.compile(text).program.fitting
    assert fitting is not None
    looks = iter([False, False, True])
    with pytest.raises(ComposeError) as told:
        fitted.lesson_of(fitting, stop=lambda: next(looks))
    assert told.value.exit_code == 130 and told.value.diagnostics[0].code == "CG0706"
    steps: list[int] = []
    fitted.lesson_of(fitting, watch=lambda now: steps.append(now.step))
    assert steps == list(range(4, 10))
    assert [p.name.count("checkpoint") for p in (cache / "compose_lang" / "learned").iterdir()] == [0]


# --- faults ---


def test_a_fit_that_ends_before_its_maximum_says_so() -> None:
    text = "data y: real[2] = [100, 300]\nparam k: real\nparam s: positive\ny ~ Normal(k, s)\n"
    model = cg.compile(text + "learn k, s by maximum_likelihood(steps=1)").fitted()
    assert [d.code for d in model.diagnostics] == ["CG0711"]
    again = cg.compile(text + "learn k, s by maximum_likelihood(steps=1)").fitted()
    assert again.diagnostics == model.diagnostics  # also where the values were kept


def test_a_param_that_runs_to_its_bound_says_so() -> None:
    text = "data y: real[2] = [3, 3]\nparam s: positive\ny ~ Normal(3, s)\nlearn s by maximum_likelihood()"
    model = cg.compile(text).fitted()
    assert [d.code for d in model.diagnostics] == ["CG0711"] and "bound" in model.diagnostics[0].message


def test_data_that_are_impossible_at_the_start() -> None:
    text = (
        "data y: real[2] = [3, 4]\nparam k: real = -1\ny ~ Normal(0, k * y)\nlearn k by maximum_likelihood()"
    )
    with pytest.raises(ComposeError) as told:
        cg.compile(text).fitted()
    assert told.value.diagnostics[0].code == "CG0701" and "k = -1" in told.value.diagnostics[0].message


def test_a_wall_of_the_likelihood_is_come_up_to_and_told() -> None:
    text = "data y: real[3] = [3, 1, 2]\nparam k: positive = 5\ny ~ Uniform(0, k)\nlearn k by maximum_likelihood()"
    model = cg.compile(text).fitted()
    assert 3 <= model.params["k"] < 3.01
    assert [d.code for d in model.diagnostics] == ["CG0711"]  # at the wall it still rises


def test_a_program_that_is_used_keeps_its_fit_to_itself(tmp_path: Path) -> None:
    (tmp_path / "part.cg").write_text(
        "data y: real[3] = [1, 2, 6]\nparam k: real = 2\ndensity D(x: real) = Normal(k, 1)\n"
        "y ~ D\nlearn k by maximum_likelihood()\n"
    )
    (tmp_path / "whole.cg").write_text('use "part.cg" as part\nvar x: real ~ part.D\n')
    model = cg.compile(tmp_path / "whole.cg")
    assert model.program.fitting is None
    assert model.energy({"x": 2.0}) == pytest.approx(-scipy.stats.norm(0, 1).logpdf(0))
