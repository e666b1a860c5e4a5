"""Where parsing stopped → what to tell the user: what was expected, in words, and what to write instead.

`describe` asks the `EXPLANATIONS` in order, each of which knows one kind of mistake; the last one always
answers. Most know a habit of another language (CG0103).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from compose_lang.diagnostics import Diagnostic, Label, Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.tokens import (
    CLOSERS,
    COMPARING,
    OPENERS,
    OPERATORS,
    RESERVED,
    VALUE,
    Token,
    is_name,
)


@dataclass(frozen=True)
class Failure:
    """Where parsing stopped: the token that does not fit, those beside it, and what would fit.

    `statement` holds the tokens of the broken statement before `token`; `block` is the `{` it stands in.
    """

    source: Source
    token: Token
    statement: tuple[Token, ...]
    previous: Token | None
    following: Token | None
    block: Token | None
    accepts: frozenset[str]

    @property
    def first(self) -> Token:
        return self.statement[0] if self.statement else self.token

    @property
    def follows_value(self) -> bool:
        return bool(self.statement) and self.statement[-1].kind in VALUE

    def opener(self) -> Token | None:
        """The innermost bracket that the statement leaves open, or that of its block."""
        still_open: list[Token] = []
        for token in self.statement:
            if token.kind in OPENERS:
                still_open.append(token)
            elif token.kind in CLOSERS and still_open:
                still_open.pop()
        return still_open[-1] if still_open else self.block

    def habit(self, message: str, help: str, token: Token | None = None) -> Diagnostic:
        """A CG0103 at the offending token, or at another."""
        return Diagnostic("CG0103", message, (token or self.token).span(self.source), help=help)

    def error(self, message: str, label: str = "", help: str = "") -> Diagnostic:
        return Diagnostic("CG0101", message, self.token.span(self.source), label=label, help=help)


def describe(failure: Failure) -> Diagnostic:
    """What to tell the user about one syntax error."""
    return next(found for explain in EXPLANATIONS if (found := explain(failure)) is not None)


def written_as_assignment(statement: ast.Statement) -> Diagnostic | None:
    """`x <- value`, which the grammar reads as the comparison `x < -value`."""
    match statement:
        case ast.Apply(ast.Compare((left, ast.Unary("-") as right), ("<",))) if (
            statement.span.source.text[right.span.start - 1] == "<"
        ):
            return Diagnostic(
                "CG0103",
                "`<-` does not assign",
                Span(right.span.source, right.span.start - 1, right.span.start + 1),
                help=f"`let {left.span.text} = …` names a value, `{left.span.text} ~ F(…)` states a factor",
            )
    return None


# --- what the lexer could not read

LOOKALIKES = {
    "≤": "write `<=`", "≥": "write `>=`", "≠": "write `!=`", "×": "write `*`", "·": "write `*`",
    "÷": "write `/`", "−": "write `-`", "–": "write `-`", "—": "write `-`", "“": 'write `"`',
    "”": 'write `"`',
    "‘": 'write `"`', "’": 'write `"`', "→": "write `->`", "∈": "write `in`", "∼": "write `~`",
    "²": "write `^2`", "³": "write `^3`", "√": "write `sqrt(…)`", "∞": "write `inf`",
    "∑": "write `sum(… for i in range(n))`", "∏": "write `product(… for i in range(n))`",
    "\u00a0": "write an ordinary space", "\u200b": "delete it: it is invisible",
    "\ufeff": "delete it: it is invisible",
    "\\": "no `\\` is needed: a line goes on inside brackets and after an operator",
    "?": "write `if c then a else b`", "`": 'write `"` around text', "$": "names are written without `$`",
}  # fmt: skip


def _unreadable(f: Failure) -> Diagnostic | None:
    if f.token.kind != "BAD":
        return None
    text, start = f.token.text, f.token.start
    if text[0].isdecimal() or text[0] == ".":
        return f.error("the number is too large", help="the largest real is about 1.8e308; `inf` is infinity")
    if text == "'" and f.previous is not None and f.previous.end == start:
        return f.habit("`'` does not transpose", "write `transpose(x)`")
    if text in ('"', "'"):
        return f.error(
            "the text is not closed", "starts here", 'a text ends with `"` on the line it starts on'
        )
    if text[0] == '"':
        return f.error(
            "unknown escape in the text", help=r"the escapes are `\\`, `\"`, `\n`, `\r`, `\t`, `\uXXXX`"
        )
    at = next((i for i in range(len(text)) if not is_name(text[: i + 1])), 0)
    character = text[at]
    shown = f"`{character}`" if character.isprintable() and not character.isspace() else "this"
    name = unicodedata.name(character, "")
    return Diagnostic(
        "CG0105",
        f"{shown} is not a character of the language"
        + (f" ({name.lower()}, U+{ord(character):04X})" if not character.isascii() else ""),
        Span(f.source, start + at, start + at + 1),
        help=LOOKALIKES.get(character, ""),
    )


# --- operators of other languages

FOREIGN = {
    "**": ("powers are not written `**`", "write `^`"),
    "&&": ("`and` is not written `&&`", "write `and`"),
    "&": ("there are no bitwise operators", "write `and`"),
    "||": ("`or` is not written `||`", "write `or`"),
    "!": ("`not` is not written `!`", "write `not`"),
    ":=": ("`:=` does not assign", "write `let name = value`"),
    "=>": ("`=>` is no operator", "greater or equal is `>=`, implication is `implies(p, q)`"),
    "<>": ("`<>` is no operator", "write `!=`"),
    "===": ("`===` is no operator", "write `==`"),
    "!==": ("`!==` is no operator", "write `!=`"),
    "...": ("`...` is no value", "a whole axis is `:`"),
    "/*": ("comments are not written `/* … */`", "a comment starts with `#`"),
}


def _foreign_operator(f: Failure) -> Diagnostic | None:
    if f.token.kind != "FOREIGN":
        return None
    text = f.token.text
    if text[0] == "'":
        if f.previous is not None and f.previous.end == f.token.start:
            quote = Token("FOREIGN", "'", f.token.start, f.token.start + 1)
            return f.habit("`'` does not transpose", "write `transpose(x)`", quote)
        return f.habit("text is not written in single quotes", f'write `"{text[1:-1]}"`')
    if text in FOREIGN:
        return f.habit(*FOREIGN[text])
    if f.first.text == "target" and text == "+=":
        return f.habit(
            "a program adds energy, and energy is minus the log density",
            "`target += e` is `energy -(e)`: the sign flips",
        )
    return f.habit(f"`{text}` does not assign", "every name has one value: `let name = value`")


def _line_comment(f: Failure) -> Diagnostic | None:
    """`// comment`, at the start of a line or after a statement, where it reads as a division."""
    for token in (*f.statement, f.token):
        if token.kind == "FLOOR" and (f.token is token or f.token.kind in VALUE | {"BAD", "FOREIGN"}):
            return f.habit("comments are not written `//`", "a comment starts with `#`", token)
    return None


# --- statements of other languages

WORDS = {
    "from": "`use std.geometry (distance)` brings names in",
    "import": '`use std.geometry (distance)` brings names in, `use "part.cg" as part` another program',
    "def": "a function is `fn f(x: real) -> real = value`",
    "function": "a function is `fn f(x: real) -> real = value`",
    "lambda": "a function is `fn f(x: real) -> real = value`",
    "return": "a function's value is the last expression of its block",
    "while": "a loop is `for i in range(n) { … }`",
    "elif": "write `else if`",
    "class": "a model is a `factor F(x: real | k: real) { … }`",
    "minimize": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "minimise": "what is to be small is `energy value`; `infer by map` looks for the minimum",
    "maximize": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "maximise": "what is to be large is `energy -(value)`; `infer by map` looks for the maximum",
    "subject": "a constraint is `require condition`",
    "assert": "a constraint is `require condition`",
    "constraint": "a constraint is `require condition`",
    "sample": "write `x ~ F(…)`",
    "print": "every `var` and `let` is recorded with the draws",
    "export": "every `var` and `let` is recorded with the draws",
}
BLOCKS = frozenset(
    {"functions", "transformed", "parameters", "model", "generated", "data", "param", "constraints"}
)
TYPES = {
    **{name: name for name in ("real", "int", "bool", "spin", "positive", "unit", "angle")},
    **{name: f"{name}(k)" for name in ("simplex", "ordered", "unit_vector", "category")},
    "float": "real",
    "double": "real",
    "integer": "int",
    "vector": "real[n]",
    "row_vector": "real[n]",
    "array": "real[n]",
    "matrix": "real[n, m]",
    "cov_matrix": "real[n, n]",
    "corr_matrix": "real[n, n]",
}


def _statement_of_another_language(f: Failure) -> Diagnostic | None:
    word = f.first
    if f.token.text in WORDS:
        word = f.token
    if word.kind == "NAME" and word.text in WORDS and f.previous:
        return f.habit(f"`{word.text}` is no statement of the language", WORDS[word.text], word)
    if word.text in BLOCKS and f.token.kind == "LBRACE":
        return f.habit(
            "a program has no sections",
            "declare in any order: `data y: real[n]`, `var mu: real`, `y ~ Normal(mu, 1)`",
            word,
        )
    kinds = [token.kind for token in (*f.statement, f.token)]
    if word.text in TYPES and (kinds[1:2] == ["LESSTHAN"] or (f.statement and kinds[-1] == "NAME")):
        return f.habit(
            "a declaration does not start with its type",
            f"write `var name: {TYPES[word.text]}`, or `data`, `const`, `let`",
            word,
        )
    return None


def _assignment(f: Failure) -> Diagnostic | None:
    """`y = F()`: a statement that starts with a name, or an indexed one, and goes on with `=`."""
    if f.token.kind != "EQUAL" or f.first.kind != "NAME" or not f.follows_value:
        return None
    opener = f.opener()
    if opener is not None and opener.kind != "LBRACE":
        return None
    target = Span(f.source, f.first.start, f.statement[-1].end).text
    return f.habit(
        "`=` does not stand by itself",
        f"`{target} ~ F(…)` states a factor, `let {target} = …` names a value",
    )


def _conditional(f: Failure) -> Diagnostic | None:
    if f.token.kind not in ("IF", "ELSE") or not f.follows_value:
        return None
    return f.habit("a choice starts with its condition", "write `if c then a else b`")


def _bounds(f: Failure) -> Diagnostic | None:
    if f.token.kind != "LESSTHAN" or f.previous is None or f.previous.kind != "NAME":
        return None
    name = f.previous.text
    return f.habit("bounds are not written `< … >`", f"write `{name}(lower=0)` or `{name}(lo, hi)`")


def _several_names(f: Failure) -> Diagnostic | None:
    """`var a, b: real`"""
    if f.token.kind != "COMMA" or len(f.statement) != 2 or f.first.kind not in RESERVED:
        return None
    word, name = f.first.text, f.statement[1].text
    return f.habit(f"`{word}` declares one name", f"write `{word} {name}: T` for each, or an array: `T[n]`")


def _python_block(f: Failure) -> Diagnostic | None:
    if f.token.kind != "COLON" or "LBRACE" not in f.accepts:
        return None
    return f.habit("a block does not start with `:`", "write `{ … }` around it")


def _loop_in_parentheses(f: Failure) -> Diagnostic | None:
    """`for (i in 1:n)`"""
    if f.token.kind != "IN" or [t.kind for t in f.statement[-3:]] != ["FOR", "LPAR", "NAME"]:
        return None
    return f.habit(
        "a loop has no parentheses around it", f"write `for {f.statement[-1].text} in range(n) {{ … }}`"
    )


def _side_by_side(f: Failure) -> Diagnostic | None:
    """`2x`, `let f(x) = …`, and Stan's `T[lo, hi]`."""
    previous = f.previous
    if previous is None or not f.statement:
        return None
    if f.token.kind == "NAME" and previous.kind == "NUMBER":
        return f.habit("a product needs its sign", f"write `{previous.text} * {f.token.text}`")
    if f.token.kind == "LPAR" and [t.kind for t in f.statement] == ["LET", "NAME"]:
        return f.habit("`let` names a value", f"a function is `fn {previous.text}(x: real) -> real = value`")
    if (
        f.token.text == "T"
        and f.following
        and f.following.kind == "LSQB"
        and any(t.kind == "TILDE" for t in f.statement)
    ):
        return f.habit("`T[…]` does not truncate", "write `x ~ truncate(F(…), lo, hi)`")
    return None


