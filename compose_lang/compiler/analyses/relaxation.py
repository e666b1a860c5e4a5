"""Energies of a finite variable that a gradient can be taken of: its values read as reals, where nothing forbids it.

A variable that is used as a number (`sum(z)^2`, a net over its sites) has an energy that is also defined between its
values, and the gradient there tells roughly what every change of a single site would do, for the price of one. What is
compared, indexed with or branched upon has none.

In: a factor graph and one of its variables. Out: `Changes`, its groups told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compose_lang.compiler.analyses.colouring import LARGEST_CLIQUE
from compose_lang.compiler.analyses.conditionals import Conditionals, of_sites
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.compiler.ir.build import rebuild, slot
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.operation import op_of


@dataclass(frozen=True, eq=False)
class Changes:
    """A variable as what its single changes do: by a gradient for some groups, exactly for the others."""

    variable: Variable
    relaxed: tuple[FactorGroup, ...]  #: their energies read `slot` in place of the variable
    slot: Node
    exact: tuple[FactorGroup, ...]
    local: Conditionals | None  #: of the exact groups

    @property
    def energies(self) -> list[Node]:
        """What is evaluated along the way."""
        return [g.energy for g in self.relaxed] + (self.local.energies if self.local is not None else [])


def changes(graph: FactorGraph, v: Variable, with_gradient: bool) -> Changes:
    """How the single changes of a finite variable are weighed."""
    leaf = slot(v.name, v.type.full_shape)
    relaxed, exact = [], []
    for group in graph.groups:
        if v.name not in group.variables:
            continue
        energy = relax(group.energy, v.node, leaf) if with_gradient and group.kind != "require" else None
        if energy is None:
            exact.append(group)
        else:
            relaxed.append(replace(group, energy=energy))
    local = None
    if exact:
        local = of_sites(replace(graph, groups=tuple(exact)), v, len(v.type.domain.values))
    return Changes(v, tuple(relaxed), leaf, tuple(exact), local)


def relax(energy: Node, variable: Node, leaf: Node) -> Node | None:
    """An energy that reads reals in place of a variable, or None where it has no gradient in it."""
    made: dict[int, Node] = {id(variable): leaf}
    for n in postorder([energy]):
        if id(n) in made:
            continue
        touched = [made.get(id(a), a) is not a for a in n.args]
        if not any(touched):
            made[id(n)] = n
            continue
        smooth = op_of(n).smooth
        if smooth is None or not smooth(n, touched):
            return None
        args = [made[id(a)] for a in n.args]
        made[id(n)] = args[0] if n.op == "cast" else rebuild(n, args)
    return made[id(energy)]


def wide_smooth_groups(graph: FactorGraph, v: Variable) -> list[FactorGroup]:
    """The groups one instance of which reads more sites of a variable than are worth colouring, if all are smooth.

    None where another has no gradient in it, or constraints read the variable.
    """
    touching = [g for g in graph.groups if v.name in g.variables]
    if any(g.kind == "require" for g in touching):
        return []
    wide = [g for g in touching if is_wide(g, v)]
    leaf = slot(v.name, v.type.full_shape)
    return [] if any(relax(g.energy, v.node, leaf) is None for g in wide) else wide


def is_wide(group: FactorGroup, v: Variable) -> bool:
    """Whether one instance reads more sites than are worth colouring."""
    read = scope(group, v)
    return read is None or read.shape[1] > LARGEST_CLIQUE
