"""What kernels share: what a kernel and its options are, the views that it asks for, accepting, adapting, proposing.

In: a view of a block's variables and noise. Out: parts of a kernel's step. Before: `density`. After: the kernels.
"""
