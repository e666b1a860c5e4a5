"""Every density of the standard library beside an independent log density, and the points to compare them at.

`reference(x, *inputs)` is scipy's or NumPyro's log density, or the textbook formula where neither has one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special, stats

Value = Any  # a number, or an array for vectors and matrices


@dataclass(frozen=True)
class Case:
    name: str
    subject: str  #: type of the subject
    inputs: dict[str, str]  #: types of the inputs
    xs: Sequence[Value]
    settings: Sequence[tuple[Value, ...]]  #: values of the inputs
    reference: Callable[..., float]
    support: tuple[float, float] = field(default=(-math.inf, math.inf))  #: of a scalar, at the first setting

    @property
    def points(self) -> list[tuple[Value, tuple[Value, ...]]]:
        return list(itertools.product(self.xs, self.settings))

    @property
    def is_scalar(self) -> bool:
        return not self.subject.startswith(("simplex", "cholesky_corr")) and "[" not in self.subject

    @property
    def is_discrete(self) -> bool:
        return self.subject.startswith(("int", "bool", "category"))


def zero_inflated(x: int, p_zero: float, rate: float) -> float:
    count = stats.poisson.pmf(x, rate) * (1 - p_zero)
    return float(np.log(count + p_zero * (x == 0)))


def lkj(root: np.ndarray, eta: float) -> float:
    """NumPyro's, in double precision: scipy has none."""
    import jax
    from numpyro.distributions import LKJCholesky

    with jax.enable_x64(True):
        return float(LKJCholesky(len(root), eta).log_prob(np.asarray(root)))


REAL = [-30.0, -2.5, 0.0, 0.3, 4.0]
HALF = [1e-6, 0.3, 1.0, 4.0, 60.0]
PAIRS = [(1.0, 2.0), (-3.0, 0.1), (0.0, 50.0)]
SHAPES = [(3.0, 2.0), (0.5, 0.1), (1.0, 7.0)]
COUNT = "int(lower=0)"
COUNTS = [0, 1, 3, 40]
MU, NU = {"mu": "real", "sigma": "positive"}, {"nu": "positive", "mu": "real", "sigma": "positive"}
SHAPE_RATE, SHAPE_SCALE = (
    {"shape": "positive", "rate": "positive"},
    {"shape": "positive", "scale": "positive"},
)
VECTORS = [np.array([0.3, 1.0]), np.array([-4.0, 2.5])]
CHOLESKY = np.array([[2.0, 0.0], [1.0, 3.0]])
CENTRE = np.array([1.0, 0.0])
ROOTS = [
    np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]]),
    np.array([[1, 0, 0], [-0.8, 0.6, 0], [0.36, 0.48, 0.8]]),
]

