"""Random tables over a few sites, and the exact answers about them by listing all joint values."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from compose_lang.compiler.analyses.elimination import elimination
from compose_lang.compiler.analyses.elimination_order import Buckets, buckets
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.elimination.passes import Passes


@dataclass(frozen=True)
class Problem:
    """Sites of these sizes, tables with the scopes and energies of their instances."""

    sizes: np.ndarray
    scopes: list[np.ndarray]  #: (instances, arity), -1 for none
    energies: list[np.ndarray]  #: (chains, instances or 1, *choices)

    def states(self) -> np.ndarray:
        return np.array(list(itertools.product(*(range(n) for n in self.sizes))))

    def energy(self, states: np.ndarray) -> np.ndarray:
        """Energies (chains, states)."""
        total = np.zeros((max(e.shape[0] for e in self.energies), len(states)))
        for scope, energies in zip(self.scopes, self.energies, strict=True):
            for i, sites in enumerate(scope):
                if (sites < 0).all():
                    continue
                choices = [np.where(s >= 0, states[:, s], 0) for s in sites]
                total += energies[:, min(i, energies.shape[1] - 1)][(slice(None), *choices)]
        return total

    def order(self, most: float = 1e7) -> Buckets:
        found = buckets(self.sizes, self.scopes, most)
        assert isinstance(found, Buckets)
        return found

    def passes(self, backend: Backend | None = None, padding: float = 4.0) -> tuple[Passes, list[Any]]:
        """What carries out the elimination, and the tables on the backend."""
        backend = backend or load_backend("numpy")
        laid = elimination(self.sizes, self.scopes, self.order(), padding)
        index = tree_map(lambda a: backend.asarray(a, backend.integer), laid.index)
        return Passes(laid, index, backend), [backend.asarray(e) for e in self.energies]


def chain(length: int, values: int, seed: int = 0) -> Problem:
    """A chain with random energies of neighbours."""
    pairs = np.stack([np.arange(length - 1), np.arange(1, length)], axis=1)
    energies = np.random.default_rng(seed).normal(size=(1, length - 1, values, values))
    return Problem(np.full(length, values), [pairs], [energies])


def grid(rows: int, columns: int, coupling: float) -> Problem:
    """An Ising lattice."""
    i = np.arange(rows * columns).reshape(rows, columns)
    across = np.stack([i[:, :-1].reshape(-1), i[:, 1:].reshape(-1)], axis=1)
    down = np.stack([i[:-1].reshape(-1), i[1:].reshape(-1)], axis=1)
    energies = coupling * np.array([[-1.0, 1.0], [1.0, -1.0]])[None, None]
    return Problem(np.full(rows * columns, 2), [np.concatenate([across, down])], [energies])


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to seven sites of one to four values; tables of up to three sites, some absent, some energies infinite."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 7))
    chains = draw(st.sampled_from([1, 3]))
    alike = draw(st.booleans())
    choices = int(rng.integers(1, 5))
    sizes = np.full(count, choices) if alike else rng.integers(1, 5, size=count)
    scopes, energies = [], []
    for _ in range(draw(st.integers(1, 5))):
        arity = int(rng.integers(1, min(3, count) + 1))
        template = np.array([rng.choice(count, arity, replace=False) for _ in range(rng.integers(1, 7))])
        same = (sizes[template] == sizes[template[:1]]).all(axis=1)
        scope = template[same]
        shape = sizes[scope[0]]
        scope = np.where(rng.random(scope.shape) < 0.15, -1, scope)
        rows = 1 if rng.random() < 0.3 else len(scope)
        table = rng.normal(scale=2.0, size=(chains if rng.random() < 0.5 else 1, rows, *shape))
        table = np.where(rng.random(table.shape) < 0.08, np.inf, table)
        if (scope < 0).any():  # energies do not vary over the choices of what is not read
            for i in range(rows):
                gone = (scope < 0).any(axis=0) if rows == 1 else scope[i] < 0
                for axis in np.flatnonzero(gone):
                    table[:, i] = np.take(table[:, i], [0], axis=1 + axis)
        scopes.append(scope)
        energies.append(table)
    return Problem(sizes, scopes, energies)
