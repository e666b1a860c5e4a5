"""Whether `log_evidence` is within its stated error: `python -m benchmarks.composed.evidence [NAME…] [--seeds 100]`.

Five programs whose evidence is known: closed forms, quadrature over one scale, and for the logistic regression a long
importance sampling of its own. A value counts as covered within two stated errors, which 95 of 100 should be.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

import compose_lang as cg
from benchmarks.composed.truth import Numbers, normal1

RESULTS = Path(__file__).with_name("evidence.json")
ERRORS = 2.0
ROUNDING = 1e-5  #: nats; a closed form states an error of 0
Program = tuple[str, dict[str, Any], float]  #: text, data, log evidence


def gaussian() -> Program:
    """Independent normals around a mean with a normal prior."""
    y = np.array([2.1, 3.4, 1.7, 2.9, 2.2])
    text = "data y: real[5]\nvar mu: real ~ Normal(0, 3)\ny ~ Normal(mu, 1)"
    covariance = np.eye(5) + 9
    _, log_det = np.linalg.slogdet(2 * math.pi * covariance)
    return text, {"y": y}, float(-0.5 * y @ np.linalg.solve(covariance, y) - 0.5 * log_det)


def hierarchical() -> Program:
    """Eight groups; means are integrated out in closed form, their scale on a grid."""
    y = np.array([2.8, 0.8, -0.3, 0.7, -0.1, 0.1, 1.8, 1.2])
    s = np.array([1.5, 1.0, 1.6, 1.1, 0.9, 1.1, 1.0, 1.8])
    text = (
        "data y: real[8]\ndata s: positive[8]\nvar mu: real ~ Normal(0, 2)\nvar tau: positive ~ HalfNormal(2)\n"
        "var theta: real[8] ~ Normal(mu, tau)\ny ~ Normal(theta, s)"
    )
    count = 20_000
    tau = 20 * (np.arange(count) + 0.5) / count
    variance = tau[:, None] ** 2 + s**2
    # the mean's prior joined with what the groups say of it
    precision = 1 / 4 + (1 / variance).sum(1)
    centre = (y / variance).sum(1) / precision
    joint = -0.5 * (np.log(2 * math.pi * variance) + y**2 / variance).sum(1)
    joint += 0.5 * precision * centre**2 - 0.5 * np.log(4 * precision)
    prior = math.log(2) - normal1(tau, 0.0, 2.0)
    return text, {"y": y, "s": s}, float(np.logaddexp.reduce(joint + prior) + math.log(20 / count))


def beta_binomial() -> Program:
    """Three rates with beta priors, each with its counts."""
    n, k = np.array([12, 30, 7]), np.array([3, 21, 6])
    text = "data n: int(0, 99)[3]\ndata k: int(0, 99)[3]\nvar p: unit[3] ~ Beta(2, 3)\nk ~ Binomial(n, p)"
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return text, {"n": n, "k": k}, float((choose + betaln(k + 2, n - k + 3) - betaln(2, 3)).sum())


def twenty_modes() -> Program:
    """Twenty modes in ten dimensions under a broad normal: each mode's product with it in closed form."""
    rng = np.random.default_rng(20)
    centre, share = rng.uniform(-8, 8, (20, 10)), np.arange(1, 21) / 210
    text = (
        "data centre: real[20, 10]\ndata share: real[20]\n"
        "var x: real[10] ~ mixture(share[k] * Normal(centre[k], 0.4) for k in range(20))\nx ~ Normal(0, 6)"
    )
    terms = np.log(share) - normal1(centre, 0.0, math.hypot(6, 0.4)).sum(1)
    return text, {"centre": centre, "share": share}, float(np.logaddexp.reduce(terms))


def logistic() -> Program:
    """Four coefficients, 60 rows: importance sampling by 10^6 draws of a Student-t around the mode."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((60, 4))
    y = rng.random(60) < 1 / (1 + np.exp(-x @ np.array([1.0, -0.5, 0.3, 2.0])))
    text = "data x: real[60, 4]\ndata y: bool[60]\nvar b: real[4] ~ Normal(0, 2)\ny ~ BernoulliLogit(x @ b)"

    def energy(b: Numbers) -> Numbers:
        """b (n, 4)."""
        logits = b @ x.T
        return np.asarray(normal1(b, 0.0, 2.0).sum(1) + np.logaddexp(0, np.where(y, -logits, logits)).sum(1))

    mode = minimize(lambda b: float(energy(b[None])[0]), np.zeros(4), method="BFGS")
    factor, nu, count, terms = np.linalg.cholesky(mode.hess_inv), 8.0, 100_000, []
    for _ in range(10):
        z = rng.standard_normal((count, 4)) * np.sqrt(nu / rng.chisquare(nu, count))[:, None]
        log_density = gammaln((nu + 4) / 2) - gammaln(nu / 2) - 2 * math.log(nu * math.pi)
        log_density = (
            log_density - (nu + 4) / 2 * np.log1p((z**2).sum(1) / nu) - np.log(np.diag(factor)).sum()
        )
        terms.append(-energy(mode.x + z @ factor.T) - log_density)
    whole = np.concatenate(terms)
    return text, {"x": x, "y": y}, float(np.logaddexp.reduce(whole) - math.log(len(whole)))


TRUTHS = {f.__name__: f for f in (gaussian, hierarchical, beta_binomial, twenty_modes, logistic)}


def measured(name: str, seeds: int, method: str | None, backend: str) -> dict[str, Any]:
    """How often the value of a run is within its error, over seeds; `none`: runs that give no evidence."""
    text, data, truth = TRUTHS[name]()
    model = cg.compile(text, data=data)
    off, errors, none, began = [], [], 0, time.perf_counter()
    for seed in range(seeds):
        run = model.sample(seed=seed, method=method, backend=backend)
        found = run.document()["log_evidence"]
        if not found:
            none += 1
            if none == 3 and not off:  # this plan gives none
                break
            continue
        off.append(found["value"] - truth)
        errors.append(found["error"])
    z = np.abs(off) / np.maximum(errors, ROUNDING)
    return {
        "truth": truth,
        "seeds": len(off),
        "none": none,
        "covered": int((z <= ERRORS).sum()),
        "worst z": float(z.max(initial=0.0)),
        "bias": float(np.mean(off)) if off else None,
        "sd": float(np.std(off)) if off else None,
        "stated error": float(np.mean(errors)) if errors else None,
        "seconds a run": round((time.perf_counter() - began) / max(len(off) + none, 1), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TRUTHS)} (all)")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--method", help="instead of the planner's choice")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.names or TRUTHS:
        row = measured(name, given.seeds, given.method, given.backend)
        results.setdefault(given.backend, {})[name] = row
        print(f"{name:14} {row}", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
