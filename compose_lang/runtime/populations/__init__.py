"""Populations that walk from a distribution that can be drawn exactly, the reference, to the program's density.

In: a program, what of it can be drawn, the planner's options. Out: a sampler for the driver, whose chains are
populations of particles. Before: `chains`. After: the runs of `api`.
"""
