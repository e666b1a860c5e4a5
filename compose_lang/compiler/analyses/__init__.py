"""What is found in a factor graph: colours, tables, elimination orders, energies of single values, lattices, trees.

In: a graph, and mostly one variable of it. Out: a structure that kernels work with, or why there is none; nothing is
changed, and nothing decided. Before: `graph`. After: `constraints`, `rewrites`, and the plan, which chooses by them.
"""
