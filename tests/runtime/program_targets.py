"""Tiny programs over one finite variable `s`, seen by a kernel through the very block that a density gives it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import compose_lang as cg
from compose_lang.api.bindings import requested
from compose_lang.runtime.arrays.protocol import Backend
from compose_lang.runtime.planning.plan import plan
from tests.compiler.points import views_on

PAIRS = {
    "spins in fields": "var s: spin[4]\n"
    "for (i, j) in chain(4) { energy -0.5 * s[i] * s[j] }\n"
    "energy -0.7 * s[0] * s[2]\nenergy -0.3 * s[0]\nenergy 0.4 * s[3]",
    "pairs that differ": "var s: bool[4]\nfor (i, j) in chain(4) { energy if s[i] == s[j] then 0.8 else -0.3 }\n"
    "energy 0.6 * s[1] + 0.2 * s[1] * s[2]\nenergy 0.9 * s[3]",
    "three values": "var s: category(3)[3]\n"
    "for (i, j) in pairs(3) { energy if s[i] == s[j] then -0.3 * (1 + i) else 0 }\n"
    "let w = [0.0, 0.5, -0.4]\nenergy w[s[1]]",
    "frustrated": "var s: spin[3]\nenergy s[0] * s[1]\nenergy 0.6 * s[1] * s[2] - 0.2 * s[2]\n"
    "energy 0.4 * s[0] * s[2]",
    "forbidden values": "var s: int(0, 2)[3]\nfor (i, j) in chain(3) { energy if s[i] == s[j] then -0.7 else 0 }\n"
    "require s[1] != 2\nenergy 0.3 * s[0]",
    "no field": "var s: category(4)[3]\nfor (i, j) in chain(3) { energy if s[i] == s[j] then -1 else 0 }",
}

CHANGES = {
    "a square of the sum": "var s: bool[4]\nenergy 0.5 * (sum(s) - 1.3)^2\nenergy 0.7 * s[0] - 0.4 * s[3]",
    "numbers": "var s: int(-1, 2)[2]\nenergy 0.4 * (s[0] - 0.6 * s[1])^2 + 0.1 * s[1]",
    "a gradient and a table": "var s: category(3)[3]\nenergy if s[0] == s[1] then -1 else 0\n"
    "energy 0.2 * sum(s * s) - 0.5 * s[2]",
    "a hard constraint": "var s: category(4)[3]\nfor (i, j) in chain(3) { require s[i] != s[j] }\nenergy -0.4 * sum(s)",
    "spins, some observed": "var s: spin[5]\nobserve s[2] = 1\nfor (i, j) in chain(5) { energy -0.6 * s[i] * s[j] }\n"
    "energy tanh(0.3 * sum(s))",
}
SUMS = {
    "two of four": "var s: bool[4]\nrequire sum(s) == 2\nenergy 0.7 * s[0] - 0.4 * s[2]\nenergy 0.5 * s[0] * s[1]",
    "sets that share factors": "var s: bool[5]\nrequire exactly_one(s[0:3])\nrequire sum(s[3:]) == 1\n"
    "for (i, j) in chain(5) { energy 0.6 * s[i] * s[j] }\nenergy 0.5 * s[1] + 0.3 * s[4] * s[0]",
    "a sum of numbers": "var s: int(0, 2)[3]\nrequire sum(s) == 3\nfor i in range(3) { energy 0.3 * i * s[i] }\n"
    "energy 0.2 * (s[0] - s[2])^2",
    "a count of values": "var s: category(3)[3]\nrequire exactly_one(s == 1)\nlet w = [0.0, 0.5, -0.4]\n"
    "energy w[s[0]]\nfor (i, j) in chain(3) { energy if s[i] == s[j] then 0.8 else 0 }",
}
CHAINS = {
    "a path of three colours": "var s: category(3)[3]\nfor (i, j) in chain(3) { require s[i] != s[j] }\n"
    "energy 0.6 * (s[0] == 1) - 0.3 * (s[2] == 0)\nenergy 0.5 * (s[0] == s[2])",
    "all different": "var s: int(1, 3)[3]\nrequire all_different(s)\nenergy 0.3 * s[0] * s[1] - 0.5 * s[2]",
    "with another constraint": "var s: int(0, 3)[3]\nrequire all_different(s)\nrequire s[0] + s[1] != 3\n"
    "energy 0.4 * (s[1] == 2)",
}
TREES = {
    "a square of spins in fields": "var s: spin[2, 2]\nfor (a, b) in grid(2, 2) { energy -0.4 * s[a] * s[b] }\n"
    "energy -0.5 * s[0, 0] + 0.3 * s[1, 0]",
    "a triangle of three values": "var s: category(3)[3]\n"
    "for (i, j) in pairs(3) { energy if s[i] == s[j] then 0.3 * i - 0.6 else 0 }\n"
    "let w = [0.0, 0.5, -0.4]\nenergy w[s[1]]",
    "all must differ": "var s: category(4)[3]\nfor (i, j) in pairs(3) { require s[i] != s[j] }\n"
    "energy -0.4 * s[0] + 0.3 * s[1] * s[2]",
    "three at once, one observed": "var s: spin[5]\nobserve s[3] = 1\nenergy 0.4 * s[0] * s[1] * s[2]\n"
    "for (i, j) in chain(5) { energy -0.3 * s[i] * s[j] }\nenergy 0.5 * s[0] * s[4] - 0.3 * s[3] * s[1]",
}
SETS = {
    "a table with fixed margins": "var s: bool[2, 4]\nfor i in range(2) { require sum(s[i, :]) == 2 }\n"
    "for j in range(4) { require sum(s[:, j]) == 1\nenergy 0.4 * j * s[0, j] - 0.5 * s[1, j] * s[1, 2] }",
    "an ordering": "var s: int(0, 2)[3]\nrequire all_different(s)\nenergy 0.7 * s[1] - 0.4 * s[0] * s[2]",
    "sums that overlap": "var s: bool[5]\nfor i in range(2) { require sum(s[2 * i:2 * i + 3]) == 2 }\n"
    "energy 0.5 * s[0] * s[1] - 0.4 * s[3] + 0.3 * s[2]\nenergy 0.2 * (sum(s) - 1)^2",
    "a table of pairs, one observed": "var s: category(3)[4]\nobserve s[3] = 2\n"
    "require (s[0] == 1) == (s[1] == 2)\nrequire s[1] + s[2] != 2\nenergy 0.6 * (s[2] == s[3]) - 0.3 * s[0]",
    "no constraint": "var s: spin[4]\nfor (i, j) in pairs(4) { energy -0.4 * s[i] * s[j] }\nenergy 0.5 * s[0]",
}
SIZED = {
    "a table with fixed margins": "blocks(size=4)",
    "sums that overlap": "blocks(size=3)",
    "no constraint": "blocks(size=2)",
}
"""Sets that are smaller than the default, which takes all sites of a tiny program at once."""


@dataclass(frozen=True)
class ProgramTarget:
    """A program and the method whose view of `s` is tested; with `states` and `probabilities` as toy targets have."""

    text: str
    method: str

    @cached_property
    def graph(self) -> Any:
        return cg.compile(self.text).program.graph

    def block(self, backend: Backend) -> Any:
        with backend.scope():
            chosen = plan(self.graph, backend.name, requested(self.method))
            (block,) = chosen.blocks
            return views_on(self.graph, backend, chosen).block(block.variables, block.kernel)

    def states(self) -> np.ndarray:
        """All states (states, sites)."""
        (s,) = self.graph.variables
        return np.array(list(itertools.product(s.type.domain.values, repeat=s.free_sites)))

    def probabilities(self) -> np.ndarray:
        model = cg.compile(self.text)
        (s,) = self.graph.variables
        kind = bool if s.type.domain.kind == "bool" else int
        states = self.states()
        whole = np.broadcast_to(s.observed, (len(states), *s.type.shape)).copy()
        whole[:, s.free] = states
        energies = np.array([model.energy({"s": state.astype(kind)}) for state in whole])
        weights = np.exp(-energies)
        return weights / weights.sum()
