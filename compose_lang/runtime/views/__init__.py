"""What kernels see of a density's variables, a file each; `kernels/common/kernel.py` has the protocols.

In: a density, a plan's blocks, and what the compiler has found of them. Out: blocks for kernels, at any level of the
energy; `views` makes them for a plan. Before: `planning`. After: the samplers of `chains` and `annealing`.
"""
