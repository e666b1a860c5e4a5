"""What a composition of factors may say that its user does not mean: quotients, subjects, arrays of choices.

In: factors as they are applied, and their subjects. Out: warnings in the session (language.md, "One idea").
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.declarations.declared_types import rank_of
from compose_lang.compiler.elaborate.factors.values import (
    Applied,
    Contrast,
    Mixture,
    Product,
    Scaled,
    WithInputs,
)
from compose_lang.compiler.elaborate.values import Factor
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.ir.types import Domain
from compose_lang.diagnostics import Span
from compose_lang.grammar import ast

COMPACT = frozenset({"angle", "simplex", "unit_vector", "cholesky_corr", "permutation"})

# --- constants that vary ---------------------------------------------------------------------------------


def lint_constant(ctx: Context, factor: Factor, subjects: Sequence[Node], span: Span) -> None:
    """CG0412 where an unnormalised factor has a random input or power: its total is not divided out."""
    while isinstance(factor, Applied):
        subjects, factor = factor.subjects, factor.factor
    if ctx.calls or factor.normalised or not any(s.variables for s in subjects):
        return
    over = frozenset().union(*(s.variables for s in subjects))
    moving: list[tuple[str, Node]] = []
    if isinstance(factor, WithInputs) and states_energy(factor):
        moving = [
            (f"`{name}`", value) for name, (value, _) in factor.inputs.items() if isinstance(value, Node)
        ]
    elif isinstance(factor, Product):
        moving = [("the power", exponent) for _, exponent in factor.parts]
    for what, value in moving:
        if value.variables - over:
            text = f"{what} is random, but the total of {factor.description}, which varies with it, is not divided out"
            help = "normalize(P) divides it out; `# allow CG0412` where a potential is meant as it is written"
            ctx.session.warn("CG0412", text, span, help=help)
            return


def states_energy(factor: Any) -> bool:
    """Whether a declared factor weighs by itself, and not only through densities of its subjects."""
    body = factor.factor.decl.body
    return body is not None and any(isinstance(s, ast.Energy | ast.Prefer) for s in body)


def lint_constants(ctx: Context, parts: Sequence[Factor], span: Span, axes: Sequence[Axis] = ()) -> None:
    """CG0403 where a mixture's parts have totals that are not known, nor the same.

    axes: those of the range that one part stands for, whose inputs may vary along it. The same factor with the same
    inputs has one total, whichever subjects it is applied to.
    """
    bare = [p.factor if isinstance(p, Scaled) else p for p in parts]
    loose = [p for p in bare if not (p.factor if isinstance(p, Applied) else p).normalised]
    is_one = all(isinstance(p, Applied) for p in bare) and len({identity(p.factor) for p in bare}) == 1  # type: ignore[attr-defined]
    if loose and not (is_one and not varies_along(bare[0], axes)):
        text = f"this mixture's weights hang on unknown constants: {loose[0].description} is not normalised"
        ctx.session.warn("CG0403", text, span, help="divide its constant out: normalize(P)")


def varies_along(part: Factor, axes: Sequence[Axis]) -> bool:
    """Whether an applied factor's inputs differ along axes, as far as that is plain."""
    inputs = getattr(getattr(part, "factor", part), "inputs", {})
    return any(isinstance(v, Node) and set(v.axes) & set(axes) for v, _ in inputs.values())


def lint_weights(ctx: Context, parts: Sequence[tuple[Node, Factor]], span: Span) -> None:
    """CG0403 where a mixture of densities has constant weights that do not sum to 1."""
    if len(parts) >= 2 and all(f.normalised for _, f in parts) and all(w.is_static_scalar for w, _ in parts):
        lint_sum(ctx, sum(float(w.item()) for w, _ in parts), span)


def lint_sum(ctx: Context, total: float, span: Span) -> None:
    if abs(total - 1) > 1e-6 and not (ctx.is_choice or ctx.calls):
        text = f"the weights of this mixture of densities sum to {total:g}, not 1: it is a factor, no density"
        ctx.session.warn("CG0403", text, span, help="weights that sum to 1 make it a density")


# --- quotients ------------------------------------------------------------------------------------------


def identity(factor: Factor) -> Hashable:
    """What two factors share where they are the same factor with the same inputs (and subjects)."""
    match factor:
        case WithInputs():
            inputs = sorted((name, value_key(value)) for name, (value, _) in factor.inputs.items())
            return ("declared", id(factor.factor.decl), tuple(inputs))
        case Applied():
            return ("applied", identity(factor.factor), tuple(map(value_key, factor.subjects)))
        case Scaled():
            return identity(factor.factor)
        case Mixture():
            return ("mixture", tuple((value_key(w), identity(f)) for w, f in factor.parts))
    return ("other", id(factor))


def value_key(value: Any) -> str:
    """A text that equal constants share; any other value is itself alone."""
    if isinstance(value, Node) and value.value is not None and not value.axes:
        return f"{value.shape} {value.value.tolist()}"
    return f"at {id(value)}"


def linear(exponent: Node) -> tuple[float, int | None]:
    """An exponent as a number times a base: the id of what is not known, or None."""
    number, n = 1.0, exponent
    while not n.is_static_scalar:
        if n.op == "mul" and any(a.is_static_scalar for a in n.args):
            known, n = n.args if n.args[0].is_static_scalar else n.args[::-1]
            number *= known.item()
        elif n.op == "neg":
            number, n = -number, n.args[0]
        elif n.op == "cast":
            n = n.args[0]
        else:
            return number, id(n)
    return number * n.item(), None


