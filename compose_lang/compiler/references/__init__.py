"""What of a program can be drawn exactly: Gaussian parts, densities in the order of their inputs, uniform boxes.

In: a factor graph, and the draws of its statements, which are elaborated here when they are first asked for. Out: which
groups are drawn together and how, and words for it; nothing is drawn here but for judging. Before: `graph` and
`analyses`. After: planning, which may say so, and `runtime/populations`, which draws.
"""
