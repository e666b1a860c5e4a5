"""Params fitted by maximum likelihood: what of a program the data tell of them, and what it must be divided by.

In: a program's factor graph, elaborated so that params are variables and the statements of factors are kept. Out: a
`Fitting`, with the graph of the likelihood and its unknown totals, or CG0416. Before: `passes`, through which the graph
has gone. After: `runtime/learning`, which finds the values; the program is then elaborated anew with them.
"""
