"""Source text → tokens, with the ends of statements put in: what the parser is fed.

A newline or `;` ends a statement, except inside `( )` and `[ ]`, after a token that cannot end one, and
before `{`, `then`, `else`. No end is given after `{` and before `}`, so that ends only ever separate.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from compose_lang.diagnostics import Source, Span
from compose_lang.grammar.automaton import load_tables

OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}

ARITHMETIC = frozenset({"PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "AT", "POWER"})
COMPARING = frozenset({"LESSTHAN", "MORETHAN", "LESSEQUAL", "MOREEQUAL", "EQEQUAL", "NOTEQUAL"})
PUNCTUATION = frozenset({"EQUAL", "TILDE", "COMMA", "COLON", "VBAR", "ARROW", "DOT"})
OPERATORS = ARITHMETIC | COMPARING | PUNCTUATION | {"AND", "OR", "IN"}
DECLARING = frozenset({"USE", "TYPE", "CONST", "DATA", "PARAM", "VAR", "LET", "FN", "FACTOR", "DENSITY"})
STATEMENT_WORDS = DECLARING | {"ENERGY", "REQUIRE", "PREFER", "OBSERVE", "INFER", "DRAW"}
RESERVED = STATEMENT_WORDS | {"FOR", "IF", "THEN", "ELSE", "LEARN", "AND", "OR", "NOT", "IN"}
VALUE = frozenset({"NUMBER", "STRING", "NAME", "RPAR", "RSQB", "BY", "WEIGHT", "AS"})  # ends of values

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_UNFINISHED = OPERATORS | RESERVED
_CONTINUING = frozenset({"LBRACE", "THEN", "ELSE"})


class Token(NamedTuple):
    """A piece of source text: `kind` is a terminal of the grammar, `start` and `end` are its offsets."""

    kind: str
    text: str
    start: int
    end: int

    def span(self, source: Source) -> Span:
        return Span(source, self.start, self.end)


_NOTHING = Token("NOTHING", "", 0, 0)


def tokenize(source: Source) -> list[Token]:
    """The tokens of a text, `_END` between statements among them."""
    return list(_statements(_lex(source.text)))


def _lex(text: str) -> Iterator[Token]:
    tables = load_tables()
    keywords = tables.keywords
    for match in tables.lexer.finditer(text):
        kind = match.lastgroup or "BAD"
        if kind in tables.ignored:
            continue
        token = Token(keywords.get(match[0], kind), match[0], *match.span())
        yield token if _is_sound(token) else token._replace(kind="BAD")


def _statements(tokens: Iterable[Token]) -> Iterator[Token]:
    """Turns newlines and `;` into `_END` where a statement ends."""
    brackets: list[str] = []
    previous: Token | None = None
    separator: Token | None = None
    for token, following in pairwise([*tokens, _NOTHING]):
        if token.kind in ("NEWLINE", "SEMICOLON"):
            if separator is None or separator.kind == "NEWLINE":
                separator = token
            continue
        if separator is not None and previous is not None:
            if _is_inside(brackets) and _starts_anew(separator, token, following):
                while _is_inside(brackets):
                    brackets.pop()
            if not _is_inside(brackets) and _ends_statement(previous, separator, token):
                yield separator._replace(kind="_END")
        separator = None
        _track(brackets, token.kind)
        yield token
        previous = token


def text_of(literal: str) -> str:
    """The text that a string token stands for; ValueError at an escape the language does not have."""
    if re.search(r"(?<!\\)(\\\\)*\\[bf/]", literal):  # JSON has them, but they are rather a path's
        raise ValueError(literal)
    text: str = json.loads(literal, strict=False)
    text.encode()
    return text


def quoted(text: str) -> str:
    """The string token that stands for a text."""
    return '"' + "".join(ESCAPES.get(c) or (c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def number_of(literal: str) -> int | float:
    """The value of a number token; ValueError where no finite float holds it."""
    digits = literal.replace("_", "")
    if not math.isfinite(float(digits)):
        raise ValueError(literal)
    return int(digits) if digits.isdecimal() else float(digits)


def _is_sound(token: Token) -> bool:
    """Whether a name, number or text is what its shape promises."""
    try:
        match token.kind:
            case "NAME":
                return is_name(token.text)
            case "NUMBER":
                number_of(token.text)
            case "STRING":
                text_of(token.text)
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Whether a text is one of Python's identifiers once normalised."""
    return text.isidentifier() or unicodedata.normalize("NFC", text).isidentifier()


def _starts_anew(separator: Token, token: Token, following: Token) -> bool:
    """Whether a token inside brackets starts a statement all the same, so that a bracket was left open."""
    if separator.kind == "SEMICOLON":
        return True
    if token.kind == "NAME":
        return following.kind == "TILDE"
    return token.kind in STATEMENT_WORDS and following.kind not in (
        "EQUAL",
        "COMMA",
        "RPAR",
        "RSQB",
        "NEWLINE",
    )


def _ends_statement(previous: Token, separator: Token, token: Token) -> bool:
    if previous.kind == "LBRACE" or token.kind == "RBRACE":
        return False
    if separator.kind == "SEMICOLON":
        return True
    return previous.kind not in _UNFINISHED and token.kind not in _CONTINUING


def _is_inside(brackets: list[str]) -> bool:
    """Whether the innermost open bracket is `(` or `[`."""
    return bool(brackets) and brackets[-1] != "LBRACE"


def _track(brackets: list[str], kind: str) -> None:
    """Opens and closes brackets; one that does not match closes what it can, and the parser complains."""
    if kind in OPENERS:
        brackets.append(kind)
    elif kind == "RBRACE" and "LBRACE" in brackets:
        while brackets.pop() != "LBRACE":
            pass
    elif kind in ("RPAR", "RSQB") and _is_inside(brackets):
        brackets.pop()
