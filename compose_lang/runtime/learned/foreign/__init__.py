"""Foreign code as factors: PyTorch modules and JAX functions, found, held to their declarations, and bound.

In: a factor by `extern`, or pretrained weights in a folder. Out: an object that gives energies on a backend, whatever
library the code is written for. Before: `backends`. After: `density`.
"""
