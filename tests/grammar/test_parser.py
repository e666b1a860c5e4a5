"""The parser: what a text means, where statements end, and that no text breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_lang.diagnostics import ComposeError, Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.automaton import MAX_DEPTH
from compose_lang.grammar.parser import layout_warnings, parse, parse_expression, read_source
from compose_lang.grammar.printer import print_expr, print_module
from tests.work import calls

GOLDEN = Path(__file__).parents[1] / "golden"
GOOD = sorted(path for folder in ("good", "syntax") for path in (GOLDEN / folder).glob("*.cg"))
BAD = sorted((GOLDEN / "bad").glob("CG010[123]*.cg"))


def program(text: str) -> ast.Module:
    return parse(Source("test.cg", text))


def shape(text: str) -> str:
    """An expression with a parenthesis around every operation."""

    def show(e: ast.Expr) -> str:
        match e:
            case ast.Binary(op, left, right):
                return f"({show(left)} {op} {show(right)})"
            case ast.Unary(op, operand):
                return f"({op} {show(operand)})"
            case ast.Compare(operands, ops):
                return f"({' '.join(ops)}: {', '.join(map(show, operands))})"
            case ast.Logical(op, operands):
                return f"({op}: {', '.join(map(show, operands))})"
            case ast.Conditional(test, then, otherwise):
                return f"({show(test)} ? {show(then)} : {show(otherwise)})"
            case _:
                return print_expr(e)

    return show(parse_expression(Source("test.cg", text)))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c", "((a / b) * c)"),
        ("a // b % c @ d", "(((a // b) % c) @ d)"),
        ("-a^b", "(- (a ^ b))"),
        ("a^-b", "(a ^ (- b))"),
        ("a^b^c", "(a ^ (b ^ c))"),
        ("-a * b", "((- a) * b)"),
        ("a * -b", "(a * (- b))"),
        ("a < b + 1 <= c", "(< <=: a, (b + 1), c)"),
        ("a not in b", "(not in: a, b)"),
        ("not a == b", "(not (==: a, b))"),
        ("not a and b or c", "(or: (and: (not a), b), c)"),
        ("a or b or c", "(or: a, b, c)"),
        ("if a or b then c else d + 1", "((or: a, b) ? c : (d + 1))"),
        ("if a then b else if c then d else e", "(a ? b : (c ? d : e))"),
        ("P / Q^0.5", "(P / (Q ^ 0.5))"),
    ],
)
def test_operators_bind_as_in_python(text: str, meaning: str) -> None:
    assert shape(text) == meaning


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("let a = 1\nlet b = 2", 2),
        ("let a = 1; let b = 2;", 2),
        ("let a = 1;;\n\n;let b = 2", 2),
        ("let a = 1 +\n  2", 1),
        ("let a =\n\n  2", 1),
        ("y ~\n  Normal(0, 1)", 1),
        ("let a = f(1,\n  2\n)\nlet b = [\n1\n]", 2),
        ("for i in range(3)\n{\n  energy 1\n}\n", 1),
        ("if a { energy 1 }\nelse { energy 2 }", 1),
        ("if a\n{\n}\nelse if b\n{\n}\nelse\n{\n}", 1),
        ("let a = if b\n  then c\n  else d", 1),
        ("var c: {\n  red,\n  green\n}", 1),
        ("factor F(\n  a: real\n  | k: real\n) { energy a }", 1),
        ("fn f(x) { let u = x\n\n u + 1 }", 1),
        ("let by = 1\nlet weight = by\nlet as = weight", 3),
        ("# only\n\n# comments", 0),
        ("", 0),
        ("let a = 1 # a comment\r\nlet b = 2\r\n", 2),
        ("\ufefflet a = 1", 1),
    ],
)
def test_statements_end_where_they_should(text: str, statements: int) -> None:
    assert len(program(text).statements) == statements


def test_soft_words_are_words_only_in_their_place() -> None:
    module = program("prefer weight < by weight 10\ninfer by by auto\nuse as as by")
    prefer, infer, use = module.statements
    assert print_expr(prefer.condition) == "weight < by"
    assert [target.name for target in infer.targets] == ["by"]
    assert (use.module, use.alias) == ("as", "by")


def test_names_are_normalised() -> None:
    (composed,) = program("let caf\u00e9 = 1").statements
    (decomposed,) = program("let cafe\u0301 = 1").statements
    assert composed.name == decomposed.name


def test_spans_cover_what_was_written() -> None:
    source = Source("test.cg", "let a = (b + c) * f(x)[1]  # end\ny ~ Normal(a, 1)")
    let, tilde = parse(source).statements
    assert let.span.text == "let a = (b + c) * f(x)[1]"
    assert let.value.left.span.text == "b + c"
    assert let.value.right.base.span.text == "f(x)"
    assert tilde.subject.span.text == "y"
    assert tilde.factor.span == Span(source, 37, 49)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_program_survives_printing(path: Path) -> None:
    module = parse(read_source(path))
    printed = print_module(module)
    again = parse(Source("<printed>", printed))
    assert again == module
    assert print_module(again) == printed


def test_there_are_good_programs() -> None:
    assert len(GOOD) >= 25


@pytest.mark.parametrize(
    "text",
    [
        "let x = " + "(" * 10_000 + "1" + ")" * 10_000,
        "let x = " + "-" * 1_000 + "1",
        "let x = " + "not " * 1_000 + "a",
        "let x = " + "1 + " * 1_000 + "1",
        "let x = " + "2^" * 1_000 + "1",
        "let x = a" + "[0]" * 1_000,
        "let x = a" + ".b" * 1_000,
        "let x = " + "f(" * 1_000 + "a" + ")" * 1_000,
        "if a {" * 1_000 + "}" * 1_000,
        "if a { } " + "else if a { } " * 1_000,
        "let x = " + "if a then b else " * 1_000 + "c",
    ],
    ids=lambda text: text[:16],
)
def test_a_deep_program_is_refused(text: str) -> None:
    with pytest.raises(ComposeError) as wrong:
        program(text)
    assert wrong.value.diagnostics[0].code == "CG0104"


def test_the_deepest_programs_can_be_printed() -> None:
    signs, calls = MAX_DEPTH - 2, MAX_DEPTH // 3 - 1
    for text in ("-" * signs + "1", "1 + " * signs + "1", "f(" * calls + "1" + ")" * calls):
        expr = parse_expression(Source("test.cg", text))
        assert parse_expression(Source("test.cg", print_expr(expr))) == expr


def test_wide_programs_are_not_deep() -> None:
    program("let x = [" + "1 + 2, " * 1_000 + "3]\n" + "let y = a + b\n" * 300)


def test_a_thousand_lines_take_ten_times_the_steps_of_a_hundred() -> None:
    lines = [
        "data y: real[3] = [1, 2, 4]",
        "var mu: real ~ Normal(0, 5)",
        "y ~ Normal(mu + 3 * x[i, 2:8, :], sqrt(sigma)^2)",
        "for i in range(n) if a[i] < 3 { energy -b * s[i] * s[i+1] }",
    ]
    program("\n".join(lines))
    hundred, thousand = (calls(lambda n=n: program("\n".join(lines * n))) for n in (25, 250))
    assert thousand < 10.5 * hundred
    assert thousand < 1000 * STEPS_A_LINE


STEPS_A_LINE = 1200  #: functions called to parse one, 917 as it was written


def test_lines_that_join_inside_brackets_are_pointed_at() -> None:
    source = Source("test.cg", "let a = [1\n -2]\nlet b = [[1]\n [2]]\nlet c = (1\n - 2)\nlet d = [1,\n -2]")
    found = layout_warnings(source)
    assert [(d.code, source.position(d.span.start)) for d in found] == [
        ("CG0107", (2, 2)),
        ("CG0107", (4, 2)),
    ]


def test_an_unreadable_file_is_a_diagnostic(tmp_path: Path) -> None:
    def code(path: Path | str) -> str:
        with pytest.raises(ComposeError) as wrong:
            read_source(path)
        return wrong.value.diagnostics[0].code

    latin = tmp_path / "latin.cg"
    latin.write_bytes(b"let x = 1\nlet y = \xe9")
    assert code(latin) == "CG0106"
    assert code(tmp_path / "none.cg") == "CG0302"
    assert code(tmp_path) == "CG0302"
    assert code("nul\0.cg") == "CG0302"


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "mark.cg"
    path.write_text("let x = 1", encoding="utf-8-sig")
    assert read_source(path).text == "let x = 1"


WORDS = "let var data for if then else in not fn factor density use infer by learn x Normal 1 0.5"
TOKENS = [
    *"()[]{}+-*/^%@<>=~|,:.;#!&$'\"\\\n",
    *WORDS.split(),
    *["->", "**", "<=", "==", "//", "\r\n", "\t", "é", "²", "\ufeff", "\0", '"text"'],
]


def ends_well(text: str) -> None:
    """A text gives a tree, or diagnostics whose spans lie in it."""
    try:
        module = program(text)
    except ComposeError as wrong:
        assert wrong.diagnostics
        for diagnostic in wrong.diagnostics:
            assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
    else:
        assert program(print_module(module)) == module


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join))
def test_no_heap_of_tokens_breaks_the_parser(text: str) -> None:
    ends_well(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_no_mutation_of_a_program_breaks_the_parser(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(GOOD + BAD)).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(st.sampled_from(["", *TOKENS])) + text[end:]
    ends_well(text)
