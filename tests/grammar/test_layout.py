"""The canonical layout: as written out here, the same program, the same comments, and nothing left to lay out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_lang.diagnostics import ComposeError, InternalError, Source
from compose_lang.grammar import layout
from compose_lang.grammar.layout import format_source, pieces_of
from compose_lang.grammar.parser import parse
from compose_lang.grammar.printer import print_module
from compose_lang.grammar.tokens import OPENERS, tokenize
from tests.grammar.strategies import modules

ROOT = Path(__file__).parents[2]

CASES = {
    "spaces": (
        "var  x:real[n ,2]~Normal( 0,1 )\nlet y=-x[0,1:3]^-2+( - 1)\n",
        "var x: real[n, 2] ~ Normal(0, 1)\nlet y = -x[0, 1:3]^-2 + (-1)\n",
    ),
    "signature": (
        "factor F(a:real[2],b|k:real=1,rest=1)=G(a|k=k)\nF(x|)\nF(|k=2)\n",
        "factor F(a: real[2], b | k: real = 1, rest=1) = G(a | k=k)\nF(x |)\nF(| k=2)\n",
    ),
    "semicolons": ("const n=4;;let a=n ; \n", "const n = 4\nlet a = n\n"),
    "a sign after a semicolon": ("let a = 1; -a ~ F\n", "let a = 1; -a ~ F\n"),
    "blank lines": ("\n\nlet a = 1\n\n\n\nlet b = 2\nlet c = 3\n\n\n", "let a = 1\n\nlet b = 2\nlet c = 3\n"),
    "comments": (
        "#first\n\n\n# second\nlet a = 1# behind\n   # own line\nlet b = 2\n  # last\n",
        "#first\n\n# second\nlet a = 1  # behind\n# own line\nlet b = 2\n# last\n",
    ),
    "only comments": ("  # one\n\n\n # two\n", "# one\n\n# two\n"),
    "nothing": ("", ""),
    "blocks": (
        "for i in range(3)\n{\n\nx[i]~F\n# end\n\n}\nif a{b~F}else{\nc~F }\n",
        "for i in range(3) {\n  x[i] ~ F\n  # end\n}\nif a { b ~ F } else {\n  c ~ F\n}\n",
    ),
    "a comment after a brace": ("if a { # why\nb ~ F\n}\n", "if a {  # why\n  b ~ F\n}\n"),
    "a comment before a brace": ("if a # why\n{\nb ~ F\n}\n", "if a {  # why\n  b ~ F\n}\n"),
    "a comment before else": ("if a {\nb ~ F\n} # why\nelse\n{c ~ F}", "if a {\n  b ~ F\n}  # why\nelse { c ~ F }\n"),
    "two statements in a block": ("fn f(x) { let u=x; u+1 }\n", "fn f(x) {\n  let u = x\n  u + 1\n}\n"),
    "arrays": (
        "let a=[[1,2],\n   [3,4], # two\n # three\n[5,6]\n]\n",
        "let a = [[1, 2],\n  [3, 4],  # two\n  # three\n  [5, 6]\n]\n",
    ),
    "continued": ("let a = 1+\n2+\n  3\nlet b = (1\n+2)\n", "let a = 1 +\n  2 +\n  3\nlet b = (1\n  + 2)\n"),
    "named values": ("type C={ red ,green }\nvar c:{a,b}[3]\n", "type C = {red, green}\nvar c: {a, b}[3]\n"),
    "words": (
        'use std.geometry(distance)\nrequire"near":not(a)and b\nprefer a<1 weight 2\nlearn k by m(steps = 3)\n',
        'use std.geometry (distance)\nrequire "near": not (a) and b\nprefer a < 1 weight 2\nlearn k by m(steps=3)\n',
    ),
    "numbers and texts stay": ('let a = 1_000+1E-3+f("\\u00e9")\n', 'let a = 1_000 + 1E-3 + f("\\u00e9")\n'),
    "line ends": ("let a = 1\r\nlet b = 2\r\n", "let a = 1\nlet b = 2\n"),
    "long calls": (
        f"let a = f({', '.join('abcdefghij' for _ in range(12))}, k=1)\n",
        "let a = f(\n" + "  abcdefghij,\n" * 12 + "  k=1\n)\n",
    ),
    "long sums": (
        f"energy sum({' + '.join(10 * x for x in 'abcdefghij')} for i in range(n))\n",
        f"energy sum(\n  {' + '.join(10 * x for x in 'abcdefg')} +\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in CASES if n != "long sums"])
def test_layout(name):
    before, after = CASES[name]
    assert format_source(Source("<test>", before)) == after
    assert format_source(Source("<test>", after)) == after


def test_long_generators_break_before_their_clauses():
    text = format_source(Source("<test>", CASES["long sums"][0]))
    assert [line.split()[0] for line in text.splitlines()] == ["energy", "aaaaaaaaaa", "for", ")"]


@pytest.mark.parametrize(
    "path",
    [p for folder in ("compose_lang/stdlib", "examples") for p in sorted((ROOT / folder).rglob("*.cg"))],
    ids=lambda path: path.stem,
)
def test_our_own_programs_are_laid_out(path):
    text = path.read_text(encoding="utf-8")
    assert format_source(Source(path.name, text)) == text


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests/golden").glob("[gs]*/*.cg")), ids=lambda path: path.stem
)
def test_every_good_program_can_be_laid_out(path):
    once = format_source(Source(path.name, path.read_text(encoding="utf-8")))
    assert format_source(Source(path.name, once)) == once


@st.composite
def messy(draw: st.DrawFn) -> str:
    """A generated program with other spaces, line ends and comments wherever it may have them."""
    source = Source("<test>", print_module(draw(modules)))
    tokens = tokenize(source)
    parts, brackets = [], []
    inside = st.sampled_from(["", "", " ", "\n", "\n\n  ", " # note, [ { \n", "\n#a\n  # b\n"])
    between = st.sampled_from(["\n", "\n\n\n", ";", " ; # c\n", "  # c\n\n# d\n", "\n  \n"])
    for token, following in pairwise([*tokens, None]):
        if token.kind == "_END":
            parts.append(draw(between) if following.text[0] not in "+-" else "\n")
            continue
        parts.append(token.text)
        if token.kind in OPENERS:
            brackets.append(token.kind)
        elif token.kind in ("RPAR", "RSQB", "RBRACE"):
            brackets.pop()
        if following is None or following.kind == "_END":
            continue
        gap = source.text[token.end : following.start]
        if "\n" in gap:
            gap = draw(st.sampled_from(["\n", " # e\n", "\n # f\n\n"]))
        elif brackets and brackets[-1] != "LBRACE":
            gap += draw(inside)
        else:
            gap += draw(st.sampled_from(["", "", "  ", "\t"]))
        parts.append(gap)
    return "".join(parts)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(messy())
def test_layout_changes_nothing_else(text):
    source = Source("<test>", text)
    try:
        tree = parse(source)
    except ComposeError:
        return
    once = Source("<test>", format_source(source))
    assert parse(once) == tree
    assert [p.text.rstrip() for p in pieces_of(source) if p.kind == "COMMENT"] == [
        p.text for p in pieces_of(once) if p.kind == "COMMENT"
    ]
    assert format_source(once) == once.text


def test_a_layout_that_changes_the_program_is_refused(monkeypatch):
    """Planted: a comment lost, and a statement joined to the one before it."""
    original = layout.Layout.lines

    def without_comments(self):
        self.pieces = [p for p in self.pieces if p.kind != "COMMENT"]
        return original(self)

    def joined(self):
        self.pieces = [p._replace(ends=False, newlines=0) for p in self.pieces]
        return original(self)

    for planted, text in ((without_comments, "let a = 1  # note\n"), (joined, "let a = 1\nlet b = 2\n")):
        source = Source("<test>", text)
        monkeypatch.setattr(layout.Layout, "lines", planted)
        with pytest.raises((InternalError, ComposeError)):
            format_source(source)
