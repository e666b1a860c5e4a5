"""Tokens → a tree: the LALR(1) automaton that lark computes from `compose.lark`, read from its tables.

`make_tables` writes the tables and says what they hold. Aho, Lam, Sethi and Ullman, Compilers (2006), 4.6.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from compose_lang.diagnostics import ComposeError, Diagnostic, Source, Span

END = "$END"
MAX_DEPTH = 200


class Rule(NamedTuple):
    """What a reduction takes off the stack, and what it makes of it (see `make_tables`)."""

    size: int
    origin: str
    method: str | None
    expands_single: bool
    parts: list[tuple[int, int]]


class Tables(NamedTuple):
    """The grammar, ready to run."""

    lexer: re.Pattern[str]
    keywords: dict[str, str]
    ignored: frozenset[str]
    rules: list[Rule]
    states: list[dict[str, int]]
    starts: dict[str, int]


@cache
def load_tables() -> Tables:
    """The tables beside the grammar; about 10 ms, once."""
    raw = json.loads(Path(__file__).with_name("compose.tables.json").read_text(encoding="utf-8"))
    return Tables(
        lexer=re.compile(raw["lexer"]),
        keywords=raw["keywords"],
        ignored=frozenset(raw["ignored"]),
        rules=[Rule(*rule) for rule in raw["rules"]],
        states=raw["states"],
        starts=raw["starts"],
    )


class Automaton:
    """A stack of states with the value, the place and the depth of what led to each.

    A reduction by a rule `r` calls `builder.r(span, *parts)`. A tree more than `MAX_DEPTH` reductions deep is
    refused (CG0104), since every later stage walks it recursively.
    """

    def __init__(self, source: Source, builder: object, start: str) -> None:
        tables = load_tables()
        self.source = source
        self.rules = tables.rules
        self.table = tables.states
        self.methods = [getattr(builder, rule.method) if rule.method else None for rule in tables.rules]
        self.states = [tables.starts[start]]
        self.values: list[Any] = [None]
        self.places: list[tuple[int, int]] = [(0, 0)]
        self.depths = [0]

    def feed(self, kind: str, value: object, place: tuple[int, int]) -> bool:
        """Takes one token; False where the grammar does not allow it here."""
        while True:
            action = self.table[self.states[-1]].get(kind)
            if action is None:
                return False
            if action >= 0:
                self.states.append(action)
                self.values.append(value)
                self.places.append(place)
                self.depths.append(0)
                return True
            self._reduce(~action)

    def finish(self) -> bool:
        """Takes the end of the text; if it is allowed, `result` holds the whole."""
        return self.feed(END, None, self.places[-1])

    @property
    def result(self) -> Any:
        return self.values[-2]

    def accepts(self) -> frozenset[str]:
        """The terminals that may come next."""
        return frozenset(kind for kind in self.row() if kind.isupper() and self._would_shift(kind))

    def row(self) -> dict[str, int]:
        """The actions of the state at hand: a superset of what may come next, at no cost."""
        return self.table[self.states[-1]]

    @property
    def height(self) -> int:
        return len(self.states)

    def cut(self, height: int) -> None:
        """Forgets all that was taken since the stack was so high."""
        del self.states[height:], self.values[height:], self.places[height:], self.depths[height:]

    def _reduce(self, number: int) -> None:
        rule = self.rules[number]
        size = rule.size
        if size == 1 and rule.expands_single:
            self.states[-1] = self.table[self.states[-2]][rule.origin]
            return
        base = len(self.states) - size
        after = self.places[-1][1]
        place = (self.places[base][0], after) if size else (after, after)
        values = [*self.values[base:], None]  # the last is what an absent part, at -1, is given
        depth = max(self.depths[base:], default=0)
        self.cut(base)
        parts = []
        for position, is_spliced in rule.parts:
            if is_spliced:
                parts += values[position]
            else:
                parts.append(values[position])
        method = self.methods[number]
        if rule.expands_single and len(parts) == 1:
            value = parts[0]
            depth += 1
        elif method is None:
            value = parts
        else:
            value = method(Span(self.source, *place), *parts)
            depth += 1
        if depth > MAX_DEPTH:
            raise ComposeError(_too_deep(Span(self.source, *place)))
        self.states.append(self.table[self.states[-1]][rule.origin])
        self.values.append(value)
        self.places.append(place)
        self.depths.append(depth)

    def _would_shift(self, kind: str) -> bool:
        states = list(self.states)
        while True:
            action = self.table[states[-1]].get(kind)
            if action is None or action >= 0:
                return action is not None
            rule = self.rules[~action]
            del states[len(states) - rule.size :]
            states.append(self.table[states[-1]][rule.origin])


def _too_deep(span: Span) -> Diagnostic:
    return Diagnostic(
        "CG0104",
        f"nested more than {MAX_DEPTH} levels deep",
        span,
        help="name the parts with `let`, or write a long sum as `sum(… for i in range(n))`",
    )
