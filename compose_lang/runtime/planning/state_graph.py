"""The solutions of a few constraints as a graph: states that are listed, and the groups that moves join them to.

Before: `solutions`. After: `irreducibility`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compose_lang.compiler.analyses.colouring import components


@dataclass(frozen=True, eq=False)
class Listed:
    """States (n, k), to be looked up."""

    states: np.ndarray

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """A number of each value of each state, (n, k), whose sums tell states apart; None where they are too many."""
        base = self.states.max(axis=0, initial=0) + 1
        if math.prod(map(int, base)) >= 2**62:
            return None
        return np.asarray(self.states * (np.cumprod(base) // base))

    def without(self, hidden: Sequence[int]) -> np.ndarray:
        """For each state the first that agrees with it outside the hidden columns."""
        if self.numbers is not None:
            seen = self.numbers.sum(axis=1) - self.numbers[:, hidden].sum(axis=1)
            _, first, inverse = np.unique(seen, return_index=True, return_inverse=True)
        else:
            seen = self.states.copy()
            seen[:, hidden] = 0
            _, first, inverse = np.unique(seen, axis=0, return_index=True, return_inverse=True)
        return np.asarray(first[inverse.reshape(-1)])

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """The numbers of states, -1 of what is none."""
        both = np.concatenate([self.states, wanted])
        _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
        place = first[inverse.reshape(-1)[len(self.states) :]]
        return np.where(place < len(self.states), place, -1)


class Groups:
    """States that moves join, found one move after another."""

    def __init__(self, states: int) -> None:
        self.label = np.arange(states)
        self.number = states

    def join(self, starts: np.ndarray, ends: np.ndarray) -> None:
        """Take states to be in one group that a move leads from and to."""
        merged = components(self.number, np.column_stack([self.label[starts], self.label[ends]]))
        self.number = int(merged.max()) + 1
        self.label = merged[self.label]


def turned(states: np.ndarray, linked: np.ndarray, stopped: np.ndarray, site: int, value: int) -> np.ndarray:
    """States after the Kempe chain through a site turns its value to another; as they were where it is stopped."""
    here = states[:, site : site + 1]
    member = (states == here) | (states == value)
    reached = np.zeros_like(member)
    reached[:, site] = True
    while True:
        grown = reached | (member & (reached.astype(np.float32) @ linked.astype(np.float32) > 0))
        if np.array_equal(grown, reached):
            break
        reached = grown
    after = np.where(reached, here + value - states, states)
    is_stopped = (reached & stopped[np.arange(states.shape[1]), after]).any(axis=1)
    return np.where(is_stopped[:, None], states, after)
