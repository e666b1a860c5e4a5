"""Hand-written programs that between them use every feature of the language, with their data.

`PROGRAMS[name]` is a text, or a text and its data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_rng = np.random.default_rng(3)

PROGRAMS: dict[str, str | tuple[str, dict[str, Any]]] = {
    "scalars": """
        const a = 2; param k: positive = 1.5
        var x: real ~ Normal(0, a)
        var s: positive ~ HalfNormal(k)
        let m = x * s
        energy 0.1 * m^2 + softplus(x) - log1p(s)
    """,
    "every standard density": """
        var x: real; var p: positive; var u: unit; var w: angle; var c: int(lower=0); var b: bool; var z: category(3)
        var q: simplex(3); var v: real[2]
        x ~ StudentT(4, 0.1, 1.3); x ~ Cauchy(0, 2); x ~ Laplace(0.2, 1); x ~ Logistic(0, 1.1); x ~ Uniform(-9, 9)
        p ~ HalfNormal(2); p ~ LogNormal(0.1, 0.7); p ~ HalfCauchy(1); p ~ Exponential(0.4); p ~ Gamma(2, 3)
        p ~ InverseGamma(2, 1.5); p ~ Weibull(1.4, 2); p ~ Pareto(0.01, 0.5)
        u ~ Beta(2, 3); w ~ VonMises(0.4, 2)
        c ~ Poisson(2.5); c ~ NegativeBinomial(2, 1.5); c ~ Geometric(0.3)
        c ~ Binomial(7, u); c ~ BetaBinomial(7, 2, p)
        c ~ DiscreteUniform(0, 8); c ~ ZeroInflatedPoisson(0.2, 2)
        b ~ Bernoulli(u); b ~ BernoulliLogit(x); z ~ Categorical(q); z ~ CategoricalLogit([x, p, 0])
        q ~ Dirichlet([1, 2, 3]); v ~ MultivariateNormal([0, x], [[2, 0.3], [0.3, 1]])
        v ~ MultivariateNormalCholesky([0, 1], [[1, 0], [0.5, 2]])
    """,
    "data and a regression": (
        """
        data y: real[_]; data x: real[_, 3]; data group: category(2)[_]
        var beta: real[3] ~ Normal(0, 1); var alpha: real[2]; var sigma: positive
        alpha ~ Normal(0, [1, 2])
        y ~ Normal(x @ beta + alpha[group], sigma)
        """,
        {"y": _rng.normal(size=5), "x": _rng.normal(size=(5, 3)), "group": np.array([0, 1, 1, 0, 1])},
    ),
    "leading axes": """
        var x: real[3, 4]; var m: real[4]; var s: positive[3, 1]
        x ~ Normal(m, s)
        m ~ Normal(0, 1)
        var z: category(2)[3] ~ Categorical([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    """,
    "user's factors": """
        factor Spring(a: real[2], b: real[2] | k: real = 1, rest: real = 1) { energy 0.5 * k * (norm(a - b) - rest)^2 }
        density Step(x: real | m: real, s: positive = 0.5) {
          let z = (x - m) / s
          energy 0.5 * z^2 + log(s) + 0.5 * log(2 * pi)
        }
        factor Smooth(x: real[n, d]) { for i in range(n - 1) { energy sum((x[i + 1, :] - x[i, :])^2) / d } }
        var x: real[5, 2]
        Spring(x[0], x[1] | k=2); (x[:-1], x[1:]) ~ Spring(k=3)
        Spring(x[1], x[4]); (x[0], x[2:]) ~ Spring
        Smooth(x); x[::2] ~ Smooth()
        x[:, 0] ~ Step(0); x[1, 1] ~ Step(s=2, m=x[0, 0])
    """,
    "bound shapes with leading axes": """
        factor Smooth(x: real[n, d] | k: real = 1) { energy k * sum((x[1:, :] - x[:-1, :])^2) + 0.1 * n - d }
        var x: real[3, 4, 2]
        x ~ Smooth([1, 2, 3]); x[0] ~ Smooth(0.5); x[:, :2] ~ Smooth
    """,
    "supports": """
        density Flat(x: real(0, 2)) { energy log(2) }
        factor Low(x: real(lower=-1) | a: real) { energy a * x }
        var x: real[4]; x ~ Normal(0, 1)
        density Box(x: unit[n]) { energy 0 * n }
        var u: real(0, 1.1)[3]; var v: real[2, 2]
        u ~ Box; u[0:2] ~ Box; (v + 2) / 4 ~ Box
        x[0] ~ Flat; x[1] ~ Low(0.5); x[3] ~ 0.5 * Flat + 0.5 * Normal(0, 1)
    """,
    "factor bodies": """
        fn hinge(d: real) -> real = max(0, 1 - d)
        factor Pair(a: real, b: real | w: real = 2) {
          require a * b < 4
          prefer a < b weight w
          a ~ Normal(b, 1)
          energy hinge(a - b)
          for k in range(3) { energy 0.1 * k * a }
          if w > 1 { energy a^2 } else { energy b^2 }
        }
        var x: real[4]
        (x[:2], x[2:]) ~ Pair(w=[1, 3]); Pair(x[0], x[3])
    """,
    "plates": """
        const n = 4
        var x: real[n, n]; var s: spin[n]; var y: real[n]
        y ~ Normal(0, 1); x ~ Normal(0, 2)
        for i in range(n) { energy 0.3 * s[i] * y[i] }
        for i in range(n), j in range(i) { energy x[i, j]^2 * s[j] }
        for i in range(n) {
          for j in range(i, n) { x[i, j] ~ Normal(y[i], 1.5); for k in range(j) { energy 0.1 * x[k, j] } }
        }
        for i in range(n), j in range(n) if i != j and (i + j) % 2 == 0 { energy x[i, j] * x[j, i] }
        for i in range(1, n, 2) { energy s[i] * s[i - 1] }
        for i in range(n) if s[i] == 1 { energy 0.7 * y[i] }
        for i in range(n), j in range(n) if x[i, j] > 0 { energy 0.2 * x[i, j] }
    """,
    "index sets": (
        """
        data edges: int[_, 2]; data w: real[_]
        var s: spin[3, 4]; var t: spin[12]; var a: spin[2, 2]; var b: spin[2, 3, 2]; var r: spin[5]
        for (p, q) in grid(3, 4) { energy -0.3 * s[p] * s[q] }
        for (p, q) in torus(3, 4) { energy -0.2 * s[p] * s[q] }
        for ((i, j), (k, l)) in grid(3, 4) if i == k { energy 0.1 * s[i, j] * s[k, l] * (j + l) }
        for (p, q) in torus(2, 2) { energy a[p] * a[q] }
        for (p, q) in grid(2, 3, 2) { energy 0.5 * b[p] * b[q] }
        for (i, j) in torus(5) { energy 0.4 * r[i] * r[j] }
        for (i, j) in chain(12) { energy 0.25 * t[i] * t[j] }
        for (i, j) in pairs(5) { energy 0.05 * t[i] * t[j] * (i + 1) }
        for (i, j) in edges if w[i % 4] > 0 { energy w[j % 4] * t[i] * t[j] }
        for (e, v) in zip(edges, w) { energy v * t[e[0]] * r[e[1] % 5] }
        for row in edges { energy 0.01 * t[row[1]] }
        for v in w { energy 0.02 * v * t[0] }
        """,
        {"edges": np.array([[0, 5], [3, 2], [7, 11], [4, 4]]), "w": np.array([0.5, -1.0, 2.0, 0.3])},
    ),
    "comprehensions": """
        const n = 4
        fn k(a: real, b: real) -> real = exp(-0.5 * (a - b)^2)
        var x: real[n]; var v: real[n, 2]
        x ~ Normal(0, 1)
        let K = [k(x[i], x[j]) for i in range(n), j in range(n)]
        energy 0.5 * log_det(K + eye(n)) + 0.5 * dot(x, solve(K + eye(n), x))
        energy sum(x[i] * x[j] for i in range(n), j in range(n) if i < j)
        energy sum(x[i] for i in range(n) if x[i] > 0)
        energy mean(x[i]^2 for i in range(n)) + mean(x[i] for i in range(n) if i % 2 == 0)
        energy max(x[i] - x[j] for i in range(n), j in range(n)) - min(abs(x[i]) for i in range(n) if i > 0)
        energy logsumexp(x[i] - i for i in range(n)) + prod(1 + 0.1 * x[i] for i in range(n))
        energy if any(x[i] > 2 for i in range(n)) then 1 else 0
        energy if all(x[i] > -2 for i in range(n)) then 1 else 0
        energy sum(sum(x[j] for j in range(i)) for i in range(n))
        let c = sum(v[i] for i in range(n)) / n
        v ~ Normal(c, 1)
        energy sum([x[i] * i for i in range(n) if i != 2]) + norm([x[i]^2 for i in range(2)])
    """,
    "slices that move with a loop": """
        var x: real[6]; var y: real[5, 4]; var c: category(4)[4, 4]; var p: simplex(3)[5]
        x ~ Normal(0, 1); y ~ Normal(0, 1)
        for i in range(3) { energy sum(x[2 * i:2 * i + 2])^2; x[i:i + 3] ~ Normal(i, 2) }
        for a in range(2), b in range(2) { energy sum(c[2 * a:2 * a + 2, 2 * b:2 * b + 2])^2 * (a + 2 * b + 1) }
        for i in range(1, 4) { energy y[i - 1:i + 2, i][1]^2 + sum(y[i, i - 1:i + 1] * y[i - 1:i + 1, 0]) }
        for i in range(4) { energy sum(p[i:i + 2, 1]) + sum(p[i:i + 2]) * p[i, 0] }
        let s[0] = x[0]; let s[t] = 0.5 * s[t - 1] + sum(x[t - 1:t + 1]) for t in range(1, 6)
        energy sum(s^2) + sum([mean(x[i:i + 3]) for i in range(4)])
    """,
    "arrays and slices": """
        var a: real[3, 4, 5]; var m: real[4, 4]; var v: real[6]
        a ~ Normal(0, 1); m ~ Normal(0, 1); v ~ Normal(0, 1)
        energy sum(a[0, 1:3, ::2]) + 2 * sum(a[-1, :, -2]) + sum(a[:, -1]^2) - sum(a[1:, ::-1, 3])
        energy sum(v[::-1] * v) + dot(v[1:], v[:-1]) + v[-1] * v[-6] + sum(v[4:0:-2]) + sum(v[[0, 0, -1]])
        energy trace(m @ m) + sum(transpose(m)[0]) + dot(m @ v[:4], v[2:]) + sum(diag(m))
        energy log_det(m @ transpose(m) + eye(4))
        energy sum(reshape(a, 12, 5)[7]) + sum(concat(v, m[0])[5:]) + sum(stack(v[:4], m[1])[:, 2])
        energy sum(outer(v, v)[1])
        energy sum(a, axis=1)[0, 2] + max(m) + min(v) + logsumexp(v) + sum(max(m, axis=0)) + max(v[0], v[1], 0.3)
        energy sum(softmax(v)^2) + sum(cumsum(v)) + sum(sort(v)[:2]) + clip(v[0], -1, 1) + variance(v) + sd(v)
        energy sum(logsumexp(m, axis=1)) + sum(where(v > 0, v, -2 * v))
        energy sum(a[:, [0, 2], 1]) + sum(a[[0, 1], :, [2, 3]])
        energy (if v[0] in [1, 2] then 1 else 2) + v[1] // 1 + v[2] % 2 + sum(zeros(2) + ones(2) * v[3])
    """,
    "discrete indices": """
        const k = 3
        var z: category(k)[5]; var mu: real[k]; var W: real[k, k]; var y: int(0, 4)[k]; var b: bool[5]; var x: real[5]
        mu ~ Normal(0, 1); W ~ Normal(0, 1); x ~ Normal(mu[z], 1)
        for i in range(4) { energy W[z[i], z[i + 1]] }
        for i in range(5) { energy mu[z[i]] * x[y[z[i]]] }
        energy sum(W[z[0], :]) + W[1, b[2]] + sum(mu[z] * b) + x[y[0]] * (if b[1] then 2 else 3)
        energy sum(W[z[i], y[z[i]] % 3] for i in range(5))
        energy sum((W @ mu)[z[i]] for i in range(2))
    """,
    "named values": """
        type Color = {red, green, blue}
        data c: Color[3] = [0, 2, 1]
        var z: Color[3]; var day: {sun, rain}
        z ~ Categorical([0.2, 0.3, 0.5])
        for i in range(3) { energy if z[i] == Color.green then 1 else 0 }
        for i in range(3) if z[i] == c[i] { energy 0.5 }
        for (i, j) in chain(3) { require z[i] != z[j] or day == rain }
        prefer z[0] == red weight 3
        if day == sun { energy z[1] }
    """,
    "constrained vectors": """
        var p: simplex(3)[2]; var o: ordered(3); var q: positive_ordered(2); var z: category(3)[4]
        p ~ Dirichlet([1, 2, 3]); o ~ Normal(0, 1); q ~ Exponential(1); z ~ Categorical(p[0])
        energy sum(xlogy(p[1], p[0])) + dot(o, p[1]) + q[1] - q[0]
    """,
    "products and quotients": """
        density Bump(x: real[2] | m: real[2], s: real = 1) {
          energy 0.5 * sum((x - m)^2) / s^2 + 2 * log(s) + log(2 * pi)
        }
        factor Near(a: real, b: real) { energy abs(a - b) }
        var x: real[2]; var y: real[3, 2]; var a: real[3]; var w: unit
        x ~ Normal([-1, 0], 1) * Normal([1, 0], 2)
        x ~ Bump([0, 1]) / Bump([1, 1], 3)^0.5
        x ~ Bump([0, 1]) * (Bump([1, 0]) / Bump([0, 0]))^0.7
        y ~ Bump(x)^2 * Normal(0, 3)
        a ~ w * Normal(0, 1)
        (a[0], a[1]) ~ Near * Near^0.5
        Near(a[1], a[2] |) * Near(a[0], a[2] |)
        x ~ product(Normal(i, 3) for i in range(3))
        a ~ product(Normal(a[i], 1 + i) for i in range(3) if i != 1)
    """,
    "mixtures": """
        density Bump(x: real[2] | m: real[2], s: real = 1) {
          energy 0.5 * sum((x - m)^2) / s^2 + 2 * log(s) + log(2 * pi)
        }
        factor Near(a: real, b: real) { energy abs(a - b) }
        density Two(y: real | a: real, b: real, w: unit) = w * Normal(a, 1) + (1 - w) * Normal(b, 1)
        var y: real[4]; var x: real[2]; var w: unit; var a: real; var b: real; var p: simplex(3)
        var mu: real[3]; var v: real[3, 2]
        a ~ Normal(0, 1); b ~ Normal(0, 1); mu ~ Normal(0, 1); v ~ Normal(0, 1)
        y ~ w * Normal(a, 1) + (1 - w) * Normal(b, 1)
        y ~ Two(a, b, w)
        x ~ 0.5 * Normal([-1, 0], 1) + 0.5 * Normal([1, 0], 1)
        v ~ 0.5 * Normal([-1, 0], 1) + 0.5 * Normal([1, 0], 1)
        v ~ 0.2 * Bump(x) + 0.3 * Bump([1, 0], 2) + 0.5 * (Normal(0, 1) * Normal([0, 1], 2))
        y ~ mixture(p[k] * Normal(mu[k], 1) for k in range(3))
        v ~ mixture(1 / 3 * Bump(v[k], 2) for k in range(3))
        0.5 * Near(a, b |) + 0.5 * Near(a, mu[0] |)
        y ~ [0.1, 0.2, 0.3, 0.4] * Normal(0, 1) + [0.9, 0.8, 0.7, 0.6] * Normal(1, 2)
        y[1:] ~ 0.3 * (0.5 * Normal(0, 1) + 0.5 * Normal(1, 1)) + 0.7 * Laplace(0, 1)
        for i in range(4) { y[i] ~ w * Normal(i, 1) + (1 - w) * Normal(a, 1) }
        let _both = 0.5 * Normal(a, 1) + 0.5 * Normal(b, 2)
        y ~ _both; y ~ _both * Normal(0, 3)
    """,
    "mixtures over shared parts": """
        density Wave(x: real[n] | a: real[n], s: positive) { x ~ Normal(a, s) }
        var x: real[3]; var a: real[3] ~ Normal(0, 1); var g: real[2, 3]
        x ~ 0.5 * Wave(a, 1) + 0.5 * Wave(-a, 2)
        g ~ 0.5 * Wave(a, 1) + 0.5 * Normal(a, 2)
    """,
    "contrast": """
        var x: real; var v: real[2, 2]; var s: positive
        x ~ contrast(Normal(0, 2), Normal(1, 0.5)); s ~ Exponential(1)
        x ~ contrast(Normal(0, 2), Normal(1, 0.5), strength=3)
        v ~ contrast(Normal([0, 1], 2), Normal(1, 0.5), s)
        x ~ contrast(Uniform(-3, 3), 0.5 * Normal(0, 1) + 0.5 * Normal(2, 1))
    """,
    "constraints": """
        var x: real[3]; var z: int(0, 5)[4]; var b: bool[3]
        x ~ Normal(0, 1)
        require sum(z) >= 5
        require "order": x[0] <= x[1] + 2
        require all_different(z[:2]) or b[0]
        require x < 3
        require at_most(b, 2) and implies(b[0], z[0] > 0)
        require not (b[1] and b[2])
        require sum([0.2, 0.8]) == 1
        prefer x[0] < x[1] < x[2] weight 2
        prefer x == 0 weight 0.1
        prefer not (x[0] > 1 or x[1] < 0 and z[0] == 2)
        prefer z[0] != z[1] weight 3
        prefer exactly_one(b) and at_least(b, 1)
        prefer (x[0] - x[1])^2 >= 1 or z[3] in [1, 2] weight x[2]^2
        for i in range(3) if b[i] { require x[i] > -2; prefer x[i] > 0 weight 2 }
    """,
    "gates": """
        const use_prior = true; const order = 2
        var z: int(0, 2)[3]; var y: real[3]; var m: real; var s: positive
        if use_prior { y ~ Normal(0, 2); m ~ Normal(0, 1) } else { y ~ Normal(9, 9) }
        if order == 1 { energy 5 } else if order == 2 { s ~ Exponential(2) } else { energy 7 }
        for i in range(3) {
          if z[i] == 1 { y[i] ~ Normal(m, 1) } else { y[i] ~ Laplace(0, s) * Normal(0, 1) }
          if z[i] == 2 { energy log(s); for j in range(i) { y[j] ~ 0.5 * Normal(0, 1) + 0.5 * Normal(m, 1) } }
        }
        if m > 0 { if y[0] > 0 { energy 0.3 } else { require y[0] > -3 } }
    """,
    "guarded branches": """
        var x: real[5]; var y: real
        x ~ Normal(0, 1); y ~ Normal(0, 1)
        for i in range(5) { energy if x[i] > 0 then log(x[i]) else -x[i] }
        energy sum(if x[i] > 0 then sqrt(x[i]) else 0 for i in range(5))
        energy if y != 0 then sin(y) / y else 1
        energy sum(where(x > 0, x^1.5, 0 * x)) + (if y > 0 then y^0.5 + lgamma(y) else exp(y))
        if y > 0 { y ~ Gamma(2, 1); energy log(y) }
        for i in range(5) if x[i] > 0 { energy 1 / x[i]; x[i] ~ LogNormal(0, 1) }
        energy norm(x - x)
    """,
    "functions": """
        fn sq(x: real) -> real { let u = x * x; u + 1 }
        fn dist(a: real[d], b: real[d]) -> real = norm(a - b) + d
        fn shift(a: real[n], by: real = 2) -> real[n] = a + by
        fn outer_sum(a: real[n], b: real[m]) -> real[n, m] = [a[i] + b[j] for i in range(n), j in range(m)]
        fn apply_twice(x: real) -> real = sq(sq(x) / 10)
        var x: real[3, 2]; var y: real[2]; var t: real
        x ~ Normal(0, 1); y ~ Normal(0, 1); t ~ Normal(0, 1)
        energy sum(sq(x)) + sum(dist(x, y)) + dist(y, [1, 2]) + sum(shift(x)) + sum(shift(y, by=x[:, 0]))
        energy sum(outer_sum(y, x[:, 1])^2) + apply_twice(t) + sum(dist(x[1:], x[:-1]))
        for i in range(3) { energy sq(x[i, 0]) * dist(x[i], y) }
    """,
    "garch": (
        """
        data y: real[_]
        var mu: real; var a0: positive; var a1: unit; var b1: real(0, 1 - a1); var sigma1: positive
        let s[0] = sigma1
        let s[t] = sqrt(a0 + a1 * (y[t-1] - mu)^2 + b1 * s[t-1]^2) for t in range(1, len(y))
        mu ~ Normal(0, 1); a0 ~ Exponential(1); sigma1 ~ Exponential(1)
        y ~ Normal(mu, s)
        """,
        {"y": np.array([0.3, -1.2, 2.0, 0.4, 0.1, -0.7])},
    ),
    "recurrences that feed each other": """
        const n = 6
        var x: real[n]; var k: real
        x ~ Normal(0, 1); k ~ Normal(0, 1)
        let a[0] = x[0]
        let b[0] = k
        for t in range(1, n) {
          let mid = 0.5 * a[t-1] + x[t]
          let a[t] = tanh(mid + b[t-1])
          let b[t] = a[t] * k + b[t-1] * 0.3
        }
        energy sum(a * b) + a[3] * b[-1]
    """,
    "a recurrence of lag 2": """
        const n = 7
        var x: real[n]; var c: real[2]
        x ~ Normal(0, 1); c ~ Normal(0, 0.5)
        let f[0] = x[0]
        let f[1] = 2 * x[1]
        let f[t] = c[0] * f[t-1] + c[1] * f[t-2] + x[t] for t in range(2, n)
        energy sum(f^2) + f[3] - f[-1]
        let g[0] = 1.0
        let g[t] = g[t-1] + 0.1 * f[t] * x[t-1] for t in range(1, n)
        energy g[n - 1]
    """,
    "a recurrence of two indices": (
        """
        data y: real[_]
        const k = 3
        var p: simplex(k)[k]; var start: simplex(k); var mu: real[k] ~ Normal(0, 2)
        let g[0, j] = log(start[j]) + log_weight(Normal(y[0] | mu[j], 1)) for j in range(k)
        for t in range(1, len(y)), j in range(k) {
          let emitted = log_weight(Normal(y[t] | mu[j], 1))
          let g[t, j] = logsumexp(g[t-1, i] + log(p[i, j]) for i in range(k)) + emitted
        }
        energy -logsumexp(g[-1])
        """,
        {"y": np.array([0.1, 2.0, -1.0, 0.5])},
    ),
    "a recurrence of vectors": """
        var A: real[2, 2]; var x0: real[2]; var e: real[4, 2]
        A ~ Normal(0, 0.5); x0 ~ Normal(0, 1); e ~ Normal(0, 1)
        let x[0] = x0
        let x[t] = A @ x[t-1] + e[t-1] for t in range(1, 5)
        energy 0.5 * sum(x^2) + x[2, 1]
        let sq[i] = i * x0[0] for i in range(4)
        energy sum(sq)
    """,
    "a recurrence in a factor": """
        factor Path(x: real[n] | k: real) {
          let s[0] = x[0]
          let s[t] = k * s[t-1] + x[t] for t in range(1, n)
          energy 0.5 * sum(s^2)
        }
        var x: real[3, 4]; var k: real
        k ~ Normal(0, 1)
        x ~ Path(k)
        for i in range(3) { x[i] ~ Path(0.1 * i) }
    """,
    "a recurrence of discrete steps": """
        var z: bool[6]; var h: real
        h ~ Normal(0, 1)
        let c[0] = if z[0] then 1 else 0
        let c[t] = if z[t] then c[t-1] + 1 else 0 for t in range(1, 6)
        energy -0.2 * max(c) + h * sum(c)
    """,
    "observations": """
        var x: real[4, 2]; var s: spin[5]; var z: {red, green}[2]; var p: simplex(3)[2]; var u: real
        observe x[0] = [0.5, -1]; observe x[2:, 1] = 0.25; observe s[::2] = [1, -1, 1]; observe z[1] = green
        observe p[0] = [0.2, 0.3, 0.5]; observe u = 2
        x ~ Normal(0, 1); p ~ Dirichlet([2, 2, 2]); u ~ Normal(x[1, 0], 1)
        for (i, j) in chain(4) { energy sum((x[i] - x[j])^2) }
        for (i, j) in chain(5) { energy -0.4 * s[i] * s[j] }
        energy if z[0] == z[1] then 0.3 else 0
    """,
    "log_weight": """
        var x: real[3]; var w: positive
        x ~ Normal(0, 1)
        energy -0.5 * log_weight(Normal(x[0] | 0, w)) + log_weight(Normal(x | 1, 2)) * 0.1
        energy -logsumexp(log_weight(Normal(x[i] | i, 1)) for i in range(3))
        let l = log_weight(0.5 * Normal(x[0] | 0, 1) + 0.5 * Normal(x[0] | 3, 1))
        energy 0.01 * l^2; w ~ Exponential(1)
    """,
    "dynamic subjects": """
        var z: category(4)[3]; var x: real[4]; var b: bool
        x ~ Normal(0, 1)
        for i in range(3) { x[z[i]] ~ Normal(i, 1); if b { z[i] ~ Categorical([0.1, 0.2, 0.3, 0.4]) } }
        x[z[0]] - x[z[1]] ~ Laplace(0, 1)
        (x[0] + x[1]) / 2 ~ Normal(0, 1)
    """,
    "empty plates": """
        const n = 0
        var x: real ~ Normal(0, 1)
        for i in range(n) { energy x * i }
        for i in range(3) if i > 5 { energy x }
        for i in range(3), j in range(i) if j > 5 { energy x }
        energy sum(x * i for i in range(n)) + sum(x for i in range(3) if i > 4)
    """,
    "repeated plates": """
        var x: real; var y: real[3]
        y ~ Normal(x, 1)
        for i in range(5) { energy x^2 }
        for i in range(5), j in range(2) { energy x * i }
        for i in range(5) { x ~ 0.5 * Normal(0, 1) + 0.5 * Normal(1, 1) }
        energy 2
        for i in range(3) { energy 1; y ~ Normal(i, 1) }
        energy y
    """,
    "numbers": """
        var i: int(-2, 3)[3]; var b: bool[2]; var s: spin; var x: real
        x ~ Normal(0, 1)
        energy i[0] / 2 + i[1] // 2 + i[2] % 2 + i[0]^2 + 2^i[1] + abs(i[2]) + b[0] + b[0] * b[1] + -b[1]
        energy sum(b) + mean(i) + max(i) + (if b[0] and not b[1] then s else -s) + sum(i == 1) + (b[0] == b[1])
        energy if -1 <= i[0] < 2 then 0.5 else 0.25
        energy sum(i * x) + round(x) + floor(x) + sign(x) + x^3 + x^4 + exp(x)^0.5 + (x^2)^1.5
        b ~ Bernoulli(0.3); i ~ DiscreteUniform(-2, 3)
    """,
}
