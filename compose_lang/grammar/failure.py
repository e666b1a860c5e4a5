"""Where parsing stopped: what the explanations of a syntax error look at."""

from __future__ import annotations

from dataclasses import dataclass

from compose_lang.diagnostics import Diagnostic, Source, Span
from compose_lang.grammar.tokens import CLOSERS, OPENERS, VALUE, Token


@dataclass(frozen=True)
class Failure:
    """The token that does not fit, those around it, and what would fit.

    `statement` holds the tokens of the broken statement before `token`, `ahead` those after it, as far as they
    are on its line; `previous` is the token before it in the text; `block` is the `{` it stands in.
    """

    source: Source
    token: Token
    statement: tuple[Token, ...]
    previous: Token | None
    ahead: tuple[Token, ...]
    block: Token | None
    accepts: frozenset[str]

    @property
    def first(self) -> Token:
        return self.statement[0] if self.statement else self.token

    @property
    def line(self) -> tuple[Token, ...]:
        """The broken statement, as far as its line goes."""
        return (*self.statement, self.token, *self.ahead)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the tokens up to the one that does not fit."""
        return tuple(token.kind for token in (*self.statement, self.token))

    @property
    def following(self) -> Token | None:
        return self.ahead[0] if self.ahead else None

    @property
    def follows_value(self) -> bool:
        return bool(self.statement) and self.statement[-1].kind in VALUE

    @property
    def starts_line(self) -> bool:
        """Whether the token is the first on its line."""
        if self.previous is None:
            return True
        return "\n" in self.source.text[self.previous.end : self.token.start]

    def adjoins(self, kind: str) -> bool:
        """Whether a token of a kind stands right before this one, with nothing between."""
        return (
            self.previous is not None
            and self.previous.kind == kind
            and self.previous.end == self.token.start
            and bool(self.statement)
        )

    def text(self, first: Token, last: Token) -> str:
        """The source from one token to another."""
        return self.source.text[first.start : last.end]

    def opener(self) -> Token | None:
        """The innermost bracket that the statement leaves open, or that of its block."""
        still_open: list[Token] = []
        for token in self.statement:
            if token.kind in OPENERS:
                still_open.append(token)
            elif token.kind in CLOSERS and still_open:
                still_open.pop()
        return still_open[-1] if still_open else self.block

    def habit(
        self, message: str, help: str, token: Token | None = None, until: Token | None = None
    ) -> Diagnostic:
        """A CG0103 at the offending token, or at another, or from one to another."""
        at = token or self.token
        return Diagnostic("CG0103", message, Span(self.source, at.start, (until or at).end), help=help)

    def error(self, message: str, label: str = "", help: str = "") -> Diagnostic:
        return Diagnostic("CG0101", message, self.token.span(self.source), label=label, help=help)
