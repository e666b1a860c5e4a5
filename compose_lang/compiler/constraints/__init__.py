"""Hard constraints between sites of finite variables: as relations, what they imply, and how one moves among solutions.

In: a factor graph. Out: `HardConstraints` with the values that propagation leaves, their connected components and
solutions, and the sets of sites that can change together. Before: `analyses`. After: `rewrites/filter_domains`, which
makes them a fact of the graph, and planning, which makes blocks of such sets.
"""
