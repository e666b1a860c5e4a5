"""What the kernels of a plan see of its variables: for each block a structure, made once for a density.

`Views` has those of a plan on a density: compiled functions take the arrays of both as an argument.

In: a density, the plan's blocks and the compiler's analyses. Out: bound kernels. After: the samplers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from compose_lang.compiler.analyses.elimination import COMPILED
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.runtime import views as package
from compose_lang.runtime.arrays.protocol import Backend, Tree
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.elimination.summed_out import Joint, Summed
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.common.kernel import BoundKernel
from compose_lang.runtime.kernels.common.proposing import Proposed
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.coordinates import Coordinates
from compose_lang.runtime.views.lines import line_view
from compose_lang.runtime.views.objects import object_views
from compose_lang.runtime.views.view import Compiled, View, ViewKind, integers

Key = tuple[tuple[str, ...], str]
"""What a block has (`Block.key`), and what its kernel sees of it."""


@dataclass(frozen=True, eq=False)
class Views:
    """A density as the kernels of some blocks see it.

    is_steady: whether energies stay what they are while no block moves, so that kernels may keep them.
    """

    density: Density
    blocks: tuple[Block, ...]
    views: Mapping[Key, View]
    tables: Sequence[Tree]
    is_steady: bool
    programs: dict[Any, Callable[..., Any]]  #: see `compiled`

    @property
    def backend(self) -> Backend:
        return self.density.backend

    @property
    def constants(self) -> Tree:
        """The arrays of the density and of the views, which compiled functions take as an argument."""
        return {"density": self.density.constants, "views": self.tables}

    def on(self, constants: Tree) -> Views:
        """The same views on other arrays for their constants (traced ones, inside a compiled function)."""
        density = self.density.with_constants(constants["density"])
        return Views(density, self.blocks, self.views, constants["views"], self.is_steady, self.programs)

    def kernels(self, warmup: int, level: Level = FULL) -> list[BoundKernel]:
        """The kernels of all blocks at a level of the energy, in order. warmup: steps in which they adapt."""
        return [
            load_kernel(b.kernel).bind(
                self.block(b.key, b.kernel, level), self.backend, dict(b.options), warmup
            )
            for b in self.blocks
        ]

    def block(self, names: tuple[str, ...], kernel: str = "", level: Level = FULL) -> Any:
        """What a kernel sees of some variables; unnamed, one that goes site by site or draws them jointly."""
        ways = [load_kernel(kernel).view] if kernel else ["sites", "joint"]
        keys = [(names, sees) for sees in ways if (names, sees) in self.views]
        return self.show(keys[0], level) if keys else self.coordinates(names, level)

    def coordinates(self, names: tuple[str, ...], level: Level = FULL) -> Coordinates:
        """Continuous variables: with what is summed out of their energy, and alone where no other block moves."""
        block = next((b for b in self.blocks if b.key == names), None)
        summed = () if block is None else block.summed
        others = [b.variables for b in self.blocks if b is not block]
        return Coordinates(
            self.density,
            names if block is None else block.variables,
            level,
            tuple(self.joint(finite, level) for finite in summed),
            alone=self.is_steady and all(variables in summed for variables in others),
            compiled=self.compiled(names, lambda v, at: v.coordinates(names, at), level),
            parts={} if block is None else {n: p.sites for n, p in block.parts.items()},
        )

    def joint(self, names: tuple[str, ...], level: Level = FULL) -> Joint:
        """Finite variables that are summed out, or drawn jointly."""
        view: Joint = self.show((names, "joint"), level)
        return view

    def show(self, key: Key, level: Level) -> Any:
        """A view at a level, on the arrays of these constants."""
        tables = self.tables[list(self.views).index(key)]
        return self.views[key].show(
            self.density, tables, level, self.compiled(key, lambda v, at: v.show(key, at), level)
        )

    def compiled(self, key: Any, view: Callable[[Views, Level], Any], level: Level) -> Compiled | None:
        """The methods of a view at a level, where they are compiled by themselves. key: of their programs."""
        if self.backend.compiles_whole or self.density.recurs or any(v.loops for v in self.views.values()):
            return None

        def run(method: str) -> Callable[..., Any]:
            if (method, key) not in self.programs:
                self.programs[method, key] = self.backend.compile(
                    lambda constants, at, *arrays: getattr(view(self.on(constants), at), method)(*arrays)
                )
            return lambda *arrays: self.programs[method, key](self.constants, level, *arrays)

        return run


@cache
def kinds() -> dict[str, ViewKind]:
    """What may be seen of one discrete variable, by `Kernel.view`: what the files of this folder export."""
    modules = [import_module(f"{__package__}.{module.name}") for module in iter_modules(package.__path__)]
    return {kind.name: kind for module in modules for kind in getattr(module, "VIEWS", ())}


def views_of(density: Density, blocks: Sequence[Block], is_steady: bool = True) -> Views:
    """What there is to see of a plan's blocks; a block of continuous variables needs nothing but their names."""
    graph, backend = density.graph, density.backend
    views: dict[Key, View] = {}
    with backend.scope():
        for block in blocks:
            for names in block.summed:
                if (names, "joint") not in views:
                    views[names, "joint"] = joint(names, blocks, backend)
            sees = load_kernel(block.kernel).view
            if (block.key, sees) in views:
                continue
            first = graph.variable(block.variables[0])
            if "proposal" in block.options:
                views[block.variables, sees] = proposed(block)
            elif sees == "joint":
                views[block.variables, sees] = joint(block.variables, blocks, backend)
            elif first.is_discrete:
                views[block.variables, sees] = kinds()[sees].make(graph, first, block, backend)
            elif sees == "lines" and not (block.summed or block.parts):
                line = line_view(graph, [graph.variable(n) for n in block.variables], backend)
                views |= {} if line is None else {(block.variables, sees): line}
            elif sees == "objects" and len(block.variables) == 1 and not block.summed:
                parts = {n: p.sites for n, p in block.parts.items()}
                for view in object_views(graph, [first], backend, candidates=1, parts=parts).values():
                    views[block.key, sees] = view
    density = density.evaluating([n for view in views.values() for n in view.energies])
    tables = [view.tables for view in views.values()]
    return Views(density, tuple(blocks), views, tables, is_steady, {})


def proposed(block: Block) -> View:
    """Variables that a density of the program proposes for."""
    proposal = block.options["proposal"]
    return View(proposal.roots, {}, lambda d, t, level, compiled: Proposed(d, proposal, level, compiled))


def joint(names: tuple[str, ...], blocks: Sequence[Block], backend: Backend) -> View:
    """Variables to be summed out or drawn jointly."""
    found = next(b.structure for b in blocks if b.variables == names)
    assert isinstance(found, Exact)
    summed = Summed(found, found.elimination(COMPILED if backend.compiles_whole else 1.0))
    return View(
        [t.energy for t in found.tables],
        integers(summed.index, backend),
        lambda d, t, level, _: Joint(d, summed, t, level),
        any(run.rounds > 1 for run in summed.elimination.runs),
    )