# --- mistakes in the language itself


def _starts_with_operator(f: Failure) -> Diagnostic | None:
    if f.statement or f.token.kind not in OPERATORS | {"FOREIGN"}:
        return None
    return Diagnostic(
        "CG0102",
        f"a statement starts with `{f.token.text}`",
        f.token.span(f.source),
        help="to go on with the line before, end that line with the operator, or put brackets around both",
    )


def _unclosed(f: Failure) -> Diagnostic | None:
    if f.token.kind not in ("_END", "$END", "RBRACE", "RPAR", "RSQB"):
        return None
    opener = f.opener()
    if opener is None:
        if f.token.kind in CLOSERS:
            return f.error(f"`{f.token.text}` closes nothing")
        return None
    if OPENERS[opener.kind] == f.token.kind or (opener.kind == "LBRACE" and f.token.kind == "_END"):
        return None
    if f.token.kind in CLOSERS and f.token.kind != "RBRACE":
        return Diagnostic(
            "CG0101",
            f"`{f.token.text}` does not close `{opener.text}`",
            f.token.span(f.source),
            labels=(Label(opener.span(f.source), "opened here"),),
        )
    return Diagnostic("CG0101", f"`{opener.text}` is never closed", opener.span(f.source))


def _reserved_name(f: Failure) -> Diagnostic | None:
    if f.token.kind not in RESERVED or "NAME" not in f.accepts or f.previous is None or not f.statement:
        return None
    if f.following is not None and f.following.kind in {"_END"} | OPERATORS | OPENERS.keys() | CLOSERS.keys():
        return f.error(f"`{f.token.text}` is a reserved word", help="choose another name")
    return None


