"""Operators, numbers and comments of other languages → a hint (CG0103), where they do not parse."""

from __future__ import annotations

from compose_lang.diagnostics import Diagnostic
from compose_lang.grammar.failure import Failure
from compose_lang.grammar.tokens import ARITHMETIC, RESERVED, VALUE, Token

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
}
WORDS = {
    "mod": "write `%`",
    "div": "write `//`",
    "xor": "write `!=`",
    "is": "write `==`",
    "between": "write `lo < x < hi`",
}
AFTER_ASSIGNMENT = "every name has one value: `let name = value`"


def _comment(f: Failure) -> Diagnostic | None:
    """`// text`, `/* text */`, `-- text`, `% text`: at the start of a line, or after a statement."""
    tokens = (*f.statement, f.token)
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else f.following
        is_last = token is f.token
        is_text = f.token.kind in VALUE | {"BAD", "FOREIGN"} or (
            following is f.token and f.token.kind in RESERVED
        )
        is_slashes = token.kind == "FLOOR" and (is_last or is_text)
        is_block = token.kind == "FOREIGN" and token.text.startswith("/*")
        if is_slashes or (is_block and is_last):
            sign = "//" if is_slashes else "/* … */"
            return f.habit(f"comments are not written `{sign}`", "a comment starts with `#`", token)
        if following is not None and _is_dashes(token, following) and (f.token.kind in VALUE or not place):
            return f.habit("comments are not written `--`", "a comment starts with `#`", token, following)
    if not f.statement and f.token.kind == "PERCENT":
        return f.habit("comments are not written `%`", "a comment starts with `#`")
    return None


def _is_dashes(token: Token, following: Token) -> bool:
    return token.kind == following.kind == "MINUS" and token.end == following.start


def _foreign(f: Failure) -> Diagnostic | None:
    """What the lexer caught whole: `**`, `&&`, `x'`, `'text'`, `+=`."""
    if f.token.kind != "FOREIGN":
        return None
    text = f.token.text
    if text[0] == "'":
        if f.previous is not None and f.previous.end == f.token.start and f.follows_value:
            quote = Token("FOREIGN", "'", f.token.start, f.token.start + 1)
            name = f.previous.text if f.previous.kind == "NAME" else "x"
            return f.habit("`'` does not transpose", f"write `transpose({name})`", quote)
        return f.habit("text is not written in single quotes", f'write `"{text[1:-1]}"`')
    if text in FOREIGN:
        return f.habit(*FOREIGN[text])
    if f.first.text == "target" and text == "+=":
        return f.habit(
            "a program adds energy, and energy is minus the log density",
            "`target += e` is `energy -(e)`: the sign flips; `target += normal_lpdf(y | …)` is `y ~ Normal(…)`",
        )
    return f.habit(f"`{text}` does not assign", AFTER_ASSIGNMENT)


def _pair(f: Failure) -> Diagnostic | None:
    """Two tokens that are one operator elsewhere: `.*`, `x++`, `<-`, `->`, `|>`, `|`, `%in%`, `..`."""
    token, previous, following = f.token, f.previous, f.following
    if previous is None or not f.statement:
        return None
    if previous.kind == "DOT" and token.kind in ARITHMETIC:
        sign = token.text
        return f.habit("operators work element by element as they are", f"write `{sign}`", previous, token)
    last = f.statement[-2:]
    if (
        len(last) == 2
        and last[0].kind == last[1].kind
        and last[0].kind in ("PLUS", "MINUS")
        and last[0].end == last[1].start
        and token.kind in ("_END", "$END", "RBRACE", "RPAR")
    ):
        return f.habit(f"`{last[0].text * 2}` does not count", AFTER_ASSIGNMENT, last[0], last[1])
    if token.kind == "EQUAL" and following is not None and following.start == token.end:
        meant = {"!": "!=", "<": "<=", "~": "~"}.get(following.text)
        if meant is not None:
            return f.habit(f"`={following.text}` is no operator", f"write `{meant}`", token, following)
    is_left_arrow = token.kind == "LESSTHAN" and following is not None and following.kind == "MINUS"
    if is_left_arrow and following is not None and following.start == token.end and "EQUAL" in f.accepts:
        return f.habit("`<-` does not assign", "write `=`", token, following)
    if token.kind == "ARROW" and f.first.kind not in ("FN", "FACTOR", "DENSITY"):
        return f.habit("a value is no function", "a function is `fn f(x: real) -> real = value`")
    if token.kind == "TILDE" and "NUMBER" in f.accepts and previous.kind != "TILDE":
        return f.habit("`not` is not written `~`", "write `not`")
    if token.kind == "VBAR":
        if "NUMBER" in f.accepts:
            return f.habit("an absolute value is not written `|x|`", "write `abs(x)`")
        if following is not None and following.kind == "MORETHAN":
            return f.habit("`|>` is no operator", "write the call: `f(x)`", token, following)
        return f.habit("`or` is not written `|`", "write `or`")
    if token.kind == "IN" and previous.kind == "PERCENT":
        return f.habit("`%in%` is no operator", "write `in`", previous, following)
    return None


def _word(f: Failure) -> Diagnostic | None:
    """`5 mod 3`"""
    if f.token.kind != "NAME" or f.token.text not in WORDS or not f.follows_value:
        return None
    return f.habit(f"`{f.token.text}` is no operator", WORDS[f.token.text])


def _number(f: Failure) -> Diagnostic | None:
    """`2x`, `0x1F`, `1,000`, `x.3`"""
    token, previous = f.token, f.previous
    if previous is None or not f.statement:
        return None
    if token.kind == "NAME" and f.adjoins("NUMBER"):
        if previous.text == "0" and token.text[0] in "xXbBoO":
            return f.habit("numbers are decimal", f"write `{_decimal(token.text)}`", previous, token)
        return f.habit("a product needs its sign", f"write `{previous.text} * {token.text}`")
    if token.kind == "COMMA" and previous.kind == "NUMBER" and f.opener() is f.block and f.following:
        after = f.following
        if after.kind == "NUMBER" and after.start == token.end and len(after.text) == 3:
            text = f"{previous.text}_{after.text}"
            return f.habit("a comma does not group digits", f"write `{text}`", previous, after)
    if token.kind == "NUMBER" and token.text[0] == "." and f.adjoins("NAME"):
        return f.habit("an element stands in brackets", f"write `{previous.text}[{token.text[1:]}]`")
    return None


def _decimal(text: str) -> str:
    try:
        return str(int("0" + text, 0))
    except ValueError:
        return "…"


def _text(f: Failure) -> Diagnostic | None:
    """`f"text"`, `\"\"\"text\"\"\"`"""
    if f.token.kind != "STRING" or f.previous is None or not f.statement:
        return None
    if f.adjoins("STRING"):
        return f.habit('text is written between single `"`', "a comment starts with `#`", f.previous, f.token)
    if f.adjoins("NAME") and len(f.previous.text) <= 2:
        return f.habit(f"text has no prefix `{f.previous.text}`", f"write `{f.token.text}`", f.previous)
    return None


OPERATOR_HABITS = (_comment, _foreign, _pair, _word, _number, _text)
