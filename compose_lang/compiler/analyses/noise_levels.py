"""Which parts of a program live at levels of noise, and what walking the levels needs to know of them.

A learned diffusion is a family of densities p_σ = p * N(0, σ²); so is a factor that reads `noise_level`. A program
with such terms is sampled along falling levels: variables that those terms read are *transported* from level to level.

Terms are of three kinds. *Flows* read transported variables through learned diffusions alone, each of which sees a
selection of them: how the composition's weight changes from level to level then follows from the scores alone
(Feynman–Kac; Skreta et al., arXiv 2503.02819). *Families* change with the level otherwise: their weights are ratios
of their energies. All other terms on transported variables alone are *tempered*: they come in as the noise goes.
Terms that join transported variables with others are *steady*: at every level the others are drawn given them.

In: a factor graph. Out: an `Anneal`, or None where nothing depends on a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.learned_factor import LEVEL
from compose_lang.compiler.ir.build import add_all, along, constant, gather, node, reduce_axis, variable
from compose_lang.compiler.ir.node import Axis, Node, postorder
from compose_lang.compiler.ir.operation import op_of
from compose_lang.compiler.ir.types import Domain, Type
from compose_lang.diagnostics import fail

MOST_COMPONENTS = 64


@dataclass(frozen=True, eq=False)
class Flow:
    """A group of factors whose energy depends on transported variables through learned diffusions alone.

    leaves: those diffusions. linear: whether the energy is a sum of theirs with weights that do not depend on them;
    else they have one subject in common, and `copies` are the axes along which the group chooses anew.
    """

    group: FactorGroup
    leaves: tuple[Node, ...]
    linear: bool
    copies: tuple[Axis, ...] = ()


@dataclass(frozen=True, eq=False)
class Anneal:
    """How a program's terms depend on the level."""

    graph: FactorGraph  #: the program; what is observed of transported variables is free, and held by a term
    transported: tuple[str, ...]
    flows: tuple[Flow, ...]
    families: tuple[FactorGroup, ...]
    tempered: tuple[FactorGroup, ...]
    steady: tuple[FactorGroup, ...]
    choices: tuple[Choice, ...]  #: variables of the graph that no kernel moves
    has_scores_only: bool
    notes: tuple[str, ...] = field(default=())


def anneal(graph: FactorGraph) -> Anneal | None:
    """How to walk a program's levels."""
    levelled = [g for g in graph.groups if depends_on_level(g.energy)]
    if not levelled:
        return None
    read = {name for g in levelled for name in g.energy.variables}
    moved = tuple(v.name for v in graph.variables if v.name in read and is_transportable(v))
    graph = with_observed_held(in_own_coordinates(graph, moved), moved)
    notes: list[str] = []
    flows: list[Flow] = []
    families: list[FactorGroup] = []
    tempered: list[FactorGroup] = []
    steady: list[FactorGroup] = []
    choices: list[Choice] = []
    for g in graph.groups:
        if depends_on_level(g.energy):
            of_group, why = flow(g, frozenset(moved))
            chosen = as_choice(g, len(choices))
            if chosen is not None:
                of_part, _ = flow(chosen[0], frozenset(moved))
                if of_part is not None and of_part.linear:
                    of_group = of_part
                    choices.append(chosen[1])
            if of_group is not None:
                flows.append(of_group)
            else:
                families.append(g)
                if why:
                    notes.append(why)
        elif g.energy.variables & set(moved):
            (tempered if g.energy.variables <= set(moved) else steady).append(g)
    scores = [n for g in graph.groups for n in learned_below(g.energy) if is_score(n)]
    for g in (*families, *(f.group for f in flows if not f.linear)):
        for n in learned_below(g.energy):
            if is_score(n):
                text = f"`{n.attrs[0].name}` is learned as a score: it has no energy, which this composition needs"
                fail("CG0415", text, g.span, help='learn it with form="energy"')
    if choices:
        graph = replace(graph, variables=(*graph.variables, *(c.variable for c in choices)))
        notes.append("mixtures: which part it follows is drawn at the coarsest noise, by the weights")
    return Anneal(
        graph,
        moved,
        tuple(flows),
        tuple(families),
        tuple(tempered),
        tuple(steady),
        tuple(choices),
        bool(scores),
        tuple(dict.fromkeys(notes)),  # copies of a composition have the same to say
    )


def is_score(n: Node) -> bool:
    return n.attrs[0].options.get("form") == "score"


