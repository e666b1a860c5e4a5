"""Whether an argument is what a factor takes: a constant is held to the declared domain, a variable compared with it.

Out: the condition under which a subject lies in the factor's support, which the factor's weight is 0 outside of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.named_values import require_same
from compose_lang.compiler.elaborate.values import describe
from compose_lang.compiler.graph.factor_graph import Term
from compose_lang.compiler.ir.build import constant, node
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.ir.types import BOOL, INT, Domain, in_domain, value_range
from compose_lang.compiler.sources.convert import violation
from compose_lang.diagnostics import ComposeError, Diagnostic, Label, Span, fail


def admits(ctx: Context, value: Node, domain: Domain, what: str, span: Span, is_subject: bool) -> Node | None:
    """The condition that a value lies in a domain: None where it surely does, an error where it cannot."""
    if domain.is_discrete and value.dtype == "real":
        broken = value.value[value.value != np.floor(value.value)] if value.value is not None else ()
        if len(broken) and ctx.mask is None:
            text = f"{what} is {domain}, given {broken.flat[0]:g}"  # type: ignore[union-attr]
            fail("CG0405", text, span, label=f"{broken.flat[0]:g} is not a whole number")  # type: ignore[union-attr]
        fail("CG0204", f"{what} is {domain}, given {describe(value)}", span, label=describe(value))
    require_same(value.domain, domain, span)
    known = BOOL if value.dtype == "bool" else value.domain
    if in_domain(known, domain):
        return None
    if domain.event_shape and value.value is None:
        check_vector(ctx, value, domain, what, span, is_subject)
        return None
    low, high = value_range(domain)
    if low == -np.inf and high == np.inf and not domain.event_shape:
        return None
    if value.value is not None:
        fault = violation(value.value.astype(np.float64), domain)
        if fault is None:
            return None
        if ctx.mask is None:
            shown = describe(value) if domain.event_shape else fault[1].partition(" ")[0]
            fail("CG0405", f"{what} is {domain}, given {shown}", span, label=fault[1])
    is_count = is_subject and value.domain == INT  # an `int` is for counts: its steps mind no wall
    if is_element(value) and value.domain is not None and value.variables and not is_count:
        outside = "draws outside have weight 0" if is_subject else "where it is not, the energy is no number"
        text = f"{what} is {domain}, but {span_name(span)} is {value.domain}: {outside}"
        declared = [v.span for name, v in ctx.session.variables.items() if name in value.variables]
        labels = tuple(Label(s, "declared here") for s in declared if s.start != span.start)[:1]
        ctx.session.warn("CG0405", text, span, help=f"declare the variable as {domain}", labels=labels)
    if not is_subject and not domain.is_discrete:
        return None
    condition: Node | None = None
    for op, bound in (("ge", low), ("le", high)):
        if np.isfinite(bound):
            test = node(op, value, constant(bound))
            condition = test if condition is None else node("and", condition, test)
    if condition is not None:
        for _ in condition.shape:
            condition = node("all", condition, attrs=(-1,))
    return condition


def require_possible(term: Term, what: str, subjects: Sequence[Node]) -> None:
    """CG0405 where data, CG0503 where inputs break a constraint of the factor stated: no draw could have a weight."""
    energy = term.energy.value
    if term.kind != "require" or energy is None or not np.isinf(energy).any():
        return
    at = tuple(np.argwhere(np.isinf(energy))[0])
    value = subjects[0].value if subjects else None
    shown = ""
    if value is not None and value.shape == energy.shape:
        place = f" of element [{', '.join(map(str, at))}]" if at else ""
        shown = f"{value[at]:g}{place} is outside"
    if value is None and any(s.variables for s in subjects):
        text = f"`{term.label}` of {what} is false whatever the variables"
        raise ComposeError(Diagnostic("CG0503", text, term.span), exit_code=4)
    text = f"{span_name(term.span)} is outside the support of {what}: `{term.label}` fails"
    fail("CG0405", text, term.span, label=shown)


def is_element(value: Node) -> bool:
    """Whether a value is a variable, or elements of one."""
    return value.op == "var" or value.op == "gather"


def check_vector(ctx: Context, value: Node, domain: Domain, what: str, span: Span, is_subject: bool) -> None:
    """Reports a variable whose vectors are of another kind: almost none of its values would do."""
    if value.domain is None or not is_element(value) or not value.variables:
        return
    if (value.domain.kind, domain.kind) == ("positive_ordered", "ordered"):
        return
    text = f"{what} is {domain}, but {span_name(span)} is {describe(value)}"
    help = f"declare the variable as {domain}"
    if is_subject:
        fail("CG0204", text, span, label=describe(value), help=help)
    ctx.session.warn("CG0405", text, span, help=help)


def span_name(span: Span) -> str:
    """What an argument is called: its text, if that is short; of a declaration the variable."""
    text = span.text
    if text.startswith("var "):
        text = text[4:].partition(":")[0].strip()
    return f"`{text}`" if len(text) < 40 and "\n" not in text else "the value"
