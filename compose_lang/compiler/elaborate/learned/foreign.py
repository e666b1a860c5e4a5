"""Foreign code as a factor: `= extern("package.module:name")`, under `--trust` alone.

In: a declaration. Out: its `LearnedFactor`. Nothing is imported here, so that checking a program runs nobody's code;
the runtime finds the function, holds it to the declaration, and binds it (runtime/learned/foreign).
"""

from __future__ import annotations

from typing import Any

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.values import as_node, describe
from compose_lang.compiler.graph.learned_factor import NOISE_LEVEL, LearnedFactor, Port
from compose_lang.diagnostics import Span, fail
from compose_lang.grammar import ast

LIBRARIES = ("jax", "torch")
TAKES = f'it takes a text, and may say library="jax" or "torch" and {NOISE_LEVEL}=true'


def extern(
    ctx: Context,
    decl: ast.FactorDecl,
    value: ast.Call,
    subjects: tuple[Port, ...],
    inputs: tuple[Port, ...],
) -> LearnedFactor:
    """The part of `extern("package.module:name", library=…, noise_level=…)`."""
    place: str | None = None
    options: dict[str, Any] = {}
    for a in value.arguments:
        given = ctx.evaluate(a.value)
        if a.name is None and place is None:
            if not isinstance(given, str):
                fail("CG0204", f"extern takes text, not {describe(given)}", a.span)
            place = given
        elif a.name == "library" and given in LIBRARIES:
            options["library"] = given
        elif a.name == NOISE_LEVEL and not isinstance(given, str):
            options[NOISE_LEVEL] = truth(given, a.span)
        else:
            fail("CG0206", "extern has no such argument", a.span, help=TAKES)
    if place is None:
        fail("CG0206", "extern takes a text: which function to call", value.span, help=TAKES)
    module, _, name = place.partition(":")
    if not all(each.isidentifier() for each in (*module.split("."), *name.split("."))):
        help = 'a module that Python can import and a name in it: extern("package.module:energy")'
        fail("CG0206", f"`{place}` names no function", value.span, help=help)
    require_trust(ctx, f"`{decl.name}` runs foreign code: {place}", value.span)
    return LearnedFactor(
        decl.name,
        "extern",
        subjects,
        inputs,
        None,
        options,
        {},
        value.span,
        source=place,
        home=ctx.session.folder,
    )


def truth(value: Any, span: Span) -> bool:
    x = as_node(value, span)
    if not x.is_static_scalar or x.dtype != "bool":
        fail("CG0204", f"{NOISE_LEVEL} is true or false, not {describe(x)}", span)
    return bool(x.item())


def require_trust(ctx: Context, what: str, span: Span) -> None:
    """CG0414 unless the user has said that the program may run code."""
    if not ctx.session.is_trusted:
        help = "pass --trust (from Python: trust=True) if you know what it does"
        fail("CG0414", what, span, help=help)