def is_levelled(n: Node) -> bool:
    """Whether a node is a learned diffusion."""
    return n.op == "learned" and n.attrs[0].is_diffusion


def depends_on_level(x: Node) -> bool:
    """Whether an energy changes with the noise; a learned one that has no levels does not."""
    reached = postorder_without(x)
    return any(n is LEVEL or is_levelled(n) for n in reached)


def postorder_without(x: Node) -> list[Node]:
    """The nodes below x, without the slots of what is learned without levels."""
    return list(postorder([x], inside=lambda n: not (n.op == "learned" and not n.attrs[0].has_levels)))


def learned_below(x: Node) -> list[Node]:
    return [n for n in postorder([x]) if is_levelled(n)]


def is_transportable(v: Variable) -> bool:
    """Whether noise can be added to a variable as it is: it is declared as a real without bounds."""
    bounded = v.lower is not None or v.upper is not None
    domain = v.type.domain
    return domain.kind == "real" and (domain.lower, domain.upper) == (-np.inf, np.inf) and not bounded


def in_own_coordinates(graph: FactorGraph, moved: Sequence[str]) -> FactorGraph:
    """The graph in which some variables are sampled as they are: noise is added to them, not to offsets or logits."""
    variables = tuple(replace(v, tightened=None) if v.name in moved else v for v in graph.variables)
    offsets = {name: offset for name, offset in graph.offsets.items() if name not in moved}
    return replace(graph, variables=variables, offsets=offsets)


def with_observed_held(graph: FactorGraph, moved: Sequence[str]) -> FactorGraph:
    """Observed elements of transported variables become free, held to what was observed as closely as the level.

    Fixed elements would be exact beside noised ones, which no learned diffusion has seen. At the last level they are
    within its noise of what was observed, which is what is recorded.
    """
    variables, terms = [], []
    for v in graph.variables:
        if v.name not in moved or v.free.all():
            variables.append(v)
            continue
        variables.append(replace(v, free=np.ones_like(v.free)))
        held = constant(np.where(v.free, 0.0, v.observed))
        is_held = constant(~v.free)
        away = node("div", node("sub", v.node, held), LEVEL)
        square = node("mul", constant(0.5), node("mul", away, away))
        energy = node("add", square, node("log", node("mul", constant(np.sqrt(2 * np.pi)), LEVEL)))
        energy = node("where", is_held, energy, constant(0.0))
        for _ in v.type.shape:
            energy = node("sum", energy, attrs=(-1,))
        terms.append(FactorGroup(energy, (), "factor", f"observed {v.name}", v.span))
    return replace(graph, variables=tuple(variables), groups=(*graph.groups, *terms))


# --- flows ----------------------------------------------------------------------------------------------


def flow(g: FactorGroup, moved: frozenset[str]) -> tuple[Flow | None, str]:
    """The group as a flow, or None and why it is none (nothing to say of what reads `noise_level` itself)."""
    leaves = [n for n in postorder([g.energy]) if is_levelled(n)]
    if not leaves or any(n is LEVEL for n in postorder([g.energy], inside=lambda n: not is_levelled(n))):
        return None, ""
    names = ", ".join(dict.fromkeys(n.attrs[0].name for n in leaves))
    outside = postorder([g.energy], inside=lambda n: not is_levelled(n))
    if any(n.op == "var" and n.attrs[0] in moved for n in outside):
        return None, f"{names}: beside other terms in one choice, weighed by energies"
    if any(leaf.attrs[0].together for leaf in leaves):
        return None, f"{names}: shares of a density that was learned whole, weighed by energies"
    for leaf in leaves:
        subjects, inputs = split_arguments(leaf)
        if any(n.variables & moved for n in inputs):
            return None, f"{names}: an input is transported too, weighed by energies"
        if not all(selects(n) for n in subjects):
            return None, f"{names}: over a function of variables, weighed by energies"
    if linear(g.energy):
        return Flow(g, tuple(leaves), True), ""
    first, _ = split_arguments(leaves[0])
    copies = subject_axes(leaves[0])
    for leaf in leaves:
        subjects, _ = split_arguments(leaf)
        if any(a is not b for a, b in zip(subjects, first, strict=True)) or len(subjects) != len(first):
            return None, f"{names}: a choice between different variables, weighed by energies"
    count = sum(int(np.prod([a.size for a in leaf.axes if a not in copies], dtype=int)) for leaf in leaves)
    if count > MOST_COMPONENTS:
        return None, f"{names}: a choice among more than {MOST_COMPONENTS}, weighed by energies"
    return Flow(g, tuple(leaves), False, copies), ""


