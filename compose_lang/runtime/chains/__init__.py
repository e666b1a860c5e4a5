"""Runs of chains: where they start, how they sweep, and the driver that stores them chunk by chunk.

In: views of a density, settings and a run's folder. Out: samplers for the driver (`sweep`, `tempering`, `optimise`,
`independent`), and a folder of draws. Before: `views`, `runs`. After: `annealing`, `learning`, `results`.
"""
