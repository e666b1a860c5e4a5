"""stub"""
from dataclasses import dataclass
from compose_lang.grammar.tokens import Token
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
    return Diagnostic("CG0101", f"unexpected `{t.text}`", t.span(f.source))

def written_as_assignment(statement):
    return None
