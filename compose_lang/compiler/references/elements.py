"""The free sites of a program's variables under one numbering, and their values as arrays of the variables.

A number stands for a free site, in the order of the variables and of their sites; -1 stands for what is observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.types import value_range

Values = dict[str, np.ndarray]
"""Variable name -> (count, *shape, *event)."""


@dataclass(frozen=True, eq=False)
class Elements:
    """All free sites of some variables: `first` is the number of each variable's first."""

    variables: Mapping[str, Variable]
    first: Mapping[str, int]
    count: int

    @staticmethod
    def of(graph: FactorGraph) -> Elements:
        variables = {v.name: v for v in graph.variables if v.free_sites}
        ends = np.cumsum([0, *(v.free_sites for v in variables.values())])
        return Elements(variables, dict(zip(variables, map(int, ends), strict=False)), int(ends[-1]))

    def numbers(self, name: str) -> np.ndarray:
        """The number of each site of a variable, (*shape,)."""
        free = self.variables[name].free
        numbers = np.full(free.shape, -1)
        numbers[free] = self.first[name] + np.arange(free.sum())
        return numbers

    def all_numbers(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        return {name: self.numbers(name) for name in names}

    def owner(self, name: str) -> slice:
        """The numbers of a variable's free sites."""
        return slice(self.first[name], self.first[name] + self.variables[name].free_sites)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest value of each site's numbers, (count,)."""
        low, high = np.full(self.count, -np.inf), np.full(self.count, np.inf)
        for name, v in self.variables.items():
            low[self.owner(name)], high[self.owner(name)] = value_range(v.support)
        return low, high

    def whole(self, name: str, free: np.ndarray) -> np.ndarray:
        """A variable's values (count, *shape, *event) from those of its free sites (count, sites, *event)."""
        v = self.variables[name]
        dtype = float if not v.is_discrete else bool if v.type.domain.kind == "bool" else np.int64
        values = np.empty((len(free), *v.type.full_shape), dtype=dtype)
        values[:] = v.observed
        values[:, v.free] = free
        return values

    def values(self, names: Iterable[str], flat: np.ndarray) -> Values:
        """Values of variables of single numbers from those of all sites (chains, count)."""
        return {name: self.whole(name, flat[:, self.owner(name)]) for name in names}
