"""Names: what is in scope where, and what is said of a name that is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from compose_lang.compiler.elaborate.standard_library import known_names, modules_with
from compose_lang.compiler.names.resolve import resolve
from compose_lang.compiler.names.suggestions import BUGS, RENAMED, SAID
from compose_lang.diagnostics import Diagnostic, Source
from compose_lang.grammar import ast
from compose_lang.grammar.parser import parse
from compose_lang.grammar.printer import print_module
from tests.grammar.strategies import modules

KNOWN = {
    **dict.fromkeys(("Normal", "HalfCauchy", "Beta", "StudentT", "MultivariateNormal"), "factor"),
    **dict.fromkeys(("exp", "log", "mean", "len", "range", "sum", "read", "norm", "std_normal"), "function"),
    **dict.fromkeys(("true", "false", "none", "pi", "inf"), "constant"),
}


def found(text: str) -> list[Diagnostic]:
    return resolve(parse(Source("test.cg", text)), KNOWN, modules_with)


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in found(text)]


@pytest.mark.parametrize(
    "text",
    [
        "var x: real ~ Normal(0, 1)\nlet y = exp(x)",
        "var z: real\nfactor Far(x: real | k: real) { energy k * half(x) }\n"
        "fn half(x: real) -> real = x / 2\nz ~ Far(1)",
        "factor F(x: real[n, d] | w: category(k)) { energy n * d * k * x }",
        "density D(x: int(0, n) | n: int) { energy n * x }",
        "fn f(x: real[n]) -> real[n] { let u = n * x\n u }\nlet v = f([1])",
        "factor F(x: real) { energy scale * x }\nconst scale = 3",
        "let a = sum(i * j for i in range(3), j in range(i) if i != j)\nlet b = [i for i in range(3)]",
        "for i in range(3) { let u = i\n energy u }\nfor i in range(3) { let u = 2 * i\n energy u }",
        "let s[0] = 1\nlet s[t] = s[t-1] for t in range(1, 9)\nlet last = s[8]",
        "for t in range(9) { let a[t] = b[t]\n let b[t] = a[t] }\nlet c = a[8] + b[8]",
        "for t in range(9) { for u in range(9) { if t > 1 { let a[t, u] = a[t - 1, u] } } }\nlet c = a[8, 8]",
        "for ((a, b), c) in [1] { energy a + b + c }",
        "type Color = {red, green}\nvar c: Color\nlet is_red = c == red or c == Color.green",
        "var c: {red, green}[3]\nlet n_red = sum(c[i] == red for i in range(3))",
        "use std.geometry (distance)\nlet d = distance(1, 2)",
        "use std.geometry\nlet d = distance(1, 2)",
        'use "parts/arm.cg" as arm\nlet a = arm.length',
        'use "parts/arm.cg"\nlet a = arm.length',
        "var x: real\ninfer x by mh(proposal=Normal(x, 0.1))\ninfer by auto",
        "density R(x: real[2]) = learn diffusion(x=[1], net=mlp(128))",
        "data d: real[_, 3]\nlet n = len(d)",
        "let mean = mean([1, 2])\nlet twice = 2 * mean",
        "factor F(x: real) { var t: real ~ Normal(0, 1)\n energy x - t }",
        "const _unused = 3\ndata _spare: real",
        "let Prior = 2 * Normal(0, 1)\nlet prior = Normal(0, 1)",
        "data X: real[_, _]\nvar W1: real\nvar L_omega: real\nlet z = X * W1 * L_omega\nvar 变量: real",
        "use std.geometry (distance)\nfn unused(x: real) -> real = x\nconst n = 3",
    ],
)
def test_nothing_is_said_of_names_in_order(text: str) -> None:
    assert [d for d in found(text) if d.code != "CG0213"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let a = b", ["CG0201"]),
        ("let a = b + b\nlet c = b", ["CG0201"]),
        ("for i in range(3) { energy i }\nlet a = i", ["CG0201"]),
        ("for i in range(3) { let u = i }\nlet a = u", ["CG0201"]),
        ("let a = sum(i for i in range(i))", ["CG0201"]),
        ("factor F(x: real) { let u = x\n energy u }\nlet a = u", ["CG0201"]),
        ("fn f(x: real) -> real[n] = x", ["CG0201"]),
        ("infer x by hmc", ["CG0201"]),
        ("x.y ~ Normal(0, 1)", ["CG0201"]),
        ("var x: real\nlet x = 1", ["CG0202"]),
        ("let x = 1\nlet x[0] = 1", ["CG0202"]),
        ("factor F(x: real | x: real) { }", ["CG0202"]),
        ("let a = [i for i in range(2), i in range(3)]", ["CG0202"]),
        ("let a = x\nvar x: real", ["CG0211"]),
        ("let a = a + 1", ["CG0211"]),
        ("let b[t] = a[t - 1] for t in range(9)\nlet a[t] = b[t] for t in range(9)", ["CG0211"]),
        ("for i in range(3) { var z: real }", ["CG0209"]),
        ("for i in range(3) { if true { var z: real } }", ["CG0209"]),
        ("factor F(x: real) { for i in range(3) { var z: real } }", ["CG0209"]),
        ("factor F(x: real) { draw 1 }", ["CG0209"]),
        ("draw 1", ["CG0209"]),
        ("factor F(x: real) { factor G(x: real) { } }", ["CG0209"]),
        ("for i in range(3) { infer by auto }", ["CG0209"]),
        ("factor near(x: real) { }", ["CG0212"]),
        ("var Height: real", ["CG0212"]),
        ("const n = 3\nvar x: real", ["CG0213"]),
        ("fn f(x: real) -> real { let u = x\n x }\nvar y: real ~ Normal(f(1), 1)", ["CG0213"]),
    ],
)
def test_names_out_of_order_are_reported(text: str, expected: list[str]) -> None:
    lints = {"CG0213"} - set(expected)  # short programs use little of what they declare
    assert [code for code in codes(text) if code not in lints] == expected


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("var tau: real\nlet a = tua", "did you mean `tau`?"),
        ("var y: real ~ normal(0, 1)", "did you mean `Normal`? Factors start with a capital"),
        ("var y: real ~ student_t(4, 0, 1)", "write `StudentT`"),
        (
            "var y: real ~ multivariate_normal(0, 1)",
            "did you mean `MultivariateNormal`? Factors start with a capital",
        ),
        ("energy -normal_lpdf(0, 1)", "a density is stated: `y ~ Normal(…)`"),
        ("let a = True", "write `true`"),
        ("let a = Exp(1)", "did you mean `exp`?"),
        ("theta ~ Normal(0, 1)", "declare it first: `var theta: real`"),
        ("let a = zzzzz", ""),
        (
            "const n = 2\nfor i in range(n), j in range(3) { var z: unit[4] }",
            "declare it before: `var z: unit[n, 3, 4]`",
        ),
        ("let edge = 1\nfor (i, j) in edge { var z: real }", "declare it before: `var z: real[n]`"),
    ],
)
def test_a_way_out_is_offered(text: str, help: str) -> None:
    assert [d.help for d in found(text) if d.severity == "error"] == [help]


def test_hints_are_for_names_the_language_does_not_have() -> None:
    known = known_names()
    assert not (RENAMED.keys() | SAID.keys()) & known.keys()
    assert not {"d" + name for name in BUGS} & known.keys()


def test_hints_offer_names_the_language_has() -> None:
    offered = {said.partition("(")[0] for said in (*RENAMED.values(), *BUGS.values())}
    names = {name for name in offered if name.isidentifier()}
    assert len(names) > 40 and names <= known_names().keys()


def test_spans_are_those_of_the_names() -> None:
    (twice,) = found("var x: real\nlet   x = 1")
    assert twice.span.text == "x"
    assert twice.labels[0].span.start == 4
    (style,) = found("density e(x: real) { energy x }")
    assert (style.span.text, style.span.start) == ("e", 8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(modules)
def test_no_program_breaks_the_resolver(module: ast.Module) -> None:
    again = parse(Source("test.cg", print_module(module)))
    for diagnostic in resolve(again, KNOWN, modules_with):
        assert diagnostic.span.source.name == "test.cg"


def test_a_used_file_without_a_name_breaks_nothing() -> None:
    assert codes('use ""\nuse "a-b.cg"\nlet b = nope') == []  # what they bring in is not known here
