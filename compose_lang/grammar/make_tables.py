"""`compose.lark` → `compose.tables.json`: lark as the parser generator, run when the grammar changes.

Building lark's tables takes half a second, longer than a whole `compose check` may, so they are kept beside
the grammar as plain JSON, and a test holds them to it. Run `python -m compose_lang.grammar.make_tables`.

The tables:
- `lexer`: one regular expression with a named group for each terminal; `keywords`: word → terminal;
  `ignored`: terminals that are dropped.
- `rules`: what a reduction does: [symbols taken off the stack, nonterminal, method of `Builder` or null where
  the parts are handed on as they are, whether a single part stands for the whole, parts]. A part is
  [position among the symbols, or -1 for an optional part that is absent; whether it is itself a list of
  parts to splice in].
- `states`: for each state, symbol → action: n ≥ 0 is "go to state n", ~n < 0 is "reduce by rule n".
- `starts`: start symbol → state. A whole text is accepted by going on with `$END`.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lark import Lark
from lark.grammar import Rule, Terminal
from lark.lexer import PatternStr, TerminalDef
from lark.parsers.lalr_analysis import ParseTable, Shift

GRAMMAR = Path(__file__).with_name("compose.lark")
TABLES = Path(__file__).with_name("compose.tables.json")
STARTS = ("start", "expression")
LEXED_ONLY = ("NEWLINE", "SEMICOLON", "FOREIGN", "BAD")


class _KeepTerminals:
    """Tells lark to keep the terminals that no rule uses; `tokens.py` turns them into others."""

    always_accept = LEXED_ONLY


def build_lark() -> Lark:
    """The grammar as lark's own parser."""
    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=list(STARTS),
        postlex=_KeepTerminals(),
        maybe_placeholders=True,
        debug=True,  # lark settles conflicts silently, but logs them
    )


def tables() -> dict[str, Any]:
    """The content of `compose.tables.json`, the same for the same grammar."""
    lark = build_lark()
    table = lark.parser.parser._parse_table
    rules = {rule: i for i, rule in enumerate(lark.rules)}
    number = _numbered(table)
    states = [
        {
            symbol: number[target] if action is Shift else ~rules[target]
            for symbol, (action, target) in sorted(table.states[state].items())
        }
        for state in number
    ]
    for start in STARTS:
        states[number[table.end_states[start]]]["$END"] = number[table.start_states[start]]
    return {
        **_lexer(lark.terminals, lark.ignore_tokens),
        "rules": [_rule(rule) for rule in rules],
        "states": states,
        "starts": {start: number[table.start_states[start]] for start in STARTS},
    }


def _numbered(table: ParseTable) -> dict[Any, int]:
    """The states in the order a walk from the starts meets them: lark's own order hangs on its hashes."""
    met = {table.start_states[start]: i for i, start in enumerate(STARTS)}
    waiting = deque(met)
    while waiting:
        for _, (action, target) in sorted(table.states[waiting.popleft()].items()):
            if action is Shift and target not in met:
                met[target] = len(met)
                waiting.append(target)
    return met


def _lexer(terminals: Iterable[TerminalDef], ignored: list[str]) -> dict[str, Any]:
    name = re.compile(next(t.pattern.to_regexp() for t in terminals if t.name == "NAME"))
    words = {t.pattern.value: t.name for t in terminals if isinstance(t.pattern, PatternStr)}
    keywords = {word: kind for word, kind in words.items() if name.fullmatch(word)}
    ordered = sorted(
        (t for t in terminals if t.name not in keywords.values() and t.pattern.value),
        key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
    )
    return {
        "lexer": "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in ordered),
        "keywords": keywords,
        "ignored": ignored,
    }


def _rule(rule: Rule) -> list[Any]:
    symbols = enumerate(rule.expansion)
    parts: list[list[int]] = []
    for is_absent in rule.options.empty_indices or [False] * len(rule.expansion):
        if is_absent:
            parts.append([-1, 0])
            continue
        position, symbol = next(symbols)
        is_dropped = isinstance(symbol, Terminal) and symbol.filter_out
        if rule.options.keep_all_tokens or not is_dropped:
            parts.append([position, int(not symbol.is_term and symbol.name.startswith("_"))])
    name = rule.origin.name
    stands_alone = rule.options.expand1 and not rule.alias
    is_handed_on = name.startswith("_") or (stands_alone and len(parts) == 1)
    return [len(rule.expansion), name, None if is_handed_on else rule.alias or name, int(stands_alone), parts]


if __name__ == "__main__":
    TABLES.write_text(json.dumps(tables(), separators=(",", ":")) + "\n", encoding="utf-8")
