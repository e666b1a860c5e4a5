"""Neighbour lists: pairwise variables on irregular graphs, by colour, every list filled up to the longest.

In: a `Pairwise` variable. Out: `Neighbours`, whose sites are numbered anew, colour after colour, so that a colour is a
stretch of the state; a list that is filled up names its own site, coupled by 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compose_lang.compiler.analyses.colouring import colour
from compose_lang.compiler.analyses.pairwise import Pairwise

MOST_NEIGHBOURS = 32
MOST_COLOURS = 16


@dataclass(frozen=True, eq=False)
class Neighbours:
    """order: the old number of each site; starts: where colours begin, and the end.

    lists (degree, sites), in new numbers; coupling (degree, K - 1, K - 1, sites) and field (K - 1, sites) in nats.
    """

    order: np.ndarray
    starts: np.ndarray
    lists: np.ndarray
    coupling: np.ndarray
    field: np.ndarray

    @property
    def sites(self) -> int:
        return len(self.order)

    @property
    def values(self) -> int:
        return len(self.field) + 1


def neighbours(p: Pairwise) -> Neighbours | None:
    """The lists of a variable, if they are short."""
    colours = colour(p.sites, [np.stack([pairs.a, pairs.b], axis=1) for pairs in p.pairs])
    count = int(colours.max(initial=0)) + 1
    if count > MOST_COLOURS:
        return None
    order = np.argsort(colours, kind="stable")
    place = np.empty(p.sites, dtype=np.int64)
    place[order] = np.arange(p.sites)
    starts = np.searchsorted(colours[order], np.arange(count + 1))
    ways = [here for pairs in p.pairs for here in pairs.both_ways]
    ways_from = np.concatenate([np.zeros(0, dtype=np.int64), *(place[here.a] for here in ways)])
    degrees = np.bincount(ways_from, minlength=p.sites)
    degree = int(degrees.max(initial=0))
    if degree > MOST_NEIGHBOURS:
        return None
    k = p.values - 1
    lists = np.broadcast_to(np.arange(p.sites), (degree, p.sites)).copy()
    coupling = np.zeros((degree, k, k, p.sites))
    if ways:
        to = np.concatenate([place[here.b] for here in ways])
        strength = np.concatenate([np.broadcast_to(here.coupling, (len(here.a), k, k)) for here in ways])
        by_site = np.argsort(ways_from, kind="stable")
        site = ways_from[by_site]
        rank = np.arange(len(site)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        lists[rank, site] = to[by_site]
        coupling[rank, :, :, site] = strength[by_site]
    return Neighbours(order, starts, lists, coupling, p.field[order].T.copy())