def _not_as_expected(f: Failure) -> Diagnostic:
    what = _expected(f)
    found = {"_END": "the statement ends", "$END": "the program ends"}.get(
        f.token.kind, f"found `{f.token.text}`"
    )
    return f.error(f"expected {what}, but {found}", f"expected {what}")


EXPECTED = {
    "COMMA": "`,`", "EQUAL": "`=`", "IN": "`in`", "THEN": "`then`", "ELSE": "`else`",
    "BY": "`by` and a method", "LBRACE": "`{`", "RPAR": "`)`", "RSQB": "`]`", "RBRACE": "`}`",
    "TILDE": "`~`", "COLON": "`:` and a type",
}  # fmt: skip


def _expected(f: Failure) -> str:
    accepts = f.accepts
    if "LET" in accepts:
        return "a statement"
    if "NUMBER" in accepts:
        return "a factor" if f.previous is not None and f.previous.kind == "TILDE" else "a value"
    if "NAME" in accepts:
        return "a type" if "LBRACE" in accepts else "a name"
    compares = accepts >= COMPARING
    if "_END" in accepts or "$END" in accepts:
        return "an operator or the end of the statement" if compares else "the end of the statement"
    omitted = {"IN"} if compares else set()
    omitted |= {"COLON"} if "RSQB" in accepts else set()
    words = [word for kind, word in EXPECTED.items() if kind in accepts - omitted]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


EXPLANATIONS: tuple[Callable[[Failure], Diagnostic | None], ...] = (
    _unreadable,
    _line_comment,
    _foreign_operator,
    _starts_with_operator,
    _statement_of_another_language,
    _assignment,
    _conditional,
    _bounds,
    _several_names,
    _python_block,
    _loop_in_parentheses,
    _side_by_side,
    _unclosed,
    _reserved_name,
    _not_as_expected,
)
