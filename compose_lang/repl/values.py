"""How a session shows what an expression comes to: a value, a summary of draws, or what a name is.

In: a `Value` of the session. Out: text on its screen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.expressions.calls import Builtin
from compose_lang.compiler.elaborate.factors.values import WithInputs
from compose_lang.compiler.elaborate.values import DeclaredFactor, Function, NamedType, Texts, describe
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import BOOL, INT, REAL, Type
from compose_lang.repl.session import Value
from compose_lang.report.screen import Screen

MOST_SHOWN = 1000  #: numbers of an array that are printed
ROWS = 30  #: of a summary


def show(screen: Screen, text: str, value: Value) -> None:
    """Print what an expression came to: its value, or the summary of its draws."""
    if value.draws is not None:
        summarise(screen, text, value)
    elif isinstance(value.value, Node) and value.value.value is not None:
        array = np.asarray(value.value.value)
        domain = value.value.domain
        if domain is not None and domain.names and array.ndim == 0:
            print(domain.names[int(array)])
        else:
            shown = np.array2string(array, threshold=MOST_SHOWN, separator=", ")
            print(shown.replace("True", "true").replace("False", "false"))
    elif isinstance(value.value, Texts):
        print(np.array2string(value.value.value, threshold=MOST_SHOWN, separator=", ").replace("'", '"'))
    else:
        print(signature(value.value))


def summarise(screen: Screen, text: str, value: Value) -> None:
    """Print the summary of an expression's draws, a row for each number."""
    from compose_lang.runtime.density.columns import Column
    from compose_lang.runtime.results.summary import summarise_column, table

    assert value.draws is not None
    kinds = {"real": REAL, "int": INT, "bool": BOOL}
    domain = value.value.domain or kinds[value.value.dtype]
    if domain.event_shape:
        domain = kinds[value.value.dtype]
    column = Column(text, Type(domain, value.draws.shape[2:]))
    screen.out.print(table([summarise_column(column, value.draws)], ROWS))


def signature(value: Any) -> str:
    """What a factor, function, type or module is, in a line."""
    match value:
        case DeclaredFactor(decl=decl) | WithInputs(factor=DeclaredFactor(decl=decl)):
            return header(decl.span.text)
        case Function(decl=decl):
            return header(decl.span.text)
        case NamedType(type=type_):
            return f"the type {type_}"
        case Builtin(name=name):
            return f"the function `{name}`"
    return describe(value) if not isinstance(value, str) else f'"{value}"'


def header(text: str) -> str:
    """A declaration up to its body or value: the parameters' brackets close before it."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if (letter == "{" and depth == 1) or (letter == "=" and depth == 0):
            return text[:place].strip()
    return text


def comment_of(value: Any) -> str:
    """The comment above a declaration."""
    decl = getattr(value, "decl", None) or getattr(getattr(value, "factor", None), "decl", None)
    if decl is None:
        return ""
    above = decl.span.source.text[: decl.span.start].splitlines()
    lines: list[str] = []
    while above and above[-1].startswith("#"):
        lines.insert(0, above.pop().lstrip("# "))
    return "\n".join(lines)