def split_arguments(leaf: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """A leaf's subjects and its inputs."""
    count = len(leaf.attrs[0].subjects)
    return leaf.args[2 : 2 + count], leaf.args[2 + count :]


def subject_axes(leaf: Node) -> tuple[Axis, ...]:
    """The axes along which a leaf's subjects vary: independent copies."""
    subjects, _ = split_arguments(leaf)
    return tuple(a for a in leaf.axes if any(a in s.axes for s in subjects))


def selects(x: Node) -> bool:
    """Whether an expression picks elements of variables, so that noise on these is the same noise on it."""
    if not x.variables:
        return True
    return x.op == "var" or (op_of(x).selects and all(map(selects, x.args)))


def linear(x: Node) -> bool:
    """Whether an expression is a sum of learned energies, each times what does not depend on any."""
    below = {id(n) for n in postorder([x], inside=lambda n: not is_levelled(n)) if is_levelled(n)}
    if is_levelled(x) or not below:
        return True

    def holds(n: Node) -> bool:
        return any(id(m) in below for m in postorder([n], inside=lambda m: not is_levelled(m)))

    rule = op_of(x).linear
    return rule is not None and rule(x, [holds(a) for a in x.args]) and all(map(linear, x.args))


@dataclass(frozen=True, eq=False)
class Choice:
    """A variable that says which part each copy of a mixture is; weights: (*copies, parts), they sum to 1."""

    variable: Variable
    weights: np.ndarray


def as_choice(g: FactorGroup, number: int) -> tuple[FactorGroup, Choice] | None:
    """A mixture as a choice, or None where the group is none of constant weights."""
    energy = g.energy
    copies = energy.axes
    if energy.op != "neg" or g.instances != int(np.prod([a.size for a in copies], dtype=int)):
        return None
    total = energy.args[0]
    if total.op == "logsumexp" and total.args[0].op == "stack":
        parts = [weighed(log) for log in total.args[0].args]
        if any(p is None for p in parts):
            return None
        pairs = [p for p in parts if p is not None]
        logs = np.stack([spread(w, copies) for w, _ in pairs], axis=-1)
        z = choice(number, copies, logs, g)
        at = gather(z.node, [along(a) for a in copies])
        chosen = [
            node("where", node("eq", at, constant(k)), e, constant(0.0)) for k, (_, e) in enumerate(pairs)
        ]
        return replace(g, energy=add_all(chosen)), Choice(z, shares(logs))
    if total.op == "reduce_axis" and total.attrs[0] == "logsumexp":
        part, axis = weighed(total.args[0]), total.attrs[1]
        if part is None:
            return None
        weight, inner = part
        logs = np.moveaxis(spread(weight, (axis, *copies)), 0, -1)
        z = choice(number, copies, logs, g)
        at = gather(z.node, [along(a) for a in copies])
        chosen_part = node("where", node("eq", at, along(axis)), inner, constant(0.0))
        return replace(g, energy=reduce_axis("sum", chosen_part, axis)), Choice(z, shares(logs))
    return None


def weighed(log: Node) -> tuple[Node, Node] | None:
    """Of log w − E the constant log w and E."""
    if log.op == "neg":
        return constant(0.0), log.args[0]
    if log.op == "sub" and log.args[0].is_const:
        return log.args[0], log.args[1]
    return None


def spread(weight: Node, axes: tuple[Axis, ...]) -> np.ndarray:
    """A constant's values along some axes."""
    assert weight.value is not None
    order = [a for a in axes if a in weight.axes]
    value = np.transpose(weight.value, [weight.axes.index(a) for a in order])
    shape = [a.size if a in order else 1 for a in axes]
    return np.broadcast_to(value.reshape(shape), [a.size for a in axes])


def shares(logs: np.ndarray) -> np.ndarray:
    """Weights that sum to 1 over the last axis."""
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def choice(number: int, copies: tuple[Axis, ...], logs: np.ndarray, g: FactorGroup) -> Variable:
    domain = Domain("category", size=logs.shape[-1])
    shape = tuple(a.size for a in copies)
    name = f"part of {g.label} {number}"
    free = np.ones(shape, dtype=bool)
    return Variable(
        name,
        Type(domain, shape),
        variable(name, shape, "int", domain),
        free,
        np.zeros(shape, dtype=int),
        g.span,
    )
