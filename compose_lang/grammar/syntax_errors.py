"""Where parsing stopped → what to tell the user: what was expected, in words, and what to write instead.

`describe` asks the `EXPLANATIONS` in order, each of which knows one kind of mistake; the last one always
answers. Those of `HABITS` know what users of other languages type.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from compose_lang.diagnostics import Diagnostic, Label, Span, did_you_mean
from compose_lang.grammar.failure import Failure
from compose_lang.grammar.foreign_operators import OPERATOR_HABITS
from compose_lang.grammar.habits import HABITS
from compose_lang.grammar.tokens import (
    CLOSERS,
    COMPARING,
    OPENERS,
    OPERATORS,
    RESERVED,
    STATEMENT_WORDS,
    VALUE,
    is_name,
)


def describe(failure: Failure) -> Diagnostic:
    """What to tell the user about one syntax error."""
    return next(found for explain in EXPLANATIONS if (found := explain(failure)) is not None)


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
    if text == "'" and f.previous is not None and f.previous.end == start and f.follows_value:
        name = f.previous.text if f.previous.kind == "NAME" else "x"
        return f.habit("`'` does not transpose", f"write `transpose({name})`")
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


def _semicolon(f: Failure) -> Diagnostic | None:
    """`[1; 2]`"""
    opener = f.opener()
    if f.token.text != ";" or opener is None or opener.kind == "LBRACE":
        return None
    return Diagnostic(
        "CG0101",
        f"`;` ends a statement, but `{opener.text}` is still open",
        f.token.span(f.source),
        labels=(Label(opener.span(f.source), "opened here"),),
        help="the rows of a matrix are `[[1, 2], [3, 4]]`" if opener.kind == "LSQB" else "",
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


def _goes_on(f: Failure) -> Diagnostic | None:
    """`x ~` at the end of a line, which goes on with the next: told where it ends."""
    tokens = (*f.statement, f.token)
    wants_value = "NUMBER" in f.accepts and f.token.kind not in ("_END", "$END")
    for here, there in pairwise(tokens):
        if "\n" not in f.source.text[here.end : there.start] or here.kind in VALUE | OPENERS.keys() | {
            "COMMA"
        }:
            continue
        if (there is f.token and wants_value) or (here.kind == "TILDE" and f.token.kind == "TILDE"):
            what = "a factor" if here.kind == "TILDE" else "a value"
            text = f"expected {what} after `{here.text}`, but the line ends"
            end = Span(f.source, here.end, here.end + 1)
            return Diagnostic("CG0101", text, end, label=f"expected {what}")
    return None


def _misspelt_word(f: Failure) -> Diagnostic | None:
    """`reqiure x > 0`, `prefer c wieght 3`: a word of the language with a letter wrong."""
    starts = BEGINNING if len(f.statement) == 1 and f.first.kind == "NAME" else frozenset()
    if f.token.kind not in ("NAME", "NUMBER", "STRING", "MINUS", "COLON"):
        return None
    for token, kinds in ((f.first, starts), (f.token, f.accepts & GOING_ON)):
        help = did_you_mean(token.text, sorted(kind.lower() for kind in kinds))
        if help and token.kind == "NAME" and len(token.text) > 1:
            text = f"`{token.text}` is no word of the language"
            return Diagnostic("CG0101", text, token.span(f.source), help=help)
    return None


def _side_by_side(f: Failure) -> Diagnostic | None:
    """`exp x`, `Normal 0, 1`, `[1 2]`: two values with nothing between them."""
    if f.token.kind not in ("NAME", "NUMBER", "STRING", "LPAR") or not f.follows_value or f.starts_line:
        return None
    if "PLUS" not in f.accepts or "LBRACE" in f.accepts:
        return None
    previous, name = f.statement[-1], f.token.text
    if "COMMA" in f.accepts and f.opener() is not f.block:
        return None
    if previous.kind == "STRING" and f.first.kind in ("REQUIRE", "PREFER") and len(f.statement) == 2:
        return f.error("expected `:` after the name", "expected `:`")
    help = ""
    is_call = f.following is not None and f.following.kind == "LPAR"
    if name[0].isupper() and is_call and "TILDE" in f.kinds:
        help = "both accept: `P * Q`; either accepts: `0.5 * P + 0.5 * Q`"
    elif f.first.kind != "IF" and "IF" in f.kinds and "THEN" not in f.kinds:
        help = "a choice between values is `if c then a else b`"
    elif name[0].isupper() and is_call:
        help = f"a factor is stated by `~`: `{previous.text} ~ {name}(…)`"
    elif any(token.kind == "TILDE" for token in f.ahead):
        help = "statements on one line are parted by `;`"
    elif (
        previous.kind == "NAME" and previous.text != name and (len(f.statement) > 1 or f.token.kind != "NAME")
    ):
        help = f"a call has parentheses, `{previous.text}({name})`, and a product its sign, `{previous.text} * {name}`"
    elif previous.kind == "NUMBER" and f.token.kind == "NAME":
        help = f"a product needs its sign: `{previous.text} * {name}`"
    return f.error(
        f"expected an operator or the end of the statement, but found `{name}`",
        "two values side by side",
        help,
    )


def _function_body(f: Failure) -> Diagnostic | None:
    """What stands in a function's block in place of its value."""
    if f.first.kind == "LET" and f.token.kind == "RBRACE" and "_END" in f.accepts:
        return f.error("expected the function's value, but the block ends", "expected a value")
    is_fn = bool(f.accepts & {"RBRACE", "LET"}) and "_END" not in f.accepts
    if is_fn and f.token.kind in ("TILDE", "ENERGY", "REQUIRE", "PREFER", "FOR"):
        help = "`let`s and a value stand in a function; factors belong in a `factor`"
        return f.error(f"a function holds no `{f.token.text}`", "", help)
    return None


