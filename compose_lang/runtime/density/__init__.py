"""What a program denotes: its energy at a position and at a level, and what is recorded of it.

In: a factor graph, a backend, and the weights of what it has learned. Out: energies, values, columns; no file is read
and nothing is trained. Before: `learned`. After: `elimination`, `views` and the samplers.
"""
