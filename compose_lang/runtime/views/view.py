"""What a view is: expressions, arrays, and the block that it shows to a kernel.

A file of this folder exports as `VIEWS` what it makes of one discrete variable; a kernel names it (`Kernel.view`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.node import Node
from compose_lang.runtime.arrays.protocol import Backend, Tree
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.planning.block import Block

Compiled = Callable[[str], Callable[..., Any]]
"""A method of a view by its name, compiled by itself where the backend does not compile whole sweeps."""


@dataclass(frozen=True, eq=False)
class View:
    """energies: expressions it evaluates. tables: a tree of arrays on the backend.

    show: the block on a density and on such tables, at a level. loops: whether it goes round in loops, which a
    compiler of PyTorch would unroll.
    """

    energies: Sequence[Node]
    tables: Tree
    show: Callable[[Density, Tree, Level, Compiled | None], Any]
    loops: bool = False


@dataclass(frozen=True)
class ViewKind:
    """What kernels may see of one discrete variable.

    protocol: what the block offers (`kernels/common/kernel.py`). make: from the structure that the planner found
    (`Block.structure`), or by an analysis of its own.
    """

    name: str
    protocol: type
    make: Callable[[FactorGraph, Variable, Block, Backend], View]


def integers(tables: Tree, backend: Backend) -> Tree:
    """Trees of index arrays on the backend."""
    return tree_map(lambda t: backend.asarray(t, backend.integer), tables)
