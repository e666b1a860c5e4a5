"""What names may say that their user does not mean: unused, hidden, or against the custom of capitals.

In: a scope whose block has been walked, or a name as it is declared. Out: warnings. `resolve` calls it while it walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from compose_lang.compiler.names.symbols import Declared, SymbolTable
from compose_lang.diagnostics import Diagnostic, Label, Span
from compose_lang.grammar import ast


def unused(scope: SymbolTable, kinds: Iterable[str]) -> Iterator[Diagnostic]:
    """CG0213 for names of some kinds that nothing uses."""
    for declared in scope.names.values():
        if declared.kind in kinds and not declared.is_used and not declared.name.startswith("_"):
            yield Diagnostic("CG0213", f"`{declared.name}` is never used", declared.span, severity="warning")


def idle_loop(clauses: Sequence[ast.Clause], scope: SymbolTable) -> Iterator[Diagnostic]:
    """CG0213 for a loop whose indices are not used: it states the same thing again and again."""
    indices = [d for d in scope.names.values() if d.kind == "index"]
    if indices and not any(d.is_used or d.name.startswith("_") for d in indices):
        text = f"`{indices[0].name}` is never used: each instance of this loop states the same"
        yield Diagnostic("CG0213", text, clauses[0].span, severity="warning")


def shadow(new: Declared, scope: SymbolTable, known: Mapping[str, str]) -> Iterator[Diagnostic]:
    """CG0216 for a name that hides another one of its neighbourhood; parameters have a signature to be read in."""
    if new.name.startswith("_") or new.kind in ("size", "parameter"):
        return
    outer = scope.outer.find(new.name)[0] if scope.outer is not None else None
    if outer is not None:
        text = f"`{new.name}` hides the {outer.kind} of that name"
        labels = (Label(outer.span, "which is declared here"),)
        yield Diagnostic("CG0216", text, new.span, severity="warning", labels=labels)
    elif known.get(new.name) in ("constant", "factor") or (new.kind == "fn" and new.name in known):
        text = f"`{new.name}` hides the predeclared {known[new.name]} of that name"
        yield Diagnostic("CG0216", text, new.span, severity="warning", help="another name leaves it in reach")


def style(name: str, is_factor: bool, span: Span) -> Iterator[Diagnostic]:
    """CG0212 for a factor that starts with a small letter, or anything else that starts with a capital.

    A single letter is the mathematician's: `X`, `W1` and `L_omega` are welcome.
    """
    first = name[0]
    if is_factor and first.islower():
        better, rule = first.upper() + name[1:], "factors and densities start with a capital"
    elif not is_factor and first.isupper() and len(name) > 1 and name[1].isalpha():
        better = first.lower() + name[1:]
        rule = "all but factors, densities and types start with a small letter"
    else:
        return
    help = f"`{better}` would not surprise"
    yield Diagnostic("CG0212", f"{rule}: `{name}`", span, severity="warning", help=help)
