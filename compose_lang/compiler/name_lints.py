"""Names → hints: how names are spelled here (CG0212), and what other languages' names are called."""

from __future__ import annotations

from compose_lang.diagnostics import Diagnostic, Span

ELSEWHERE = {
    "True": "`true`",
    "False": "`false`",
    "TRUE": "`true`",
    "FALSE": "`false`",
    "None": "`none`",
    "NULL": "`none`",
    "Inf": "`inf`",
    "infinity": "`inf`",
    "NaN": "",
    "ln": "`log`",
    "pow": "`x^y`",
    "power": "`x^y`",
    "square": "`x^2`",
    "fabs": "`abs`",
    "sigmoid": "`logistic`",
    "inv_logit": "`logistic`",
    "expit": "`logistic`",
    "log_sum_exp": "`logsumexp`",
    "length": "`len`",
    "size": "`len`",
    "dims": "`shape`",
    "ifelse": "`if c then a else b`",
    "if_else": "`if c then a else b`",
    "linspace": "`[i / n for i in range(n)]`",
    "print": "every `var` and `let` is recorded with the draws: nothing needs printing",
    "target": "a term is added with `energy -(log density)`",
    "minimize": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "minimise": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "maximize": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "maximise": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "MvNormal": "`MultivariateNormal`",
    "multi_normal": "`MultivariateNormal`",
    "neg_binomial_2": "`NegativeBinomial`",
    "student_t": "`StudentT`",
    "lognormal": "`LogNormal`",
    "inv_gamma": "`InverseGamma`",
    "lkj_corr_cholesky": "`LKJCholesky`",
}
STAN_ENDINGS = ("_lpdf", "_lpmf", "_lupdf", "_lupmf", "_rng")


def foreign_name(name: str, candidates: set[str]) -> str:
    """What a name of another language, or one in the wrong case, is called here; or nothing."""
    if name in ELSEWHERE:
        said = ELSEWHERE[name]
        return f"write {said}" if said.startswith("`") else said
    stem = next((name.removesuffix(end) for end in STAN_ENDINGS if name.endswith(end)), name)
    plain = stem.replace("_", "").lower()
    same = sorted(c for c in candidates if c.replace("_", "").lower() == plain)
    if not same:
        return ""
    if stem != name:
        return f"a density is stated: `y ~ {same[0]}(…)`"
    if same[0][0].isupper():
        return f"did you mean `{same[0]}`? Factors start with a capital"
    return f"did you mean `{same[0]}`?"


def style_warning(name: str, is_factor: bool, span: Span) -> Diagnostic | None:
    """A CG0212 for a factor that starts with a small letter, or anything else that starts with a capital.

    A single letter is the mathematician's: `X`, `W1` and `L_omega` are welcome.
    """
    first = name[0]
    if is_factor and first.islower():
        better, rule = first.upper() + name[1:], "factors and densities start with a capital"
    elif not is_factor and first.isupper() and not _is_one_letter(name):
        better, rule = (
            first.lower() + name[1:],
            "all but factors, densities and types start with a small letter",
        )
    else:
        return None
    return Diagnostic(
        "CG0212", f"{rule}: `{name}`", span, severity="warning", help=f"`{better}` would not surprise"
    )


def _is_one_letter(name: str) -> bool:
    return len(name) == 1 or not name[1].isalpha()
