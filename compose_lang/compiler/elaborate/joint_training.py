"""`learn Scene(x=imgs, z=enc(imgs)) by diffusion(steps=4000)`: nets and params that one statement fits together.

In: the statement. Out: a `Joint`: the energy of `Scene` for one row of the data, as an expression over slots, and the
parts below it, each declared without an objective of its own (`= learn unet(64)`). What each part learns is a share of
the whole's density. Nothing is trained here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, PoisonedUse
from compose_lang.compiler.elaborate.factors.algebra import total
from compose_lang.compiler.elaborate.factors.values import WithInputs
from compose_lang.compiler.elaborate.learned.arguments import home, option, ports
from compose_lang.compiler.elaborate.values import DeclaredFactor, describe
from compose_lang.compiler.graph.learned_factor import JOINT_METHOD, Joint, kind_of
from compose_lang.compiler.ir.build import gather, slot, transform
from compose_lang.compiler.ir.node import Node
from compose_lang.compiler.names.symbols import names_in
from compose_lang.diagnostics import ComposeError, Span, did_you_mean, fail
from compose_lang.discovery import LEARNERS
from compose_lang.grammar import ast

# --- the statement ---


def fit_together(ctx: Context, s: ast.Learn) -> None:
    """Elaborate a `learn F(…) by diffusion(…)`, and leave what it fits in the session's parts."""
    try:
        of_statement(ctx, s)
    except (ComposeError, PoisonedUse):
        ctx.session.has_joint_failed = True  # what it should have fitted is not to be reported too
        raise
    finally:
        ctx.session.joint = None


def of_statement(ctx: Context, s: ast.Learn) -> Joint:
    """The parts that a statement fits, and the energy that they are fitted by."""
    target, method = s.targets[0], s.method
    name = method.function if isinstance(method, ast.Call) else method
    assert isinstance(name, ast.Name)
    if name.id != JOINT_METHOD:
        known = name.id in LEARNERS
        text = f"`{name.id}` fits one factor by itself" if known else f"there is no way `{name.id}` to learn"
        help = (
            f"nets are fitted together by {JOINT_METHOD}; params to the program's data by maximum_likelihood"
        )
        fail("CG0602", text, name.span, help=help)
    if len(s.targets) > 1 or not isinstance(target, ast.Call):
        text = f"`{JOINT_METHOD}` fits one factor, with the data of each subject and input"
        fail("CG0206", text, s.span, help=f"learn F(x=rows) by {JOINT_METHOD}(steps=1000)")
    factor = ctx.evaluate(target.function)
    if not isinstance(factor, DeclaredFactor) or factor.is_program:
        fail("CG0206", f"{describe(factor)} is no declared factor", target.function.span)
    decl = factor.decl
    joint = Joint(decl.name, options_of(ctx, method), s.span, home(ctx.session))
    ctx.session.joint = joint
    row = slot("row", dtype="int")
    rows = arguments(ctx, target, decl)
    noised, inputs = [], {}
    clean = {n: gather(v, [row]) for n, (v, _) in rows.items()}
    subjects, given = ports(
        ctx, decl, {n: sample(v, n, decl, span) for n, (v, span) in rows.items()}, target.span
    )
    for port in subjects:
        if kind_of(port.type.domain) != "real":
            text = f"`{JOINT_METHOD}` adds noise to unbounded reals, and `{port.name}` is {port.type}"
            fail("CG0601", text, target.span)
        noised.append(slot(port.name, port.type.full_shape))
    for port in given:
        inputs[port.name] = (clean[port.name], rows[port.name][1])
    waiting = WithInputs(factor, inputs, target.span)
    inner = Context(ctx.scope, ctx.session, emit=lambda term: None, weighed_by="what is learned")
    joint.noised = tuple(noised)
    energy = total(waiting, inner, noised, target.span)
    everything = columns_of(joint, row, [energy, *(clean[p.name] for p in subjects)])
    joint.energy, joint.clean = everything[0], tuple(everything[1:])
    count = {v.shape[0] for v, _ in rows.values()}
    joint.columns["row"], joint.data["row"] = row, np.arange(count.pop())
    for part in joint.every:
        if part.method == "param" and part.joint is None:  # it was declared before
            object.__setattr__(part, "joint", joint)
            object.__setattr__(part, "home", joint.home)
    if not joint.parts:
        text = f"there is nothing to learn in `{decl.name}`: no net is declared without an objective"
        fail("CG0607", text, target.span, help="density Part(x: real[2] | z: real) = learn mlp(64, 64)")
    return joint


