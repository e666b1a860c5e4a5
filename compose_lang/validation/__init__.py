"""Whether a program is sampled as it says: against enumeration, quadrature, or calibration on simulated data.

In: a `Model`. Out: a verdict with the p-value of each check. Before: `api`. After: `compose verify`.
"""
