"""What a population needs of a program at a level: energies, forces, and how weights change to the next level.

For a composition L(x, σ) = F(l₁, …, lₙ) of log-densities that are each noised with σ, the reverse process with the
composed score S = ∇L and noise dv = d(σ²) carries weights that grow by

    ½ dv (|S|² − Σᵢ Fᵢ |sᵢ|² + Σᵢⱼ Fᵢⱼ ⟨sᵢ, sⱼ⟩),

with Fᵢ and Fᵢⱼ the derivatives of F and sᵢ = ∇lᵢ. It follows from the heat equation that every p_σ obeys. For a
product it is ½ dv (|Σ sᵢ|² − Σ |sᵢ|²), for guidance and powers as in Skreta et al. (arXiv 2503.02819), for a mixture 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.noise_levels import Anneal, Flow, is_score, split_arguments
from compose_lang.compiler.graph.factor_graph import FactorGroup
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.compiler.ir.node import Axis, Node
from compose_lang.compiler.ir.operation import align
from compose_lang.compiler.ir.ops.learned import arguments
from compose_lang.runtime.annealing.softening import Softening
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import Density, Values
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.learned.energy import Weighing
from compose_lang.runtime.views.coordinates import Coordinates


@dataclass(frozen=True, eq=False)
class Field:
    """A program on a backend, seen from the levels; `density` is one of `anneal.graph`."""

    anneal: Anneal
    density: Density
    softening: Softening

    @property
    def backend(self) -> Backend:
        return self.density.backend

    @property
    def block(self) -> Coordinates:
        return Coordinates(self.density, self.anneal.transported)

    # --- energies ---

    def energy(self, u: Array, position: Position, level: Array) -> Array:
        """Energy (n,) of transported coordinates u (n, D) at a level: tempered terms as far as they are in."""
        values, jacobians = self._at(u, position, level)
        total = self._weighed(u, values, jacobians, level)
        return self._sum([f.group for f in self.anneal.flows], values, total, level)

    def noised(self, u: Array, position: Position, level: Array) -> Array:
        """The energy (n,) of the terms that are densities with noise: flows and families."""
        values, _ = self._at(u, position, level)
        groups = [*(f.group for f in self.anneal.flows), *self.anneal.families]
        return self._sum(groups, values, 0.0 * u[:, 0], level)

    def weighed(self, u: Array, position: Position, level: Array) -> Array:
        """The energy (n,) of the terms that are weighed by it: all but the flows."""
        values, jacobians = self._at(u, position, level)
        return self._weighed(u, values, jacobians, level)

    def _at(self, u: Array, position: Position, level: Array) -> tuple[Values, Values]:
        return self.density.constrain(self.block.unravel(position, u), Level(level))

    def _weighed(self, u: Array, values: Values, jacobians: Values, level: Array) -> Array:
        held = self.softening.hold(u, level, self.backend)
        total = self._sum([*self.anneal.families, *self.anneal.steady], values, held, level)
        energies = self.density.group_energies(self.anneal.tempered, values, Level(level))
        for number, (group, energy) in enumerate(zip(self.anneal.tempered, energies, strict=True)):
            at = self.softening.level(number, level, self.backend)
            total = total + self.density.weighed(energy, at, self._violation(group, values, at))
        for jacobian in jacobians.values():
            total = total - jacobian
        return total

    def _sum(self, groups: Sequence[FactorGroup], values: Values, total: Array, level: Array) -> Array:
        for e in self.density.group_energies(groups, values, Level(level)):
            total = total + e
        return total

    def tempered(self, number: int, u: Array, position: Position, level: Array) -> Array:
        """The energy (n,) of a tempered term by itself, as it is once it is in."""
        values, _ = self._at(u, position, level)
        return self._sum([self.anneal.tempered[number]], values, 0.0 * u[:, 0], level)

    def _violation(self, group: FactorGroup, values: Values, level: Level) -> Array:
        """By how much a tempered term is violated where it is infinite: (chains,) or a number."""
        if group.violation is None or group.kind != "require":
            return self.softening.unknown
        bindings = self.density.bindings(values, level)
        (violation,) = interpret(self.backend, [group.violation], bindings)
        return summed(self.backend.xp, violation)

    # --- forces ---

    def force(self, u: Array, position: Position, level: Array) -> tuple[Array, Array]:
        """The energy (n,) at a level and its gradient (n, D)."""
        found: tuple[Array, Array] = self.backend.value_and_grad(lambda w: self.energy(w, position, level))(u)
        return found

    def weighed_force(self, u: Array, position: Position, level: Array) -> tuple[Array, Array]:
        """The energy (n,) of the terms that are weighed by it, and its gradient (n, D)."""
        found: tuple[Array, Array] = self.backend.value_and_grad(lambda w: self.weighed(w, position, level))(
            u
        )
        return found

    def score(self, u: Array, position: Position, level: Array) -> Array:
        """The gradient (n, D) of the flows that are learned as scores, which have no energy."""
        density = self.density

        def energy(w: Array) -> Array:
            values, _ = self._at(w, position, level)
            bindings = density.bindings(values, Level(level))
            for part in density.parts:
                if part.options.get("form") != "score":
                    bindings[id(part.slot)] = nothing
            total = 0.0 * w[:, 0]
            for e in density.energies_in([f.group for f in self.anneal.flows], bindings):
                total = total + e
            return total

        _, gradient = self.backend.value_and_grad(energy)(u)
        return gradient

    def flow(self, u: Array, position: Position, level: Array) -> tuple[Array, Array]:
        """The gradient (n, D) of the flows' energy, and twice the growth of their log weights per variance, (n,)."""
        xp, b = self.backend.xp, self.backend
        if not self.anneal.flows:
            return xp.zeros_like(u), xp.zeros_like(u[:, 0])
        density = self.density
        values, _ = self._at(u, position, level)
        bindings = density.bindings(values, Level(level))
        needed = xp.zeros_like(u[:, 0])
        pulls: list[tuple[Node, list[Array]]] = []
        for flow in self.anneal.flows:
            leaves = [Leaf.at(b, leaf, bindings) for leaf in flow.leaves]
            weights, bend = self.derivatives(flow, leaves, bindings, u.shape[0])
            for leaf, weight in zip(leaves, weights, strict=True):
                squares = xp.zeros_like(leaf.energy)
                for slope in leaf.slopes:
                    squares = squares + xp.sum((slope * slope).reshape((*leaf.energy.shape, -1)), axis=-1)
                needed = needed + summed(xp, weight * squares)
                wide = [
                    weight.reshape((*weight.shape, *(1,) * (s.ndim - weight.ndim))) * s for s in leaf.slopes
                ]
                pulls.append((leaf.node, wide))
            needed = needed + bend

        def work(w: Array) -> Array:
            """Σ ⟨Fᵢ sᵢ, subject⟩: its gradient is that of the flows' energy."""
            at, _ = self._at(w, position, level)
            found = density.bindings(at, Level(level))
            total = 0.0 * w[:, 0]
            for leaf, slopes in pulls:
                for subject, slope in zip(split_arguments(leaf)[0], slopes, strict=True):
                    (y,) = interpret(b, [subject], found)
                    total = total + summed(xp, b.without_gradient(slope) * align(y, subject, leaf.axes))
            return total

        _, gradient = b.value_and_grad(work)(u)
        return gradient, xp.sum(gradient * gradient, axis=1) - needed

    def derivatives(
        self, flow: Flow, leaves: Sequence[Leaf], bindings: dict[int, Array], n: int
    ) -> tuple[list[Array], Array]:
        """Fᵢ for each leaf, (n, *axes), and −Σ Fᵢⱼ⟨sᵢ, sⱼ⟩, (n,); F takes energies here, which turns signs."""
        b, xp = self.backend, self.backend.xp
        shapes = [leaf.energy.shape[1:] for leaf in leaves]
        sizes = [math.prod(s) for s in shapes]
        packed = xp.concat(
            [
                leaf.energy.reshape((-1, k)) + xp.zeros((n, k), dtype=b.real)
                for leaf, k in zip(leaves, sizes, strict=True)
            ],
            axis=1,
        )

        def unpacked(x: Array) -> list[Array]:
            found, start = [], 0
            for shape, size in zip(shapes, sizes, strict=True):
                found.append(x[:, start : start + size].reshape((x.shape[0], *shape)))
                start += size
            return found

        def energy(x: Array) -> Array:
            inside = {**bindings, **{id(leaf.node): e for leaf, e in zip(leaves, unpacked(x), strict=True)}}
            (found,) = interpret(b, [flow.group.energy], inside)
            repeats = flow.group.instances // max(math.prod(a.size for a in flow.group.energy.axes), 1)
            return repeats * summed(xp, found) + 0.0 * x[:, 0]

        slope = b.value_and_grad(energy)
        weights = slope(packed)[1]
        if flow.linear:
            return unpacked(weights), xp.zeros((n,), dtype=b.real)
        # (n, copies, components) with all leaves' components side by side
        blocks = [Components(leaf, flow.copies) for leaf in leaves]
        slopes = xp.concat([block.vectors(xp) for block in blocks], axis=2)
        gram = slopes @ xp.matrix_transpose(slopes)
        bend = xp.zeros((n,), dtype=b.real)
        place = 0
        for block, k in zip(blocks, range(len(leaves)), strict=True):
            for c in range(block.components):

                def row(x: Array, k: int = k, c: int = c, block: Components = block) -> Array:
                    first = unpacked(slope(x)[1])[k]
                    return xp.sum(block.arranged(xp, first)[:, :, c], axis=1)

                second = unpacked(b.value_and_grad(row)(packed)[1])
                hessian = xp.concat(
                    [other.arranged(xp, h) for other, h in zip(blocks, second, strict=True)], axis=2
                )
                bend = bend + xp.sum(hessian * gram[:, :, place, :], axis=(1, 2))
                place += 1
        return unpacked(weights), bend


