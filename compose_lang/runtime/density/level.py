"""Where an energy is taken: at what noise, at what share, and what broken constraints cost there.

One mechanism serves levels of noise, the shares of tempering and of the search for the best point, the walls of the
search for a start, and terms that come in as noise goes. Samplers make levels; whatever evaluates an energy passes
them on to the density.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import constant, node, slot
from compose_lang.compiler.ir.node import Node
from compose_lang.runtime.arrays.protocol import Array

PRICE = slot("price")
"""The leaf of softened constraints that stands for a level's price."""
PROGRESS = slot("progress")
"""The leaf of what comes in along a path, see `populations/path`, that stands for how far along it a level is."""


class Level(NamedTuple):
    """A level of an energy; the default is that of the density which the program denotes."""

    noise: Array | None = None  #: standard deviation (chains,) or (1,) of densities that have noise; None: 0
    share: Array | None = None  #: β (chains,) or (1,) of the energy that counts; None: 1
    price: Array | None = None  #: nats (1,) for a unit of what is violated; None: infinite
    progress: Array | None = None  #: how far (1,) along a path from 0, its reference, to 1; None: of no path


def softened(graph: FactorGraph) -> FactorGraph:
    """The graph with hard constraints made a price per unit of violation, and one for being violated at all."""
    return replace(graph, groups=tuple(_softened(g) for g in graph.groups))


def _softened(g: FactorGroup) -> FactorGroup:
    if g.kind != "require" or g.violation is None:
        return g
    return replace(g, energy=node("mul", PRICE, cost_of(g)))


def cost_of(g: FactorGroup) -> Node:
    """What a hard constraint costs at a price of 1 nat: three for a unit of violation, 0.1 for any."""
    assert g.violation is not None
    some = node("where", node("gt", g.violation, constant(0.0)), constant(0.1), constant(0.0))
    return node("add", node("mul", g.violation, constant(3.0)), some)
