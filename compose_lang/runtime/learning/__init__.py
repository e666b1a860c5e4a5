"""Learning from data: training of factors, fits of params, and the files in which what is found is kept.

In: the learned factors and the fit of a program. Out: `TrainedWeights`: loaded, kept from before, or learned now.
Before: the samplers, whose chains the fits take turns with. After: `api`, which hands the weights to densities.
"""
