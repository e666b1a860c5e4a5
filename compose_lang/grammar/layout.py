"""Source text → the same program in canonical layout: what `compose fmt` writes.

It lays out tokens, not the tree, so that comments, numbers and texts stay as they are written. What is canonical is
indentation, the space between tokens, one statement a line, and no more than one blank line; where a line is broken
inside brackets is the author's choice, unless it is too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import NamedTuple

from compose_lang.diagnostics import InternalError, Source
from compose_lang.grammar.automaton import load_tables
from compose_lang.grammar.parser import parse
from compose_lang.grammar.tokens import CLOSERS, OPENERS, OPERATORS, RESERVED, VALUE, tokenize

INDENT = "  "
WIDTH = 100  #: of a line; a longer one is broken at its brackets

WORDS = RESERVED | {"BY", "WEIGHT", "AS"}


class Piece(NamedTuple):
    """A token or a comment, and the gap before it."""

    kind: str
    text: str
    newlines: int  #: line ends in the gap
    ends: bool  #: whether a statement ends there


@dataclass
class Line:
    """One line: its pieces, how deep it stands, and whether a blank one goes before it."""

    depth: int
    pieces: list[Piece] = field(default_factory=list)
    spaced: list[bool] = field(default_factory=list)  #: whether a space goes before each piece
    is_apart: bool = False

    @property
    def text(self) -> str:
        if not self.pieces:
            return ""
        parts = [INDENT * self.depth]
        for piece, gap in zip(self.pieces, self.spaced, strict=True):
            parts.append(("  " if piece.kind == "COMMENT" else " ") if gap else "")
            parts.append(piece.text.rstrip() if piece.kind == "COMMENT" else piece.text)
        return "".join(parts)

    def add(self, piece: Piece, gap: bool) -> None:
        self.pieces.append(piece)
        self.spaced.append(gap and len(self.pieces) > 1)


class Bracket(NamedTuple):
    kind: str
    line: Line
    statement: Line  #: where the statement that it is part of starts
    is_block: bool
    is_signature: bool


def format_source(source: Source) -> str:
    """The program's text in canonical layout.

    Raises a ComposeError where the program has syntax errors. Checks that nothing but the layout has changed.
    """
    tree = parse(source)
    pieces = list(pieces_of(source))
    text = "".join(line.text + "\n" for line in broken(Layout(pieces).lines()))
    again = Source(source.name, text)
    comments = [p.text.rstrip() for p in pieces if p.kind == "COMMENT"]
    kept = [p.text for p in pieces_of(again) if p.kind == "COMMENT"]
    if parse(again) != tree or kept != comments:
        raise InternalError(f"formatting {source.name} would have changed the program; the file is as it was")
    return text


def pieces_of(source: Source) -> Iterator[Piece]:
    """Tokens and comments in order."""
    tables = load_tables()
    ends = sorted(token.start for token in tokenize(source) if token.kind == "_END")
    place = 0
    newlines, is_end = 0, False
    for match in tables.lexer.finditer(source.text):
        kind = match.lastgroup or "BAD"
        while place < len(ends) and ends[place] <= match.start():
            is_end, place = True, place + 1
        if kind in ("NEWLINE", "SEMICOLON"):
            newlines += kind == "NEWLINE"
        elif kind == "COMMENT" or kind not in tables.ignored:
            yield Piece(tables.keywords.get(match[0], kind), match[0], newlines, is_end)
            newlines = 0
            is_end = is_end and kind == "COMMENT"  # a statement's end reaches past the comments after it


def braces_first(pieces: list[Piece]) -> Iterator[Piece]:
    """The pieces with each block's `{` before the comments that stand between it and what it belongs to."""
    waiting: list[Piece] = []
    for piece in pieces:
        if piece.kind == "COMMENT":
            waiting.append(piece)
            continue
        if piece.kind == "LBRACE" and waiting and not piece.ends:
            yield piece._replace(newlines=0)
        yield from waiting
        if piece.kind != "LBRACE" or not waiting or piece.ends:
            yield piece
        waiting = []
    yield from waiting


