"""Nets and params without an objective of their own: `= learn unet(64)`, which a `learn … by` fits with others.

In: a declaration, while the statement that fits it is elaborated. Out: its `LearnedFactor`, and the node that its
value is. After: `joint_training`, which finds what a statement fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from compose_lang.compiler.elaborate.context import Context, PoisonedUse
from compose_lang.compiler.elaborate.declarations.declared_types import declared_type
from compose_lang.compiler.elaborate.learned.arguments import net_of, ports
from compose_lang.compiler.elaborate.values import DeclaredType, as_node, describe
from compose_lang.compiler.graph.learned_factor import JOINT_METHOD, Joint, LearnedFactor, Port, kind_of
from compose_lang.compiler.ir.build import node
from compose_lang.compiler.ir.node import Node
from compose_lang.diagnostics import Span, fail
from compose_lang.discovery import LEARNERS
from compose_lang.grammar import ast


def part_of_net(ctx: Context, decl: ast.FactorDecl, method: ast.Expr | None) -> LearnedFactor:
    """A factor declared without an objective, asked for by the statement that fits it."""
    joint = required(ctx, decl.name, decl.span)
    learner = LEARNERS[JOINT_METHOD]
    assert learner.net is not None
    net = learner.net if method is None else net_of(ctx, method, learner)
    subjects, inputs = ports(ctx, decl, {}, decl.span)
    for port in subjects:
        if kind_of(port.type.domain) != "real":
            text = f"`{JOINT_METHOD}` adds noise to unbounded reals, and `{port.name}` is {port.type}"
            fail("CG0601", text, decl.span)
    options = {**learner.options, **joint.options}
    return LearnedFactor(
        decl.name,
        JOINT_METHOD,
        subjects,
        inputs,
        net,
        options,
        {},
        decl.span,
        home=joint.home,
        together=True,
        joint=joint,
    )


def required(ctx: Context, name: str, span: Span) -> Joint:
    """The statement that is being elaborated."""
    joint = ctx.session.joint
    if joint is None and ctx.session.has_joint_failed:
        raise PoisonedUse
    if joint is None:
        help = f"a statement does: learn F(x=rows) by {JOINT_METHOD}(), where `{name}` is part of F"
        fail("CG0607", f"`{name}` says not what it learns from, and no `learn … by` fits it", span, help=help)
    return joint


def value_of_net(ctx: Context, decl: ast.Fn, values: Mapping[str, Any], span: Span) -> Node:
    """What a learned function gives of its arguments, each of its declared shape."""
    session = ctx.session
    if id(decl) not in session.learned_factors:
        assert isinstance(decl.value, ast.LearnValue)
        joint = required(ctx, decl.name, decl.span)
        ports = []
        for p in decl.parameters:
            if p.type is None:
                fail("CG0204", f"`{p.name}` of a learned function needs a type", p.span)
            ports.append(Port(p.name, declared_type(ctx, p.type).type))
        if decl.returns is None:
            help = f"fn {decl.name}(…) -> real[4] = learn …"
            fail(
                "CG0204", f"the value of `{decl.name}`, which is learned, needs a type", decl.span, help=help
            )
        out = declared_type(ctx, decl.returns).type
        if kind_of(out.domain) != "real" or any(p.type.domain.kind != "real" for p in ports):
            fail("CG0601", f"a net takes and gives real numbers: `{decl.name}`", decl.span)
        net = net_of(ctx, decl.value.method, LEARNERS[JOINT_METHOD])
        session.learned_factors[id(decl)] = LearnedFactor(
            decl.name, "net", tuple(ports), (), net, {}, {}, decl.span, home=joint.home, joint=joint, out=out
        )
    part = session.learned_factors[id(decl)]
    given = [as_node(values[p.name], span) for p in part.subjects]
    for port, value in zip(part.subjects, given, strict=True):
        if value.shape != port.type.full_shape:
            text = f"`{port.name}` of `{decl.name}` is {port.type}, given {describe(value)}"
            fail("CG0203", f"shapes do not match: {text}", span)
    return node("net", part.slot, *given, attrs=(part,))


def param(ctx: Context, s: ast.Param, declared: DeclaredType, start: np.ndarray | None) -> Node:
    """A param that a statement fits along with nets: a value that is known at run time."""
    if declared.lower is not None or declared.upper is not None or declared.type.domain.is_discrete:
        text = f"the param `{s.name}`, fitted with nets, needs a continuous type whose bounds are numbers"
        fail("CG0607", text, s.span)
    options = {} if start is None else {"start": start.tolist()}
    part = LearnedFactor(s.name, "param", (), (), None, options, {}, s.span, out=declared.type)
    ctx.session.learned_factors[id(s)] = part
    return node("net", part.slot, attrs=(part,))
