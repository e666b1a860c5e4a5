"""Metropolis–Hastings by a density that the program gives: it proposes, the rest of the program accepts.

From the state x a value x' is drawn from q(· | x) and accepted with probability
min(1, p(x') q(x | x') / (p(x) q(x' | x))) (Hastings 1970). Where q is one of the factors of p and reads nothing of
what it proposes, it cancels, and the others decide (Du and Kaelbling 2024, section 5.3).

Densities and proposals are of values, against the base measure of their type: no Jacobian of the coordinates of what
is proposed comes in. Other variables keep their coordinates; where the proposed ones set their bounds, their values
move along, and their Jacobians count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import Proposal, groups_of, moved_with
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.types import Domain, value_range
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import ProposalBlock
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose


@dataclass(frozen=True, eq=False)
class Proposed:
    """A `ProposalBlock`: the variables of a proposal. compiled: a method of its own by name, as the backend runs it."""

    density: Density
    proposal: Proposal
    level: Level = FULL
    compiled: Callable[[str], Callable[..., Any]] | None = None

    @cached_property
    def moved(self) -> frozenset[str]:
        """The other variables whose values move with those proposed."""
        return moved_with(self.density.graph, self.proposal.names) - set(self.proposal.names)

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {
            f"draw {place}": NoiseSpec(kind, (*(a.size for a in slot.axes), *slot.shape))  # type: ignore[arg-type]
            for place, (kind, slot) in enumerate(self.proposal.noise)
        }

    def energy(self, position: Position) -> Array:
        return self._run("energy_at", position)

    def log_density(self, at: Position, given: Position) -> Array:
        return self._run("log_density_at", at, given)

    def _run(self, method: str, *positions: Position) -> Array:
        run = getattr(self, method) if self.compiled is None else self.compiled(method)
        return run(*positions)

    def energy_at(self, position: Position) -> Array:
        """`energy`, as it is computed."""
        groups = groups_of(self.density.graph, self.moved | set(self.proposal.names))
        return self.density.energy_of(position, groups, self.moved, self.level)

    def log_density_at(self, at: Position, given: Position) -> Array:
        """`log_density`, as it is computed."""
        density = self.density
        values, _ = density.constrain(at, self.level)
        state, _ = density.constrain(given, self.level)
        slots = {
            id(slot): values[name]
            for name, slot in zip(self.proposal.names, self.proposal.proposed, strict=True)
        }
        bindings = {**density.bindings(state, self.level), **slots}
        (energy,) = interpret(density.backend, [self.proposal.energy], bindings)
        return -energy

    def propose(self, position: Position, noise: Mapping[str, Array]) -> tuple[Position, Array]:
        density, proposal, xp = self.density, self.proposal, self.density.backend.xp
        values, _ = density.constrain(position, self.level)
        slots = {id(slot): noise[f"draw {place}"] for place, (_, slot) in enumerate(proposal.noise)}
        bindings = {**density.bindings(values, self.level), **slots}
        drawn = interpret(density.backend, proposal.draws, bindings)
        chains = next(iter(position.values())).shape[0]
        new = {
            name: xp.broadcast_to(x, (chains, *draw.shape))
            for name, draw, x in zip(proposal.names, proposal.draws, drawn, strict=True)
        }
        proposed = density.placed(position, new)
        back, _ = density.constrain(proposed, self.level)
        inside = xp.ones((chains,), dtype=xp.bool)
        for name, value in new.items():
            fits = fitting(density.variables[name].type.domain, value, back[name], density.backend)
            inside = inside & xp.all(fits.reshape((chains, -1)), axis=1)
        return proposed, inside


def fitting(domain: Domain, value: Array, back: Array, backend: Backend) -> Array:
    """Which numbers of a value lie in its domain. Coordinates of what does not lead to another value: `back`."""
    xp = backend.xp
    if not domain.is_discrete:
        tolerance = float(np.finfo(backend.precision).eps) ** 0.5
        return xp.abs(back - value) <= tolerance * (1.0 + xp.abs(value))
    if domain.kind == "permutation":
        return xp.sort(value, axis=-1) == backend.asarray(range(domain.size), backend.integer)
    if domain.kind == "spin":
        return xp.abs(value) == 1
    low, high = value_range(domain)
    return (value >= low) & (value <= high)


@dataclass(frozen=True)
class Proposing:
    """One proposal a step; it keeps no state."""

    block: ProposalBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {**self.block.noise, "accept": NoiseSpec("uniform", ())}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, backend = self.block, self.backend
        proposed, inside = block.propose(position, noise)
        energy, new_energy = block.energy(position), block.energy(proposed)
        back, forth = block.log_density(position, proposed), block.log_density(proposed, position)
        accept_prob = acceptance(energy, new_energy, backend, back - forth)
        accept_prob = backend.xp.where(inside, accept_prob, 0.0)
        accept = noise["accept"] < accept_prob
        position = {name: choose(accept, proposed[name], held, backend) for name, held in position.items()}
        return position, state, {"accept_prob": accept_prob}
