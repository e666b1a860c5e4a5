"""Source text → tokens, with the ends of statements put in: what stands between lark's lexer and its parser.

A newline or `;` ends a statement, except inside `( )` and `[ ]`, after a token that cannot end one, and
before `{`, `then`, `else`. No end is given after `{` and before `}`, so that ends only ever separate.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from lark import Token
from lark.lark import PostLex

from compose_lang.diagnostics import ComposeError, Diagnostic, Source, Span

MAX_DEPTH = 200

OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}

ARITHMETIC = frozenset("PLUS MINUS STAR SLASH FLOOR PERCENT AT POWER".split())
COMPARING = frozenset("LESSTHAN MORETHAN LESSEQUAL MOREEQUAL EQEQUAL NOTEQUAL".split())
OPERATORS = ARITHMETIC | COMPARING | frozenset("AND OR IN EQUAL TILDE COMMA COLON VBAR ARROW DOT".split())
STATEMENT_WORDS = frozenset(
    "USE TYPE CONST DATA PARAM VAR LET FN FACTOR DENSITY ENERGY REQUIRE PREFER OBSERVE INFER DRAW".split()
)
RESERVED = STATEMENT_WORDS | frozenset("FOR IF THEN ELSE LEARN AND OR NOT IN".split())

_UNFINISHED = OPERATORS | RESERVED
_CONTINUING = frozenset({"LBRACE", "THEN", "ELSE"})
_NESTING = ARITHMETIC | {"NOT", "IF", "DOT"}


def span_of(source: Source, token: Token) -> Span:
    """The place of a token."""
    return Span(source, token.start_pos, token.end_pos)


class StatementEnds(PostLex):
    """Turns newlines and `;` into `_END` where a statement ends, and what only looks like a name into `BAD`."""

    always_accept = ("NEWLINE", "SEMICOLON", "FOREIGN", "BAD")

    def process(self, stream: Iterable[Token]) -> Iterator[Token]:
        brackets: list[str] = []
        previous: Token | None = None
        separator: Token | None = None
        for token, following in pairwise([*stream, None]):
            if token.type in ("NEWLINE", "SEMICOLON"):
                if separator is None or separator.type == "NEWLINE":
                    separator = token
                continue
            if separator is not None and previous is not None:
                if brackets and brackets[-1] != "LBRACE" and _starts_anew(separator, token, following):
                    while brackets and brackets[-1] != "LBRACE":
                        brackets.pop()
                if _ends_statement(previous, separator, token, brackets):
                    yield Token.new_borrow_pos("_END", separator.value, separator)
            separator = None
            _track(brackets, token.type)
            yield token if _is_sound(token) else token.update(type="BAD")
            previous = token


def text_of(token: str) -> str:
    """The text a string token stands for; ValueError where an escape is none of JSON's."""
    text: str = json.loads(token, strict=False)
    text.encode()
    return text


def number_of(token: str) -> int | float:
    """The value of a number token; ValueError where no finite float holds it."""
    digits = token.replace("_", "")
    if not math.isfinite(float(digits)):
        raise ValueError(token)
    return int(digits) if digits.isdecimal() else float(digits)


def _is_sound(token: Token) -> bool:
    """Whether a name, number or text is what its shape promises."""
    try:
        match token.type:
            case "NAME":
                return is_name(token)
            case "NUMBER":
                number_of(token)
            case "STRING":
                text_of(token)
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Whether a text is one of Python's identifiers once normalised."""
    return text.isidentifier() or unicodedata.normalize("NFC", text).isidentifier()


def _starts_anew(separator: Token, token: Token, following: Token | None) -> bool:
    """Whether a token inside brackets starts a statement all the same, so that a bracket was left open."""
    if separator.type == "SEMICOLON":
        return True
    after = following.type if following is not None else ""
    if token.type == "NAME":
        return after == "TILDE"
    return token.type in STATEMENT_WORDS and after not in ("EQUAL", "COMMA", "RPAR", "RSQB", "NEWLINE")


def _ends_statement(previous: Token, separator: Token, token: Token, brackets: list[str]) -> bool:
    if previous.type == "LBRACE" or token.type == "RBRACE":
        return False
    if brackets and brackets[-1] != "LBRACE":
        return False
    if separator.type == "SEMICOLON":
        return True
    return previous.type not in _UNFINISHED and token.type not in _CONTINUING


def _track(brackets: list[str], kind: str) -> None:
    """Opens and closes brackets; one that does not match closes what it can, and the parser complains."""
    if kind in OPENERS:
        brackets.append(kind)
    elif kind == "RBRACE" and "LBRACE" in brackets:
        while brackets.pop() != "LBRACE":
            pass
    elif kind in ("RPAR", "RSQB") and brackets and brackets[-1] != "LBRACE":
        brackets.pop()


def check_depth(source: Source, tokens: Sequence[Token]) -> None:
    """Refuses a program whose syntax tree could be more than `MAX_DEPTH` nodes deep (CG0104).

    Every later stage walks the tree recursively. The bound is taken on the tokens: brackets, and within each
    the operators since the last comma or statement's end.
    """
    levels = [0]
    depth = 0
    for token in tokens:
        kind = token.type
        if kind in CLOSERS and len(levels) > 1:
            depth -= levels.pop()
        elif kind in ("_END", "COMMA"):
            depth -= levels[-1]
            levels[-1] = 0
        elif kind in _NESTING or kind in OPENERS:
            depth += 1
            levels[-1] += 1
            if kind in OPENERS:
                levels.append(0)
        if depth > MAX_DEPTH:
            raise ComposeError(
                Diagnostic(
                    "CG0104",
                    f"nested more than {MAX_DEPTH} levels deep",
                    span_of(source, token),
                    help="name the parts with `let`, or write a long sum as `sum(… for i in range(n))`",
                )
            )
