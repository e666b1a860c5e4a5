"""The standard densities by scipy: what the reference interpreter puts in the place of `stdlib/*.cg`.

Each entry has the names and ranks (axes of one value) of its subject and inputs, and the log density of
one value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats as st
from scipy.special import betaln, expit, gammaln, log_softmax


@dataclass(frozen=True)
class StandardDensity:
    """A density over one subject: `log_density(x, *inputs)` of single values."""

    subject_rank: int
    inputs: tuple[tuple[str, int], ...]
    log_density: Callable[..., Any]


def scalar(names: str, log_density: Callable[..., Any]) -> StandardDensity:
    """A density over a number whose inputs are numbers."""
    return StandardDensity(0, tuple((name, 0) for name in names.split()), log_density)


def log_beta_binomial(x: int, n: int, a: float, b: float) -> float:
    choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    return float(choose + betaln(x + a, n - x + b) - betaln(a, b)) if x <= n else -np.inf


def log_zero_inflated(x: int, p_zero: float, rate: float) -> float:
    count = st.poisson.logpmf(x, rate) + np.log1p(-p_zero)
    return float(np.logaddexp(np.log(p_zero), count)) if x == 0 else float(count)


def log_lkj(root: np.ndarray, eta: float) -> float:
    """Lewandowski, Kurowicka and Joe (2009), eq. 16, over the strict lower triangle of the Cholesky factor."""
    k = len(root)
    shape = [eta + 0.5 * (k - 1 - m) for m in range(1, k)]
    log_constant = sum(
        (2 * (eta - 1) + k - m) * (k - m) * np.log(2) + (k - m) * betaln(b, b)
        for m, b in zip(range(1, k), shape, strict=True)
    )
    powers = [k - m + 2 * (eta - 1) for m in range(2, k + 1)]
    return float(np.dot(powers, np.log(np.diag(root)[1:])) - log_constant)


STANDARD: dict[str, StandardDensity] = {
    "Normal": scalar("mu sigma", st.norm.logpdf),
    "HalfNormal": scalar("sigma", lambda x, s: st.halfnorm.logpdf(x, scale=s)),
    "LogNormal": scalar("mu sigma", lambda x, m, s: st.lognorm.logpdf(x, s, scale=np.exp(m))),
    "StudentT": scalar("nu mu sigma", st.t.logpdf),
    "Cauchy": scalar("mu sigma", st.cauchy.logpdf),
    "HalfCauchy": scalar("sigma", lambda x, s: st.halfcauchy.logpdf(x, scale=s)),
    "Laplace": scalar("mu sigma", st.laplace.logpdf),
    "Logistic": scalar("mu sigma", st.logistic.logpdf),
    "Exponential": scalar("rate", lambda x, r: st.expon.logpdf(x, scale=1 / r)),
    "Gamma": scalar("shape rate", lambda x, a, r: st.gamma.logpdf(x, a, scale=1 / r)),
    "InverseGamma": scalar("shape scale", lambda x, a, s: st.invgamma.logpdf(x, a, scale=s)),
    "Weibull": scalar("shape scale", lambda x, a, s: st.weibull_min.logpdf(x, a, scale=s)),
    "Pareto": scalar("y_min shape", lambda x, y, a: st.pareto.logpdf(x, a, scale=y)),
    "Beta": scalar("a b", st.beta.logpdf),
    "Uniform": scalar("lo hi", lambda x, lo, hi: st.uniform.logpdf(x, lo, hi - lo)),
    "VonMises": scalar("mu kappa", lambda x, m, k: st.vonmises.logpdf(x, k, loc=m)),
    "Bernoulli": scalar("p", lambda x, p: st.bernoulli.logpmf(int(x), p)),
    "BernoulliLogit": scalar("logit", lambda x, t: st.bernoulli.logpmf(int(x), expit(t))),
    "Binomial": scalar("n p", st.binom.logpmf),
    "BetaBinomial": scalar("n a b", log_beta_binomial),
    "Poisson": scalar("rate", st.poisson.logpmf),
    "NegativeBinomial": scalar("mu phi", lambda x, m, phi: st.nbinom.logpmf(x, phi, phi / (phi + m))),
    "Geometric": scalar("p", lambda x, p: st.geom.logpmf(x + 1, p)),
    "DiscreteUniform": scalar("lo hi", lambda x, lo, hi: st.randint.logpmf(x, lo, hi + 1)),
    "ZeroInflatedPoisson": scalar("p_zero rate", log_zero_inflated),
    "Categorical": StandardDensity(0, (("p", 1),), lambda z, p: np.log(p[z])),
    "CategoricalLogit": StandardDensity(0, (("logits", 1),), lambda z, t: log_softmax(t)[z]),
    "Dirichlet": StandardDensity(1, (("alpha", 1),), lambda x, a: st.dirichlet.logpdf(x / np.sum(x), a)),
    "LKJCholesky": StandardDensity(2, (("eta", 0),), log_lkj),
    "MultivariateNormal": StandardDensity(1, (("mu", 1), ("cov", 2)), st.multivariate_normal.logpdf),
    "MultivariateNormalCholesky": StandardDensity(
        1, (("mu", 1), ("L", 2)), lambda x, m, c: st.multivariate_normal.logpdf(x, m, c @ c.T)
    ),
}
