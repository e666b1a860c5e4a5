"""The values of types such as `{red, green}`: a bare `red` is found by the type that is expected where it stands.

Several types may have a value of one name. Beside a comparison, as an argument, an observed or a constant value
the type is known; elsewhere a name that is a value of several types is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.values import SymbolTable
from compose_lang.compiler.ir.build import constant
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import Domain
from compose_lang.compiler.names.symbols import names_in
from compose_lang.diagnostics import ComposeError, Diagnostic, Label, Span
from compose_lang.grammar import ast


@dataclass(frozen=True)
class ValueName:
    """What a bare value's name stands for: that value in each of the types that have it."""

    name: str
    domains: tuple[Domain, ...]

    def value(self, span: Span) -> Node:
        """The value, where nothing tells which type is meant."""
        if len(self.domains) > 1:
            types = " and of ".join(str(d) for d in self.domains)
            help = f"name its type: write TYPE.{self.name}"
            raise ComposeError(
                Diagnostic("CG0215", f"`{self.name}` is a value of {types}: which is meant?", span, help=help)
            )
        return value_of(self.name, self.domains[0])


def value_of(name: str, domain: Domain) -> Node:
    return constant(domain.names.index(name), domain=domain)


def bring_in(scope: SymbolTable, domain: Domain) -> None:
    """The names of a type's values come into a scope; a name that is declared there hides them."""
    for name in domain.names:
        known = scope.names.setdefault(name, ValueName(name, (domain,)))
        if isinstance(known, ValueName) and domain not in known.domains:
            scope.names[name] = ValueName(name, (*known.domains, domain))


def is_open(ctx: Context, name: str) -> bool:
    """Whether a name may be one of an expected type's values: nothing else of that name is in scope."""
    try:
        return isinstance(ctx.scope.find(name), ValueName)
    except KeyError:
        return True


def evaluate_as(ctx: Context, e: ast.Expr, domain: Domain | None) -> Any:
    """The value of an expression where a value of a domain is expected: that domain's names come first."""
    if domain is None or not domain.names:
        return ctx.evaluate(e)
    meant = {name: value_of(name, domain) for name in domain.names if is_open(ctx, name)}
    value = ctx.child(**meant).evaluate(e)
    if isinstance(value, Node):
        require_same(value.domain, domain, e.span)
    return value


def require_same(given: Domain | None, wanted: Domain, span: Span, labels: tuple[Label, ...] = ()) -> None:
    """Values of different named types do not stand for each other, though both are numbers inside."""
    if given is not None and given.names and wanted.names and given.names != wanted.names:
        text = f"{wanted} is expected here, this is {given}"
        raise ComposeError(Diagnostic("CG0204", text, span, labels=labels))


def evaluate_beside(ctx: Context, operands: Sequence[ast.Expr]) -> list[Any]:
    """The values of what is compared: bare value names have the type of what they are compared with."""
    waiting = [any(is_open(ctx, name) for name in names_in(e)) for e in operands]
    values = [None if w else ctx.evaluate(e) for w, e in zip(waiting, operands, strict=True)]
    domains = [
        (v.domain, e) for v, e in zip(values, operands, strict=True) if isinstance(v, Node) and v.domain
    ]
    wanted, place = next(((d, e) for d, e in domains if d.names), (None, None))
    if wanted is not None and place is not None:
        labels = (Label(place.span, f"this is {wanted}"),)
        for domain, e in domains:
            require_same(domain, wanted, e.span, labels)
    return [
        evaluate_as(ctx, e, wanted) if w else v for w, v, e in zip(waiting, values, operands, strict=True)
    ]
