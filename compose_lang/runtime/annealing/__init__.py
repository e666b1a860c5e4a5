"""Sampling along levels of noise, by populations that walk them or by replicas that exchange.

In: a program with densities that have noise, its levels, views of its other variables. Out: samplers for the driver.
Before: `chains`. After: `learning`, and the runs of `api`.
"""
