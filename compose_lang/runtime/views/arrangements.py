"""The block of a variable of orderings: what candidates cost, from the factors that read what differs in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.local_permutations import (
    Around,
    LocalPermutationGroup,
    LocalPermutations,
)
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.kernels.common.kernel import Weigh
from compose_lang.runtime.views.classes import Classes


@dataclass(frozen=True, eq=False)
class OrderingView(Classes):
    """A `PermutationBlock`: the free orderings of one variable, in the position as (chains, sites, length)."""

    local: LocalPermutations

    @property
    def length(self) -> int:
        return self.local.variable.type.domain.size

    def weigh(self, position: Position, cls: Any) -> Weigh:
        xp, real = self.density.backend.xp, self.density.backend.real
        values, _ = self.density.constrain(position, self.level)
        bindings = self.density.bindings(values, self.level)
        sites = self.sites_of(cls)
        bindings_of = member_bindings(self.tables["full"][sites][None, :], bindings)

        def energies(candidates: Array, places: Array | None = None) -> Array:
            total = xp.zeros(candidates.shape[:3], dtype=real)
            for group, table in zip(self.local.groups, self.tables["groups"], strict=True):
                around, instances = self.touched(group, table, sites, places)
                total = total + weighed(
                    self.density.backend, around, instances, bindings_of(around, candidates)
                )
            return self.density.weighed(total, self.level)

        return energies

    def touched(
        self, group: LocalPermutationGroup, table: dict[str, Array], sites: Array, places: Array | None
    ) -> tuple[Around, Array]:
        """A group around the members, and which of its instances: (chains or 1, width, touch), -1 for none."""
        if places is None or group.pair is None:
            return group.whole, table["site"][sites][None]
        xp = self.density.backend.xp
        members = xp.arange(self.width, dtype=places.dtype)[None, :]
        of_place = table["place"][sites]
        first, second = of_place[members, places[..., 0]], of_place[members, places[..., 1]]
        again = xp.any(second[..., :, None] == first[..., None, :], axis=-1)
        return group.pair, xp.concat([first, xp.where(again, -1, second)], axis=-1)


def member_bindings(
    full_sites: Array, bindings: dict[int, Array]
) -> Callable[[Around, Array], dict[int, Array]]:
    """What a group around the members reads, for candidates (chains, width, 2, n)."""
    return lambda around, candidates: {
        **bindings,
        id(around.site): full_sites,
        id(around.candidate): candidates,
    }


def weighed(backend: Backend, around: Around, instances: Array, bindings: dict[int, Array]) -> Array:
    """One group's energies (chains or 1, width or 1, 2 or 1), summed over the instances around each member."""
    xp = backend.xp
    real = instances >= 0
    slots = {id(around.instance): xp.where(real, instances, 0)}
    (energy,) = interpret(backend, [around.energy], {**bindings, **slots})
    for place, axis in enumerate((around.member, around.touch, around.choice)):
        if axis not in around.energy.axes:
            energy = xp.expand_dims(energy, axis=1 + place)
    return xp.sum(xp.where(real[..., None], energy, 0.0), axis=2)
