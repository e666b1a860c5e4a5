"""Stan's sections and declarations → how they are written here (CG0103)."""

from __future__ import annotations

from compose_lang.diagnostics import Diagnostic
from compose_lang.grammar.failure import Failure
from compose_lang.grammar.tokens import Token

BLOCKS = frozenset(
    {"functions", "transformed", "parameters", "model", "generated", "data", "param", "constraints"}
)
TYPES = {
    **{name: name for name in ("real", "int", "bool", "spin", "positive", "unit", "angle")},
    "float": "real",
    "double": "real",
    "integer": "int",
    "vector": "real",
    "row_vector": "real",
    "array": "real",
    "matrix": "real",
    "cov_matrix": "real",
    "corr_matrix": "real",
}
SIZED = {
    **{name: name for name in ("simplex", "ordered", "positive_ordered", "unit_vector", "category")},
    "cholesky_factor_corr": "cholesky_corr",
}


def _section(f: Failure) -> Diagnostic | None:
    """`parameters { … }`, `transformed data { … }`"""
    if f.first.text not in BLOCKS or not any(token.kind == "LBRACE" for token in (f.token, *f.ahead)):
        return None
    return f.habit(
        "a program has no sections",
        "declare in any order: `data y: real[n]`, `var mu: real`, `y ~ Normal(mu, 1)`",
        f.first,
    )


def _type_first(f: Failure) -> Diagnostic | None:
    """`real x`, `int<lower=0> n`, `vector[n] y`, `array[n] real x`"""
    if f.first.text not in TYPES.keys() | SIZED.keys() or not f.statement:
        return None
    if f.kinds[1] != "LESSTHAN" and f.token.kind != "NAME":
        return None
    line = list(f.line)
    type_ = _stan_type(f, line)
    name = line.pop(0).text if line else "name"
    follows = line[0].kind if line else ""
    if follows == "LSQB":
        type_ += f.text(line[0], next((t for t in line if t.kind == "RSQB"), line[0]))
    if follows == "LPAR":
        help = f"a function is `fn {name}(x: real) -> {type_} = value`"
    elif follows == "EQUAL":
        help = f"write `let {name} = …`, or `const` for what is known at compile time"
    else:
        before = f.source.text[: f.block.start].rstrip() if f.block else ""
        help = f"write `{'data' if before.endswith('data') else 'var'} {name}: {type_}`"
    return f.habit("a declaration does not start with its type", help, f.first)


def _stan_type(f: Failure, line: list[Token]) -> str:
    """Takes a type written in Stan's way off the start of a line: what it is here."""
    word = line.pop(0).text
    inside = {"LESSTHAN": "", "LSQB": ""}
    while line and line[0].kind in inside:
        closer = {"LESSTHAN": "MORETHAN", "LSQB": "RSQB"}[line[0].kind]
        end = next((k for k, t in enumerate(line) if t.kind == closer), len(line) - 1)
        inside[line[0].kind] = f.text(line[1], line[end - 1]) if end > 1 else ""
        del line[: end + 1]
    bounds, sizes = inside["LESSTHAN"], inside["LSQB"]
    if word in SIZED:
        return f"{SIZED[word]}({sizes or 'k'})"
    if word == "array" and line and line[0].text in TYPES:
        base = _stan_type(f, line)
    else:
        base = TYPES[word] + (f"({bounds})" if bounds else "")
        if word in ("vector", "row_vector", "array", "matrix"):
            sizes = sizes or "n"
    return base + (f"[{sizes}]" if sizes else "")


STAN_HABITS = (_section, _type_first)
