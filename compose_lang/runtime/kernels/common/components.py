"""Which sites hang together, for many chains at once: connected components of a graph whose edges come and go."""

from __future__ import annotations

from compose_lang.runtime.arrays.protocol import Array, Backend, Tree


def components(active: Array, first: Array, second: Array, sites: int, backend: Backend) -> Array:
    """For each site the least number of its component: (chains, sites).

    active (chains, edges): which edges are there; first, second (edges,): their ends. Every site points at one of its
    component that is not above it. In each round the ends of an edge, and what they point at, come to point at the
    least that the other end reaches, and pointers are halved, until nothing moves: a few more rounds than the log of
    the longest way (FastSV: Zhang, Azad and Hu, SIAM PP 2020).
    """
    xp = backend.xp
    chains = active.shape[0]
    own = xp.broadcast_to(xp.arange(sites, dtype=backend.integer)[None], (chains, sites))
    ends = xp.concat([first, second])
    others = xp.concat([second, first])
    on = xp.concat([active, active], axis=1)
    index = xp.broadcast_to(ends[None], on.shape)

    def reached(state: Tree) -> Tree:
        pointer, _ = state
        grand = xp.take_along_axis(pointer, pointer, axis=1)
        offered = xp.where(on, grand[:, others], sites)
        hooked = backend.least_at(pointer, pointer[:, ends], offered)
        hooked = backend.least_at(hooked, index, offered)
        hooked = xp.minimum(hooked, grand)
        return hooked, xp.any(hooked != pointer)

    pointer, _ = backend.repeat(lambda state: state[1], reached, (own + 0, xp.any(active)))
    return pointer
