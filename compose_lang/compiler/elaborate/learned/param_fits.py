"""The statement `learn k, W by maximum_likelihood(steps=500)`: which params it fits, and how.

In: the statement. Out: a `Fit`, left in the session. What the params are fitted to is found by `compiler/likelihood`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.learned.arguments import option
from compose_lang.compiler.graph.learned_factor import Fit
from compose_lang.diagnostics import Label, did_you_mean, fail
from compose_lang.grammar import ast

METHOD = "maximum_likelihood"
OPTIONS = {"steps": 500, "chains": 16, "seed": 0}
"""Steps: iterations of the optimiser, or of EM where variables are summed out by chains of draws."""


def is_fitted(module: ast.Module, name: str) -> bool:
    """Whether a statement of the program fits a param."""
    learns = [s for s in module.statements if isinstance(s, ast.Learn)]
    return any(isinstance(t, ast.Name) and t.id == name for s in learns for t in s.targets)


def note(ctx: Context, s: ast.Learn, params: Mapping[str, ast.Param]) -> None:
    """Add what a statement asks for to the session's fit."""
    method = s.method.function if isinstance(s.method, ast.Call) else s.method
    assert isinstance(method, ast.Name)
    if method.id != METHOD:
        text = f"`{method.id}` does not fit {s.targets[0].span.text}"
        help = f"params are fitted by {METHOD}; a factor's nets with the data they learn from: learn F(x=rows) by …"
        fail("CG0602", text, s.span, help=help)
    targets = []
    for t in s.targets:
        if not isinstance(t, ast.Name) or t.id not in params:
            shown = t.id if isinstance(t, ast.Name) else t.span.text
            help = did_you_mean(shown, params) or "declare it: param k: real"
            fail("CG0607", f"`{shown}` is no param, and {METHOD} fits params", t.span, help=help)
        targets.append(t.id)
        earlier = [f for f in ctx.session.fits if t.id in f.targets]
        if earlier or t.id in targets[:-1]:
            labels = (Label(earlier[0].span, "first here"),) if earlier else ()
            fail("CG0202", f"`{t.id}` is fitted twice", t.span, labels=labels)
    options: dict[str, Any] = dict(OPTIONS)
    for a in s.method.arguments if isinstance(s.method, ast.Call) else ():
        if a.name not in OPTIONS:
            shown = f"the option `{a.name}`" if a.name else "an argument without a name"
            help = did_you_mean(a.name or "", OPTIONS) or f"it has {', '.join(OPTIONS)}"
            fail("CG0602", f"`{METHOD}` does not take {shown}", a.span, help=help)
        options[a.name] = option(ctx, a, OPTIONS[a.name], METHOD)
    ctx.session.fits.append(Fit(tuple(targets), options, s.span))


def joined(fits: Sequence[Fit]) -> Fit:
    """One fit of all that several statements name: params are fitted together."""
    first = fits[0]
    for f in fits[1:]:
        if f.options != first.options:
            text = "params are fitted together, and two statements ask for it in different ways"
            labels = (Label(first.span, "the other"),)
            fail(
                "CG0202",
                text,
                f.span,
                labels=labels,
                help="one statement: learn k, W by maximum_likelihood(…)",
            )
    return Fit(tuple(t for f in fits for t in f.targets), first.options, first.span)