def options_of(ctx: Context, method: ast.Expr) -> dict[str, Any]:
    """The options of the method, of which nets are no part: they are declared."""
    known = {n: v for n, v in LEARNERS[JOINT_METHOD].options.items() if n != "drop"}
    options = dict(known)
    for a in method.arguments if isinstance(method, ast.Call) else ():
        if a.name not in known:
            shown = f"`{a.name}`" if a.name else "an argument without a name"
            help = "each part declares its net" if a.name == "net" else did_you_mean(a.name or "", known)
            fail(
                "CG0206",
                f"`learn … by {JOINT_METHOD}` does not take {shown}",
                a.span,
                help=help or f"it has {', '.join(known)}",
            )
        options[a.name] = option(ctx, a, known[a.name], JOINT_METHOD)
    return options


def arguments(ctx: Context, target: ast.Call, decl: ast.FactorDecl) -> dict[str, tuple[Node, Span]]:
    """The data of each subject and input by name, with as many rows."""
    names = [p.name for p in (*decl.subjects, *decl.inputs)]
    given: dict[str, tuple[Node, Span]] = {}
    for a in (*target.arguments, *(target.inputs or ())):
        if a.name not in names or a.name in given:
            shown = f"`{a.name}`" if a.name else "an argument without a name"
            help = (
                did_you_mean(a.name or "", names)
                or f"it has {', '.join(names)}: learn {decl.name}({names[0]}=…)"
            )
            fail("CG0206", f"`{decl.name}` does not take {shown} here", a.span, help=help)
        value = ctx.number(a.value)
        if value.variables or value.axes or not value.shape:
            fail("CG0208", f"what is learned from are rows of data: this is {describe(value)}", a.span)
        given[a.name] = (value, a.value.span)
    for name in names:
        if name not in given:
            help = f"give it by name: learn {decl.name}({name}=…)"
            fail("CG0206", f"there is no data to learn `{name}` from", target.span, help=help)
    counts = {n: v.shape[0] for n, (v, _) in given.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{n} has {c:,}" for n, c in counts.items())
        fail("CG0203", f"rows do not match: {shown}", target.span, help="row k of each belongs together")
    if min(counts.values()) < 2:
        fail("CG0306", f"`{decl.name}` is to be learned from {min(counts.values())} row", target.span)
    return given


def sample(value: Node, name: str, decl: ast.FactorDecl, span: Span) -> np.ndarray:
    """Rows of the value's shape, by which open sizes of a signature are bound; a subject's must be data."""
    if value.value is not None:
        return value.value
    if name in {p.name for p in decl.subjects}:
        fail("CG0208", f"the subject `{name}` is learned from data, not from {describe(value)}", span)
    return np.zeros(value.shape)


def columns_of(joint: Joint, row: Node, roots: list[Node]) -> list[Node]:
    """The roots with a slot in place of each constant of which a row is taken; the joint's data gets its rows."""

    def column(n: Node) -> Node | None:
        taken = n.op == "gather" and len(n.args) == 2 and n.args[1] is row and n.args[0].value is not None
        if not taken or n.args[0].axes:
            return None
        same = [k for k, v in joint.data.items() if v is n.args[0].value]
        name = same[0] if same else f"column.{len(joint.data)}"
        if not same:
            value = n.args[0].value
            assert value is not None
            joint.data[name], joint.columns[name] = value, slot(name, n.shape, dtype=n.dtype)
        return joint.columns[name]

    return transform(roots, column)


# --- what it fits ---


def is_fitted(module: ast.Module, name: str) -> bool:
    """Whether a statement fits a param along with nets: the factor that it names reads it."""
    declared = {s.name: s for s in module.statements if isinstance(s, ast.FactorDecl | ast.Fn)}
    targets = [
        t.function.id
        for s in module.statements
        if isinstance(s, ast.Learn)
        for t in s.targets
        if isinstance(t, ast.Call) and isinstance(t.function, ast.Name)
    ]
    seen: set[str] = set()
    while targets:
        target = targets.pop()
        if target == name:
            return True
        if target in declared and target not in seen:
            seen.add(target)
            targets += names_in(declared[target])
    return False
