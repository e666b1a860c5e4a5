"""Source text → `ast.Module`: reading the file, parsing it, and going on after an error.

At an error the automaton's stack is cut back to the start of the statement, a stand-in takes the statement's
place, and parsing goes on with the next one, so that one run reports all syntax errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from compose_lang.diagnostics import ComposeError, Diagnostic, Source, Span
from compose_lang.grammar import ast
from compose_lang.grammar.automaton import Automaton
from compose_lang.grammar.build_ast import Builder
from compose_lang.grammar.tokens import CLOSERS, OPENERS, OPERATORS, VALUE, Token, tokenize

MAX_ERRORS = 50
HEADERS = frozenset({"FOR", "IF", "FN", "FACTOR", "DENSITY"})
MAX_BYTES = 2**20  #: of a program: what is larger is data


def read_source(path: str | Path) -> Source:
    """Reads a program: CG0302 where the file cannot be read, CG0801 where it is huge, CG0106 where it is not UTF-8."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ComposeError(Diagnostic("CG0302", f"cannot read {path}: {reason}")) from None
    except ValueError as error:
        raise ComposeError(Diagnostic("CG0302", f"cannot read {path}: {error}")) from None
    if len(content) > MAX_BYTES:
        text = f"{path} is larger than {MAX_BYTES:,} bytes, the limit of a program"
        raise ComposeError(
            Diagnostic("CG0801", text, help="data belongs in files of its own: read(…)"), exit_code=5
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ComposeError(
            Diagnostic(
                "CG0106", f"{path} is not UTF-8 text", notes=(f"the first such byte is in line {line}",)
            )
        ) from None
    return Source(str(path), text)


def parse(source: Source) -> ast.Module:
    """Parses a program; a `ComposeError` carries every syntax error found."""
    module: ast.Module = _parse(source, "start")
    wrong = [d for statement in module.statements if (d := written_as_assignment(statement)) is not None]
    if wrong:
        raise ComposeError(wrong)
    return module


def parse_expression(source: Source) -> ast.Expr:
    """Parses a text that holds one expression."""
    value: ast.Expr = _parse(source, "expression")
    return value


def layout_warnings(source: Source) -> list[Diagnostic]:
    """Warns of lines that join: `[[1, 0]⏎ [0, 1]]` is an index, `[1⏎ -2]` a subtraction (CG0107)."""
    warnings = []
    open_brackets: list[str] = []
    for before, token in pairwise(tokenize(source)):
        if before.kind in OPENERS:
            open_brackets.append(before.kind)
        elif before.kind in CLOSERS and open_brackets:
            open_brackets.pop()
        joins = token.kind in ("LSQB", "MINUS") and before.kind in VALUE and open_brackets[-1:] == ["LSQB"]
        if joins and "\n" in source.text[before.end : token.start]:
            warnings.append(
                Diagnostic(
                    "CG0107",
                    f"this `{token.text}` goes on with the line before",
                    token.span(source),
                    severity="warning",
                    help="put a comma before it, or move it to the end of the line before",
                )
            )
    return warnings


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


def _parse(source: Source, start: str) -> Any:
    null = source.text.find("\0")
    if null >= 0:
        span = Span(source, null, null + 1)
        raise ComposeError(Diagnostic("CG0106", "a NUL character: this is not text", span))
    return _Run(source, tokenize(source), start).finish()


class _Run:
    """One parse: the automaton, the place in the tokens, and what is needed to go on after an error.

    `marks` holds, for each open `{`, the height of the automaton's stack where the block's current statement
    starts, or None where the `{` opened a list of names; `blocks` holds the `{` of the blocks. `begun` is
    where the current statement's tokens start; `unopened` counts blocks whose `{` was missing, since what closes
    them is no mistake of its own.
    """

    def __init__(self, source: Source, tokens: list[Token], start: str) -> None:
        self.source = source
        self.tokens = tokens
        self.automaton = Automaton(source, Builder(source), start)
        self.has_statements = start == "start"
        self.marks: list[int | None] = [self.automaton.height]
        self.blocks: list[Token] = []
        self.at = 0
        self.begun = 0
        self.unopened = 0
        self.errors: list[Diagnostic] = []

    def finish(self) -> Any:
        """Feeds all tokens; the tree, or a `ComposeError` with every error met on the way."""
        while self.at < len(self.tokens):
            if not self._starts_with_operator() and self._feed(self.tokens[self.at]):
                self.at += 1
                continue
            if self.tokens[self.at].kind == "RBRACE" and self.unopened and not self.blocks:
                self.unopened -= 1
                self.at += 1
                continue
            self._report(self.tokens[self.at])
            if len(self.errors) == MAX_ERRORS or not self.has_statements:
                raise ComposeError(self.errors)
            is_header = self.tokens[self.begun].kind in HEADERS and "LBRACE" in self.automaton.accepts()
            self._recover()
            if is_header and (self.at == len(self.tokens) or self.tokens[self.at].kind != "LBRACE"):
                self.unopened += 1
        if not self.automaton.finish():
            end = self.tokens[-1].end if self.tokens else 0
            self._report(Token("$END", "", end, end))
        if self.errors:
            raise ComposeError(self.errors)
        return self.automaton.result

    def _feed(self, token: Token) -> bool:
        if not self.automaton.feed(token.kind, token, (token.start, token.end)):
            return False
        if token.kind == "LBRACE":
            is_block = "LET" in self.automaton.row()
            self.marks.append(self.automaton.height if is_block else None)
            if is_block:
                self.blocks.append(token)
                self.begun = self.at + 1
        elif token.kind == "RBRACE" and self.marks.pop() is not None:
            self.blocks.pop()
        elif token.kind == "_END":
            self.marks[-1] = self.automaton.height
            self.begun = self.at + 1
        return True

    def _starts_with_operator(self) -> bool:
        """Whether the next token is an operator at the start of a line where a statement has to start."""
        if self.tokens[self.at].kind not in OPERATORS or self.at != self.begun or not self.has_statements:
            return False
        before = self.tokens[self.at - 1]
        return self.at == 0 or (before.kind == "_END" and before.text != ";")

    def _report(self, token: Token) -> None:
        # what explains errors is loaded where there is one: most programs have none
        from compose_lang.grammar.failure import Failure
        from compose_lang.grammar.syntax_errors import describe

        failure = Failure(
            source=self.source,
            token=token,
            statement=tuple(self.tokens[self.begun : self.at]),
            previous=self.tokens[self.at - 1] if self.at else None,
            ahead=tuple(self._ahead()),
            block=self.blocks[-1] if self.blocks else None,
            accepts=self.automaton.accepts(),
        )
        self.errors.append(describe(failure))

    def _ahead(self) -> Iterator[Token]:
        """The tokens after the one at hand, to the end of its line or statement."""
        for at in range(self.at + 1, len(self.tokens)):
            if self.tokens[at - 1].kind == "_END" or self._breaks_line(at):
                return
            yield self.tokens[at]

    def _recover(self) -> None:
        """Puts a stand-in where the broken statement is, and moves on to where the next one can start.

        That is at an `_END`, at a `}`, at a `{` that ends its line, or at a line outside of all brackets.
        """
        braces = 0
        while self.marks[-1] is None:
            self.marks.pop()
            braces += 1
        self.automaton.cut(self.marks[-1])
        kinds = [token.kind for token in self.tokens[self.begun : self.at]]
        rounds = sum(k in ("LPAR", "LSQB") for k in kinds) - sum(k in ("RPAR", "RSQB") for k in kinds)
        while self.at < len(self.tokens):
            match self.tokens[self.at].kind:
                case "LBRACE" if braces == 0 and self._opens_block():
                    return self._stand_in("IF", "NAME")
                case "LBRACE":
                    braces += 1
                case "RBRACE" if braces == 0 and self.blocks:
                    return self._stand_in("NAME")
                case "RBRACE":
                    braces = max(0, braces - 1)
                case "_END" if (
                    braces == 0 and not (rounds > 0 and self._closes_later()) and not self._goes_on()
                ):
                    return self._stand_in("LET", "NAME", "EQUAL", "NAME")
                case kind if braces == 0 and rounds <= 0 and self._resumes(kind):
                    self.begun = self.at
                    return None
                case "LPAR" | "LSQB":
                    rounds += 1
                case "RPAR" | "RSQB":
                    rounds -= 1
            self.at += 1
        return self._stand_in("NAME")

    def _stand_in(self, *kinds: str) -> None:
        place = Token("NAME", "_", 0, 0)
        for kind in kinds:
            self.automaton.feed(kind, place, (place.start, place.end))

    def _resumes(self, kind: str) -> bool:
        cannot_start = OPERATORS | CLOSERS.keys() | {"THEN", "ELSE", "LSQB", "NUMBER", "STRING"}
        return self.at > self.begun and self._breaks_line(self.at) and kind not in cannot_start

    def _goes_on(self) -> bool:
        """Whether what follows the `_END` at hand starts no statement: rows of an array whose bracket is missing."""
        following = self.tokens[self.at + 1].kind if self.at + 1 < len(self.tokens) else ""
        return following in ("LSQB", "NUMBER", "STRING", "RSQB", "RPAR")

    def _closes_later(self) -> bool:
        """Whether a bracket is closed behind the `;` at hand, on its line: it stands inside, as in `[1; 2]`."""
        depth = 0
        for at in range(self.at + 1, len(self.tokens)):
            if self._breaks_line(at):
                break
            depth += (self.tokens[at].kind in ("LPAR", "LSQB")) - (self.tokens[at].kind in ("RPAR", "RSQB"))
            if depth < 0:
                return True
        return False

    def _opens_block(self) -> bool:
        """Whether the `{` at hand is the last on its line."""
        return self.at + 1 < len(self.tokens) and self._breaks_line(self.at + 1)

    def _breaks_line(self, at: int) -> bool:
        """Whether a token is the first on its line."""
        return "\n" in self.source.text[self.tokens[at - 1].end : self.tokens[at].start]