CASES = [
    Case("Normal", "real", MU, REAL, PAIRS, stats.norm.logpdf),
    Case("StudentT", "real", NU, REAL, [(4.0, 1.0, 2.0), (0.7, -3.0, 0.1), (300.0, 0.0, 5.0)],
         lambda x, nu, mu, sigma: stats.t.logpdf(x, nu, mu, sigma)),
    Case("Cauchy", "real", MU, REAL, PAIRS, stats.cauchy.logpdf),
    Case("Laplace", "real", MU, REAL, PAIRS, stats.laplace.logpdf),
    Case("Logistic", "real", MU, REAL, PAIRS, stats.logistic.logpdf),
    Case("HalfNormal", "real(lower=0)", {"sigma": "positive"}, [0.0, *HALF], [(2.0,), (0.3,)],
         lambda x, sigma: stats.halfnorm.logpdf(x, scale=sigma), (0, math.inf)),
    Case("HalfCauchy", "real(lower=0)", {"sigma": "positive"}, [0.0, *HALF], [(2.0,), (0.3,)],
         lambda x, sigma: stats.halfcauchy.logpdf(x, scale=sigma), (0, math.inf)),
    Case("LogNormal", "positive", MU, HALF, PAIRS,
         lambda x, mu, sigma: stats.norm.logpdf(math.log(x), mu, sigma) - math.log(x), (0, math.inf)),
    Case("Exponential", "real(lower=0)", {"rate": "positive"}, [0.0, *HALF], [(2.0,), (0.01,)],
         lambda x, rate: stats.expon.logpdf(x, scale=1 / rate), (0, math.inf)),
    Case("Gamma", "positive", SHAPE_RATE, HALF, SHAPES,
         lambda x, shape, rate: stats.gamma.logpdf(x, shape, scale=1 / rate), (0, math.inf)),
    Case("InverseGamma", "positive", SHAPE_SCALE, [0.01, 0.3, 1.0, 60.0], SHAPES,
         lambda x, shape, scale: stats.invgamma.logpdf(x, shape, scale=scale), (0, math.inf)),
    Case("Weibull", "positive", SHAPE_SCALE, HALF, [(1.5, 2.0), (1.0, 3.0), (0.6, 20.0)],
         lambda x, shape, scale: stats.weibull_min.logpdf(x, shape, scale=scale), (0, math.inf)),
    Case("Pareto", "positive", {"y_min": "positive", "shape": "positive"}, [2.0, 3.0, 500.0, 1.0],
         [(2.0, 1.5), (0.5, 0.3)],
         lambda x, y_min, shape: stats.pareto.logpdf(x, shape, scale=y_min), (2.0, math.inf)),
    Case("Uniform", "real", {"lo": "real", "hi": "real"}, [-1.0, 0.3, 2.0, 5.0], [(-1.0, 2.0), (0.0, 0.5)],
         lambda x, lo, hi: stats.uniform.logpdf(x, lo, hi - lo), (-1.0, 2.0)),
    Case("Beta", "real(0, 1)", {"a": "positive", "b": "positive"}, [1e-9, 0.3, 0.5, 0.999],
         [(2.0, 3.0), (0.5, 0.1), (1.0, 1.0)], stats.beta.logpdf, (0.0, 1.0)),
    Case("VonMises", "angle", {"mu": "real", "kappa": "real(lower=0)"}, [-3.1, 0.3, 1.0, 3.0],
         [(1.0, 2.0), (-2.0, 0.01), (0.2, 800.0)],
         lambda x, mu, kappa: stats.vonmises.logpdf(x, kappa, mu), (-math.pi, math.pi)),
    Case("Dirichlet", "simplex(3)", {"alpha": "positive[3]"},
         [np.array([0.2, 0.3, 0.5]), np.array([0.9, 0.06, 0.04])],
         [(np.array([1.0, 2.0, 3.0]),), (np.array([0.2, 0.7, 40.0]),)], stats.dirichlet.logpdf),
    Case("MultivariateNormalCholesky", "real[2]", {"mu": "real[2]", "L": "real[2, 2]"}, VECTORS,
         [(CENTRE, CHOLESKY)],
         lambda x, mu, root: stats.multivariate_normal.logpdf(x, mu, root @ root.T)),
    Case("MultivariateNormal", "real[2]", {"mu": "real[2]", "cov": "real[2, 2]"}, VECTORS,
         [(CENTRE, CHOLESKY @ CHOLESKY.T)], stats.multivariate_normal.logpdf),
    Case("LKJCholesky", "cholesky_corr(3)", {"eta": "positive"}, ROOTS, [(2.0,), (1.0,), (0.4,)], lkj),
    Case("Bernoulli", "bool", {"p": "real(0, 1)"}, [0, 1], [(0.3,), (0.0,), (1.0,)], stats.bernoulli.logpmf),
    Case("BernoulliLogit", "bool", {"logit": "real"}, [0, 1], [(-0.5,), (40.0,), (-800.0,)],
         lambda x, logit: special.log_expit(logit if x else -logit)),
    Case("Categorical", "category(3)", {"p": "real[3]"}, [0, 1, 2],
         [(np.array([0.2, 0.3, 0.5]),), (np.array([0.0, 1.0, 0.0]),)],
         lambda x, p: -math.inf if p[x] == 0 else math.log(p[x])),
    Case("CategoricalLogit", "category(3)", {"logits": "real[3]"}, [0, 1, 2],
         [(np.array([1.0, 0.0, -1.0]),), (np.array([900.0, 0.0, -900.0]),)],
         lambda x, logits: special.log_softmax(logits)[x]),
    Case("DiscreteUniform", "int(-5, 9)", {"lo": "int", "hi": "int"}, [0, 1, 3, 6, 7], [(1, 6), (-2, 3)],
         lambda x, lo, hi: stats.randint.logpmf(x, lo, hi + 1)),
    Case("Binomial", COUNT, {"n": COUNT, "p": "real(0, 1)"}, [0, 3, 10, 12],
         [(10, 0.3), (3, 0.0), (10, 1.0), (100_000, 1e-4)], stats.binom.logpmf),
    Case("BetaBinomial", COUNT, {"n": COUNT, "a": "positive", "b": "positive"}, [0, 3, 10, 12],
         [(10, 2.0, 3.0), (11, 0.4, 1.0), (100, 30.0, 200.0)], stats.betabinom.logpmf),
    Case("Poisson", COUNT, {"rate": "real(lower=0)"}, COUNTS, [(2.5,), (0.0,), (300.0,)],
         stats.poisson.logpmf),
    Case("NegativeBinomial", COUNT, {"mu": "positive", "phi": "positive"}, COUNTS,
         [(2.5, 1.5), (0.1, 30.0), (50.0, 0.2)],
         lambda x, mu, phi: stats.nbinom.logpmf(x, phi, phi / (mu + phi))),
    Case("Geometric", COUNT, {"p": "real(0, 1)"}, COUNTS, [(0.3,), (0.001,), (1.0,)],
         lambda x, p: stats.geom.logpmf(x + 1, p)),
    Case("ZeroInflatedPoisson", COUNT, {"p_zero": "real(0, 1)", "rate": "real(lower=0)"}, COUNTS,
         [(0.3, 2.5), (0.0, 4.0), (0.999, 40.0)], zero_inflated),
]  # fmt: skip