def may_be_improper(parts: Sequence[tuple[Factor, Node]]) -> bool:
    """Whether a product with negative exponents may have an infinite total over an unbounded subject.

    What stands below must also stand above, the same factor with the same inputs, with a net exponent of at
    least 1; or cancel, if something else is left. A factor below without inputs may be outweighed by the same
    factor with inputs: that is guidance, `D * (D(c) / D)^g`.
    """
    net: dict[Hashable, dict[int | None, float]] = defaultdict(lambda: defaultdict(float))
    by_name: dict[int, dict[int | None, float]] = defaultdict(lambda: defaultdict(float))
    below: dict[Hashable, int | None] = {}
    for factor, exponent in parts:
        number, base = linear(exponent)
        key, (declaration, bare) = identity(factor), declared(factor)
        net[key][base] += number
        by_name[declaration][base] += number
        if number < 0:
            below[key] = declaration if bare else None
    remains = any(known(total) >= 1 for total in net.values())
    for key, guided in below.items():
        total = known(net[key])
        if total >= 1 or (total == 0 and remains):
            continue
        if guided is None or known(by_name[guided]) < 1:
            return True
    return False


def known(total: dict[int | None, float]) -> float:
    """The number a sum of exponents comes to; minus infinity where it is not known."""
    return -math.inf if any(v for base, v in total.items() if base is not None) else total.get(None, 0.0)


def declared(factor: Factor) -> tuple[int, bool]:
    """The id of a factor's declaration, and whether it stands there without inputs."""
    inner = factor.factor if isinstance(factor, Applied) else factor
    return (id(inner.factor.decl), not inner.inputs) if isinstance(inner, WithInputs) else (id(inner), False)


def lint_quotient(
    ctx: Context, parts: Sequence[tuple[Factor, Node]], subjects: Sequence[Node], span: Span
) -> None:
    """CG0404 where a quotient is over something unbounded and cannot be shown to have a finite total."""
    over = [*subjects, *(s for f, _ in parts if isinstance(f, Applied) for s in f.subjects)]
    if any(s.variables and not is_bounded(s.domain) for s in over) and may_be_improper(parts):
        ctx.session.warn(
            "CG0404",
            "whether this quotient has a finite total cannot be shown",
            span,
            help="contrast(P, Q) is bounded by P; or give the variable a bounded type",
        )


def is_bounded(domain: Domain | None) -> bool:
    if domain is None:
        return False
    if domain.kind in COMPACT or (domain.is_discrete and domain.is_finite):
        return True
    return math.isfinite(domain.lower) and math.isfinite(domain.upper)


# --- subjects -------------------------------------------------------------------------------------------


def is_linear(x: Node) -> bool:
    """Whether a node is an affine function of the continuous variables, as far as its operations tell."""
    varies: dict[int, bool] = {}
    for n in postorder([x]):
        moving = [varies[id(a)] for a in n.args]
        varies[id(n)] = any(moving) or (n.op == "var" and n.dtype == "real")
        if n.args and varies[id(n)] and n.op != "scan":  # it is what its steps are, which is not looked into
            linear = op_of(n).linear
            if linear is None or not linear(n, moving):
                return False
    return True


def lint_subjects(ctx: Context, subjects: Iterable[tuple[Node, Span]]) -> None:
    """CG0407 where a factor is over a function of the variables whose volume changes from place to place."""
    for subject, span in subjects:
        if subject.dtype == "real" and not is_linear(subject):
            ctx.session.warn(
                "CG0407",
                "the subject is not linear in the variables: no Jacobian is added",
                span,
                help="the factor weighs this value as it is; for the density of a change of variables add the term\n"
                "`energy -log(abs(derivative))`, or state the factor of the variable itself",
            )


def applied_in(factor: Factor) -> Iterator[tuple[Node, Span]]:
    """The subjects that stand inside a composition, each with the place of its application."""
    match factor:
        case Applied():
            yield from ((s, factor.span) for s in factor.subjects)
        case Product():
            for part, _ in factor.parts:
                yield from applied_in(part)
        case Mixture():
            for _, part in factor.parts:
                yield from applied_in(part)
        case Scaled():
            yield from applied_in(factor.factor)
        case Contrast():
            yield from applied_in(factor.likes)
            yield from applied_in(factor.dislikes)


# --- arrays of choices ----------------------------------------------------------------------------------


def lint_choices(
    ctx: Context, parts: Iterable[Factor], ranks: Sequence[int], copies: Sequence[Axis | None], span: Span
) -> None:
    """CG0409 where array inputs make a mixture of scalar densities choose once for a whole array."""
    widened = [
        p
        for p in parts
        if isinstance(p, WithInputs)
        and p.widened
        and not any(rank_of(s, p.factor.scope) for s in p.factor.decl.subjects)
    ]
    if not widened or not any(ranks) or span.source.name.startswith("std."):
        return
    count = math.prod(a.size for a in (*ctx.plates, *copies) if a is not None)
    ctx.session.warn(
        "CG0409",
        f"array inputs widen this mixture: it makes {count:,} choice{'s' if count != 1 else ''}, one for each whole"
        " array and not for each element",
        span,
        help="for a choice per element write it for one element, in a `for`; for one per array all is well",
    )