def nothing(b: Backend, level: Array, subjects: Sequence[Array], inputs: Sequence[Array | None]) -> Array:
    """The energy (n,) of a part that is not there."""
    return b.xp.zeros_like(level)


@dataclass(frozen=True, eq=False)
class Leaf:
    """A learned diffusion at a point: energy (n or 1, *axes) and gradient in each subject (n, *axes, *shape)."""

    node: Node
    energy: Array
    slopes: list[Array]

    @staticmethod
    def at(b: Backend, leaf: Node, bindings: dict[int, Any]) -> Leaf:
        xs = interpret(b, list(leaf.args), bindings)
        at, inputs = arguments(b, leaf, xs)
        weighing: Weighing = xs[0]
        slopes = weighing.gradient(b, at.level, at.flat, inputs)
        energy = 0.0 * at.level if is_score(leaf) else weighing(b, at.level, at.flat, inputs)
        wide = [s.reshape((*at.lead, *s.shape[1:])) for s in slopes]
        return Leaf(leaf, energy.reshape(at.lead), wide)


@dataclass(frozen=True, eq=False)
class Components:
    """A leaf's instances as (n, copies, components): along the axes of its subject, and along the others."""

    leaf: Leaf
    copies: tuple[Axis, ...]

    @property
    def components(self) -> int:
        return math.prod(a.size for a in self.leaf.node.axes if a not in self.copies)

    def order(self) -> tuple[int, ...]:
        axes = self.leaf.node.axes
        first = [1 + k for k, a in enumerate(axes) if a in self.copies]
        return (0, *first, *(1 + k for k, a in enumerate(axes) if a not in self.copies))

    def arranged(self, xp: Any, x: Array) -> Array:
        """Numbers (n, *axes) as (n, copies, components)."""
        moved = xp.permute_dims(x, self.order())
        return moved.reshape((x.shape[0], -1, self.components))

    def vectors(self, xp: Any) -> Array:
        """Gradients as (n, copies, components, D)."""
        found = []
        for s in self.leaf.slopes:
            axes = 1 + len(self.leaf.node.axes)
            flat = s.reshape((*s.shape[:axes], -1))
            moved = xp.permute_dims(flat, (*self.order(), axes))
            found.append(moved.reshape((s.shape[0], -1, self.components, flat.shape[-1])))
        return xp.concat(found, axis=-1)


def summed(xp: Any, x: Array) -> Array:
    """The sum over all axes but the first."""
    return xp.sum(x.reshape((x.shape[0], -1)), axis=1)