class Layout:
    """One walk over the pieces, with the brackets that are open."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = list(braces_first(pieces))
        self.open: list[Bracket] = []
        self.done: list[Line] = []
        self.line = Line(0)
        self.start = self.line  #: the line that the current statement starts on
        self.statement = ""  #: its first token's kind

    def lines(self) -> list[Line]:
        before: Piece | None = None  # the last token; comments do not count
        last: Piece | None = None
        for at, piece in enumerate(self.pieces):
            begins = before is None or (piece.ends and not self.inside()) or self.at_block_start(before)
            if piece.kind == "COMMENT":
                if last is None or piece.newlines:
                    self.new_line(piece, last, begins or self.is_between(at), is_closer=False)
                self.line.add(piece, True)
                last = piece
                continue
            if begins:
                self.statement = piece.kind
            if self.breaks(at, piece, before, last, begins):
                self.new_line(piece, last, begins, is_closer=piece.kind in CLOSERS)
                if begins:
                    self.start = self.line
            elif begins and piece.ends:
                self.line.add(Piece("SEMICOLON", ";", 0, False), False)
            if piece.kind in CLOSERS and self.open:
                bracket = self.open.pop()
                self.start = bracket.statement
                gap = bracket.is_block if piece.kind == "RBRACE" else False
                self.line.add(piece, gap)
            else:
                self.line.add(piece, before is not None and self.gap(before, piece))
            if piece.kind in OPENERS:
                self.open.append(self.bracket(piece, before))
            before = last = piece
        self.done.append(self.line)
        return [line for line in self.done if line.pieces]

    def is_between(self, at: int) -> bool:
        """Whether a comment stands between two statements, or at the end of a block or of the file."""
        if self.inside():
            return False
        following = next((p for p in self.pieces[at:] if p.kind != "COMMENT"), None)
        return following is None or following.ends or following.kind == "RBRACE"

    def inside(self) -> bool:
        """Whether the innermost bracket open holds no statements."""
        return bool(self.open) and not self.open[-1].is_block

    def at_block_start(self, before: Piece) -> bool:
        return before.kind == "LBRACE" and bool(self.open) and self.open[-1].is_block

    def bracket(self, piece: Piece, before: Piece | None) -> Bracket:
        is_block = (
            piece.kind == "LBRACE" and before is not None and before.kind not in ("COLON", "EQUAL", "ARROW")
        )
        is_signature = (
            piece.kind == "LPAR" and self.statement in ("FN", "FACTOR", "DENSITY") and not self.open
        )
        return Bracket(piece.kind, self.line, self.start, is_block, is_signature or self.in_signature())

    def in_signature(self) -> bool:
        return bool(self.open) and self.open[-1].is_signature and self.open[-1].kind == "LBRACE"

    def breaks(self, at: int, piece: Piece, before: Piece | None, last: Piece | None, begins: bool) -> bool:
        """Whether a token starts a line."""
        if before is None or last is None:
            return last is not None  # after a comment at the top
        if last.kind == "COMMENT":
            return True
        if piece.kind == "LBRACE" and not begins:
            return False
        if piece.kind == "ELSE" and before.kind == "RBRACE":
            return False
        if begins and piece.kind in OPERATORS:  # only after `;` may a statement start with an operator
            return False
        if self.at_block_start(before) or (piece.kind == "RBRACE" and self.open and self.open[-1].is_block):
            return not self.is_short_block(
                at if before.kind != "LBRACE" or piece.kind == "RBRACE" else at - 1
            )
        return begins or piece.newlines > 0

    def is_short_block(self, at: int) -> bool:
        """Whether the block that opens or closes at a piece is written on one line and holds one statement at most."""
        pieces = self.pieces
        first = at
        if pieces[at].kind == "RBRACE":
            depth = 0
            while True:
                depth += (pieces[first].kind == "RBRACE") - (pieces[first].kind == "LBRACE")
                if depth == 0:
                    break
                first -= 1
        depth = 0
        for place in range(first, len(pieces)):
            piece = pieces[place]
            if place > first and (piece.newlines or piece.kind == "COMMENT"):
                return False
            depth += (piece.kind == "LBRACE") - (piece.kind == "RBRACE")
            if depth == 0:
                return True
            if place > first and piece.ends:
                return False
        return False

    def new_line(self, piece: Piece, last: Piece | None, begins: bool, is_closer: bool) -> None:
        """Close the line, and open one at the depth that a piece belongs to."""
        if is_closer and self.open:
            depth = self.open[-1].line.depth
        elif piece.kind == "ELSE" and not self.inside():
            depth = self.start.depth
        elif self.open:
            is_continued = self.open[-1].is_block and not begins
            depth = (self.start.depth if is_continued else self.open[-1].line.depth) + 1
        else:
            depth = 0 if begins else 1
        after_opener = last is not None and last.kind in OPENERS
        self.done.append(self.line)
        self.line = Line(depth, is_apart=piece.newlines > 1 and not after_opener and not is_closer)
        if self.line.is_apart and any(line.pieces for line in self.done):
            self.done.append(Line(0, [Piece("BLANK", "", 0, False)], [False]))

    def gap(self, before: Piece, piece: Piece) -> bool:
        """Whether a space goes between two tokens of a line."""
        kind, left = piece.kind, before.kind
        inner = self.open[-1] if self.open else None
        if left == "NUMBER" and kind == "DOT":  # `1.k` is the number `1.`, then a name
            return True
        if left in ("LPAR", "LSQB") or kind in ("RPAR", "RSQB", "COMMA", "DOT") or left == "DOT":
            return False
        if "POWER" in (kind, left):
            return False
        if "EQUAL" in (kind, left) and inner is not None and inner.kind == "LPAR":
            return inner.is_signature and self.is_typed()
        if left == "LBRACE" or kind == "LBRACE":
            return kind == "LBRACE" or (inner is not None and inner.is_block)
        if kind == "LPAR":
            return left not in VALUE | {"RBRACE"} or self.statement == "USE"
        if kind == "LSQB":
            return left not in VALUE and left != "RBRACE"
        if "COLON" in (kind, left):
            is_slice = inner is not None and inner.kind == "LSQB"
            return left == "COMMA" if kind == "COLON" else not is_slice
        return not self.is_sign(before)

    def is_typed(self) -> bool:
        """Whether the parameter being laid out has a type: its default then stands apart."""
        depth = 0
        for piece in self.laid_out():
            depth += (piece.kind in CLOSERS) - (piece.kind in OPENERS)
            if depth < 0 or (depth == 0 and piece.kind in ("COMMA", "VBAR")):
                return False
            if depth == 0 and piece.kind == "COLON":
                return True
        return False

    def is_sign(self, piece: Piece) -> bool:
        """Whether the `+` or `-` just laid out has no left operand."""
        if piece.kind not in ("PLUS", "MINUS"):
            return False
        _, *left = islice(self.laid_out(), 2)
        return not left or left[0].kind not in VALUE | {"RBRACE"}

    def laid_out(self) -> Iterator[Piece]:
        """The tokens laid out so far, the last one first."""
        for line in chain([self.line], reversed(self.done)):
            yield from (p for p in reversed(line.pieces) if p.kind not in ("COMMENT", "BLANK"))


# --- long lines ------------------------------------------------------------------------------------------


def broken(lines: list[Line]) -> Iterator[Line]:
    """The lines, those that are too long broken at their outermost brackets."""
    for line in lines:
        if len(line.text) <= WIDTH or line.pieces[-1].kind == "COMMENT":
            yield line
            continue
        pair = widest_pair(line)
        if pair is None:
            yield line
            continue
        first, last = pair
        yield part(line, 0, first + 1, line.depth)
        inner = part(line, first + 1, last, line.depth + 1)
        yield from broken([inner]) if len(inner.text) <= WIDTH else broken(list(items(inner)))
        yield from broken([part(line, last, len(line.pieces), line.depth)])


def widest_pair(line: Line) -> tuple[int, int] | None:
    """The outermost `( )` or `[ ]` of a line that holds most; None where none holds more than one token."""
    found: list[tuple[int, int]] = []
    opened: list[int] = []
    for k, piece in enumerate(line.pieces):
        if piece.kind in OPENERS:
            opened.append(k)
        elif piece.kind in CLOSERS and opened:
            start = opened.pop()
            if not any(line.pieces[o].kind != "LBRACE" for o in opened) and piece.kind != "RBRACE":
                found.append((start, k))
    found = [pair for pair in found if pair[1] - pair[0] > 2]
    return max(found, key=lambda pair: pair[1] - pair[0], default=None)


def items(line: Line) -> Iterator[Line]:
    """What stands in a bracket, a line for each: its items, else its clauses, else its terms."""
    ends: dict[str, list[int]] = {"items": [], "clauses": [], "terms": []}
    depth = 0
    for k, piece in enumerate(line.pieces):
        depth += (piece.kind in OPENERS) - (piece.kind in CLOSERS)
        if depth:
            continue
        if piece.kind == "COMMA":
            ends["items"].append(k + 1)
        elif piece.kind == "FOR" and k:
            ends["clauses"].append(k)
        elif piece.kind in ("AND", "OR", "PLUS", "MINUS") and k and line.pieces[k - 1].kind in VALUE:
            ends["terms"].append(k + 1)
    is_generator = bool(ends["clauses"])
    chosen = ends["clauses"] if is_generator else ends["items"] or ends["terms"]
    for start, stop in pairwise([0, *chosen, len(line.pieces)]):
        if start < stop:
            yield part(line, start, stop, line.depth)


def part(line: Line, start: int, stop: int, depth: int) -> Line:
    made = Line(depth)
    for piece, gap in zip(line.pieces[start:stop], line.spaced[start:stop], strict=True):
        made.add(piece, gap)
    return made
