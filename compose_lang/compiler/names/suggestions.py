"""Names that other languages and libraries know → how the same is written here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from compose_lang.diagnostics import Diagnostic, Span, did_you_mean

#: modules and aliases before a dot, as in `np.exp`: what is built in stands by itself
MODULES = frozenset({
    "np", "numpy", "jnp", "jax", "nn", "math", "scipy", "stats", "torch", "tf", "tfp", "tfd", "pm", "pymc", "pt",
    "numpyro", "pyro", "dist", "distributions", "random", "special", "linalg",
})  # fmt: skip

RENAMED = {
    "True": "true", "False": "false", "TRUE": "true", "FALSE": "false",
    "None": "none", "NULL": "none", "null": "none", "nil": "none", "nothing": "none",
    "Inf": "inf", "infinity": "inf", "Infinity": "inf", "π": "pi", "PI": "pi",
    "ln": "log", "power": "x^y", "pow": "x^y", "square": "x^2", "fabs": "abs", "sgn": "sign",
    "log10": "log(x) / log(10)", "log2": "log(x) / log(2)", "cbrt": "x^(1/3)", "e": "exp(1)",
    "sigmoid": "logistic", "inv_logit": "logistic", "expit": "logistic", "relu": "max(x, 0)",
    "arctan": "atan", "arctan2": "atan2", "arcsin": "asin", "arccos": "acos", "Phi": "normal_cdf",
    "gammaln": "lgamma", "loggamma": "lgamma", "betaln": "lbeta", "factorial": "exp(lgamma(n + 1))",
    "log_sum_exp": "logsumexp", "log_inv_logit": "log(logistic(x))", "mod": "x % y",
    "fmin": "min", "fmax": "max", "minimum": "min", "maximum": "max", "std": "sd", "stddev": "sd",
    "length": "len", "size": "len", "num_elements": "len", "rows": "shape(x)[0]", "cols": "shape(x)[1]",
    "dims": "shape", "ndim": "len(shape(x))",
    "matmul": "A @ B", "mm": "A @ B", "inv": "inverse", "chol": "cholesky", "identity": "eye",
    "dot_product": "dot", "inner": "dot", "multiply": "*", "add": "+",
    "arange": "range(n)", "enumerate": "zip(range(n), x)", "seq": "range(n)", "seq_len": "range(n)",
    "linspace": "[i / n for i in range(n)]", "rep_vector": "v * ones(n)", "rep": "v * ones(n)",
    "full": "v * ones(n)", "zeros_like": "0 * x", "ones_like": "0 * x + 1", "to_vector": "reshape(x, n)",
    "concatenate": "concat", "append_row": "concat", "hstack": "concat", "vstack": "stack",
    "ifelse": "if c then a else b", "if_else": "if c then a else b",
    "Gaussian": "Normal", "N": "Normal", "gaussian": "Normal", "MvNormal": "MultivariateNormal",
    "multi_normal": "MultivariateNormal", "multi_normal_cholesky": "MultivariateNormalCholesky",
    "neg_binomial_2": "NegativeBinomial", "neg_binomial": "NegativeBinomial", "NegBinomial": "NegativeBinomial",
    "student_t": "StudentT", "lognormal": "LogNormal", "inv_gamma": "InverseGamma",
    "lkj_corr_cholesky": "LKJCholesky", "LKJ": "LKJCholesky", "LKJCholeskyCov": "LKJCholesky",
    "double_exponential": "Laplace", "TruncatedNormal": "truncate(Normal(mu, sigma), lo, hi)",
    "Flat": "nothing: a variable is flat where no factor is stated",
    "ImproperUniform": "nothing: a variable is flat where no factor is stated",
}  # fmt: skip

SAID = {
    "int": "a type is no function; `floor`, `ceil` and `round` make whole numbers",
    "float": "a type is no function, and numbers need no conversion",
    "real": "a type is no function, and numbers need no conversion",
    "print": "every `var` and `let` is recorded with the draws: nothing needs printing",
    "target": "a term is added with `energy -(log density)`",
    "increment_log_prob": "a term is added with `energy -(log density)`",
    "potential": "a term is added with `energy value`",
    "Potential": "a term is added with `energy -(log density)`",
    "Deterministic": "`let name = value` is recorded with the draws",
    "deterministic": "`let name = value` is recorded with the draws",
    "sample": "a random variable is `var x: real ~ F(…)`",
    "Model": "a program is a model: declare and state at its top level",
    "Data": "data is declared: `data y: real[_] = read(…)`",
    "Mixture": "a mixture is `w * P + (1 - w) * Q`, or `mixture(w[k] * F(k) for k in range(n))`",
    "log_mix": "a mixture is `w * P + (1 - w) * Q`, or `mixture(w[k] * F(k) for k in range(n))`",
    "plate": "arrays are independent copies as they are; a loop is `for i in range(n) { … }`",
    "condition": "a constraint is `require condition`",
    "constraint": "a constraint is `require condition`",
    "assert": "a constraint is `require condition`",
    "minimize": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "minimise": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "maximize": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "maximise": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "rand": "a random variable is declared: `var x: real ~ Uniform(0, 1)`",
    "randn": "a random variable is declared: `var x: real ~ Normal(0, 1)`",
    "seed": "`compose run --seed 1` sets the seed",
    "set_seed": "`compose run --seed 1` sets the seed",
    "end": "a block stands in braces: `{ … }`",
    "pass": "an empty block is `{ }`",
    "break": "a plate has no order to break off; `for i in range(n) if c { … }` takes some instances",
    "continue": "`for i in range(n) if c { … }` takes some instances",
    "NaN": "a missing value has no number: declare a `var` for it",
    "nan": "a missing value has no number: declare a `var` for it",
    "NA": "a missing value has no number: declare a `var` for it",
}
#: BUGS and R
PRECISION = "; sigma is a standard deviation, not a precision"
BUGS = {
    "norm": "Normal(mu, sigma)" + PRECISION, "lnorm": "LogNormal(mu, sigma)" + PRECISION,
    "mnorm": "MultivariateNormal(mu, cov)", "mvnorm": "MultivariateNormal(mu, cov)",
    "t": "StudentT(nu, mu, sigma)" + PRECISION, "unif": "Uniform(lo, hi)", "gamma": "Gamma(shape, rate)",
    "beta": "Beta(a, b)", "bern": "Bernoulli(p)", "bin": "Binomial(n, p)", "binom": "Binomial(n, p)",
    "pois": "Poisson(rate)", "exp": "Exponential(rate)", "cat": "Categorical(p)", "ddirch": "Dirichlet(alpha)",
    "dirch": "Dirichlet(alpha)", "dexp": "Laplace(mu, sigma)", "logis": "Logistic(mu, sigma)",
    "cauchy": "Cauchy(mu, sigma)", "weib": "Weibull(shape, scale)", "par": "Pareto(y_min, shape)",
    "negbin": "NegativeBinomial(mu, phi)", "chisqr": "Gamma(nu / 2, 0.5)",
}  # fmt: skip
STAN_ENDINGS = ("_lpdf", "_lpmf", "_lupdf", "_lupmf", "_rng")


def foreign_name(name: str, candidates: Collection[str]) -> str:
    """What a name of another language, or one in the wrong case, is called here; or nothing."""
    if name in RENAMED:
        said = RENAMED[name]
        return f"write {said}" if said.startswith("nothing:") else f"write `{said}`"
    if name in SAID:
        return SAID[name]
    if name[0] in "dr" and name[1:] in BUGS:
        call, _, note = BUGS[name[1:]].partition(";")
        return f"write `{call}`" + (f";{note}" if note else "")
    stem = next((name.removesuffix(end) for end in STAN_ENDINGS if name.endswith(end)), name)
    plain = stem.replace("_", "").lower()
    same = sorted(c for c in candidates if c.replace("_", "").lower() == plain)
    if not same:
        return ""
    if stem != name:
        return f"a density is stated: `y ~ {same[0]}(…)`"
    if same[0][0].isupper() and not name[0].isupper():
        return f"did you mean `{same[0]}`? Factors start with a capital"
    return f"did you mean `{same[0]}`?"


def foreign_attribute(base: str, name: str, candidates: Collection[str]) -> str:
    """What `np.exp` and the like are called here; nothing where the base is no module that is known elsewhere."""
    if base not in MODULES:
        return ""
    if name in candidates:
        return f"write `{name}`: what is built in needs no module"
    return foreign_name(name, candidates) or "what is built in needs no module: `exp(x)`, `Normal(mu, sigma)`"


ARGUMENTS = {
    "sigma": ("scale", "sd", "std", "stddev", "sigma2", "scale_diag"),
    "mu": ("loc", "mean", "location", "m"),
    "nu": ("df", "dof"),
    "rate": ("lambda_", "lam", "lmbda", "inv_scale", "beta"),
    "shape": ("alpha", "concentration", "a", "k"),
    "scale": ("beta", "theta", "sigma"),
    "lo": ("lower", "low", "min", "a"),
    "hi": ("upper", "high", "max", "b"),
    "a": ("alpha", "concentration1"),
    "b": ("beta", "concentration0"),
    "p": ("probs", "prob", "theta", "pvals"),
    "logit": ("logits", "logit_p"),
    "logits": ("logit", "logit_p"),
    "n": ("total_count", "trials", "N"),
    "cov": ("covariance_matrix", "Sigma", "covariance"),
    "L": ("chol", "scale_tril", "cholesky"),
    "alpha": ("concentration", "a"),
}


def foreign_argument(name: str, known: Collection[str]) -> str:
    """What an argument that other libraries know is called here, or nothing."""
    if name in ("observed", "obs"):
        return "data is stated by itself: `y ~ F(…)`"
    if name in ("shape", "size", "sample_shape", "dims", "event_shape"):
        return "a variable's type says its shape: `var x: real[n]`"
    if name in ("tau", "precision") and "sigma" in known:
        return "`sigma` is a standard deviation: 1 / sqrt(precision)"
    if name in ("lower", "upper") and not {"lo", "hi"} & set(known):
        return "bounds belong to the variable's type: `real(lo, hi)`"
    return next(
        (f"write `{ours}=…`" for ours, theirs in ARGUMENTS.items() if ours in known and name in theirs), ""
    )


def foreign_method(name: str, base: str, candidates: Collection[str]) -> str:
    """What `x.sum()`, `x.shape` and `x.T` are called here, or nothing; base is the text before the dot."""
    if name in ("T", "t", "transpose"):
        return f"write `transpose({base})`"
    if name in ("reshape", "view"):
        return f"write `reshape({base}, …)`"
    if name in candidates:
        return f"write `{name}({base})`"
    if RENAMED.get(name, "") in candidates:
        return f"write `{RENAMED[name]}({base})`"
    return foreign_name(name, candidates)


def unknown_name(
    name: str,
    span: Span,
    candidates: Collection[str],
    values: Collection[str],
    modules: Sequence[str],
    hint: str,
    declare: str,
) -> Diagnostic:
    """The error for a name that nothing declares; `candidates` may be meant, `values` are the program's named values.

    modules: those of the library that declare it; hint: what is surely meant, or nothing; declare: the advice
    where no other name is near.
    """
    alike = [c for c in candidates if c[0].isupper() == name[0].isupper()]
    library = f"it is in {modules[0]}: `use {modules[0]} ({name})`" if modules else ""
    help = hint or foreign_name(name, candidates) or library or did_you_mean(name, alike) or declare
    if not help and values and span.source.text[span.end : span.end + 1] != "(":
        help = f"the named values are {', '.join(sorted(values))}"
    if is_behind_comment_sign(span):
        help = f"{help} A comment starts with `#`" if help else "a comment starts with `#`"
    return Diagnostic("CG0201", f"unknown name `{name}`", span, help=help)


def is_behind_comment_sign(span: Span) -> bool:
    """Whether a name is the last of its line, behind `//` or `--`: it may be meant as a comment."""
    line, column = span.source.position(span.start)
    text = span.source.line(line)
    return text[: column - 1].endswith(("// ", "-- ")) and not text[column - 1 + len(span.text) :].strip()
