"""Rewrites of the factor graph that keep its density: one a file, run in the order of `compiler/passes.PASSES`.

In: a factor graph. Out: one of the same density that is easier to sample. Before: `constraints`, by which domains are
filtered. After: the likelihood of params, and planning.
"""
