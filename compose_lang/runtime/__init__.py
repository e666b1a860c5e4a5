"""From a factor graph to draws: arrays, densities, kernels, plans, samplers, learning, and what is made of a run.

In: the compiler's graph and what is known of it. Out: run folders, and answers computed from them. Before: `compiler`.
After: `report` and `api`. Array libraries are imported in `backends`, and where one is wrapped.
"""
