"""stub"""
from dataclasses import dataclass
from lark import Token
from compose_lang.diagnostics import Diagnostic, Source, Span
@dataclass(frozen=True)
class Failure:
    source: Source
    token: Token
    statement: tuple[Token, ...]
    before: tuple[Token, ...]
    after: tuple[Token, ...]
    accepts: frozenset[str]

def describe(f):
    t=f.token
    s = t.start_pos if t.start_pos is not None else len(f.source.text)
    return Diagnostic("CG0101", f"unexpected `{t}`", Span(f.source, s, s+len(t)))

def written_as_assignment(statement):
    return None
