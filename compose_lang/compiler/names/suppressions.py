"""Lints switched off where the program says so: `# allow CG0213: kept for later`, on the line or the one above it.

Errors cannot be switched off. A comment that switches nothing off is told, so that none outlives its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from compose_lang.codes import CODES
from compose_lang.diagnostics import Diagnostic, Source, Span, did_you_mean
from compose_lang.grammar.automaton import load_tables

ALLOW = re.compile(r"#\s*allow\s+(CG\w*(?:\s*,\s*CG\w*)*)")


@dataclass
class Allowance:
    """A comment's codes, the line it speaks of, and those of its codes that it has switched off."""

    codes: tuple[str, ...]
    line: int
    span: Span
    used: set[str] = field(default_factory=set)


def allowances(source: Source) -> list[Allowance]:
    """The `# allow` comments of a program."""
    if "allow" not in source.text:
        return []
    allowed = []
    for match in load_tables().lexer.finditer(source.text):
        if match.lastgroup != "COMMENT" or (words := ALLOW.match(match[0])) is None:
            continue
        line, column = source.position(match.start())
        is_alone = not source.text[match.start() - column + 1 : match.start()].strip()
        codes = tuple(code.strip() for code in words[1].split(","))
        span = Span(source, match.start(), match.start() + len(words[0]))
        allowed.append(Allowance(codes, line + is_alone, span))
    return allowed


def without_allowed(found: Iterable[Diagnostic], source: Source) -> list[Diagnostic]:
    """The diagnostics less those that the source allows, and with what is wrong with its allowances."""
    allowed = allowances(source)
    kept = []
    for d in found:
        match = next((a for a in allowed if is_meant(a, d, source)), None)
        if match is None or d.severity == "error":
            kept.append(d)
        else:
            match.used.add(d.code)
    for a in allowed:
        for code in a.codes:
            if code not in CODES:
                help = did_you_mean(code, CODES) or "`compose explain CODE` tells what a code means"
                kept.append(Diagnostic("CG0217", f"there is no code {code}", a.span, "warning", help=help))
            elif code not in a.used:
                text = f"nothing here is told as {code}: this comment allows nothing"
                kept.append(Diagnostic("CG0217", text, a.span, "note", help="remove it"))
    return kept


def is_meant(a: Allowance, d: Diagnostic, source: Source) -> bool:
    if d.span is None or d.span.source != source or d.code not in a.codes:
        return False
    first, last = source.position(d.span.start)[0], source.position(max(d.span.start, d.span.end - 1))[0]
    return first <= a.line <= last
