"""What all backends have in common: their protocol, trees of arrays, noise, transforms, draws by weights.

In: arrays of whichever library, and the backend that computes with them. Out: the same numbers on each. Before: nothing
of the runtime. After: `backends`, and all that computes.
"""