def _stray_else(f: Failure) -> Diagnostic | None:
    if f.token.kind not in ("ELSE", "THEN") or f.statement:
        return None
    word = f.token.text
    return f.error(f"`{word}` follows no `if`", "", "write `if c { … } else { … }`")


def _not_as_expected(f: Failure) -> Diagnostic:
    what = _expected(f)
    found = {"_END": "the statement ends", "$END": "the program ends"}.get(
        f.token.kind, f"found `{f.token.text}`"
    )
    after = ""
    if what in ("a value", "a factor", "a method", "a name", "a type") and f.statement:
        after = f" after `{f.statement[-1].text}`"
    error = f.error(f"expected {what}{after}, but {found}", f"expected {what}", _advice(f))
    opener = f.opener()
    if opener is None or opener is f.block or f.token.kind not in {"LBRACE", "RBRACE"} | STATEMENT_WORDS:
        return error
    return replace(error, labels=(Label(opener.span(f.source), "this is still open"),))


def _advice(f: Failure) -> str:
    """How a construct is written whose first part only is there."""
    if f.first.kind == "INFER" and "BY" in f.accepts:
        return "write `infer x by nuts`, or `infer by nuts` for all variables"
    if f.first.kind == "USE" and f.token.kind == "NAME" and f.follows_value:
        return f"names are brought in by parentheses: `({f.token.text})`"
    if f.first.kind in ("FOR", "IF") and "LBRACE" in f.accepts and f.token.kind in STATEMENT_WORDS | {"NAME"}:
        return "the block stands in braces: `{ … }`"
    is_call = f.following is not None and f.following.kind == "LPAR"
    if is_call and f.token.kind == "NAME" and f.token.text[0].isupper() and "TILDE" in f.accepts:
        return f"a factor is stated by `~`: write `~ {f.token.text}(…)`"
    if f.token.kind == "FOR" and f.previous is not None and f.previous.kind in ("LPAR", "LSQB"):
        return "what is computed comes first, as in `sum(x[i] for i in range(n))`"
    if f.token.kind == "FOR" and "FOR" in f.kinds[:-1]:
        return "several ranges are parted by commas: `for i in range(n), j in range(m)`"
    return ""


BEGINNING = STATEMENT_WORDS | {"FOR", "IF"}
GOING_ON = frozenset({"WEIGHT", "BY", "AS", "THEN", "ELSE", "FOR", "IF", "IN", "AND", "OR"})
EXPECTED = {
    "COMMA": "`,`", "EQUAL": "`=`", "IN": "`in`", "THEN": "`then`", "ELSE": "`else`",
    "BY": "`by` and a method", "LPAR": "`(`", "LBRACE": "`{`", "RPAR": "`)`", "RSQB": "`]`", "RBRACE": "`}`",
    "TILDE": "`~`", "COLON": "`:` and a type",
}  # fmt: skip


def _expected(f: Failure) -> str:
    accepts = f.accepts
    if "LET" in accepts:
        return "a statement"
    if "NUMBER" in accepts:
        return "a factor" if f.previous is not None and f.previous.kind == "TILDE" else "a value"
    if "NAME" in accepts:
        if f.previous is not None and f.previous.kind == "BY":
            return "a method"
        return "a type" if "LBRACE" in accepts else "a name"
    compares = accepts >= COMPARING
    if "_END" in accepts or "$END" in accepts:
        return "an operator or the end of the statement" if compares else "the end of the statement"
    omitted = {"IN"} if compares else set()
    omitted |= {"COLON"} if "RSQB" in accepts else set()
    omitted |= {"LPAR"} if "DOT" in accepts else set()
    words = [word for kind, word in EXPECTED.items() if kind in accepts - omitted]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


EXPLANATIONS: tuple[Callable[[Failure], Diagnostic | None], ...] = (
    _unreadable,
    *OPERATOR_HABITS,
    _starts_with_operator,
    *HABITS,
    _goes_on,
    _stray_else,
    _semicolon,
    _unclosed,
    _function_body,
    _misspelt_word,
    _side_by_side,
    _reserved_name,
    _not_as_expected,
)
