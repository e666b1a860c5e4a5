"""Populations of particles that follow a path from a simple density to the program's, and the moves that they make.

In: a program's density, and views of its variables. Out: samplers for the driver. Before: `chains`. After: the runs of
`api`.
"""
